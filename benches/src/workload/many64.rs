//! One gigabyte of 64-byte objects, which shows the size of the allocator's own records. The
//! objects form a linked list, so that no table of pointers adds to it. Timed: making and dropping.
//! The notes are taken at the peak.

#![forbid(unsafe_code)]

use super::{Context, Outcome};
use crate::measure;

const BYTES: usize = 1 << 30;

struct Node {
    next: Option<Box<Node>>,
    words: [u64; 7],
}

const _: () = assert!(size_of::<Node>() == 64);

pub(super) fn run(context: &Context) -> Outcome {
    let nodes = context.scaled(BYTES / 64);
    let before = measure::memory();
    let (mut list, making) = measure::timed(|| {
        let mut list: Option<Box<Node>> = None;
        for index in 0..nodes as u64 {
            list = Some(Box::new(Node {
                next: list,
                words: [index; 7],
            }));
        }
        list
    });
    let peak = measure::memory();
    let metadata = context.metadata.map(|metadata| metadata());
    // Not by recursion, which the list's own drop would use.
    let (checksum, dropping) = measure::timed(|| {
        let mut sum = 0u64;
        while let Some(mut node) = list.take() {
            sum = sum.wrapping_add(node.words[6]);
            list = node.next.take();
        }
        sum
    });
    let after = measure::memory();
    let requested = nodes as u64 * 64;
    let beyond = (peak.resident - before.resident).saturating_sub(requested);
    let mut notes = vec![
        ("requested", requested),
        ("resident_at_peak", peak.resident),
        ("beyond_requested_ppm", beyond * 1_000_000 / requested),
        ("resident_after_drop", after.resident),
    ];
    if let Some(metadata) = metadata {
        notes.push(("metadata", metadata));
        notes.push(("metadata_ppm", metadata * 1_000_000 / requested));
    }
    Outcome {
        seconds: making + dropping,
        ops: 2 * nodes as u64,
        checksum,
        notes,
    }
}
