//! Samples for the heap profile: which objects are watched, and where they lie.
//!
//! A small object that is sampled gets its own pages, as a large object would. So the record of its
//! span can say that it is watched. A free in Rust names the size alone, so there the object begins
//! at an address at which few other objects begin. A free in C looks the span up in the page map,
//! and finds a large one. If a large object is sampled, only its record is marked. Builds without
//! the profiler contain none of this code.
//!
//! - SAMPLE-1. A sampled object is the only one of a span in state `Large`. It has at least the
//!   pages of its size's class, so it can be used and resized like any object of its layout.
//! - SAMPLE-2. The holder of the object ends the sample before any thread gets the span. So a span
//!   that is taken is not sampled.
//! - SAMPLE-3. In Rust programs, a sampled object of a size class begins at a multiple of
//!   [`SAMPLE_ALIGN`].

use super::free::Bin;
use super::thread::current_or;
use super::watched::WATCHED;
use super::{Heap, SAMPLE_ALIGN, SAMPLES};
use crate::base::addr::Addr;
use crate::mcache::MCache;
use crate::mspan::{Block, CHECKED, MSpan};
use crate::os::ticks;
use crate::profiler;
use crate::size_class::SizeClass;
use crate::stats::Stats;
use core::alloc::Layout;

impl Heap {
    /// Returns the object for a request that took the sampler's count below zero and has `block`:
    /// `block`, or a watched object in its place.
    #[cold]
    #[inline(never)]
    pub(super) fn sampled(size: usize, align: usize, cache: &MCache, heap: &Self, block: *mut u8) -> *mut u8 {
        let Some(rate) = cache.sampler.hit(size) else {
            return block;
        };
        // The whole of it is one slow operation: it may wait in the middle, and uses the bins after
        // that.
        let Some(entered) = cache.handover.enter() else {
            return block;
        };
        let began = ticks();
        let block = Self::watched(rate, (size, align), cache, heap, block);
        cache.sampler.took(size, began, ticks());
        cache.handover.leave(entered);
        block
    }

