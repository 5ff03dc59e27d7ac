//! Runs for the collector from the process's heap.

use super::{Run, SpanSource};
use crate::base::addr::Addr;
use crate::base::geometry::PAGE;
use crate::heap::HEAP;
use crate::heap::serve::current;
use crate::mspan::MSpan;
use core::ptr::NonNull;

/// The source.
pub(crate) static SOURCE: Native = Native;

/// The record of a run.
pub(super) type Name = &'static MSpan;

/// The process's heap as a source.
pub(crate) struct Native;

// SAFETY: a managed span is handed out once (SOURCE-1). The page map leads to its record, which
// carries the tag until `give` (SOURCE-2).
unsafe impl SpanSource for Native {
    fn take(&self, pages: usize, objects: u32, size: usize, tag: NonNull<u8>) -> Option<Run> {
        HEAP.set_up();
        let take = || HEAP.tiers.mheap.take_managed(pages, objects, size, tag.as_ptr());
        let taken = take().or_else(|| {
            HEAP.reclaim(current(), pages * PAGE);
            take()
        });
        let Some(span) = taken else {
            HEAP.note_refusal(pages * PAGE);
            return None;
        };
        HEAP.after_alloc();
        Some(Run {
            base: NonNull::new(span.base())?,
            name: span,
        })
    }

    unsafe fn give(&self, run: Run) {
        HEAP.tiers.mheap.give(run.name);
        HEAP.after_free();
    }

    #[inline(always)]
    fn tag_of(&self, address: NonNull<u8>) -> *mut u8 {
        let span = HEAP.tiers.mheap.map().span_of(Addr::of(address.as_ptr()));
        span.map_or(core::ptr::null_mut(), MSpan::tag)
    }
}
