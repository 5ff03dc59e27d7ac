//! What the program allocates and frees, counted exactly (feature `stats`); nothing, and no code, without it.
//!
//! Called by the operations of the heap where a block passes to or from the program: what the heap takes from its own bins for itself is not
//! counted. The counts and their rules are in `remote::exact`.

#![forbid(unsafe_code)]

use super::Heap;
use crate::mcache::MCache;
#[cfg(feature = "stats")]
use crate::remote::Counter;
use crate::size_class::SizeClass;

#[cfg(feature = "stats")]
impl Heap {
    /// Where to count what the thread does whose slot held `cache` when the call began.
    fn counter(&self, cache: &MCache) -> Counter<'_> {
        let cache = super::thread::current_or(cache);
        if cache.is_ready() {
            // A cache outlives the heap's operations: its set is reached through the heap's directory for that.
            if let Some(shared) = self.tiers.directory.get(cache.mailbox().id()) {
                return Counter::own(&shared.exact);
            }
        }
        Counter::shared(&self.strays)
    }

    /// A block of `class` came out of the ready cache's bin.
    #[inline(always)]
    pub(super) fn count_popped(&self, cache: &MCache, class: SizeClass) {
        cache.shared().exact.alloc_small(class);
    }

    /// A block for `size` bytes at `align` was found, or null.
    pub(super) fn count_alloc(&self, cache: &MCache, block: *mut u8, size: usize, align: usize) {
        if !block.is_null() {
            self.counter(cache).alloc(SizeClass::serving(size, align), size);
        }
    }

    /// The program gives up a block of `class`, or a large object of `size` bytes.
    #[inline(always)]
    pub(super) fn count_free(&self, cache: &MCache, class: Option<SizeClass>, size: usize) {
        match class {
            Some(class) if cache.is_ready() => cache.shared().exact.free_small(class.index()),
            _ => self.counter(cache).free(class, size),
        }
    }

    /// A large object has another size where it is.
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
