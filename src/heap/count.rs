//! Exact counts of the program's allocations and frees (feature `stats`). Without the feature, no
//! code remains.
//!
//! The operations of the heap count each block that passes to or from the program. Blocks that the
//! heap takes from its own bins for itself are not counted. The counts and their rules are in
//! `remote::exact`.

#![forbid(unsafe_code)]

use super::Heap;
use crate::mcache::MCache;
use crate::remote::Counter;
use crate::size_class::SizeClass;
use crate::stats::Stats;

impl Heap {
    /// Returns the counter for the calling thread; `None` if the build has no exact counts. `cache`
    /// is what its slot held when the call began.
    #[inline(always)]
    fn counter(&self, cache: &MCache) -> Option<Counter<'_>> {
        if !Stats::EXACT {
            return None;
        }
        let cache = super::thread::current_or(cache);
        if cache.is_ready() {
            // Caches are never freed, but the borrow checker does not know. So the set comes from
            // the heap's directory, which lives as long as the heap.
            if let Some(shared) = self.tiers.directory.get(cache.shared.mailbox.id()) {
                return shared.exact().map(Counter::own);
            }
        }
        self.strays.first().map(Counter::shared)
    }

    /// Counts a block of `class` that came out of the ready cache's bin.
    #[inline(always)]
    pub(super) fn count_popped(&self, cache: &MCache, class: SizeClass) {
        if let Some(exact) = cache.shared.exact() {
            exact.alloc_small(class);
        }
    }

    /// Counts the block for a request of `size` bytes at `align`; nothing for null.
    #[inline(always)]
    pub(super) fn count_alloc(&self, cache: &MCache, block: *mut u8, size: usize, align: usize) {
        if !block.is_null()
            && let Some(counter) = self.counter(cache)
        {
            counter.alloc(SizeClass::serving(size, align), size);
        }
    }

    /// Counts a free of a block of `class`, or of a large object of `size` bytes.
    #[inline(always)]
    pub(super) fn count_free(&self, cache: &MCache, class: Option<SizeClass>, size: usize) {
        match (class, cache.shared.exact()) {
            (Some(class), Some(exact)) if cache.is_ready() => exact.free_small(class.index()),
            _ => {
                if let Some(counter) = self.counter(cache) {
                    counter.free(class, size);
                }
            }
        }
    }

    /// Counts a large object that was resized in place.
    #[inline(always)]
    pub(super) fn count_resize(&self, cache: &MCache, old: usize, new: usize) {
        if let Some(counter) = self.counter(cache) {
            counter.resize(old, new);
        }
    }
}
