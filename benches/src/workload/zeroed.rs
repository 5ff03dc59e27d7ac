//! Zeroed blocks, as `vec![0; n]` makes them. An allocator that knows that its memory is already
//! zero need not write it. In a block larger than a page, each page is written; in a smaller one, a
//! word. Timed: the whole loop.

#![forbid(unsafe_code)]

use super::{Context, Outcome, on_threads};
use std::hint::black_box;

const BATCH: usize = 16;
const PAGE: usize = 4096;

pub(super) fn run<const BYTES: usize>(context: &Context) -> Outcome {
    let blocks = match BYTES {
        0..=1024 => 20_000_000,
        1025..=8192 => 2_000_000,
        8193..=65_536 => 500_000,
        65_537..=524_288 => 40_000,
        _ => 10_000,
    };
    let batches = context.scaled(blocks / BATCH);
    on_threads(context.threads, batches * BATCH * context.threads, |_| {
        let mut sum = 0u64;
        for _ in 0..batches {
            let mut batch: [Vec<u8>; BATCH] = std::array::from_fn(|_| vec![0u8; BYTES]);
            black_box(&mut batch);
            for block in &mut batch {
                for page in block.chunks_mut(PAGE) {
                    sum = sum.wrapping_add(u64::from(page[0]) + 1);
                    page[0] = 0xFF;
                }
            }
            black_box(&mut batch);
        }
        sum
    })
}
