//! The server of Larson and Krishnan: each thread replaces random blocks of 10 to 500 bytes in its
//! array. Then it ends and hands the array to a new thread, which frees blocks that its predecessor
//! made. Timed: all generations.

#![forbid(unsafe_code)]

use super::block::Bytes;
use super::{Context, Outcome, on_threads};
use crate::rng::Rng;

const BLOCKS: usize = 1000;
const GENERATIONS: usize = 100;
const REPLACEMENTS: usize = 100_000;

type Blocks = Vec<Bytes>;

pub(super) fn run(context: &Context) -> Outcome {
    let replacements = context.scaled(REPLACEMENTS);
    on_threads(context.threads, GENERATIONS * replacements * context.threads, |line| {
        let mut rng = Rng::new(line as u64);
        let mut blocks: Blocks = (0..BLOCKS).map(|_| Bytes::new(10 + rng.below(491))).collect();
        let mut sum = 0u64;
        for _ in 0..GENERATIONS {
            let generation = std::thread::spawn(move || {
                let part = replace(&mut blocks, &mut rng, replacements);
                (blocks, rng, part)
            });
            let part;
            (blocks, rng, part) = generation.join().expect("a generation panicked");
            sum = sum.wrapping_add(part);
        }
        sum
    })
}

fn replace(blocks: &mut Blocks, rng: &mut Rng, replacements: usize) -> u64 {
    let mut sum = 0u64;
    for _ in 0..replacements {
        let slot = &mut blocks[rng.below(BLOCKS)];
        sum = sum.wrapping_add(slot.size());
        *slot = Bytes::new(10 + rng.below(491));
    }
    sum
}
