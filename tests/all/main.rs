//! Tests that can share one process. Greyspan is its global allocator, so the test harness runs on
//! it too.

#[path = "../support/mod.rs"]
mod support;

mod model;
mod oracle;
mod sweeps;
mod threads;

use greyspan::Greyspan;

#[global_allocator]
static GLOBAL: Greyspan = Greyspan;

#[test]
fn all_spellings_of_the_allocator_are_one() {
    use std::alloc::{GlobalAlloc, Layout};

    const NEW: Greyspan = Greyspan::new();
    let layout = Layout::new::<[u64; 9]>();
    // SAFETY: the layout is not empty.
    let block = unsafe { NEW.alloc(layout) };
    assert!(!block.is_null());
    // SAFETY: allocated above, with this layout, by the same heap.
    unsafe { Greyspan.dealloc(block, layout) };
}
