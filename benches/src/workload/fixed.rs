//! Boxes of one constant size in batches of 100, dropped in the opposite (LIFO) or in the same
//! (FIFO) order. One word of each is written and read back. Timed: all batches.

#![forbid(unsafe_code)]

use super::block::Block;
use super::{Context, Outcome, on_threads};
use std::hint::black_box;

const BATCH: usize = 100;

type Slot<const WORDS: usize> = Option<Block<WORDS>>;

pub(super) fn lifo<const WORDS: usize>(context: &Context) -> Outcome {
    run::<WORDS>(context, |table| table.iter_mut().rev().fold(0, take))
}

pub(super) fn fifo<const WORDS: usize>(context: &Context) -> Outcome {
    run::<WORDS>(context, |table| table.iter_mut().fold(0, take))
}

/// Returns a number of boxes that takes a tenth of a second in a fast allocator. An allocator that
/// goes to the kernel for each block of this size does a small share of them.
const fn boxes(bytes: usize) -> usize {
    match bytes {
        0..=1024 => 50_000_000,
        1025..=32_768 => 30_000_000,
        32_769..=262_144 => 8_000_000,
        _ => 700_000,
    }
}

#[inline(always)]
fn run<const WORDS: usize>(context: &Context, drop_all: impl Fn(&mut [Slot<WORDS>; BATCH]) -> u64 + Sync) -> Outcome {
    let batches = context.scaled(boxes(WORDS * 8) / BATCH);
    on_threads(context.threads, batches * BATCH * context.threads, |_| {
        let mut table: [Slot<WORDS>; BATCH] = [const { None }; BATCH];
        let mut sum = 0u64;
        for batch in 0..batches as u64 {
            for (slot, number) in table.iter_mut().zip(batch..) {
                *slot = Some(Block::new(number));
            }
            sum = sum.wrapping_add(drop_all(black_box(&mut table)));
        }
        sum
    })
}

#[inline(always)]
fn take<const WORDS: usize>(sum: u64, slot: &mut Slot<WORDS>) -> u64 {
    slot.take().map_or(sum, |block| sum.wrapping_add(block.word()))
}
