//! Stands in for `sample` in builds without the profiler: nothing is sampled, and no code remains.

use super::Heap;
use crate::mcache::MCache;
use crate::mspan::{Block, MSpan};

impl Heap {
    /// Returns the block. Never called, because `Sampler::count` is always false.
    #[inline(always)]
    pub(super) fn sampled(_: usize, _: usize, _: &MCache, _: &Self, block: *mut u8) -> *mut u8 {
        block
    }

    /// Returns the block.
    #[inline(always)]
    pub(super) fn counted(&self, _: &MCache, _: usize, _: usize, block: *mut u8) -> *mut u8 {
        block
    }

    /// Does nothing. Never called, because `SAMPLES` is false.
    ///
    /// # Safety
    /// None.
    #[inline(always)]
    pub(super) unsafe fn dealloc_aligned(_: *mut Block, _: usize, _: usize, _: &MCache, _: &Self) {}

    /// Does nothing.
    #[inline(always)]
    pub(super) fn resampled(&self, _: &MCache, _: usize, _: usize, _: *mut u8) {}
}

/// Returns `false`: no object is watched.
#[inline(always)]
pub(super) fn end_sample(_: &MSpan) -> bool {
    false
}
