//! All that the collector may ask of the allocator: runs of pages, and which run an address lies in.
//!
//! The collector keeps its own record of each run and hands a pointer to it down as the run's tag; it never goes around this trait.
//!
//! - P1. A run is its holder's alone from `take` to `give`.
//! - P2. While a run is held, `tag_of` an address in it (of a run of one object: in its first page) is the tag it was taken with.

use super::HEAP;
use crate::base::addr::Addr;
use crate::mspan::MSpan;
use core::ptr::NonNull;

/// A run of pages that the collector holds.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// First byte, on a page boundary: whole provenance.
    pub(crate) base: NonNull<u8>,
    /// Whether the pages read as zero.
    pub(crate) zeroed: bool,
    span: &'static MSpan,
}

/// A source of runs.
///
/// # Safety
/// Implementations keep P1 and P2.
pub(crate) unsafe trait SpanSource {
    /// What stands for a run.
    type Run: Copy;

    /// A run of `pages` pages, to be cut into `objects` objects of `size` bytes; `None`: no memory, or the hard limit is reached.
    fn take(&self, pages: usize, objects: u32, size: usize, tag: NonNull<u8>) -> Option<Self::Run>;

    /// Takes back a run.
    ///
    /// # Safety
    /// The caller holds the run, and nothing in it is in use.
    unsafe fn give(&self, run: Self::Run);

    /// The tag of the run that `address` lies in, or null.
    fn tag_of(&self, address: NonNull<u8>) -> *mut u8;
}

/// The process's heap as a source.
pub(crate) struct Native;

// SAFETY: a managed span is handed out once, and its record carries the tag, which the page map leads to, until `give`.
unsafe impl SpanSource for Native {
    type Run = Run;

    fn take(&self, pages: usize, objects: u32, size: usize, tag: NonNull<u8>) -> Option<Run> {
        HEAP.set_up();
        let span = HEAP.tiers.mheap.take_managed(pages, objects, size, tag.as_ptr())?;
        HEAP.after_slow();
        Some(Run {
            base: NonNull::new(span.base())?,
            zeroed: span.zeroed(),
            span,
        })
    }

    unsafe fn give(&self, run: Run) {
        HEAP.tiers.mheap.give(run.span);
        HEAP.after_slow();
    }

    #[inline(always)]
    fn tag_of(&self, address: NonNull<u8>) -> *mut u8 {
        let span = HEAP.tiers.mheap.map().span_of(Addr::of(address.as_ptr()));
        span.map_or(core::ptr::null_mut(), MSpan::tag)
    }
}
