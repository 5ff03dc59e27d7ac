//! Tests of the heap that watch the program's own allocator.

#[cfg(feature = "preload")]
mod c;
mod caches;
mod ends;
mod failures;
mod figures;
mod park;
mod promises;
mod reclaim;
mod system;
mod world;

use super::HEAP;
use super::thread::current;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::{self, Write};

/// The system's allocator, which notes each request of the calling thread.
struct Counting;

thread_local!(static REQUESTS: Cell<usize> = const { Cell::new(0) });

#[global_allocator]
static GLOBAL: Counting = Counting;

// SAFETY: both methods forward to the system's allocator; the others come from them.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = REQUESTS.try_with(|requests| requests.set(requests.get() + 1));
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// A place that keeps only how much was written to it.
struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0 += part.len();
        Ok(())
    }
}

#[test]
fn a_snapshot_and_its_table_allocate_nothing() {
    let requests = || REQUESTS.with(Cell::get);
    let before = requests();
    std::hint::black_box(Box::new(1));
    assert!(requests() > before, "a request must be seen");
    let block = HEAP.alloc::<false>(current(), Layout::new::<u64>());
    assert!(!block.is_null());
    let before = requests();
    let mut length = Length(0);
    write!(length, "{}", HEAP.stats()).expect("the place refuses nothing");
    assert_eq!(requests(), before);
    assert!(length.0 > 1000);
    // SAFETY: the block came from this heap with this layout, and is freed once.
    unsafe { HEAP.dealloc(current(), block, Layout::new::<u64>()) };
}
