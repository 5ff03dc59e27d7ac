//! Mixed lifetimes: generations of threads that allocate in bursts, keep some objects, drop some at
//! random, and swap some with other threads through shared slots. So objects outlive the thread
//! that made them. Timed: all generations and the last drop.

#![forbid(unsafe_code)]

use super::{Context, Outcome};
use crate::measure;
use crate::rng::Rng;
use std::sync::Mutex;

const GENERATIONS: usize = 25;
const STEPS: usize = 200_000;
const SHARED: usize = 1000;
/// A thread keeps at most this many blocks; until then, it gains one in 8 steps.
const KEPT: usize = 20_000;

type Block = Box<[u64]>;

pub(super) fn run(context: &Context) -> Outcome {
    let threads = context.threads;
    let steps = context.scaled(STEPS);
    let shared: Vec<Mutex<Option<Block>>> = (0..SHARED).map(|_| Mutex::new(None)).collect();
    let (checksum, seconds) = measure::timed(|| {
        let mut sum = 0u64;
        for generation in 0..GENERATIONS {
            std::thread::scope(|scope| {
                let shared = &shared;
                let running: Vec<_> = (0..threads)
                    .map(|thread| scope.spawn(move || work((generation * threads + thread) as u64, steps, shared)))
                    .collect();
                for thread in running {
                    sum = sum.wrapping_add(thread.join().expect("a worker panicked"));
                }
            });
        }
        drop(shared);
        sum
    });
    Outcome {
        seconds,
        ops: (GENERATIONS * steps * threads) as u64,
        checksum,
        notes: Vec::new(),
    }
}

/// Runs `steps` steps, each of which makes one block. The sum covers the blocks that this thread
/// made, because the blocks that it receives depend on the others.
fn work(seed: u64, steps: usize, shared: &[Mutex<Option<Block>>]) -> u64 {
    let mut rng = Rng::new(seed);
    let mut kept: Vec<Block> = Vec::new();
    let mut sum = 0u64;
    for _ in 0..steps {
        let block = make(&mut rng);
        sum = sum.wrapping_add(block[0]);
        match rng.below(8) {
            0..3 => drop(block),
            3 => {
                let other = shared[rng.below(shared.len())]
                    .lock()
                    .expect("no holder panics")
                    .replace(block);
                intact(other.as_deref());
            }
            _ => kept.push(block),
        }
        if kept.len() > KEPT || (!kept.is_empty() && rng.below(8) < 3) {
            let block = kept.swap_remove(rng.below(kept.len()));
            intact(Some(&block));
        }
    }
    sum
}

/// Makes a block: mostly small, now and then up to 16 times larger, once in a thousand a hundred
/// times. Its first and last word hold its number of words.
fn make(rng: &mut Rng) -> Block {
    let words = match rng.below(1000) {
        0 => 16 + rng.below(1600),
        1..50 => 16 + rng.below(240),
        _ => 2 + rng.below(14),
    };
    let mut block = Vec::with_capacity(words);
    block.resize(words, words as u64);
    block.into_boxed_slice()
}

fn intact(block: Option<&[u64]>) {
    if let Some(block) = block {
        assert!(
            block[0] == block.len() as u64 && block[block.len() - 1] == block[0],
            "a block changed while its owner held it"
        );
    }
}
