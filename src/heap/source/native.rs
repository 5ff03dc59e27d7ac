//! Runs for the collector from the process's heap.

use super::{Run, SpanSource};
use crate::base::geometry::PAGE;
use crate::heap::HEAP;
use crate::heap::serve::current;
use crate::meta::take_chunk;
use crate::mspan::MSpan;
use crate::os::PageSource;
use core::ptr::NonNull;

/// The source.
pub(crate) static SOURCE: Native = Native;

/// The record of a run.
pub(super) type Name = &'static MSpan;

/// The process's heap as a source.
pub(crate) struct Native;

// SAFETY: a managed span is handed out once (SOURCE-1). A fresh chunk is zero, and the first touch
// of a page brings its memory (SOURCE-2).
unsafe impl SpanSource for Native {
    fn take(&self, pages: usize, objects: u32, size: usize) -> Option<Run> {
        HEAP.set_up();
        let take = || HEAP.tiers.mheap.take_managed(pages, objects, size);
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

    fn take_table(&self, bytes: usize) -> Option<NonNull<u8>> {
        let os = HEAP.tiers.mheap.os();
        let table = take_chunk(os, bytes)?;
        // A huge page would bring memory for many small ones that are not touched.
        os.advise_huge(table, bytes, false);
        Some(table)
    }

    unsafe fn give_table(&self, base: NonNull<u8>, bytes: usize) {
        // SAFETY: `take_table` took it with this size, and no code uses it (contract of this
        // function).
        unsafe { HEAP.tiers.mheap.os().free(base, bytes) };
    }
}
