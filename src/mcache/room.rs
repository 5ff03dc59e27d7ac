//! Room for free medium and large objects: how many bytes of them all thread caches together may keep.
//!
//! A cache asks for room when a bin of such objects grows, and gives it back when the bin shrinks. What is kept for one size and one thread is
//! lost to all others, so there is a bound for the process: tcmalloc's `max_total_thread_cache_bytes` has the same purpose and about
//! the same size.

use crate::base::geometry::{ROOM_MAX, ROOM_MIN};
use crate::mheap::MHeap;
use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that caches have asked for.
pub(super) struct Room(AtomicUsize);

impl Room {
    crate::sync::const_unless_loom! {
        /// Nothing asked for.
        pub(super) fn new() -> Self {
            Self(AtomicUsize::new(0))
        }
    }

    /// Whether the caller may keep `bytes` more.
    pub(super) fn ask(&self, mheap: &MHeap, bytes: usize) -> bool {
        if !mheap.keeps_free_pages() {
            return false;
        }
        // Relaxed: a count that guards no memory.
        let all = self.0.fetch_add(bytes, Relaxed) + bytes;
        if all <= ROOM_MIN || all <= (mheap.sys_bytes() / 4).min(ROOM_MAX) {
            return true;
        }
        self.give_back(bytes);
        false
    }

    /// Bytes that caches have, for tests.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// After `fork`, in the child: those who are left have `bytes`.
    pub(super) fn reset(&self, bytes: usize) {
        self.0.store(bytes, Relaxed);
    }

    /// The caller keeps `bytes` fewer.
    pub(super) fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Relaxed);
    }
}
