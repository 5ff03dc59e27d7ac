//! Measures the slowest operations: how long a program waits for memory in the worst of many cases.
//! One thread holds 630 MiB of blocks of mixed sizes, and replaces them at random. An operation
//! drops a block, allocates another, and writes each of its pages, so that page faults count to the
//! allocator that causes them.
//!
//! The row's time is a percentile: 1 of 1000 operations, or 1 of 10,000, takes longer. The notes
//! have more of them, in nanoseconds; those that begin with `calls` leave out the writes of pages.
//! A scale below 1 also shrinks the live data.

#![forbid(unsafe_code)]

use super::block::Bytes;
use super::{Context, Outcome};
use crate::rng::{Rng, log_uniform_sizes};
use std::time::Instant;

const LIVE_BYTES: usize = 630 << 20;
const SMALLEST: usize = 64;

/// Blocks of up to 32 KiB; `TAIL` is the number of operations of which one takes longer.
pub(super) fn to_32k<const TAIL: usize>(context: &Context) -> Outcome {
    run::<TAIL>(context, 32 << 10, 1_000_000)
}

/// Blocks of up to 256 KiB.
pub(super) fn to_256k<const TAIL: usize>(context: &Context) -> Outcome {
    run::<TAIL>(context, 256 << 10, 400_000)
}

fn run<const TAIL: usize>(context: &Context, to: usize, replacements: usize) -> Outcome {
    let replacements = context.scaled(replacements);
    let mut rng = Rng::new(to as u64);
    let sizes: [usize; 4096] = log_uniform_sizes(&mut rng, SMALLEST, to);
    let mut live = (LIVE_BYTES as f64 * context.scale.min(1.0)) as usize;
    let mut blocks = Vec::new();
    while live > 0 {
        let mut block = Bytes::new(sizes[rng.below(sizes.len())]);
        block.touch();
        live = live.saturating_sub(block.size() as usize);
        blocks.push(Some(block));
    }
    // Both lists have their room before the first operation is timed.
    let (mut calls, mut whole) = (Vec::with_capacity(replacements), Vec::with_capacity(replacements));
    let mut checksum = 0u64;
    for _ in 0..replacements {
        let at = rng.below(blocks.len());
        let slot = &mut blocks[at];
        checksum = checksum.wrapping_add(slot.as_ref().map_or(0, Bytes::intact));
        let size = sizes[rng.below(sizes.len())];
        let start = Instant::now();
        drop(slot.take());
        let mut block = Bytes::new(size);
        let called = start.elapsed();
        block.touch();
        let touched = start.elapsed();
        *slot = Some(block);
        calls.push(called.as_nanos() as u64);
        whole.push(touched.as_nanos() as u64);
    }
    calls.sort_unstable();
    whole.sort_unstable();
    Outcome {
        seconds: percentile(&whole, TAIL).max(1) as f64 * 1e-9,
        ops: 1,
        checksum,
        notes: vec![
            ("p50_ns", percentile(&whole, 2)),
            ("p99_ns", percentile(&whole, 100)),
            ("p99.9_ns", percentile(&whole, 1000)),
            ("p99.99_ns", percentile(&whole, 10_000)),
            ("worst_ns", percentile(&whole, usize::MAX)),
            ("calls_p99.9_ns", percentile(&calls, 1000)),
            ("calls_p99.99_ns", percentile(&calls, 10_000)),
        ],
    }
}

/// Returns the time that 1 of `tail` operations exceeds, given all times in order; the longest one
/// if there are fewer operations.
fn percentile(sorted: &[u64], tail: usize) -> u64 {
    let last = sorted.len().saturating_sub(1);
    let above = sorted.len() / tail;
    sorted.get(last.saturating_sub(above)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_leaves_its_share_of_the_operations_above() {
        let times: Vec<u64> = (1..=10_000).collect();
        for (tail, above) in [(2, 5000), (100, 100), (1000, 10), (10_000, 1), (usize::MAX, 0)] {
            let bound = percentile(&times, tail);
            assert_eq!(times.iter().filter(|&&time| time > bound).count(), above, "1 of {tail}");
        }
        assert_eq!(percentile(&times[..500], 1000), 500);
        assert_eq!(percentile(&[], 1000), 0);
    }

    #[test]
    fn the_row_is_its_percentile_and_the_writes_of_pages_come_after_the_calls() {
        let context = Context {
            threads: 1,
            scale: 0.01,
            metadata: None,
            purge: None,
        };
        let outcome = to_32k::<1000>(&context);
        let note = |key| outcome.notes.iter().find(|note| note.0 == key).expect("the note").1;
        assert_eq!((outcome.seconds * 1e9).round() as u64, note("p99.9_ns"));
        assert!(note("p50_ns") <= note("p99_ns") && note("p99.9_ns") <= note("p99.99_ns"));
        assert!(note("p99.99_ns") <= note("worst_ns"));
        assert!(note("calls_p99.9_ns") <= note("p99.9_ns"));
    }
}
