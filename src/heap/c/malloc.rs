//! C's `malloc` and `calloc`.
//!
//! `malloc` tries the bin of a small size, then the bin of any size (`malloc_medium`), and then the
//! heap's own allocation (`malloc_slow`). `calloc` begins with the second step.

use super::nested::{alone, is_nested};
use super::usable::usable_of;
use super::{ALIGN, refuse, spare};
use crate::base::addr::Addr;
use crate::base::geometry::is_servable;
use crate::heap::alloc::zero;
use crate::heap::serve::current;
use crate::heap::{HEAP, Heap};
use crate::mcache::MCache;
use crate::mcache::c::clear_registers;
use crate::os;
use crate::os::errno::kept;
use crate::size_class::SizeClass;
use crate::stats::Stats;
use core::alloc::Layout;
use core::ptr::null_mut;

/// C's `malloc`: returns `size` bytes, or null with `errno` set.
#[inline(always)]
pub fn malloc(size: usize) -> *mut u8 {
    let cache = current();
    let block = cache.pop_untyped(size);
    if block.is_null() {
        return malloc_medium::<false>(size, cache);
    }
    count_bin(cache, size);
    block.cast()
}

/// C's `calloc`: all usable bytes behind those requested read as zero too.
#[inline]
pub fn calloc(count: usize, size: usize) -> *mut u8 {
    match count.checked_mul(size) {
        Some(bytes) => malloc_medium::<true>(bytes, current()),
        None => refuse(libc::ENOMEM),
    }
}

/// Counts a block that came out of the bin for `size` bytes, in builds that count blocks.
#[inline(always)]
fn count_bin(cache: &MCache, size: usize) {
    if Stats::EXACT
        && let Some(class) = SizeClass::serving(size.max(1), ALIGN)
    {
        HEAP.count_popped(cache, class);
    }
}

/// Serves a request of any size from its bin, if that has a block.
#[inline(never)]
fn malloc_medium<const ZERO: bool>(size: usize, cache: &MCache) -> *mut u8 {
    let block = cache.pop_medium(size);
    if block.is_null() {
        return malloc_slow::<ZERO>(size, ALIGN, cache);
    }
    count_bin(cache, size);
    let mut block = block.cast();
    if cache.sampler.count(size) {
        block = sampled(size, ALIGN, cache, block);
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
pub(super) fn sampled(size: usize, align: usize, cache: &MCache, block: *mut u8) -> *mut u8 {
    if !cache.is_ready() {
        return block;
    }
    let block = kept(|| alone(|cache| Heap::sampled(size, align, cache, &HEAP, block)));
    clear_registers();
    block
}

/// Serves a request that no bin serves: the one slow end of C's allocations.
#[cold]
#[inline(never)]
pub(super) fn malloc_slow<const ZERO: bool>(size: usize, align: usize, cache: &MCache) -> *mut u8 {
    if !is_servable(size, align) {
        return refuse(libc::ENOMEM);
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
            Ok(layout) => HEAP.alloc::<ZERO>(cache, layout),
            Err(_) => null_mut(),
        };
        finish(block, size, align, !ZERO);
        block
    });
    clear_registers();
    block
}

/// Ends an allocation that may have failed or be large. A `fresh` block comes from `malloc`: the
/// program has not written to it.
pub(super) fn finish(block: *mut u8, size: usize, align: usize, fresh: bool) {
    if block.is_null() {
        os::errno::set(libc::ENOMEM);
    } else if SizeClass::serving(size.max(1), align).is_none()
        && let Some(span) = HEAP.tiers.mheap.map().span_of(Addr::of(block))
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

/// Serves an allocation that came while another call of the thread was under way.
#[cold]
fn malloc_nested(size: usize, align: usize) -> *mut u8 {
    let block = kept(|| spare::malloc(size, align));
    if block.is_null() {
        os::errno::set(libc::ENOMEM);
    }
    block
}
