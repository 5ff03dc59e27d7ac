//! Allocation: one pipeline for every request.
//!
//! ```text
//! alloc ── bin hit ──────────────────────────────► the block
//!   └─ bin empty ── alloc_slow ─┬─ a run of the thread's bins
//!                               └─ search ── attempt: refill, longer run, page heap
//!                                     └─ nothing: reclaim, then one more attempt
//!                  every slow allocation ends in hand_out: count, sample, wipe, look after pages
//! ```
//!
//! `ZERO` says whether the caller wants zeroed memory. Memory that was never used reads as zero
//! already, so no path writes to it.
//!
//! - ALLOC-1. Every allocation that does not come out of a size class's bin ends in `hand_out`.

use super::Heap;
use crate::base::geometry::{PAGE, is_servable};
use crate::mcache::MCache;
use crate::mspan::{Block, CHECKED};
use crate::size_class::{RunClass, SizeClass, large_pages};
use crate::stats::Stats;
use core::alloc::Layout;
use core::ptr::null_mut;

/// A block, or null, and whether it reads as zero.
type Found = (*mut u8, bool);

const NOTHING: Found = (null_mut(), true);

impl Heap {
    /// Returns memory for `layout`, or null. With `ZERO` the memory reads as zero.
    #[inline(always)]
    pub(crate) fn alloc<const ZERO: bool>(&self, cache: &MCache, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // Two arms that do the same: small requests run through the first alone.
        let block = if let Some(class) = SizeClass::small(size, align) {
            self.pop(cache, class)
        } else if let Some(class) = SizeClass::serving(size, align) {
            self.pop(cache, class)
        } else {
            null_mut()
        };
        if block.is_null() {
            return Self::alloc_slow::<ZERO>(size, align, cache, self);
        }
        let mut block = block.cast();
        if cache.sampler.count(size) {
            block = Self::sampled(size, align, cache, self, block);
        }
        if ZERO {
            // SAFETY: the block is this call's and serves the layout.
            unsafe { zero(block, size, align) };
        }
        block
    }

    /// Takes an object of `class` for the program from its bin. Returns null if the bin is empty.
    #[inline(always)]
    pub(super) fn pop(&self, cache: &MCache, class: SizeClass) -> *mut Block {
        let block = cache.bins.pop(class);
        if Stats::EXACT && !block.is_null() {
            self.count_popped(cache, class);
        }
        block
    }

    /// Serves a request that no size class's bin serves. The arguments stand in the order of
    /// `GlobalAlloc::alloc`'s own, and so stay in their registers.
    #[cold]
    #[inline(never)]
    fn alloc_slow<const ZERO: bool>(size: usize, align: usize, cache: &MCache, heap: &Self) -> *mut u8 {
        // C's `malloc` allows the empty request: one byte serves it.
        let size = size.max(1);
        let run: *mut u8 = match RunClass::serving(size, align) {
            Some(class) => cache.pop_run(class).cast(),
            None => null_mut(),
        };
        let found = if run.is_null() {
            heap.search::<ZERO>(cache, size, align)
        } else {
            (run, false)
        };
        heap.hand_out::<ZERO>(cache, size, align, found)
    }

    /// Ends a slow allocation: counts the block, samples it if it is its turn, wipes it if it must
    /// be, and looks after free pages. Returns the block for the program, or null.
    #[inline(always)]
    pub(super) fn hand_out<const ZERO: bool>(
        &self,
        cache: &MCache,
        size: usize,
        align: usize,
        (block, zeroed): Found,
    ) -> *mut u8 {
        self.count_alloc(cache, block, size, align);
        let handed = self.counted(cache, size, align, block);
        if ZERO && !handed.is_null() && !(zeroed && handed == block) {
            // SAFETY: the block is this call's and serves the layout.
            unsafe { zero(handed, size, align) };
        }
        self.after_alloc();
        handed
    }

    /// Finds a block beyond the thread's bins. If there is none, the heap reclaims what it can, and
    /// the search begins once more.
    #[inline(never)]
    fn search<const ZERO: bool>(&self, cache: &MCache, size: usize, align: usize) -> Found {
        if !is_servable(size, align) {
            return NOTHING;
        }
        let found = self.attempt::<ZERO>(cache, size, align);
        if found.0.is_null() {
            return self.search_again::<ZERO>(cache, size, align);
        }
        found
    }

    #[cold]
    #[inline(never)]
    fn search_again<const ZERO: bool>(&self, cache: &MCache, size: usize, align: usize) -> Found {
        let wanted = match SizeClass::serving(size, align) {
            Some(class) => class.span_bytes(),
            None => large_pages(size) * PAGE,
        };
        self.reclaim(cache, wanted);
        let found = self.attempt::<ZERO>(cache, size, align);
        if found.0.is_null() {
            self.note_refusal(wanted);
        }
        found
    }

    fn attempt<const ZERO: bool>(&self, cache: &MCache, size: usize, align: usize) -> Found {
        match SizeClass::serving(size, align) {
            Some(class) => self.with_cache(cache, |cache| self.take_object::<ZERO>(cache, class)),
            None => self.with_cache(cache, |cache| self.take_pages(cache, size, align)),
        }
        .unwrap_or(NOTHING)
    }

    /// Takes an object of `class`. Untouched memory comes first for a caller that wants zeros.
    fn take_object<const ZERO: bool>(&self, cache: &MCache, class: SizeClass) -> Found {
        if ZERO {
            let block = cache.take_untouched(class);
            if !block.is_null() {
                return (block, true);
            }
        }
        // The late cache may have some in its bin: a refill would bury them.
        (cache.take(&self.tiers, class).cast(), false)
    }

    /// Takes a large object: a kept run that is somewhat longer, or pages of the page heap.
    fn take_pages(&self, cache: &MCache, size: usize, align: usize) -> Found {
        if let Some(class) = RunClass::serving(size, align) {
            let run = cache.pop_longer_run(&self.tiers, class);
            if !run.is_null() {
                return (run.cast(), false);
            }
        }
        let span = cache.alloc_large(&self.tiers, size, align);
        span.map_or(NOTHING, |span| (span.base(), span.zeroed()))
    }
}

/// Writes zeros to a block that serves `size` bytes at `align`. In checked builds all of its
/// usable bytes become zero, because C's programs may use them.
///
/// # Safety
/// The block serves such a request, and is the caller's.
#[inline(always)]
pub(super) unsafe fn zero(block: *mut u8, size: usize, align: usize) {
    let bytes = match SizeClass::serving(size, align) {
        Some(class) if CHECKED => class.size(),
        _ => size,
    };
    // SAFETY: the block has so many bytes (contract of this function).
    unsafe { block.write_bytes(0, bytes) };
}
