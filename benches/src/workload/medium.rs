//! Blocks of 8 to 32 KiB, 300 of them live per thread, replaced at random, such as buffers of
//! connections or pages of a file. The ends and each page of a block are written. Timed: all
//! replacements and the last drop.

#![forbid(unsafe_code)]

use super::block::Bytes;
use super::{Context, Outcome, on_threads};
use crate::rng::Rng;

const LIVE: usize = 300;
const REPLACEMENTS: usize = 12_000_000;

pub(super) fn run(context: &Context) -> Outcome {
    let replacements = context.scaled(REPLACEMENTS);
    on_threads(context.threads, replacements * context.threads, |thread| {
        let mut rng = Rng::new(thread as u64);
        let mut blocks: [Option<Bytes>; LIVE] = [const { None }; LIVE];
        let mut sum = 0u64;
        for _ in 0..replacements {
            let slot = &mut blocks[rng.below(LIVE)];
            sum = sum.wrapping_add(slot.as_ref().map_or(0, Bytes::intact));
            let mut block = Bytes::new((8 << 10) + rng.below((24 << 10) + 1));
            block.touch();
            *slot = Some(block);
        }
        sum
    })
}