    /// Returns a watched object in place of `block`, or `block` itself, watched if possible.
    fn watched(rate: usize, (size, align): (usize, usize), cache: &MCache, heap: &Self, block: *mut u8) -> *mut u8 {
        let Some(node) = profiler::stack(&cache.sampler, rate) else {
            return block;
        };
        let class = SizeClass::serving(size, align);
        let watch = |span: &'static MSpan| {
            let slot = profiler::began(span.sample().1, node, size);
            if let Some(slot) = slot {
                span.set_sample(true, slot);
                span.set_sampled_class(class);
                WATCHED.add(span.base().addr());
            }
            slot.is_some()
        };
        // A free finds the sample of an object that no size class's bin takes by its span.
        if SizeClass::freed(size, align).is_none() {
            heap.tiers.mheap.map().span_of(Addr::of(block)).map(watch);
            return block;
        }
        // SAFETY: the size and the alignment are those of a layout.
        let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
        let at = if cfg!(feature = "profiling") {
            layout.align().max(SAMPLE_ALIGN)
        } else {
            layout.align()
        };
        let bytes = class.map_or(size, SizeClass::size);
        let span = heap.with_cache(cache, |cache| cache.alloc_sampled(&heap.tiers, bytes, at));
        let Some(span) = span.flatten() else {
            profiler::lose();
            return block;
        };
        if !watch(span) {
            heap.with_cache(cache, |cache| cache.free_large(&heap.tiers, span, span.base()));
            return block;
        }
        span.set_large_size(size);
        // The first write gives the pages memory. It happens here, so its time counts as time of
        // the sample.
        // SAFETY: the span's memory is this call's.
        unsafe { span.base().write_volatile(0) };
        if CHECKED {
            // C's `calloc` clears a block to its last usable byte, here that of the pages.
            // SAFETY: the span's memory is this call's.
            unsafe { span.base().write_bytes(0, span.bytes()) };
        }
        // The program never had the block, so its free is not counted. It returns to the bin that
        // it came from.
        let bin = match class {
            // SAFETY: the block is an object of the class, and the caller gets another one.
            Some(class) if unsafe { cache.bins.push(class, block.cast()) } => {
                bury(cache, block.cast(), class);
                return span.base();
            }
            class => class.map_or(Bin::None, Bin::Object),
        };
        // SAFETY: the block fits the bin, and the caller gets another one.
        unsafe { heap.put_back(cache, block.cast(), bin) };
        span.base()
    }

    /// Counts a request that has `block`, and samples it if it is its turn, as
    /// [`sampled`](Self::sampled) does. `cache` is what the thread's slot held when the call began;
    /// the call may have given it a cache.
    pub(super) fn counted(&self, cache: &MCache, size: usize, align: usize, block: *mut u8) -> *mut u8 {
        let own = current_or(cache);
        if block.is_null() || !own.is_ready() || !own.sampler.count(size) {
            return block;
        }
        Self::sampled(size, align, own, self, block)
    }

    /// Takes back a block that may be a sampled object of a size class (SAMPLE-3), and rarely is
    /// one. All its calls are tail calls, so it needs no frame.
    ///
    /// # Safety
    /// As for `dealloc`, with the layout's size and alignment.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn dealloc_aligned(block: *mut Block, size: usize, align: usize, cache: &MCache, heap: &Self) {
        if WATCHED.may_be(block.addr()) {
            // SAFETY: the block and its layout are the caller's (contract of this function).
            unsafe { Self::dealloc_watched(block, size, align, cache, heap) };
        } else {
            // SAFETY: the block and its layout are the caller's (contract of this function).
            unsafe { Self::dealloc_deep(block, size, align, cache, heap) };
        }
    }

    /// Takes back a block that is no sampled object, and buries it in its bin, so it is not handed
    /// out next.
    ///
    /// # Safety
    /// As for `dealloc_aligned`.
    #[inline(always)]
    unsafe fn dealloc_deep(block: *mut Block, size: usize, align: usize, cache: &MCache, heap: &Self) {
        let Some(class) = SizeClass::freed(size, align) else {
            // SAFETY: the size and the alignment are a layout's.
            let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
            // SAFETY: the block and its layout are the caller's (contract of this function).
            return unsafe { heap.dealloc_unsampled(cache, block.cast(), layout) };
        };
        if Stats::EXACT {
            heap.count_free(cache, SizeClass::serving(size, align), size);
        }
        // SAFETY: the block is the caller's, and fits the class (`SizeClass::freed`).
        if unsafe { cache.bins.push(class, block) } {
            bury(cache, block, class);
        } else {
            // SAFETY: the block and its layout are the caller's (contract of this function).
            unsafe { Self::dealloc_slow(block, size, align, cache, heap) };
        }
    }

    /// Takes back a block whose address has the hash of a sampled object.
    ///
    /// # Safety
    /// As for `dealloc_aligned`.
    #[cold]
    #[inline(never)]
    unsafe fn dealloc_watched(block: *mut Block, size: usize, align: usize, cache: &MCache, heap: &Self) {
        let began = ticks();
        let class = SizeClass::serving(size, align);
        if SizeClass::freed(size, align).is_none()
            || !heap.tiers.mheap.map().span_of(Addr::of(block)).is_some_and(end_sample)
        {
            // SAFETY: the block and its layout are the caller's (contract of this function).
            return unsafe { Self::dealloc_deep(block, size, align, cache, heap) };
        }
        heap.count_free(cache, class, size);
        // A sampled object has more pages than its layout says, so no bin takes it.
        // SAFETY: the block is the caller's (contract of this function).
        unsafe { heap.put_back(cache, block, Bin::None) };
        let cache = current_or(cache);
        if cache.is_ready() {
            cache.sampler.ended(size, ticks().saturating_sub(began));
        }
    }

    /// Counts a large object that was resized in place or moved, and has `size` bytes at `block`
    /// now. Its earlier sample, if any, has ended.
    pub(super) fn resampled(&self, cache: &MCache, size: usize, align: usize, block: *mut u8) {
        // A sampled large object stays where it is, so the result is `block`.
        self.counted(cache, size, align, block);
    }
}

/// Buries `block`, the youngest of its bin, if it begins where samples do. Otherwise a loop that
/// allocates and frees would get it each time, and each free would take the slow way. That is
/// frequent: the first block of a span often begins there.
fn bury(cache: &MCache, block: *mut Block, class: SizeClass) {
    let aligned = |block: *mut Block| block.addr().is_multiple_of(SAMPLE_ALIGN);
    if SAMPLES && aligned(block) {
        cache.bins.bury(class, block, cache.sampler.noise(), aligned);
    }
}

/// Ends the sample of the object of `span`. Returns whether it was watched.
#[inline]
pub(super) fn end_sample(span: &MSpan) -> bool {
    let (sampled, slot) = span.sample();
    if sampled {
        span.set_sample(false, slot);
        WATCHED.remove(span.base().addr());
        profiler::ended(slot);
    }
    sampled
}
