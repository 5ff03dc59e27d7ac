//! Measures whether a pair of free and alloc costs the same for any number of live objects. A table
//! of objects of 16 to 128 bytes is replaced at random, with the same number of replacements for
//! each size of table. Timed: the replacements, but not the filling.
//!
//! The note `walk_ps_per_op`, in picoseconds, is the cost of the same walk over the same table if
//! it only reads and writes an object and calls no allocator. It contains the cache misses of the
//! program itself.

#![forbid(unsafe_code)]

use super::block::Bytes;
use super::{Context, Outcome};
use crate::measure;
use crate::rng::Rng;
use std::hint::black_box;

const REPLACEMENTS: usize = 4_000_000;

pub(super) fn run<const LIVE: usize>(context: &Context) -> Outcome {
    let replacements = context.scaled(REPLACEMENTS);
    let mut rng = Rng::new(LIVE as u64);
    let size = |rng: &mut Rng| 16 + rng.below(113);
    let mut table: Vec<Bytes> = (0..LIVE).map(|_| Bytes::new(size(&mut rng))).collect();
    let (checksum, seconds) = measure::timed(|| {
        let mut sum = 0u64;
        for _ in 0..replacements {
            let slot = &mut table[rng.below(LIVE)];
            sum = sum.wrapping_add(slot.intact());
            *slot = Bytes::new(size(&mut rng));
        }
        sum
    });
    let (walked, walking) = measure::timed(|| {
        let mut sum = 0u64;
        for _ in 0..replacements {
            let slot = &mut table[rng.below(LIVE)];
            sum = sum.wrapping_add(slot.intact());
            slot.renew();
            sum = sum.wrapping_add(black_box(size(&mut rng)) as u64);
        }
        sum
    });
    // Dropping the rest would be a second workload.
    std::mem::forget(table);
    Outcome {
        seconds,
        ops: replacements as u64,
        checksum: checksum.wrapping_add(walked),
        notes: vec![("walk_ps_per_op", (walking * 1e12 / replacements as f64) as u64)],
    }
}
