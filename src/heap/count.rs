//! What the program allocates and frees, counted exactly (feature `stats`); nothing, and no code, without it.
//!
//! Called by the operations of the heap where a block passes to or from the program: what the heap takes from its own bins for itself is not
//! counted. The counts and their rules are in `remote::exact`.

#![forbid(unsafe_code)]

use super::Heap;
use crate::mcache::MCache;
use crate::remote::Counter;
use crate::size_class::SizeClass;
use crate::stats::Stats;

impl Heap {
    /// Where to count what the thread does whose slot held `cache` when the call began.
    #[inline(always)]
    fn counter(&self, cache: &MCache) -> Option<Counter<'_>> {
        if !Stats::EXACT {
            return None;
        }
        let cache = super::thread::current_or(cache);
        if cache.is_ready() {
            // A cache outlives the heap's operations: its set is reached through the heap's directory for that.
            if let Some(shared) = self.tiers.directory.get(cache.mailbox().id()) {
                return shared.exact().map(Counter::own);
            }
        }
        self.strays.first().map(Counter::shared)
    }

    /// A block of `class` came out of the ready cache's bin.
    #[inline(always)]
    pub(super) fn count_popped(&self, cache: &MCache, class: SizeClass) {
        if let Some(exact) = cache.shared().exact() {
            exact.alloc_small(class);
        }
    }

    /// A block for `size` bytes at `align` was found, or null.
    pub(super) fn count_alloc(&self, cache: &MCache, block: *mut u8, size: usize, align: usize) {
        if !block.is_null()
            && let Some(counter) = self.counter(cache)
        {
            counter.alloc(SizeClass::serving(size, align), size);
        }
    }

    /// The program gives up a block of `class`, or a large object of `size` bytes.
    #[inline(always)]
    pub(super) fn count_free(&self, cache: &MCache, class: Option<SizeClass>, size: usize) {
        match (class, cache.shared().exact()) {
            (Some(class), Some(exact)) if cache.is_ready() => exact.free_small(class.index()),
            _ => {
                if let Some(counter) = self.counter(cache) {
                    counter.free(class, size);
                }
            }
        }
    }

    /// A large object has another size where it is.
    pub(super) fn count_resize(&self, cache: &MCache, old: usize, new: usize) {
        if let Some(counter) = self.counter(cache) {
            counter.resize(old, new);
        }
    }
}
