//! A large live set of mixed sizes, replaced at random: what a long-running server's heap looks like.
//! Timed: the replacements; the first filling is not.

#![forbid(unsafe_code)]

use super::{Context, Outcome};
use crate::measure;
use crate::rng::{Rng, log_uniform_sizes};
use std::mem::MaybeUninit;
use std::sync::Barrier;

const LIVE: usize = 100_000;
const REPLACEMENTS: usize = 5_000_000;

type Block = Box<[MaybeUninit<u8>]>;

pub(super) fn run(context: &Context) -> Outcome {
    let threads = context.threads;
    let live = (LIVE / threads).max(1);
    let replacements = context.scaled(REPLACEMENTS / threads);
    let filled = Barrier::new(threads + 1);
    let (mut checksum, mut seconds) = (0u64, 0.0);
    std::thread::scope(|scope| {
        let filled = &filled;
        let running: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || replace(thread, live, replacements, filled)))
            .collect();
        filled.wait();
        let (sum, time) = measure::timed(|| {
            running.into_iter().fold(0u64, |sum, thread| {
                sum.wrapping_add(thread.join().expect("a worker panicked"))
            })
        });
        (checksum, seconds) = (sum, time);
    });
    Outcome {
        seconds,
        ops: (replacements * threads) as u64,
        checksum,
        notes: Vec::new(),
    }
}

fn replace(thread: usize, live: usize, replacements: usize, filled: &Barrier) -> u64 {
    let mut rng = Rng::new(thread as u64);
    let sizes: [usize; 4096] = log_uniform_sizes(&mut rng, 16, 1024);
    let mut blocks: Vec<Block> = (0..live).map(|index| make(sizes[index % sizes.len()])).collect();
    let mut sum = 0u64;
    filled.wait();
    for _ in 0..replacements {
        let size = sizes[rng.below(sizes.len())];
        let index = rng.below(live);
        sum = sum.wrapping_add(blocks[index].len() as u64);
        blocks[index] = make(size);
    }
    // The dropping of what is left would be a second workload; a server's last heap is dropped by its exit.
    std::mem::forget(blocks);
    sum
}

/// A block whose first and last byte are written.
#[inline(always)]
fn make(size: usize) -> Block {
    let mut block = Box::<[u8]>::new_uninit_slice(size);
    block[0].write(size as u8);
    block[size - 1].write(1);
    block
}
