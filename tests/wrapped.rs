//! Greyspan behind another `GlobalAlloc`, which counts calls: the program still allocates from it,
//! and the statistics report that.

use greyspan::{Greyspan, Stats, heap_map, stats};
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting(Greyspan, AtomicUsize);

// SAFETY: every call forwards to the allocator inside with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.1.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { self.0.dealloc(ptr, layout) };
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting(Greyspan, AtomicUsize::new(0));

#[test]
fn a_wrapped_allocator_serves_the_program() {
    drop(Box::new(7));
    assert!(GLOBAL.1.load(Relaxed) > 0);
    assert!(stats().has_served != Stats::FORWARDS && heap_map().has_served != Stats::FORWARDS);
}
