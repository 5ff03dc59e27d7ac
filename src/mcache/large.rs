//! Large objects, as a thread sees them: from its runs if it can, from the page heap if not.

use super::{COUNT, MCache, Tiers};
use crate::base::addr::Addr;
use crate::base::geometry::PAGE;
use crate::mheap::MHeap;
use crate::mspan::{Block, MSpan, State};
use crate::os::report::fatal;
use crate::size_class::large_pages;
use crate::sync::atomic::Ordering::Relaxed;

impl MCache {
    /// A large object of `bytes` at a multiple of `align`, from the page heap. The cache is ready.
    #[cold]
    #[inline(never)]
    pub(crate) fn alloc_large(&self, tiers: &Tiers, bytes: usize, align: usize) -> Option<&'static MSpan> {
        self.end_idle_runs(tiers);
        let pages = large_pages(bytes).max(1);
        let span = match self.take_idle(tiers, bytes, pages, align) {
            Some(span) => Some(span),
            None => tiers.mheap.take_large(bytes, pages, align, 0),
        }?;
        self.tally(COUNT).add(1, 0);
        self.count_large_bytes(bytes);
        Some(span)
    }

    /// Pages for a sampled object of `bytes` at a multiple of `align`: idle ones if there are any, and without giving up anything for it. The cache
    /// is ready.
    #[cfg(any(feature = "profiling", feature = "preload"))]
    pub(crate) fn alloc_sampled(&self, tiers: &Tiers, bytes: usize, align: usize) -> Option<&'static MSpan> {
        let pages = large_pages(bytes).max(1);
        let span = match tiers.mheap.take_idle(bytes, pages, align) {
            Some(span) => Some(span),
            None => tiers.mheap.take_large(bytes, pages, align, 0),
        }?;
        self.tally(COUNT).add(1, 0);
        self.count_large_bytes(bytes);
        Some(span)
    }

    /// A large object of `bytes` that has begun to grow and has no room where it is: where it can go on growing, so that it is copied this once.
    /// `None` where no such place lies idle, and for what has room of its own when it grows (`MHeap::growth_room`). The cache is ready.
    #[cold]
    pub(crate) fn alloc_begun(&self, tiers: &Tiers, bytes: usize) -> Option<&'static MSpan> {
        let pages = large_pages(bytes);
        if MHeap::growth_room(pages) > 0 {
            return None;
        }
        // Rather the thread's own than the rest of a run in which another thread's object has begun to grow.
        self.give_long_run(tiers, 2 * pages);
        let span = tiers.mheap.take_begun(bytes, pages)?;
        self.tally(COUNT).add(1, 0);
        self.count_large_bytes(bytes);
        Some(span)
    }

    /// A large object in free pages that have memory. Where there are none, gives up the runs that this thread keeps, and
    /// ends the rest of empty spans, so that theirs are.
    fn take_idle(&self, tiers: &Tiers, bytes: usize, pages: usize, align: usize) -> Option<&'static MSpan> {
        if align > PAGE {
            return None;
        }
        let span = tiers.mheap.take_idle(bytes, pages, align);
        if span.is_none() {
            tiers.end_rest_for(pages * PAGE);
            if self.runs_seem_to_have(tiers, pages * PAGE) {
                self.give_all_runs(tiers);
            }
        }
        span
    }

    /// Notes bytes of large objects that were handed out.
    pub(crate) fn count_large_bytes(&self, bytes: usize) {
        let total = &self.shared.large_bytes;
        total.store(total.load(Relaxed) + bytes as u64, Relaxed);
    }

    /// Notes a large object that was handed out elsewhere than in `alloc_large`.
    pub(crate) fn count_move(&self) {
        self.tally(COUNT).add(1, 0);
    }

    /// Notes a large object that was given back elsewhere than in `free_large`.
    pub(crate) fn count_moved_away(&self) {
        self.tally(COUNT).add(0, 1);
    }

    /// Frees a large object, past the bins.
    pub(crate) fn free_large(&self, tiers: &Tiers, span: &'static MSpan, object: *mut u8) {
        if object != span.base() {
            fatal("free of a pointer into the middle of a large block", object.addr());
        }
        self.tally(COUNT).add(0, 1);
        span.set_dirty();
        tiers.mheap.give(span);
    }

    /// Gives a run of a bin to the page heap.
    pub(super) fn give_run(&self, tiers: &Tiers, run: *mut Block) {
        match tiers.mheap.map().span_of(Addr::of(run)) {
            Some(span) if span.state() == State::Large => self.free_large(tiers, span, run.cast()),
            _ => fatal("free of a pointer that is no large block of this heap", run.addr()),
        }
    }
}
