//! Pushes a vector to one gigabyte without a given capacity: the allocator grows it in place, moves
//! its pages, or copies it. Timed: all pushes and the drop.
//! Timed: all pushes and the drop.

#![forbid(unsafe_code)]

use super::{Context, Outcome, on_threads};
use std::hint::black_box;

const BYTES: usize = 1 << 30;

pub(super) fn run(context: &Context) -> Outcome {
    let pushes = context.scaled(BYTES / 8 / context.threads);
    on_threads(context.threads, pushes * context.threads, |_| {
        let mut words = Vec::new();
        for word in 0..pushes as u64 {
            words.push(word);
        }
        black_box(&mut words);
        words[pushes / 2].wrapping_add(words[pushes - 1])
    })
}
