//! C's operations: callers name neither size nor alignment of a block that they free, and may be
//! wrong.
//!
//! The fast paths are `malloc` and `free_untyped`. Every other free finds the block's span
//! ([`find`]). A wrong call ends the process with one line that names the call, the block, its size
//! and the reason. The callers are the C-shaped functions of `api::raw`.
//!
//! - C-1. Every object has a multiple of 16 bytes, so it is aligned to 16 and has a second word
//!   for its mark.
//! - C-2. A large object's span tells the size that its holder asked for, even if a thread had kept
//!   the run.
//! - C-3. No block begins with the mark or the link that an earlier block left there. Otherwise the
//!   program, or a `realloc`, could copy words that it never wrote to the place where the earlier
//!   block began.

mod find;
pub(crate) mod nested;
pub(super) mod spare;

use super::Heap;
use super::alloc::zero;
use super::free::Bin;
use super::sample::end_sample;
use super::thread::current_or;
use crate::base::addr::{Addr, align_up};
use crate::base::geometry::{PAGE, REQUEST_MAX, is_servable};
use crate::mcache::MCache;
use crate::mcache::c::clear_registers;
use crate::mspan::{Block, MSpan};
use crate::os;
use crate::os::errno::kept;
use crate::os::report::{ALREADY_FREE, misuse};
use crate::size_class::{RunClass, SizeClass};
use crate::stats::Stats;
use core::alloc::Layout;
use core::ptr::null_mut;
use find::Found;
use nested::{alone, is_nested};

/// The alignment of C's `max_align_t`.
pub(crate) const ALIGN: usize = 16;

impl Heap {
    /// Returns `size` bytes, or null with `errno` set.
    #[inline(always)]
    pub(crate) fn malloc(&self, cache: &MCache, size: usize) -> *mut u8 {
        let block = cache.pop_untyped(size);
        if block.is_null() {
            return Self::malloc_medium::<false>(size, cache, self);
        }
        self.count_bin(cache, size);
        block.cast()
    }

    /// Returns `size` bytes that read as zero, or null with `errno` set. All usable bytes behind
    /// them read as zero too.
    #[inline]
    pub(crate) fn calloc(&self, cache: &MCache, size: usize) -> *mut u8 {
        Self::malloc_medium::<true>(size, cache, self)
    }

    /// Counts a block that came out of the bin for `size` bytes, in builds that count blocks.
    #[inline(always)]
    fn count_bin(&self, cache: &MCache, size: usize) {
        if Stats::EXACT
            && let Some(class) = SizeClass::serving(size.max(1), ALIGN)
        {
            self.count_popped(cache, class);
        }
    }

    /// Serves a request of any size from its bin, if that has a block.
    #[inline(never)]
    fn malloc_medium<const ZERO: bool>(size: usize, cache: &MCache, heap: &Self) -> *mut u8 {
        let block = cache.pop_medium(size);
        if block.is_null() {
            return Self::malloc_slow::<ZERO>(size, ALIGN, cache, heap);
        }
        heap.count_bin(cache, size);
        let mut block = block.cast();
        if cache.sampler.count(size) {
            block = heap.sample_untyped(size, ALIGN, cache, block);
        }
        if ZERO {
            // SAFETY: the object is this call's, and serves the request.
            unsafe { zero(block, size, ALIGN) };
        }
        block
    }

    /// Returns the block for a request that took the sampler's count below zero and has `block`.
    #[cold]
    #[inline(never)]
    fn sample_untyped(&self, size: usize, align: usize, cache: &MCache, block: *mut u8) -> *mut u8 {
        if !cache.is_ready() {
            return block;
        }
        let block = kept(|| alone(|cache| Self::sampled(size, align, cache, self, block)));
        clear_registers();
        block
    }

