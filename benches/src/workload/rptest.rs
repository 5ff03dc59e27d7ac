//! A working set of blocks of 16 bytes to 16 KiB, in the style of rpmalloc's benchmark. Each round
//! frees random blocks and makes as many. In every eighth round the freed blocks go to an exchange,
//! and the thread frees those of another thread instead. Sizes are spread evenly (`rptest`) or by
//! the exponent (`rptest-exp`, mostly small). Timed: all rounds and the last drop.

#![forbid(unsafe_code)]

use super::block::Bytes;
use super::exchange::Exchange;
use super::{Context, Outcome, on_threads};
use crate::measure;
use crate::rng::{Rng, log_uniform_sizes};

const LIVE: usize = 1000;
const ROUND: usize = 100;
const ROUNDS: usize = 150_000;
const PLACES: usize = 8;
const SIZES: usize = 4096;
const SMALLEST: usize = 16;
const LARGEST: usize = 16 << 10;

pub(super) fn linear(context: &Context) -> Outcome {
    run(context, |rng| {
        std::array::from_fn(|_| SMALLEST + rng.below(LARGEST - SMALLEST + 1))
    })
}

pub(super) fn exponential(context: &Context) -> Outcome {
    run(context, |rng| log_uniform_sizes(rng, SMALLEST, LARGEST))
}

fn run(context: &Context, sizes: impl Fn(&mut Rng) -> [usize; SIZES] + Sync) -> Outcome {
    let rounds = context.scaled(ROUNDS);
    let exchange = Exchange::new(PLACES * context.threads);
    let mut outcome = on_threads(context.threads, rounds * ROUND * context.threads, |thread| {
        let mut rng = Rng::new(thread as u64);
        let sizes = sizes(&mut rng);
        let mut blocks: Vec<Bytes> = Vec::with_capacity(LIVE);
        let mut sum = 0u64;
        for round in 0..rounds {
            if blocks.len() >= LIVE {
                let mut passed = Vec::new();
                for _ in 0..ROUND {
                    let block = blocks.swap_remove(rng.below(blocks.len()));
                    sum = sum.wrapping_add(block.intact());
                    if round % 8 == 0 {
                        passed.push(block);
                    }
                }
                if !passed.is_empty() {
                    for block in exchange.swap(rng.below(exchange.places()), passed) {
                        block.intact();
                    }
                }
            }
            blocks.extend((0..ROUND).map(|_| Bytes::new(sizes[rng.below(SIZES)])));
        }
        sum
    });
    let ((), dropping) = measure::timed(|| drop(exchange));
    outcome.seconds += dropping;
    outcome
}
