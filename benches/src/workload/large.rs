//! Large blocks, some dozens of them live per thread, replaced at random, such as buffers of a
//! codec or of a file server. Either each page of a new block is written, or only its two ends.
//! Timed: the replacements.

#![forbid(unsafe_code)]

use super::block::Bytes;
use super::{Context, Outcome, on_threads};
use crate::rng::{Rng, log_uniform_sizes};
use std::hint::black_box;

const FROM: usize = 64 << 10;

/// 64 blocks of 64 KiB to 2 MiB.
pub(super) fn to_2m(context: &Context) -> Outcome {
    run::<64, true>(context, 2 << 20, 50_000)
}

/// 32 blocks of 64 KiB to 4 MiB.
pub(super) fn to_4m(context: &Context) -> Outcome {
    run::<32, true>(context, 4 << 20, 80_000)
}

/// 32 blocks of 64 KiB to 4 MiB, of which only the ends are written.
pub(super) fn to_4m_untouched(context: &Context) -> Outcome {
    run::<32, false>(context, 4 << 20, 500_000)
}

fn run<const LIVE: usize, const TOUCHED: bool>(context: &Context, to: usize, replacements: usize) -> Outcome {
    let replacements = context.scaled(replacements);
    on_threads(context.threads, replacements * context.threads, |thread| {
        let mut rng = Rng::new(thread as u64);
        let sizes: [usize; 1024] = log_uniform_sizes(&mut rng, FROM, to);
        let mut blocks: [Option<Bytes>; LIVE] = [const { None }; LIVE];
        let mut sum = 0u64;
        for _ in 0..replacements {
            let slot = &mut blocks[rng.below(LIVE)];
            // Drops the old block first, as a program that refills a buffer does.
            sum = sum.wrapping_add(slot.take().map_or(0, |block| block.size()));
            let mut block = Bytes::new(sizes[rng.below(sizes.len())]);
            if TOUCHED {
                block.touch();
            }
            *slot = Some(black_box(block));
        }
        sum
    })
}
