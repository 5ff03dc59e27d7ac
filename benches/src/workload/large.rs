//! Blocks of 64 KiB to 2 MiB, 64 of them live a thread, replaced at random, with each page written: buffers of a codec
//! or of a server of files. Timed: the replacements.

#![forbid(unsafe_code)]

use super::{Context, Outcome, on_threads};
use crate::rng::{Rng, log_uniform_sizes};
use std::hint::black_box;
use std::mem::MaybeUninit;

const LIVE: usize = 64;
const REPLACEMENTS: usize = 50_000;
const PAGE: usize = 4096;

pub(super) fn run(context: &Context) -> Outcome {
    let replacements = context.scaled(REPLACEMENTS);
    on_threads(context.threads, replacements * context.threads, |thread| {
        let mut rng = Rng::new(thread as u64);
        let sizes: [usize; 1024] = log_uniform_sizes(&mut rng, 64 << 10, 2 << 20);
        let mut blocks: [Box<[MaybeUninit<u8>]>; LIVE] = std::array::from_fn(|_| Box::default());
        let mut sum = 0u64;
        for _ in 0..replacements {
            let slot = &mut blocks[rng.below(LIVE)];
            sum = sum.wrapping_add(slot.len() as u64);
            // The old block is dropped first, as a program that refills a buffer would do.
            *slot = Box::default();
            *slot = Box::new_uninit_slice(sizes[rng.below(sizes.len())]);
            for page in slot.chunks_mut(PAGE) {
                page[0].write(1);
            }
            black_box(slot);
        }
        sum
    })
}
