//! Exact counts of allocations and frees (feature `stats`): one set per thread cache, and one for
//! threads without a cache.
//!
//! Only the cache's thread writes its set, with plain loads and stores. When the thread ends, the
//! set stays with the cache for the next thread. So sums over all caches are complete. A fork child
//! starts from its parent's counts.
//!
//! - EXACT-1. A block is counted as allocated before the program has it. It is counted as freed
//!   after the program gave it up and before another request can get it.
//! - EXACT-2. A thread that sums reads all frees first (Acquire, for the Release of their writers),
//!   then the rest. If it has read a block's free, it also reads the block's allocation, whichever
//!   threads made the two calls. So frees never exceed allocations.

use super::{Tally, free_order};
use crate::base::geometry::PAGE;
use crate::size_class::{COUNT, SizeClass, large_pages};
use crate::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed},
};

/// The number of sets of counts in each place: 1 with the feature `stats`, otherwise 0.
pub(crate) const EXACT: usize = cfg!(feature = "stats") as usize;

/// One set of counts.
pub(crate) struct Exact {
    /// One tally per class, and one for large objects.
    tallies: [Tally; COUNT + 1],
    /// Bytes of all large objects handed out. The next field counts those freed.
    large_bytes: AtomicU64,
    large_freed: AtomicU64,
}

/// How many threads write to a set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writers {
    One,
    Many,
}

/// Adds `by` to a count. Release (for allocations too, where it costs nothing that matters): pairs
/// with the Acquires in `frees`.
fn add(count: &AtomicU64, by: u64, writers: Writers) {
    match writers {
        Writers::One => count.store(count.load(Relaxed).wrapping_add(by), free_order()),
        Writers::Many => {
            count.fetch_add(by, free_order());
        }
    }
}

/// Returns the bytes that count for a large object: those of its pages.
fn large_bytes(size: usize) -> u64 {
    (large_pages(size).max(1) * PAGE) as u64
}

impl Exact {
    crate::sync::const_unless_loom! {
        /// Returns a set of zeros.
        pub(crate) fn new() -> Self {
            Self {
                tallies: crate::sync::array_of!(Tally::new(); COUNT + 1),
                large_bytes: AtomicU64::new(0),
                large_freed: AtomicU64::new(0),
            }
        }
    }

    fn tally(&self, index: usize) -> &Tally {
        #[expect(clippy::indexing_slicing, reason = "the index is clipped to the array's length")]
        &self.tallies[index.min(COUNT)]
    }

    /// Counts an allocation of `class`. Only the one thread that writes to this set calls this.
    #[inline(always)]
    pub(crate) fn alloc_small(&self, class: SizeClass) {
        add(&self.tally(class.index()).mallocs, 1, Writers::One);
    }

    /// Counts a free of the class with this number. Only the one thread that writes to this set
    /// calls this.
    #[inline(always)]
    pub(crate) fn free_small(&self, class: usize) {
        add(&self.tally(class).frees, 1, Writers::One);
    }

    fn alloc_by(&self, class: Option<SizeClass>, size: usize, writers: Writers) {
        match class {
            Some(class) => add(&self.tally(class.index()).mallocs, 1, writers),
            None => {
                add(&self.large_bytes, large_bytes(size), writers);
                add(&self.tally(COUNT).mallocs, 1, writers);
            }
        }
    }

    fn free_by(&self, class: Option<SizeClass>, size: usize, writers: Writers) {
        match class {
            Some(class) => add(&self.tally(class.index()).frees, 1, writers),
            None => {
                add(&self.large_freed, large_bytes(size), writers);
                add(&self.tally(COUNT).frees, 1, writers);
            }
        }
    }

    fn resize_by(&self, old: usize, new: usize, writers: Writers) {
        let (old, new) = (large_bytes(old), large_bytes(new));
        if new > old {
            add(&self.large_bytes, new - old, writers);
        } else {
            add(&self.large_freed, old - new, writers);
        }
    }

    /// Returns the frees per class, the frees of large objects, and the bytes of the latter.
    /// Callers read the frees of all sets before the rest (EXACT-2).
    pub(crate) fn frees(&self) -> (impl Iterator<Item = u64>, u64, u64) {
        // Acquire: pairs with the Releases in `add`.
        let classes = self.tallies.iter().take(COUNT).map(|tally| tally.frees.load(Acquire));
        (
            classes,
            self.tally(COUNT).frees.load(Acquire),
            self.large_freed.load(Acquire),
        )
    }

    /// Returns the allocations per class, those of large objects, and the bytes of the latter.
    pub(crate) fn mallocs(&self) -> (impl Iterator<Item = u64>, u64, u64) {
        let classes = self.tallies.iter().take(COUNT).map(|tally| tally.mallocs.load(Relaxed));
        (
            classes,
            self.tally(COUNT).mallocs.load(Relaxed),
            self.large_bytes.load(Relaxed),
        )
    }
}

/// A set of counts, and how many threads write to it.
#[derive(Clone, Copy)]
pub(crate) struct Counter<'a> {
    set: &'a Exact,
    writers: Writers,
}

impl<'a> Counter<'a> {
    /// Returns a counter for the one thread that writes to `set`.
    pub(crate) fn own(set: &'a Exact) -> Self {
        Self {
            set,
            writers: Writers::One,
        }
    }

    /// Returns a counter for one of many threads that write to `set`.
    pub(crate) fn shared(set: &'a Exact) -> Self {
        Self {
            set,
            writers: Writers::Many,
        }
    }

    /// Counts an allocation of `class`, or of a large object of `size` bytes.
    pub(crate) fn alloc(self, class: Option<SizeClass>, size: usize) {
        self.set.alloc_by(class, size, self.writers);
    }

    /// Counts a free of `class`, or of a large object of `size` bytes.
    pub(crate) fn free(self, class: Option<SizeClass>, size: usize) {
        self.set.free_by(class, size, self.writers);
    }

    /// Counts that a large object changed its size in place.
    pub(crate) fn resize(self, old: usize, new: usize) {
        self.set.resize_by(old, new, self.writers);
    }
}