    /// Returns `size` bytes at a multiple of `align`, a power of two; or null with `errno` set.
    pub(crate) fn memalign(&self, cache: &MCache, align: usize, size: usize) -> *mut u8 {
        let align = align.max(ALIGN);
        if let Some(class) = SizeClass::serving(size, align) {
            let block = self.pop(cache, class);
            if !block.is_null() {
                clear_registers();
                if cache.sampler.count(size) {
                    return self.sample_untyped(size, align, cache, block.cast());
                }
                return block.cast();
            }
        }
        Self::malloc_slow::<false>(size, align, cache, self)
    }

    /// Serves a request that no bin serves: the one slow end of C's allocations.
    #[cold]
    #[inline(never)]
    fn malloc_slow<const ZERO: bool>(size: usize, align: usize, cache: &MCache, heap: &Self) -> *mut u8 {
        if !is_servable(size, align) {
            return refuse();
        }
        if is_nested(cache) {
            return malloc_nested(size, align);
        }
        // A zeroed block reads as zero to its last usable byte.
        let size = match SizeClass::serving(size.max(1), align) {
            None if ZERO => usable_of(size),
            _ => size,
        };
        let block = alone(|cache| {
            let block = match Layout::from_size_align(size, align) {
                Ok(layout) => heap.alloc::<ZERO>(cache, layout),
                Err(_) => null_mut(),
            };
            heap.finish(block, size, align, !ZERO);
            block
        });
        clear_registers();
        block
    }

    /// Ends an allocation that may have failed or be large. A `fresh` block comes from `malloc`:
    /// the program has not written to it.
    fn finish(&self, block: *mut u8, size: usize, align: usize, fresh: bool) {
        if block.is_null() {
            os::errno::set(libc::ENOMEM);
        } else if SizeClass::serving(size.max(1), align).is_none()
            && let Some(span) = self.tiers.mheap.map().span_of(Addr::of(block))
        {
            if fresh && (span.kept() || !span.zeroed()) {
                // C-3. Memory that is known to be zero stays untouched.
                // SAFETY: a large object has more than two words, and is this call's.
                unsafe { block.write_bytes(0, 2 * size_of::<usize>()) };
            }
            // C-2: a run that a thread had kept still has the size that its last holder asked for.
            span.clear_kept();
            span.set_large_size(size);
        }
    }

    /// Takes back the block at `ptr`; does nothing for null.
    ///
    /// # Safety
    /// If `ptr` points to a block of this heap that is not free, the program uses it no more.
    #[inline(always)]
    pub(crate) unsafe fn free_untyped(&self, cache: &MCache, ptr: *mut u8) {
        // SAFETY: a block in use is the caller's (contract of this function).
        if !unsafe { cache.push_untyped(ptr.cast()) } {
            // SAFETY: a block in use is the caller's (contract of this function).
            unsafe { Self::free_gathered(ptr, cache, self) };
        }
    }

    /// Takes back a block that no bin takes. It joins the outbox if the thread gathers blocks of
    /// its span: the usual case if one thread allocates and another frees.
    ///
    /// # Safety
    /// As for `free_untyped`.
    #[inline(never)]
    unsafe fn free_gathered(ptr: *mut u8, cache: &MCache, heap: &Self) {
        let block: *mut Block = ptr.cast();
        let gathered = match cache.remote_untyped(block) {
            // SAFETY: an object begins at the block, and it is the caller's (contract of this
            // function).
            Some(page) => nested::quick(cache, || unsafe { cache.gather_untyped(page, block) }),
            None => None,
        };
        if gathered != Some(true) {
            // SAFETY: a block in use is the caller's (contract of this function).
            return unsafe { Self::free_untyped_slow(ptr, cache, heap) };
        }
        clear_registers();
    }

