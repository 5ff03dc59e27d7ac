//! Large objects, as a thread sees them: from its store if it can, from the page heap if not.

use super::store::run_pages;
use super::{COUNT, MCache, Tiers};
use crate::base::geometry::{PAGE, REQUEST_MAX, RUN_CACHE_MAX_PAGES};
use crate::mheap::pages_for;
use crate::mspan::{MSpan, State};
use crate::os::report::fatal;
use crate::sync::atomic::Ordering::Relaxed;

impl MCache {
    /// A large object of `bytes` at a multiple of `align`. The cache is ready.
    #[cold]
    #[inline(never)]
    pub(crate) fn alloc_large(&self, tiers: &Tiers, bytes: usize, align: usize) -> Option<&'static MSpan> {
        if bytes > REQUEST_MAX {
            return None;
        }
        let mut pages = pages_for(bytes).max(1);
        let span = if pages <= RUN_CACHE_MAX_PAGES && align <= PAGE {
            pages = run_pages(pages);
            match self.store.take_run(pages) {
                Some(span) => {
                    span.init_large(bytes);
                    Some(span)
                }
                None => {
                    while let Some(surplus) = self.store.surplus_run() {
                        tiers.mheap.give(surplus);
                    }
                    tiers.mheap.take_large(bytes, pages, align, 0)
                }
            }
        } else {
            tiers.mheap.take_large(bytes, pages, align, 0)
        }?;
        self.tally(COUNT).add(1, 0);
        self.count_large_bytes(bytes);
        Some(span)
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

    /// Frees a large object.
    pub(crate) fn free_large(&self, tiers: &Tiers, span: &'static MSpan, object: *mut u8) {
        if object != span.base() {
            fatal("free of a pointer into the middle of a large block", object.addr());
        }
        self.tally(COUNT).add(0, 1);
        span.set_state(State::Free);
        span.set_dirty();
        if !self.store.put_run(span) {
            tiers.mheap.give(span);
        }
        while let Some(surplus) = self.store.surplus_run() {
            tiers.mheap.give(surplus);
        }
    }
}
