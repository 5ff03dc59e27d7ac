//! [`Greyspan`]: the heap as the program's global allocator.

use crate::heap::HEAP;
use crate::heap::thread::current;
use core::alloc::{GlobalAlloc, Layout};

/// The allocator, to be set as `#[global_allocator]`. It has no state of its own: every value of it is the one heap of the process.
///
/// ```
/// use greyspan::Greyspan;
///
/// #[global_allocator]
/// static GLOBAL: Greyspan = Greyspan::new();
///
/// let words: Vec<String> = ["out", "of", "band"].map(String::from).to_vec();
/// assert_eq!(words.concat(), "outofband");
/// ```
///
/// Requests of any size and alignment that `Layout` allows are served, or refused with null; it never panics, unwinds or aborts on a
/// valid request. The fast path is inlined into the caller, where a constant layout leaves about six instructions of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Greyspan(());

impl Greyspan {
    /// The heap of the process.
    pub const fn new() -> Self {
        Self(())
    }
}

// SAFETY: blocks are handed out once, hold at least `layout.size()` bytes at a multiple of `layout.align()`, and stay until `dealloc` or
// `realloc` takes them; nothing unwinds.
unsafe impl GlobalAlloc for Greyspan {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP.alloc(current(), layout)
    }

    #[inline(always)]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { HEAP.dealloc(current(), ptr, layout) };
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        HEAP.alloc_zeroed(current(), layout)
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { HEAP.realloc(current(), ptr, layout, new_size) }
    }
}
