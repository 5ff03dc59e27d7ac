//! [`Greyspan`] as a forwarder to the system's allocator: with the feature `passthrough`, and on
//! targets where the heap is not supported.

use super::global::Greyspan;
use std::alloc::{GlobalAlloc, Layout, System};

/// Puts the options in force at the first request. One of them may print the table at exit, which
/// says that the heap is not used.
#[inline]
fn set_up() {
    super::HEAP.set_up();
}

// SAFETY: every call is `System`'s, whose contract is the same.
unsafe impl GlobalAlloc for Greyspan {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        set_up();
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { System.dealloc(ptr, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        set_up();
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}
