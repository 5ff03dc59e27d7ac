//! Exact counts of the program's allocations and frees (feature `stats`). Without the feature, no
//! code remains.
//!
//! The operations of the heap count each block that passes to or from the program. Blocks that the
//! heap takes from its own bins for itself are not counted. The counts and their rules are in
//! `remote::exact`.

#![forbid(unsafe_code)]

use super::Heap;
use crate::mcache::MCache;
#[cfg(feature = "stats")]
use crate::remote::Counter;
use crate::size_class::SizeClass;

#[cfg(feature = "stats")]
impl Heap {
    /// Returns the counter for the calling thread. `cache` is what its slot held when the call
    /// began.
    fn counter(&self, cache: &MCache) -> Counter<'_> {
        let cache = super::thread::current_or(cache);
        if cache.is_ready() {
            // Caches are never freed, but the borrow checker does not know. So the set comes from
            // the heap's directory, which lives as long as the heap.
            if let Some(shared) = self.tiers.directory.get(cache.mailbox().id()) {
                return Counter::own(&shared.exact);
            }
        }
        Counter::shared(&self.strays)
    }

    /// Counts a block of `class` that came out of the ready cache's bin.
    #[inline(always)]
    pub(super) fn count_popped(&self, cache: &MCache, class: SizeClass) {
        cache.shared().exact.alloc_small(class);
    }

    /// Counts the block for a request of `size` bytes at `align`; nothing for null.
    pub(super) fn count_alloc(&self, cache: &MCache, block: *mut u8, size: usize, align: usize) {
        if !block.is_null() {
            self.counter(cache).alloc(SizeClass::serving(size, align), size);
        }
    }

    /// Counts a free of a block of `class`, or of a large object of `size` bytes.
    #[inline(always)]
    pub(super) fn count_free(&self, cache: &MCache, class: Option<SizeClass>, size: usize) {
        match class {
            Some(class) if cache.is_ready() => cache.shared().exact.free_small(class.index()),
            _ => self.counter(cache).free(class, size),
        }
    }

    /// Counts a large object that was resized in place.
    pub(super) fn count_resize(&self, cache: &MCache, old: usize, new: usize) {
        self.counter(cache).resize(old, new);
    }
}

#[cfg(not(feature = "stats"))]
impl Heap {
    #[inline(always)]
    pub(super) fn count_popped(&self, _: &MCache, _: SizeClass) {}

    #[inline(always)]
    pub(super) fn count_alloc(&self, _: &MCache, _: *mut u8, _: usize, _: usize) {}

    #[inline(always)]
    pub(super) fn count_free(&self, _: &MCache, _: Option<SizeClass>, _: usize) {}

    #[inline(always)]
    pub(super) fn count_resize(&self, _: &MCache, _: usize, _: usize) {}
}
