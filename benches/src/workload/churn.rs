//! A large live set of mixed sizes with random replacements, like the heap of a long-running
//! server. Timed: the replacements, but not the first filling.

#![forbid(unsafe_code)]

use super::block::Bytes;
use super::{Context, Outcome, on_ready_threads};
use crate::rng::{Rng, log_uniform_sizes};

const LIVE: usize = 100_000;
const REPLACEMENTS: usize = 8_000_000;

pub(super) fn run(context: &Context) -> Outcome {
    let threads = context.threads;
    let live = (LIVE / threads).max(1);
    let replacements = context.scaled(REPLACEMENTS / threads);
    let prepare = |thread| {
        let mut rng = Rng::new(thread as u64);
        let sizes: [usize; 4096] = log_uniform_sizes(&mut rng, 16, 1024);
        let blocks: Vec<Bytes> = (0..live).map(|index| Bytes::new(sizes[index % sizes.len()])).collect();
        (rng, sizes, blocks)
    };
    on_ready_threads(
        threads,
        replacements * threads,
        prepare,
        |(mut rng, sizes, mut blocks)| {
            let mut sum = 0u64;
            for _ in 0..replacements {
                let size = sizes[rng.below(sizes.len())];
                let index = rng.below(live);
                sum = sum.wrapping_add(blocks[index].size());
                blocks[index] = Bytes::new(size);
            }
            // Dropping the rest would be a second workload. A server's last heap ends with its
            // process.
            std::mem::forget(blocks);
            sum
        },
    )
}
