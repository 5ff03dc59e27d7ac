//! C's `realloc`.

use super::find::Found;
use super::free::free;
use super::malloc::{finish, malloc};
use super::nested::{alone, is_nested};
use super::usable::{large_usable, usable_elsewhere};
use super::{ALIGN, refuse, spare};
use crate::base::geometry::{PAGE, REQUEST_MAX};
use crate::heap::HEAP;
use crate::heap::serve::current;
use crate::mcache::MCache;
use crate::mcache::c::clear_registers;
use crate::mspan::MSpan;
use crate::os;
use crate::os::errno::kept;
use crate::size_class::SizeClass;
use core::alloc::Layout;
use core::ptr::null_mut;

/// C's `realloc`, as in glibc: with null it acts as `malloc`; with 0 bytes it frees the block and
/// returns null.
///
/// # Safety
/// If `ptr` points to a block of the heap that is not free, only the caller uses it.
#[inline]
pub unsafe fn realloc(ptr: *mut u8, size: usize) -> *mut u8 {
    if ptr.is_null() {
        return malloc(size);
    }
    if size == 0 {
        // SAFETY: only the caller uses the block, and it gives the block up.
        unsafe { free(ptr) };
        return null_mut();
    }
    // SAFETY: only the caller uses the block (contract of this function).
    unsafe { resize(ptr, size) }
}

/// Gives the block at `ptr` `size` bytes, at least 1, perhaps elsewhere, and returns it. Returns
/// null with `errno` set if there is no memory; then the old block is untouched.
///
/// # Safety
/// If `ptr` points to a block of this heap that is not free, the caller alone uses it.
unsafe fn resize(ptr: *mut u8, size: usize) -> *mut u8 {
    if size > REQUEST_MAX {
        return refuse(libc::ENOMEM);
    }
    let Some((span, found)) = HEAP.find("realloc", ptr) else {
        return leave_foreign(ptr, size);
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
            if SizeClass::serving(size, ALIGN).is_none() && !is_small && !is_nested(current()) {
                // SAFETY: the block is the caller's (contract of this function), and the new
                // size has no class.
                return unsafe { resize_large(ptr, span, size) };
            }
            large_usable(span)
        }
    };
    let begun = if size > old && SizeClass::serving(size, ALIGN).is_none() {
        malloc_begun(size)
    } else {
        null_mut()
    };
    let new = if begun.is_null() { malloc(size) } else { begun };
    if !new.is_null() {
        // SAFETY: both blocks have so many bytes, and the new one is this call's.
        unsafe { new.copy_from_nonoverlapping(ptr, old.min(size)) };
        // SAFETY: the caller gets the new block and gives the old one up.
        unsafe { free(ptr) };
    }
    new
}

/// Allocates a large block for an object that has just outgrown the classes, where it can go on
/// growing. Returns null if no such place lies idle.
#[cold]
#[inline(never)]
fn malloc_begun(size: usize) -> *mut u8 {
    if is_nested(current()) {
        return null_mut();
    }
    let begin = |cache: &'static MCache| {
        let block = HEAP.alloc_begun(cache, size, ALIGN);
        if !block.is_null() {
            finish(block, size, ALIGN, true);
        }
        block
    };
    let block = kept(|| alone(begin));
    clear_registers();
    block
}

/// Resizes a large object, which stays large. Returns null with `errno` set if there is no memory.
///
/// # Safety
/// `ptr` points to the large object of `span`, which the caller alone uses; `size` has no class.
unsafe fn resize_large(ptr: *mut u8, span: &'static MSpan, size: usize) -> *mut u8 {
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
            Ok(layout) => unsafe { HEAP.realloc(cache, ptr, layout, size) },
            Err(_) => null_mut(),
        };
        if !new.is_null() {
            finish(new, size, align, false);
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

/// Moves memory that another allocator handed out to a block of this heap, as far as its length is
/// known. The other allocator's memory stays, unless it is `spare`'s.
fn leave_foreign(ptr: *mut u8, size: usize) -> *mut u8 {
    let new = malloc(size);
    if !new.is_null() {
        let bytes = usable_elsewhere(ptr).min(size);
        // SAFETY: the other allocator says that so many bytes may be used, and the new block is
        // this call's.
        unsafe { new.copy_from_nonoverlapping(ptr, bytes) };
        kept(|| spare::release(ptr));
    }
    new
}
