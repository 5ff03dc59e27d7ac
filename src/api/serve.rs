//! [`Greyspan`] over the heap.

use super::global::Greyspan;
use crate::heap::HEAP;
use crate::heap::thread::current;
use core::alloc::{GlobalAlloc, Layout};

// SAFETY: a block is handed out once, holds at least `layout.size()` bytes at a multiple of
// `layout.align()`, and stays until `dealloc` or `realloc` takes it. Nothing unwinds.
unsafe impl GlobalAlloc for Greyspan {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP.alloc::<false>(current(), layout)
    }

    #[inline(always)]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { HEAP.dealloc(current(), ptr, layout) };
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        HEAP.alloc::<true>(current(), layout)
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { HEAP.realloc(current(), ptr, layout, new_size) }
    }
}
