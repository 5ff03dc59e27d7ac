//! Room for free medium and large objects: how many bytes of them all thread caches may keep.
//!
//! A cache asks for room when a bin of such objects grows, and returns it when the bin shrinks.
//! Memory that one thread keeps for one size is lost to all others, so the process has a bound.
//! tcmalloc's `max_total_thread_cache_bytes` has the same purpose and about the same size.

use crate::base::geometry::{ROOM_MAX, ROOM_MIN};
use crate::mheap::MHeap;
use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes of room that caches have.
pub(crate) struct Room(AtomicUsize);

impl Room {
    crate::sync::const_unless_loom! {
        /// Returns a room of which no cache has any.
        pub(crate) fn new() -> Self {
            Self(AtomicUsize::new(0))
        }
    }

    /// Whether the caller may keep `bytes` more. It has one part in `part` of the
    /// heap for room.
    pub(crate) fn ask(&self, mheap: &MHeap, bytes: usize, part: usize) -> bool {
        // Relaxed: a count that guards no memory.
        let done = fits(mheap, self.0.fetch_add(bytes, Relaxed) + bytes, part);
        if !done {
            self.give_back(bytes);
        }
        done
    }

    /// Whether `ask` would allow as much now.
    pub(crate) fn has(&self, mheap: &MHeap, bytes: usize, part: usize) -> bool {
        fits(mheap, self.0.load(Relaxed) + bytes, part)
    }

    /// Returns the bytes that caches have, for tests.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Sets the bytes that caches have, in the child after `fork`.
    pub(crate) fn reset(&self, bytes: usize) {
        self.0.store(bytes, Relaxed);
    }

    /// Returns `bytes` of room from the caller.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Relaxed);
    }
}

/// Whether all caches together may keep `all` bytes, for a caller that has one part in `part` of
/// the heap for room.
fn fits(mheap: &MHeap, all: usize, part: usize) -> bool {
    let bound = || mheap.sys_bytes().checked_div(part).unwrap_or(0).min(ROOM_MAX);
    mheap.keeps_free_pages() && (all <= ROOM_MIN || all <= bound())
}
