//! Bursts of small mixed sizes in the style of the SmartHeap benchmarks. Each burst makes a batch
//! of objects, frees a third of it in order, a third in reverse, and keeps a third for some bursts.
//! In `sh6` a thread frees its kept thirds itself. In `sh8` the kept thirds go through an exchange,
//! so that other threads free them; threads also end, and new ones continue their work. Timed: all
//! bursts and the last drop.

#![forbid(unsafe_code)]

use super::block::Bytes;
use super::exchange::Exchange;
use super::{Context, Outcome, on_threads};
use crate::rng::Rng;
use std::collections::VecDeque;

const BURST: usize = 3000;
/// A kept third lives for this many bursts.
const KEPT: usize = 8;
const BURSTS: usize = 4000;
const GENERATIONS: usize = 20;
/// Places in the exchange per thread.
const PLACES: usize = 8;

pub(super) fn sh6(context: &Context) -> Outcome {
    let bursts = context.scaled(BURSTS);
    on_threads(context.threads, bursts * BURST * context.threads, |thread| {
        let mut rng = Rng::new(thread as u64);
        let mut kept: VecDeque<Vec<Bytes>> = VecDeque::with_capacity(KEPT + 1);
        let mut sum = 0u64;
        for _ in 0..bursts {
            kept.push_back(burst(&mut rng, &mut sum));
            if kept.len() > KEPT {
                look(&kept.pop_front().unwrap_or_default());
            }
        }
        sum
    })
}

pub(super) fn sh8(context: &Context) -> Outcome {
    let bursts = context.scaled(BURSTS / GENERATIONS);
    let exchange = Exchange::new(PLACES * context.threads);
    let ops = GENERATIONS * bursts * BURST * context.threads;
    let mut outcome = on_threads(context.threads, ops, |line| {
        let mut rng = Rng::new(line as u64);
        let mut sum = 0u64;
        for _ in 0..GENERATIONS {
            // Scoped and joined at once: one generation per chain of threads at any time.
            std::thread::scope(|scope| {
                let exchange = &exchange;
                let (rng, sum) = (&mut rng, &mut sum);
                scope.spawn(move || {
                    for _ in 0..bursts {
                        let third = burst(rng, sum);
                        look(&exchange.swap(rng.below(exchange.places()), third));
                    }
                });
            });
        }
        sum
    });
    let ((), dropping) = crate::measure::timed(|| drop(exchange));
    outcome.seconds += dropping;
    outcome
}

/// Makes a batch, frees two thirds of it, adds all its sizes to the sum, and returns the last
/// third.
fn burst(rng: &mut Rng, sum: &mut u64) -> Vec<Bytes> {
    let mut batch = Vec::with_capacity(BURST);
    for _ in 0..BURST {
        let block = Bytes::new(size(rng));
        *sum = sum.wrapping_add(block.intact());
        batch.push(block);
    }
    let kept = batch.split_off(BURST / 3 * 2);
    while batch.len() > BURST / 3 {
        batch.pop();
    }
    drop(batch);
    kept
}

/// Returns a size: half up to 64 bytes, seven in eight up to 256, the rest up to 1 KiB.
#[inline(always)]
fn size(rng: &mut Rng) -> usize {
    match rng.below(8) {
        0..4 => 1 + rng.below(64),
        4..7 => 65 + rng.below(192),
        _ => 257 + rng.below(768),
    }
}

fn look(batch: &[Bytes]) {
    for block in batch {
        block.intact();
    }
}