    /// # Safety
    /// As for `free_untyped`.
    #[cold]
    #[inline(never)]
    unsafe fn free_untyped_slow(ptr: *mut u8, cache: &MCache, heap: &Self) {
        if ptr.is_null() {
            return;
        }
        if is_nested(cache) {
            kept(|| nested::free(ptr));
            return;
        }
        let free = |cache: &'static MCache| {
            cache.learn_map(&heap.tiers);
            match heap.find("free", ptr) {
                // SAFETY: the block was found in use, so it is the caller's.
                Some((span, found)) => unsafe { heap.free_found(cache, ptr, span, found) },
                None => {
                    spare::release(ptr);
                }
            }
        };
        kept(|| alone(free));
        clear_registers();
    }

    /// # Safety
    /// `ptr` points to a block of `span` that was found in use, and the program uses it no more.
    unsafe fn free_found(&self, cache: &MCache, ptr: *mut u8, span: &'static MSpan, found: Found) {
        let block: *mut Block = ptr.cast();
        let bin = match found {
            Found::Small(class) => {
                self.count_free(cache, Some(class), span.size());
                // SAFETY: the block is the caller's, and an object of its class.
                if unsafe { cache.bins.push(class, block) } {
                    return;
                }
                Bin::Object(class)
            }
            Found::Large => {
                // A small object that was sampled was counted by its class.
                let class = if span.sample().0 { span.sampled_class() } else { None };
                self.count_free(cache, class, span.size());
                end_sample(span);
                if span.keep() {
                    misuse("free", ptr.addr(), span.size(), ALREADY_FREE);
                }
                // The object has at least the pages of its size's class.
                RunClass::serving(span.size(), 1).map_or(Bin::None, Bin::Run)
            }
        };
        // SAFETY: the block is the caller's, and fits the bin.
        unsafe { self.put_back(cache, block, bin) };
    }

    /// Frees a block like `free_untyped`. If the block cannot be one of a request of `size` bytes
    /// at `align`, ends the process.
    ///
    /// # Safety
    /// As for `free_untyped`.
    pub(crate) unsafe fn free_sized(&self, cache: &MCache, ptr: *mut u8, align: usize, size: usize) {
        if ptr.is_null() {
            return;
        }
        if let Some((span, found)) = self.find("free_sized", ptr) {
            let fits = match found {
                Found::Small(class) => size <= class.size(),
                Found::Large => size <= large_usable(span) && usable_of(size.max(1)) >= span.size(),
            };
            if !fits || !ptr.addr().is_multiple_of(align) {
                misuse(
                    "free_sized",
                    ptr.addr(),
                    span.size(),
                    "the size or the alignment differs from the request for this block",
                );
            }
        }
        // SAFETY: a block in use is the caller's (contract of this function).
        unsafe { self.free_untyped(cache, ptr) };
    }

    /// Gives the block at `ptr` `size` bytes, at least 1, perhaps elsewhere, and returns it.
    /// Returns null with `errno` set if there is no memory; then the old block is untouched.
    ///
    /// # Safety
    /// If `ptr` points to a block of this heap that is not free, the caller alone uses it.
    pub(crate) unsafe fn realloc_untyped(&self, cache: &MCache, ptr: *mut u8, size: usize) -> *mut u8 {
        if size > REQUEST_MAX {
            return refuse();
        }
        let Some((span, found)) = self.find("realloc", ptr) else {
            return self.leave_foreign(cache, ptr, size);
        };
        let old = match found {
            Found::Small(class) => {
                // A block keeps its place while at least three quarters of it are in use.
                if size <= class.size() && size > class.size() / 4 * 3 {
                    return ptr;
                }
                if SizeClass::serving(size, ALIGN) == Some(class) {
                    return ptr;
                }
                class.size()
            }
            Found::Large => {
                // A sampled object of a size class is counted by its class, and so cannot grow in
                // place.
                let is_small = span.sample().0 && span.sampled_class().is_some();
                if SizeClass::serving(size, ALIGN).is_none() && !is_small && !is_nested(cache) {
                    // SAFETY: the block is the caller's (contract of this function), and the new
                    // size has no class.
                    return unsafe { self.realloc_large(ptr, span, size) };
                }
                large_usable(span)
            }
        };
        let begun = if size > old && SizeClass::serving(size, ALIGN).is_none() {
            self.malloc_begun(cache, size)
        } else {
            null_mut()
        };
        let new = if begun.is_null() {
            self.malloc(cache, size)
        } else {
            begun
        };
        if !new.is_null() {
            // SAFETY: both blocks have so many bytes, and the new one is this call's.
            unsafe { new.copy_from_nonoverlapping(ptr, old.min(size)) };
            // SAFETY: the caller gets the new block and gives the old one up.
            unsafe { self.free_untyped(current_or(cache), ptr) };
        }
        new
    }

    /// Allocates a large block for an object that has just outgrown the classes, where it can go on
    /// growing. Returns null if no such place lies idle.
    #[cold]
    #[inline(never)]
    fn malloc_begun(&self, cache: &MCache, size: usize) -> *mut u8 {
        if is_nested(cache) {
            return null_mut();
        }
        let begin = |cache: &'static MCache| {
            let block = self.alloc_begun(cache, size, ALIGN);
            if !block.is_null() {
                self.finish(block, size, ALIGN, true);
            }
            block
        };
        let block = kept(|| alone(begin));
        clear_registers();
        block
    }

    /// Resizes a large object, which stays large. Returns null with `errno` set if there is no
    /// memory.
    ///
    /// # Safety
    /// `ptr` points to the large object of `span`, which the caller alone uses; `size` has no
    /// class.
    unsafe fn realloc_large(&self, ptr: *mut u8, span: &'static MSpan, size: usize) -> *mut u8 {
        // The layout must give an object that is large only for its alignment that alignment.
        let align = if SizeClass::serving(span.size().max(1), ALIGN).is_none() {
            ALIGN
        } else {
            2 * PAGE
        };
        let resize = |cache: &'static MCache| {
            let new = match Layout::from_size_align(large_usable(span), align) {
                // SAFETY: the block is the caller's (contract of this function). The layout serves
                // it, and the size was found to be in bounds.
                Ok(layout) => unsafe { self.realloc(cache, ptr, layout, size) },
                Err(_) => null_mut(),
            };
            if !new.is_null() {
                self.finish(new, size, align, false);
            }
            new
        };
        let new = kept(|| alone(resize));
        if new.is_null() {
            os::errno::set(libc::ENOMEM);
        }
        clear_registers();
        new
    }

    /// Moves memory that another allocator handed out to a block of this heap, as far as its length
    /// is known. The other allocator's memory stays, unless it is `spare`'s.
    fn leave_foreign(&self, cache: &MCache, ptr: *mut u8, size: usize) -> *mut u8 {
        let new = self.malloc(cache, size);
        if !new.is_null() {
            let bytes = usable_elsewhere(ptr).min(size);
            // SAFETY: the other allocator says that so many bytes may be used, and the new block is
            // this call's.
            unsafe { new.copy_from_nonoverlapping(ptr, bytes) };
            kept(|| spare::release(ptr));
        }
        new
    }
}

/// Refuses a request that cannot be served: returns null with `errno` set.
#[cold]
fn refuse() -> *mut u8 {
    os::errno::set(libc::ENOMEM);
    null_mut()
}

/// Serves an allocation that came while another call of the thread was under way.
#[cold]
fn malloc_nested(size: usize, align: usize) -> *mut u8 {
    let block = kept(|| spare::malloc(size, align));
    if block.is_null() {
        os::errno::set(libc::ENOMEM);
    }
    block
}

/// Returns the bytes that may be used of a block that the page map does not know.
#[cold]
fn usable_elsewhere(ptr: *mut u8) -> usize {
    spare::size(ptr).unwrap_or_else(|| os::foreign::usable(ptr))
}

/// Returns the bytes that may be used of a large object of `size` bytes: up to the end of its last
/// 4 KiB, not of its run.
fn usable_of(size: usize) -> usize {
    align_up(size, 4096)
}

fn large_usable(span: &MSpan) -> usize {
    usable_of(span.size().max(1)).min(span.pages() * PAGE)
}
