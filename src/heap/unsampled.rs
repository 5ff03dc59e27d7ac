//! What stands in for `sample` in builds without the profiler: nothing is sampled, and no code is left of it.

use super::Heap;
use crate::mcache::MCache;
use crate::mspan::{Block, MSpan};

impl Heap {
    /// Never called: nothing is counted.
    #[inline(always)]
    pub(super) fn sampled(_: usize, _: usize, _: &MCache, _: &Self, block: *mut u8) -> *mut u8 {
        block
    }

    /// The block as it is.
    #[inline(always)]
    pub(super) fn counted(&self, _: &MCache, _: usize, _: usize, block: *mut u8) -> *mut u8 {
        block
    }

    /// Never called.
    ///
    /// # Safety
    /// None.
    #[inline(always)]
    pub(super) unsafe fn dealloc_aligned(_: *mut Block, _: usize, _: usize, _: &MCache, _: &Self) {}

    /// Nothing.
    #[inline(always)]
    pub(super) fn resampled(&self, _: &MCache, _: usize, _: usize, _: *mut u8) {}
}

/// Nothing was watched.
#[inline(always)]
pub(super) fn end_sample(_: &MSpan) -> bool {
    false
}
