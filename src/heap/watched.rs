//! Where sampled objects may begin: a small table that lets most frees of other objects at such addresses pass without a look at their span.
//!
//! Owned by `sample`. One table for the process, by a hash of the address. Counts, and so a false alarm where two objects share one, never a
//! miss: what whoever frees an object was told of it includes the count, which stays until the sample has ended.

#![forbid(unsafe_code)]

use super::SAMPLE_ALIGN;
use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Counts: more than a heap of a gibibyte has sampled objects at the default rate.
const PLACES: usize = 4096;

/// How many sampled objects begin at the addresses of one hash.
// All accesses Relaxed: whoever frees an object got it from whoever allocated it, and that brought the count along.
pub(super) struct Watched([AtomicU32; PLACES]);

pub(super) static WATCHED: Watched = Watched([const { AtomicU32::new(0) }; PLACES]);

impl Watched {
    #[inline(always)]
    fn place(&self, addr: usize) -> &AtomicU32 {
        &self.0[addr / SAMPLE_ALIGN % PLACES]
    }

    /// A sampled object begins at `addr`.
    pub(super) fn add(&self, addr: usize) {
        self.place(addr).fetch_add(1, Relaxed);
    }

    /// It has ended.
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
