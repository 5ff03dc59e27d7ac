//! The smallest program: one small box. What it costs in memory is what the allocator itself costs.
//! Timed: the making of the box, which is the allocator's start-up where the runtime has not caused it before.

#![forbid(unsafe_code)]

use super::{Context, Outcome};
use crate::measure;
use std::hint::black_box;

pub(super) fn run(_: &Context) -> Outcome {
    let before = measure::memory();
    let (block, seconds) = measure::timed(|| black_box(Box::new(42u64)));
    let after = measure::memory();
    Outcome {
        seconds,
        ops: 1,
        checksum: *block,
        notes: vec![
            ("resident_before", before.resident),
            ("resident", after.resident),
            ("peak", after.peak),
            ("mapped", after.mapped),
        ],
    }
}
