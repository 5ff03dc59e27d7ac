//! Grows byte vectors to 1 MiB by appending 32 bytes at a time, one vector after another, like a
//! file read in pieces or a reply built from parts. Timed: all appends and drops.

#![forbid(unsafe_code)]

use super::{Context, Outcome, on_threads};
use std::hint::black_box;

const BYTES: usize = 1 << 20;
const PIECE: usize = 32;
const VECTORS: usize = 3000;

pub(super) fn run(context: &Context) -> Outcome {
    let vectors = context.scaled(VECTORS);
    on_threads(context.threads, vectors * (BYTES / PIECE) * context.threads, |_| {
        let mut sum = 0u64;
        for number in 0..vectors {
            let piece = [number as u8; PIECE];
            let mut bytes = Vec::new();
            for _ in 0..BYTES / PIECE {
                bytes.extend_from_slice(black_box(&piece));
            }
            black_box(&mut bytes);
            sum = sum.wrapping_add(bytes.len() as u64 + u64::from(bytes[BYTES / 2]));
        }
        sum
    })
}
