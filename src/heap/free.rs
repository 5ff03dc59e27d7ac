//! Deallocation: one pipeline for every block that a program gives back.
//!
//! ```text
//! dealloc ── bin has room ───────────────────────► done
//!   └─ bin full ── dealloc_slow: another thread's block joins the outbox ──► done
//!                    └─ dealloc_home: an own block goes on its span ──────► done
//!                    └─ dealloc_past_bin ── put_back ─┬─ a bin of runs
//!          C: free_slow ── find the span ──────┘      ├─ a bin that grows or is flushed
//!                                                     └─ free: the block's span
//!                                     every slow free ends in put_back: look after pages
//! ```
//!
//! Rust's callers name the size and the alignment, so the heap knows the class. C's name the
//! pointer alone; `c` finds the span first and then takes the same way.
//!
//! - FREE-1. Every free that the bins, the outbox and the span do not take at once ends in
//!   `put_back`.

use super::thread::quick;
use super::{Heap, SAMPLE_ALIGN, SAMPLES, end_sample};
use crate::base::addr::Addr;
use crate::mcache::MCache;
use crate::mspan::{Block, CHECKED};
use crate::size_class::{RunClass, SizeClass};
use crate::stats::Stats;
use core::alloc::Layout;

/// The bin that takes blocks of one kind.
pub(super) enum Bin {
    Object(SizeClass),
    Run(RunClass),
    None,
}

impl Heap {
    /// Frees the block at `ptr`.
    ///
    /// # Safety
    /// This heap handed `ptr` out for `layout`, and the program uses it no more.
    #[inline(always)]
    pub(crate) unsafe fn dealloc(&self, cache: &MCache, ptr: *mut u8, layout: Layout) {
        if SAMPLES && ptr.addr().is_multiple_of(SAMPLE_ALIGN) {
            // SAFETY: the block and its layout are the caller's (contract of this function).
            return unsafe { Self::dealloc_aligned(ptr.cast(), layout.size(), layout.align(), cache, self) };
        }
        // SAFETY: the block and its layout are the caller's (contract of this function).
        unsafe { self.dealloc_unsampled(cache, ptr, layout) };
    }

    /// Takes back a block that is no sampled object of a size class.
    ///
    /// # Safety
    /// As for `dealloc`.
    #[inline(always)]
    pub(super) unsafe fn dealloc_unsampled(&self, cache: &MCache, ptr: *mut u8, layout: Layout) {
        let (size, align) = (layout.size(), layout.align());
        if Stats::EXACT {
            self.count_free(cache, SizeClass::serving(size, align), size);
        }
        // SAFETY: the block and its layout are the caller's (contract of this function).
        unsafe { self.give_back(cache, ptr.cast(), size, align) };
    }

    /// Takes back a block without counting it.
    ///
    /// # Safety
    /// As for `dealloc`, with the layout's size and alignment.
    #[inline(always)]
    pub(super) unsafe fn give_back(&self, cache: &MCache, block: *mut Block, size: usize, align: usize) {
        let pushed = if let Some(class) = SizeClass::small_freed(size) {
            // SAFETY: the block is the caller's, and fits the class (`SizeClass::freed`).
            unsafe { cache.bins.push(class, block) }
        } else if let Some(class) = SizeClass::freed(size, align) {
            // SAFETY: the block is the caller's, and fits the class (`SizeClass::freed`).
            unsafe { cache.bins.push(class, block) }
        } else {
            // SAFETY: the block and its layout are the caller's (contract of this function).
            unsafe { Self::dealloc_past_bin(block, size, align, cache, self) };
            return;
        };
        if !pushed {
            // SAFETY: the block and its layout are the caller's (contract of this function).
            unsafe { Self::dealloc_slow(block, size, align, cache, self) };
        }
    }

    /// Takes back a block whose bin is full. It joins the outbox if it is of another thread's span,
    /// the same as the block before it: the usual case if one thread allocates and another frees.
    /// The arguments stand in the order of `GlobalAlloc::dealloc`'s own, and so stay in their
    /// registers.
    ///
    /// # Safety
    /// As for `dealloc`, with the layout's size and alignment.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn dealloc_slow(block: *mut Block, size: usize, align: usize, cache: &MCache, heap: &Self) {
        // In checked builds the block must be marked first.
        // SAFETY: the block is the caller's (contract of this function).
        if CHECKED || !unsafe { cache.shared.outbox.add_leaf(block) } {
            // SAFETY: the block and its layout are the caller's (contract of this function).
            unsafe { Self::dealloc_home(block, size, align, cache, heap) };
        }
    }

    /// Takes back a block whose bin is full. It goes back on its span if that is this thread's and
    /// the bin is closed: the usual case while the thread only frees.
    ///
    /// # Safety
    /// As for `dealloc_slow`.
    #[inline(never)]
    unsafe fn dealloc_home(block: *mut Block, size: usize, align: usize, cache: &MCache, heap: &Self) {
        if SizeClass::freed(size, align).is_some_and(|class| cache.bins.is_closed(class))
            && let Some(span) = heap.tiers.mheap.map().span_of(Addr::of(block))
            // SAFETY: the block is a live object of its span, and the caller's (contract of this
            // function).
            && quick(cache, |cache| unsafe { cache.free_home(span, block) }) == Some(true)
        {
            return;
        }
        // SAFETY: the block and its layout are the caller's (contract of this function).
        unsafe { Self::dealloc_past_bin(block, size, align, cache, heap) };
    }

    /// Takes back a block that neither a size class's bin, nor the outbox, nor its span takes at
    /// once.
    ///
    /// # Safety
    /// As for `dealloc_slow`.
    #[inline(never)]
    unsafe fn dealloc_past_bin(block: *mut Block, size: usize, align: usize, cache: &MCache, heap: &Self) {
        if SAMPLES
            && SizeClass::serving(size, align).is_none()
            && let Some(span) = heap.tiers.mheap.map().span_of(Addr::of(block))
        {
            end_sample(span);
        }
        // A large object has at least the pages of its size's class, whatever its alignment.
        let bin = match RunClass::serving(size, 1) {
            Some(class) => Bin::Run(class),
            None => SizeClass::freed(size, align).map_or(Bin::None, Bin::Object),
        };
        // SAFETY: the block is the caller's, and fits the bin.
        unsafe { heap.put_back(cache, block, bin) };
    }

    /// Ends a slow free: returns the block to `bin` or to its span, and looks after free pages.
    ///
    /// # Safety
    /// This heap handed `block` out, it fits the bin, and the program uses it no more.
    #[inline(always)]
    pub(super) unsafe fn put_back(&self, cache: &MCache, block: *mut Block, bin: Bin) {
        match bin {
            Bin::Run(class) => {
                // SAFETY: the block is the caller's, and fits the bin (contract of this function).
                if unsafe { cache.push_run(class, block) } {
                    return;
                }
                // SAFETY: the block is the caller's, and fits the bin (contract of this function).
                self.with_cache(cache, |cache| unsafe { cache.push_run_over(&self.tiers, class, block) });
            }
            Bin::Object(class) => {
                // SAFETY: the block is the caller's, and fits the bin (contract of this function).
                self.with_cache(cache, |cache| unsafe { cache.push_over(&self.tiers, class, block) });
            }
            Bin::None => {
                // SAFETY: the block is the caller's (contract of this function).
                self.with_cache(cache, |cache| unsafe { cache.free(&self.tiers, block) });
            }
        }
        self.after_free();
    }
}
