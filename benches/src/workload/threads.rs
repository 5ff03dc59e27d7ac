//! Runs threads one after another; each allocates 100 objects of mixed size and drops all of them.
//! Timed: all of them. Notes: mapped and resident memory after the first hundred and after the
//! last.

#![forbid(unsafe_code)]

use super::{Context, Outcome};
use crate::measure::{self, Memory};
use crate::rng::{Rng, log_uniform_sizes};
use std::hint::black_box;

const THREADS: usize = 10_000;
const OBJECTS: usize = 100;
const EARLY: usize = 100;

pub(super) fn run(context: &Context) -> Outcome {
    let threads = context.scaled(THREADS);
    let mut early = Memory::default();
    let (checksum, seconds) = measure::timed(|| {
        let mut sum = 0u64;
        for thread in 0..threads {
            sum = sum.wrapping_add(
                std::thread::spawn(move || work(thread as u64))
                    .join()
                    .expect("a worker panicked"),
            );
            if thread + 1 == EARLY.min(threads) {
                early = measure::memory();
            }
        }
        sum
    });
    let late = measure::memory();
    Outcome {
        seconds,
        ops: threads as u64,
        checksum,
        notes: vec![
            ("mapped_after_100", early.mapped),
            ("mapped_at_end", late.mapped),
            ("resident_after_100", early.resident),
            ("resident_at_end", late.resident),
        ],
    }
}

fn work(seed: u64) -> u64 {
    let sizes: [usize; OBJECTS] = log_uniform_sizes(&mut Rng::new(seed), 16, 16_384);
    let mut objects: Vec<Vec<u8>> = Vec::with_capacity(OBJECTS);
    for size in sizes {
        let mut object = Vec::with_capacity(size);
        object.push(size as u8);
        objects.push(object);
    }
    black_box(&mut objects);
    objects.iter().map(|object| u64::from(object[0])).sum()
}
