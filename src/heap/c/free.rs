//! C's `free`, and C23's `free_sized`.
//!
//! `free` puts the block on its bin, if the page map names its class and the block passes the
//! checks (`push_untyped`). If the bin is closed, a block of another thread joins the outbox if
//! this thread gathers blocks of its span, and a block of the thread's own goes back on its span
//! (`free_closed`). Otherwise `free_slow` finds the block's span, and gives the block back as a
//! free of a Rust program does.

use super::find::Found;
use super::nested::{self, alone, is_nested};
use super::spare;
use super::usable::{large_usable, usable_of};
use crate::heap::HEAP;
use crate::heap::free::Bin;
use crate::heap::sample::end_sample;
use crate::heap::serve::current;
use crate::mcache::MCache;
use crate::mcache::c::{Page, Pushed, clear_registers};
use crate::mspan::{Block, MSpan};
use crate::os::errno::kept;
use crate::os::report::{ALREADY_FREE, misuse};
use crate::size_class::RunClass;

/// C's `free`; does nothing for null. Keeps `errno`.
///
/// # Safety
/// If `ptr` points to a block of the heap that is not free, no code uses it any more.
#[inline(always)]
pub unsafe fn free(ptr: *mut u8) {
    let cache = current();
    // SAFETY: a block in use is the caller's (contract of this function).
    match unsafe { cache.push_untyped(ptr.cast()) } {
        Pushed::Done => {}
        // SAFETY: a block in use is the caller's (contract of this function).
        Pushed::Full(page) => unsafe { free_closed(ptr, cache, page) },
        // SAFETY: a block in use is the caller's (contract of this function).
        Pushed::Not => unsafe { free_slow(ptr, cache) },
    }
}

/// Takes back a block on `page` whose bin is full. If the bin is closed, two cases are usual. One
/// thread allocates and another frees: the block joins the outbox, if the thread gathers blocks of
/// its span. Or the thread only frees its own blocks: the block goes back on its span.
///
/// The function calls others in its last step only, so it saves no registers.
///
/// # Safety
/// As for [`free`]; an object begins at `ptr`.
#[inline(never)]
unsafe fn free_closed(ptr: *mut u8, cache: &MCache, page: Page) {
    let block: *mut Block = ptr.cast();
    if !cache.is_closed(page, block) {
        // SAFETY: a block in use is the caller's (contract of this function).
        return unsafe { free_slow(ptr, cache) };
    }
    let take = || {
        // SAFETY: the block is the caller's, in use, and an object of the page's span.
        let gathered = unsafe { cache.gather_untyped(page, block) };
        // SAFETY: the same block, still the caller's; the cache is ready inside of `quick`.
        gathered || unsafe { cache.free_home_untyped(page, block) }
    };
    if nested::quick(cache, take) {
        clear_registers();
        nested::end_quick();
    } else {
        // SAFETY: an object in use begins at the block, which is the caller's.
        unsafe { free_begun(ptr, cache, page) };
    }
}

/// Takes back a block that is to begin a chain.
///
/// # Safety
/// As for [`free_closed`]; the block is in use and its bin closed.
#[inline(never)]
unsafe fn free_begun(ptr: *mut u8, cache: &MCache, page: Page) {
    let begin = || {
        // SAFETY: the block is the caller's, and a live object of the page's span; the cache is
        // ready inside of `quick`.
        let begun = unsafe { cache.begin_untyped(&HEAP.tiers, page, ptr.cast()) };
        if begun {
            HEAP.after_free();
        }
        begun
    };
    if kept(|| nested::quick(cache, begin)) {
        clear_registers();
        nested::end_quick();
    } else {
        // SAFETY: a block in use is the caller's (contract of this function).
        unsafe { free_slow(ptr, cache) };
    }
}

/// # Safety
/// As for [`free`].
#[cold]
#[inline(never)]
unsafe fn free_slow(ptr: *mut u8, cache: &MCache) {
    if ptr.is_null() {
        return;
    }
    if is_nested(cache) {
        kept(|| nested::free(ptr));
        return;
    }
    let free = |cache: &'static MCache| {
        cache.learn_map(&HEAP.tiers);
        match HEAP.find("free", ptr) {
            // SAFETY: the block was found in use, so it is the caller's.
            Some((span, found)) => unsafe { free_found(cache, ptr, span, found) },
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
unsafe fn free_found(cache: &MCache, ptr: *mut u8, span: &'static MSpan, found: Found) {
    let block: *mut Block = ptr.cast();
    let bin = match found {
        Found::Small(class) => {
            HEAP.count_free(cache, Some(class), span.size());
            // SAFETY: the block is the caller's, and an object of its class.
            if unsafe { cache.bins.push(class, block) } {
                return;
            }
            Bin::Object(class)
        }
        Found::Large => {
            // A small object that was sampled was counted by its class.
            let class = if span.sample().0 { span.sampled_class() } else { None };
            HEAP.count_free(cache, class, span.size());
            end_sample(span);
            if span.keep() {
                misuse("free", ptr.addr(), span.size(), ALREADY_FREE);
            }
            // The object has at least the pages of its size's class.
            RunClass::serving(span.size(), 1).map_or(Bin::None, Bin::Run)
        }
    };
    // SAFETY: the block is the caller's, and fits the bin.
    unsafe { HEAP.put_back(cache, block, bin) };
}

/// C23's `free_sized`; with an alignment, `free_aligned_sized`. If the block cannot be one of a
/// request of `size` bytes at `align`, ends the process.
///
/// # Safety
/// As for [`free`].
pub unsafe fn free_sized(ptr: *mut u8, align: usize, size: usize) {
    if ptr.is_null() {
        return;
    }
    if let Some((span, found)) = HEAP.find("free_sized", ptr) {
        let fits = match found {
            Found::Small(class) => size <= class.size(),
            Found::Large => size <= large_usable(span) && usable_of(size.max(1)) >= span.size(),
        };
        if !fits || !ptr.addr().is_multiple_of(align.max(1)) {
            misuse(
                "free_sized",
                ptr.addr(),
                span.size(),
                "the size or the alignment differs from the request for this block",
            );
        }
    }
    // SAFETY: a block in use is the caller's (contract of this function).
    unsafe { free(ptr) };
}
