//! The smallest unit of work: makes a box of constant size, writes a word, drops it. Timed: the
//! whole loop.

#![forbid(unsafe_code)]

use super::block::Block;
use super::{Context, Outcome, on_threads};
use std::hint::black_box;

const BOXES: usize = 100_000_000;

pub(super) fn run(context: &Context) -> Outcome {
    let boxes = context.scaled(BOXES);
    on_threads(context.threads, boxes * context.threads, |_| {
        let mut sum = 0u64;
        for number in 0..boxes as u64 {
            sum = sum.wrapping_add(black_box(Block::<8>::new(number)).word());
        }
        sum
    })
}
