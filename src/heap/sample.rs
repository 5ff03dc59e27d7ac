//! Samples for the heap profile: which objects are watched, and where they lie.
//!
//! A small object that is sampled gets pages of its own, as a large one would, so that its span's record can tell that it is watched. Rust's
//! frees name the size alone: there it begins at an address that few others have. C's look at the page map, where it is large. Of large objects
//! the record is noted as it is. Builds without the profiler have nothing of this.
//!
//! - S1. A sampled object is the only one of a span in state `Large`. It has at least the pages of its size's class, so that it may be used and
//!   resized like any object of its layout.
//! - S2. The sample ends before the span is given to anybody, by whoever holds the object; so a span that is taken is not sampled.
//! - S3. In Rust programs, a sampled object of a size class begins at a multiple of [`SAMPLE_ALIGN`].

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
    /// What the caller gets for a request that was counted below zero and for which it has `block`: that, or a watched object.
    #[cold]
    #[inline(never)]
    pub(super) fn sampled(size: usize, align: usize, cache: &MCache, heap: &Self, block: *mut u8) -> *mut u8 {
        let Some(rate) = cache.sampler().hit(size) else {
            return block;
        };
        let began = ticks();
        let block = Self::watched(rate, (size, align), cache, heap, block);
        cache.sampler().took(size, began, ticks());
        block
    }

    /// A watched object instead of `block`, which the caller has for its request; or that, watched if it can be.
    fn watched(rate: usize, (size, align): (usize, usize), cache: &MCache, heap: &Self, block: *mut u8) -> *mut u8 {
        let Some(node) = profiler::stack(cache.sampler(), rate) else {
            return block;
        };
        let watch = |span: &'static MSpan| {
            let slot = profiler::began(span.sample().1, node, size);
            if let Some(slot) = slot {
                span.set_sample(true, slot);
                WATCHED.add(span.base().addr());
            }
            slot.is_some()
        };
        let Some(class) = SizeClass::serving(size, align) else {
            heap.tiers.mheap.map().span_of(Addr::of(block)).map(watch);
            return block;
        };
        // SAFETY: the size and the alignment are those of a layout.
        let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
        let at = if cfg!(feature = "profiling") {
            layout.align().max(SAMPLE_ALIGN)
        } else {
            layout.align()
        };
        let Some(span) = cache.alloc_sampled(&heap.tiers, class.size(), at) else {
            profiler::lose();
            return block;
        };
        if !watch(span) {
            cache.free_large(&heap.tiers, span, span.base());
            return block;
        }
        span.set_large_size(size);
        // Pages without memory get it here, in the time that the sample takes.
        // SAFETY: the span's memory is this call's.
        unsafe { span.base().write_volatile(0) };
        if CHECKED {
            // What C's `calloc` gives is zero to its last usable byte, which is that of the pages here.
            // SAFETY: the span's memory is this call's.
            unsafe { span.base().write_bytes(0, span.bytes()) };
        }
        // The program never had it: nothing is counted.
        // SAFETY: the block was got for this layout, and the caller gets another.
        unsafe { heap.give_back(cache, block.cast(), size, align) };
        if let Some(class) = SizeClass::freed(size, align) {
            bury(cache, block.cast(), class);
        }
        span.base()
    }

    /// As [`sampled`](Self::sampled), where the request has not been counted, and its thread, of which `cache` was what it had before, may have
    /// got its cache by it.
    pub(super) fn counted(&self, cache: &MCache, size: usize, align: usize, block: *mut u8) -> *mut u8 {
        let own = current_or(cache);
        if block.is_null() || !own.is_ready() || !own.count(size) {
            return block;
        }
        Self::sampled(size, align, own, self, block)
    }

    /// Takes back what may be a sampled object of a size class (S3), and mostly is none. All calls are its last: it needs no frame.
    ///
    /// # Safety
    /// As for `dealloc`, with the layout's size and alignment.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn dealloc_aligned(block: *mut Block, size: usize, align: usize, cache: &MCache, heap: &Self) {
        if WATCHED.may_be(block.addr()) {
            // SAFETY: as the caller promised.
            unsafe { Self::dealloc_watched(block, size, align, cache, heap) };
        } else {
            // SAFETY: likewise.
            unsafe { Self::dealloc_deep(block, size, align, cache, heap) };
        }
    }

    /// Takes back what is no sampled object, so that it is not handed out again next.
    ///
    /// # Safety
    /// As for `dealloc_aligned`.
    #[inline(always)]
    unsafe fn dealloc_deep(block: *mut Block, size: usize, align: usize, cache: &MCache, heap: &Self) {
        let Some(class) = SizeClass::freed(size, align) else {
            // SAFETY: the size and the alignment are a layout's.
            let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
            // SAFETY: as the caller promised.
            return unsafe { heap.dealloc_unsampled(cache, block.cast(), layout) };
        };
        if Stats::EXACT {
            heap.count_free(cache, SizeClass::serving(size, align), size);
        }
        // SAFETY: as the caller promised; the block fits the class, as `freed` says.
        if unsafe { cache.push(class, block) } {
            bury(cache, block, class);
        } else {
            // SAFETY: as the caller promised.
            unsafe { Self::dealloc_slow(block, size, align, cache, heap) };
        }
    }

    /// Takes back what begins where a sampled object does, by its hash.
    ///
    /// # Safety
    /// As for `dealloc_aligned`.
    #[cold]
    #[inline(never)]
    unsafe fn dealloc_watched(block: *mut Block, size: usize, align: usize, cache: &MCache, heap: &Self) {
        let began = ticks();
        let class = SizeClass::serving(size, align);
        if class.is_none() || !heap.tiers.mheap.map().span_of(Addr::of(block)).is_some_and(end_sample) {
            // SAFETY: as the caller promised.
            return unsafe { Self::dealloc_deep(block, size, align, cache, heap) };
        }
        heap.count_free(cache, class, size);
        // A sampled object has pages of which no layout tells, so no bin takes it.
        // SAFETY: the block is the caller's (contract of this function).
        unsafe { heap.put_back(cache, block, Bin::None) };
        let cache = current_or(cache);
        if cache.is_ready() {
            cache.sampler().ended(size, ticks().saturating_sub(began));
        }
    }

    /// A large object was resized where it was, or moved, and has `size` bytes at `block` now; what it was before has ended.
    pub(super) fn resampled(&self, cache: &MCache, size: usize, align: usize, block: *mut u8) {
        // Large objects stay where they are.
        self.counted(cache, size, align, block);
    }
}

/// A loop that allocates and frees would get a block that begins where samples do each time, which often is: the first of a span.
fn bury(cache: &MCache, block: *mut Block, class: SizeClass) {
    let aligned = |block: *mut Block| block.addr().is_multiple_of(SAMPLE_ALIGN);
    if SAMPLES && aligned(block) {
        cache.bury(class, block, cache.sampler().noise(), aligned);
    }
}

/// The object of `span` ends. Whether it was watched.
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
