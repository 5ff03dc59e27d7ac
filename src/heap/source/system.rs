//! Runs for the collector on targets without the heap: from the system's allocator.

use super::{Run, SpanSource};
use crate::base::geometry::PAGE;
use core::alloc::Layout;
use core::ptr::NonNull;
use std::alloc::GlobalAlloc;

/// The source.
pub(crate) static SOURCE: System = System;

/// The pages of a run.
pub(super) type Name = usize;

/// The system's allocator as a source.
pub(crate) struct System;

/// Takes zeroed memory. `None`: there is none, or the layout is empty or too long.
fn take(bytes: usize, align: usize) -> Option<NonNull<u8>> {
    let layout = Layout::from_size_align(bytes, align).ok()?;
    if layout.size() == 0 {
        return None;
    }
    // SAFETY: the layout is not empty.
    NonNull::new(unsafe { std::alloc::System.alloc_zeroed(layout) })
}

/// Gives memory back.
///
/// # Safety
/// `take` returned it for the same size and alignment, and no code uses it.
unsafe fn give(base: NonNull<u8>, bytes: usize, align: usize) {
    if let Ok(layout) = Layout::from_size_align(bytes, align) {
        // SAFETY: allocated with this layout, and no code uses it (contract of this function).
        unsafe { std::alloc::System.dealloc(base.as_ptr(), layout) };
    }
}

/// A table's alignment. With a larger one the system's allocator would write the zeros itself.
const TABLE: usize = align_of::<usize>();

// SAFETY: the system hands memory out once (SOURCE-1). A large zeroed block is fresh (SOURCE-2).
unsafe impl SpanSource for System {
    fn take(&self, pages: usize, _: u32, _: usize) -> Option<Run> {
        let base = take(pages.checked_mul(PAGE)?, PAGE)?;
        Some(Run { base, name: pages })
    }

    unsafe fn give(&self, run: Run) {
        // SAFETY: `take` took it with this layout, and the caller gives it up.
        unsafe { give(run.base, run.name * PAGE, PAGE) };
    }

    fn take_table(&self, bytes: usize) -> Option<NonNull<u8>> {
        take(bytes, TABLE)
    }

    unsafe fn give_table(&self, base: NonNull<u8>, bytes: usize) {
        // SAFETY: `take_table` took it with this layout, and no code uses it (contract of this
        // function).
        unsafe { give(base, bytes, TABLE) };
    }
}
