//! Makes, clones, sorts and deduplicates owned strings in parallel, on a rayon pool with the
//! requested number of threads. Strings move between the threads that make, sort and drop them.
//! Timed: all rounds, but not the start of the pool.

#![forbid(unsafe_code)]

use super::{Context, Outcome};
use crate::measure;
use crate::rng::Rng;
use rayon::prelude::*;

const STRINGS: usize = 100_000;
const ROUNDS: usize = 12;
/// Each chunk of strings has its own seed, so that the strings do not depend on how rayon splits
/// the work.
const CHUNK: usize = 1000;

pub(super) fn run(context: &Context) -> Outcome {
    let strings = context.scaled(STRINGS);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(context.threads)
        .build()
        .expect("the system has threads");
    let (checksum, seconds) = measure::timed(|| {
        pool.install(|| (0..ROUNDS).fold(0u64, |sum, seed| sum.wrapping_add(round(seed as u64, strings))))
    });
    Outcome {
        seconds,
        ops: (ROUNDS * strings) as u64,
        checksum,
        notes: Vec::new(),
    }
}

fn round(seed: u64, strings: usize) -> u64 {
    let mut made: Vec<String> = (0..strings.div_ceil(CHUNK))
        .into_par_iter()
        .flat_map_iter(|chunk| {
            let mut rng = Rng::new(seed << 32 | chunk as u64);
            let count = CHUNK.min(strings - chunk * CHUNK);
            (0..count).map(move |_| {
                let name = format!("{:05}-customer", rng.below(strings));
                name.repeat(1 + rng.below(4))
            })
        })
        .collect();
    let copy: Vec<String> = made.par_iter().map(|name| name.to_uppercase()).collect();
    made.par_sort_unstable();
    made.dedup();
    let lengths: usize = copy.par_iter().map(String::len).sum();
    drop(copy);
    // The sum depends on the place of each string, so that a wrong order is noticed.
    let order = made
        .par_iter()
        .enumerate()
        .map(|(place, name)| place as u64 * u64::from(name.as_bytes()[4]));
    order.sum::<u64>().wrapping_add(lengths as u64)
}
