//! In the style of glibc's own two benchmarks. `glibc-thread`: each thread has an array of 1024
//! places and picks one at random. It fills an empty one with a block of 4 bytes to 32 KiB, whose
//! share falls with the size, and frees a full one. `glibc-simple`: one thread makes and then
//! frees, in order, batches of 25 to 1600 blocks of one size, over a set of blocks that stay.
//! Timed: all steps and the last drop.

#![forbid(unsafe_code)]

use super::block::Bytes;
use super::{Context, Outcome, on_threads};
use crate::rng::{Rng, log_uniform_sizes};

const PLACES: usize = 1024;
const STEPS: usize = 14_000_000;
const ROUNDS: usize = 2500;
const BATCHES: [usize; 4] = [25, 100, 400, 1600];
const SIZES: [usize; 6] = [16, 64, 128, 256, 512, 1024];

pub(super) fn thread(context: &Context) -> Outcome {
    let steps = context.scaled(STEPS);
    on_threads(context.threads, steps * context.threads, |thread| {
        let mut rng = Rng::new(thread as u64);
        let sizes: [usize; 4096] = log_uniform_sizes(&mut rng, 4, 32 << 10);
        let mut places: [Option<Bytes>; PLACES] = [const { None }; PLACES];
        let mut sum = 0u64;
        for _ in 0..steps {
            let random = rng.next_u64();
            let place = &mut places[random as usize % PLACES];
            match place.take() {
                Some(block) => sum = sum.wrapping_add(block.intact()),
                None => *place = Some(Bytes::new(sizes[(random >> 32) as usize % sizes.len()])),
            }
        }
        sum
    })
}

pub(super) fn simple(context: &Context) -> Outcome {
    let rounds = context.scaled(ROUNDS);
    let ops = rounds * SIZES.len() * BATCHES.iter().sum::<usize>();
    on_threads(1, ops, |_| {
        let mut sum = 0u64;
        for size in SIZES {
            let kept: Vec<Bytes> = (0..BATCHES[1]).map(|_| Bytes::new(size)).collect();
            for batch in BATCHES {
                let mut blocks = Vec::with_capacity(batch);
                for _ in 0..rounds {
                    blocks.extend((0..batch).map(|_| Bytes::new(size)));
                    for block in blocks.drain(..) {
                        sum = sum.wrapping_add(block.intact());
                    }
                }
            }
            sum = sum.wrapping_add(kept.iter().map(Bytes::intact).sum());
        }
        sum
    })
}
