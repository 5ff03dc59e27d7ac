//! C's `malloc_usable_size`, and how many bytes a program may use of a block.

use super::spare;
use crate::base::addr::{Addr, align_up};
use crate::base::geometry::PAGE;
use crate::heap::HEAP;
use crate::mspan::{Block, MSpan, State};
use crate::os;

/// C's `malloc_usable_size`: the bytes that the program may use at `ptr`. 0 for null and for a
/// pointer that is no block in use.
pub fn usable_size(ptr: *mut u8) -> usize {
    if ptr.is_null() {
        return 0;
    }
    match HEAP.tiers.mheap.map().span_of(Addr::of(ptr)) {
        Some(span) => match span.state() {
            // SAFETY: an object of the span, of at least 16 bytes (C-1).
            State::Small if span.is_object(ptr) && !unsafe { Block::is_marked(ptr.cast()) } => span.size(),
            State::Large if ptr == span.base() && !span.kept() => large_usable(span),
            _ => 0,
        },
        None => usable_elsewhere(ptr),
    }
}

/// Returns the bytes that may be used of a block that the page map does not know.
#[cold]
pub(super) fn usable_elsewhere(ptr: *mut u8) -> usize {
    spare::size(ptr).unwrap_or_else(|| os::foreign::usable(ptr))
}

/// Returns the bytes that may be used of a large object of `size` bytes: up to the end of its last
/// 4 KiB, not of its run.
pub(super) fn usable_of(size: usize) -> usize {
    align_up(size, 4096)
}

/// Returns the bytes that may be used of the large object of `span`.
pub(super) fn large_usable(span: &MSpan) -> usize {
    usable_of(span.size().max(1)).min(span.pages() * PAGE)
}
