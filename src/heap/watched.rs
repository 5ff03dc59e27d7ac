//! Where sampled objects may begin: a small table, so most frees of other objects at such addresses
//! need no look at their span.
//!
//! Owned by `sample`. The process has one table, indexed by a hash of the address. It counts
//! sampled objects. If two addresses share an entry, the table gives a false alarm, but it never
//! misses one. The thread that frees an object received its address from the thread that allocated
//! it, and with the address the count. The count stays until the sample has ended.

#![forbid(unsafe_code)]

use super::SAMPLE_ALIGN;
use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The number of counts: more than a heap of 1 GiB has sampled objects at the default rate.
const PLACES: usize = 4096;

/// The number of sampled objects that begin at the addresses of each hash.
// All accesses Relaxed: the program passes an address from the allocating to the freeing thread,
// and that orders the count too.
pub(super) struct Watched([AtomicU32; PLACES]);

pub(super) static WATCHED: Watched = Watched([const { AtomicU32::new(0) }; PLACES]);

impl Watched {
    #[inline(always)]
    fn place(&self, addr: usize) -> &AtomicU32 {
        &self.0[addr / SAMPLE_ALIGN % PLACES]
    }

    /// Counts a sampled object that begins at `addr`.
    pub(super) fn add(&self, addr: usize) {
        self.place(addr).fetch_add(1, Relaxed);
    }

    /// Counts down for a sampled object at `addr` that has ended.
    pub(super) fn remove(&self, addr: usize) {
        self.place(addr).fetch_sub(1, Relaxed);
    }

    /// Whether a sampled object may begin at `addr`.
    #[inline(always)]
    pub(super) fn may_be(&self, addr: usize) -> bool {
        self.place(addr).load(Relaxed) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_those_that_share_a_place() {
        let watched = Watched([const { AtomicU32::new(0) }; PLACES]);
        let (first, second) = (7 * SAMPLE_ALIGN, (7 + PLACES) * SAMPLE_ALIGN);
        watched.add(first);
        watched.add(second);
        watched.remove(first);
        assert!(watched.may_be(second));
        watched.remove(second);
        assert!(!watched.may_be(second) && !watched.may_be(first));
    }
}
