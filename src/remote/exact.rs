//! Exact counts of what the program allocated and freed (feature `stats`): one set for each thread cache, and one for calls of threads that
//! have none.
//!
//! A cache's set is written by its thread alone, with plain loads and stores; when the thread ends, the set stays with the cache for the next
//! one, so that sums over all caches miss nothing. A child of `fork` goes on from its parent's counts.
//!
//! - X1. A block is counted as allocated before the program has it, and as freed after the program gave it up and before anybody can get it again.
//! - X2. Whoever sums reads all frees first (Acquire, for the Release of their writers) and the rest then: of a block whose free it has read it
//!   also reads the allocation, whichever threads did the two. So frees never pass allocations.

use super::{COUNT_FREE, Tally};
use crate::base::geometry::PAGE;
use crate::size_class::{COUNT, SizeClass, large_pages};
use crate::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed},
};

/// One set of counts.
pub(crate) struct Exact {
    /// One a class, and one for large objects.
    tallies: [Tally; COUNT + 1],
    /// Bytes of large objects that were handed out, and given back.
    large_bytes: AtomicU64,
    large_freed: AtomicU64,
}

/// Who else may write to a set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writers {
    One,
    Many,
}

/// Release, of allocations too, which costs nothing where it matters: pairs with the Acquires in `frees`.
fn add(count: &AtomicU64, by: u64, writers: Writers) {
    match writers {
        Writers::One => count.store(count.load(Relaxed).wrapping_add(by), COUNT_FREE),
        Writers::Many => {
            count.fetch_add(by, COUNT_FREE);
        }
    }
}

/// Bytes of a large object as they are counted: those of its pages.
fn large_bytes(size: usize) -> u64 {
    (large_pages(size).max(1) * PAGE) as u64
}

impl Exact {
    crate::sync::const_unless_loom! {
        /// Nothing counted.
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

    /// A block of `class` was handed out. Called by the one thread that writes to this set.
    #[inline(always)]
    pub(crate) fn alloc_small(&self, class: SizeClass) {
        add(&self.tally(class.index()).mallocs, 1, Writers::One);
    }

    /// A block of the class with this number was given back. Called by the one thread that writes to this set.
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

    /// The process's frees of the classes, then of large objects, then bytes of these: to be read of all sets before the rest (X2).
    pub(crate) fn frees(&self) -> (impl Iterator<Item = u64>, u64, u64) {
        // Acquire: pairs with the Releases in `add`.
        let classes = self.tallies.iter().take(COUNT).map(|tally| tally.frees.load(Acquire));
        (
            classes,
            self.tally(COUNT).frees.load(Acquire),
            self.large_freed.load(Acquire),
        )
    }

    /// The same of allocations.
    pub(crate) fn mallocs(&self) -> (impl Iterator<Item = u64>, u64, u64) {
        let classes = self.tallies.iter().take(COUNT).map(|tally| tally.mallocs.load(Relaxed));
        (
            classes,
            self.tally(COUNT).mallocs.load(Relaxed),
            self.large_bytes.load(Relaxed),
        )
    }
}

/// A set and who may write to it.
#[derive(Clone, Copy)]
pub(crate) struct Counter<'a> {
    set: &'a Exact,
    writers: Writers,
}

impl<'a> Counter<'a> {
    /// For the one thread that writes to `set`.
    pub(crate) fn own(set: &'a Exact) -> Self {
        Self {
            set,
            writers: Writers::One,
        }
    }

    /// For one of many threads that write to `set`.
    pub(crate) fn shared(set: &'a Exact) -> Self {
        Self {
            set,
            writers: Writers::Many,
        }
    }

    /// A block of `class`, or a large object of `size` bytes, was handed out.
    pub(crate) fn alloc(self, class: Option<SizeClass>, size: usize) {
        self.set.alloc_by(class, size, self.writers);
    }

    /// Such a block was given back.
    pub(crate) fn free(self, class: Option<SizeClass>, size: usize) {
        self.set.free_by(class, size, self.writers);
    }

    /// A large object changed its size where it is.
    pub(crate) fn resize(self, old: usize, new: usize) {
        self.set.resize_by(old, new, self.writers);
    }
}
