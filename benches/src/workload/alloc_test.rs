//! Replaces random slots of a large table, some of them hot, in the style of the alloc-test of "no
//! bugs" Hare. Sizes follow a Pareto distribution up to 1000 bytes. Each step frees a slot, fills
//! it anew and writes the whole object. Timed: the replacements and the last drop, but not the
//! first filling.

#![forbid(unsafe_code)]

use super::block::Bytes;
use super::{Context, Outcome, on_ready_threads};
use crate::rng::Rng;

const SLOTS: usize = 80_000;
const REPLACEMENTS: usize = 20_000_000;

pub(super) fn run(context: &Context) -> Outcome {
    let slots = (SLOTS / context.threads).max(1);
    let replacements = context.scaled(REPLACEMENTS / context.threads);
    let prepare = |thread| {
        let mut rng = Rng::new(thread as u64);
        let sizes = sizes(&mut rng);
        let blocks: Vec<Bytes> = (0..slots).map(|index| make(sizes[index % sizes.len()])).collect();
        (rng, sizes, blocks)
    };
    on_ready_threads(
        context.threads,
        replacements * context.threads,
        prepare,
        |(mut rng, sizes, mut blocks)| {
            let mut sum = 0u64;
            for _ in 0..replacements {
                // The product of two even spreads: a fifth of the slots gets half of the
                // replacements.
                let hot = rng.below(slots) + 1;
                let slot = &mut blocks[rng.below(hot)];
                sum = sum.wrapping_add(slot.intact());
                *slot = make(sizes[rng.below(sizes.len())]);
            }
            sum
        },
    )
}

/// Returns sizes of 8 to 1000 bytes whose share falls with the power 1.2, as in many programs.
fn sizes(rng: &mut Rng) -> [usize; 4096] {
    std::array::from_fn(|_| {
        let unit = ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        (8.0 * unit.powf(-1.0 / 1.2)).min(1000.0) as usize
    })
}

#[inline(always)]
fn make(size: usize) -> Bytes {
    let mut block = Bytes::new(size);
    block.fill(size as u8);
    block
}
