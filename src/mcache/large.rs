//! Large objects that a thread's runs do not serve: the page heap's.

use super::MCache;
use crate::base::geometry::PAGE;
use crate::mheap::MHeap;
use crate::mspan::MSpan;
use crate::os::report::misuse;
use crate::size_class::{COUNT, large_pages};
use crate::sync::atomic::Ordering::Relaxed;
use crate::tiers::Tiers;

impl MCache {
    /// Allocates a large object of `bytes` at a multiple of `align` from the page heap. The cache
    /// is ready.
    #[cold]
    #[inline(never)]
    pub(crate) fn alloc_large(&self, tiers: &Tiers, bytes: usize, align: usize) -> Option<&'static MSpan> {
        // The bins stay: a signal handler's large request may have interrupted their fast path.
        let is_short = tiers.mheap.is_pressed() || self.is_asked(tiers);
        if is_short && self.runs.room() > 0 {
            self.empty_runs(tiers);
        }
        self.end_idle_runs(tiers);
        let pages = large_pages(bytes).max(1);
        let span = self
            .take_idle(tiers, bytes, pages, align)
            .or_else(|| tiers.mheap.take_large(bytes, pages, align, 0))?;
        self.count_large(bytes);
        Some(span)
    }

    /// Allocates pages for a sampled object of `bytes` at a multiple of `align`: idle ones if there
    /// are any. The thread gives nothing up for it. The cache is ready.
    pub(crate) fn alloc_sampled(&self, tiers: &Tiers, bytes: usize, align: usize) -> Option<&'static MSpan> {
        let pages = large_pages(bytes).max(1);
        let mheap = &tiers.mheap;
        let span = mheap
            .take_idle(bytes, pages, align)
            .or_else(|| mheap.take_large(bytes, pages, align, 0))?;
        self.count_large(bytes);
        Some(span)
    }

    /// Finds a place for a large object of `bytes` that has begun to grow and has no room where it
    /// is: it can go on growing there, so it is copied this once. `None` if no such place lies
    /// idle, or if the object has room of its own when it grows (`MHeap::growth_room`). The cache
    /// is ready.
    #[cold]
    pub(crate) fn alloc_begun(&self, tiers: &Tiers, bytes: usize) -> Option<&'static MSpan> {
        let pages = large_pages(bytes);
        if MHeap::growth_room(pages) > 0 {
            return None;
        }
        // The thread's own run is better than the rest of a run in which another thread's object
        // has begun to grow.
        self.give_long_run(tiers, 2 * pages);
        let span = tiers.mheap.take_begun(bytes, pages)?;
        self.count_large(bytes);
        Some(span)
    }

    /// Takes a large object in free pages that have memory. If there are none, makes some idle for
    /// the page heap to find.
    fn take_idle(&self, tiers: &Tiers, bytes: usize, pages: usize, align: usize) -> Option<&'static MSpan> {
        if align > PAGE {
            return None;
        }
        let span = tiers.mheap.take_idle(bytes, pages, align);
        if span.is_none() {
            self.make_idle(tiers, pages);
        }
        span
    }

    /// Counts a large object of `bytes` that was handed out.
    pub(crate) fn count_large(&self, bytes: usize) {
        self.tally(COUNT).add(1, 0);
        self.count_large_bytes(bytes);
    }

    /// Counts bytes of large objects that were handed out.
    pub(crate) fn count_large_bytes(&self, bytes: usize) {
        let total = &self.shared.large_bytes;
        total.store(total.load(Relaxed) + bytes as u64, Relaxed);
    }

    /// Counts a large object that was given back elsewhere than in `free_large`.
    pub(crate) fn count_moved_away(&self) {
        self.tally(COUNT).add(0, 1);
    }

    /// Frees a large object, past the bins.
    pub(crate) fn free_large(&self, tiers: &Tiers, span: &'static MSpan, object: *mut u8) {
        if object != span.base() {
            misuse(
                "free",
                object.addr(),
                span.size(),
                "the pointer does not point to the start of the block",
            );
        }
        self.tally(COUNT).add(0, 1);
        span.set_dirty();
        tiers.mheap.give(span);
    }
}
