//! Whether a pair of free and alloc costs the same whatever the number of live objects: a table of objects of 16 to 128
//! bytes, replaced at random, the same number of replacements for each size of table. Timed: the replacements; the
//! filling is not. The note `walk_ps_per_op` is what the same walk over the same table costs that reads and writes an
//! object and calls no allocator, in picoseconds: it holds the cache misses that the program itself causes.

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
    // The dropping of what is left would be a second workload.
    std::mem::forget(table);
    Outcome {
        seconds,
        ops: replacements as u64,
        checksum: checksum.wrapping_add(walked),
        notes: vec![("walk_ps_per_op", (walking * 1e12 / replacements as f64) as u64)],
    }
}
