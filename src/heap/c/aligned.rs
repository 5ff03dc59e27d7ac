//! C's allocations at an alignment.

use super::malloc::{malloc_slow, sampled};
use super::{ALIGN, refuse};
use crate::heap::HEAP;
use crate::heap::serve::current;
use crate::mcache::c::clear_registers;
use crate::os::{PageSource, errno};
use crate::size_class::SizeClass;

/// Returns `size` bytes at a multiple of `align`. Sets `EINVAL` if `align` is not a power of two.
#[inline]
pub fn aligned_alloc(align: usize, size: usize) -> *mut u8 {
    if !align.is_power_of_two() {
        return refuse(libc::EINVAL);
    }
    alloc(align, size)
}

/// glibc's `memalign`: an alignment that is not a power of two counts as the next one.
pub fn memalign(align: usize, size: usize) -> *mut u8 {
    match align.max(ALIGN).checked_next_power_of_two() {
        Some(align) => alloc(align, size),
        None => refuse(libc::EINVAL),
    }
}

/// Returns `size` bytes at a multiple of the system's page. `whole`: rounds up to whole pages, and
/// to at least one.
pub fn page_aligned(size: usize, whole: bool) -> *mut u8 {
    let page = HEAP.tiers.mheap.os().page_size();
    let size = if whole {
        size.max(1).checked_next_multiple_of(page)
    } else {
        Some(size)
    };
    match size {
        Some(size) => alloc(page, size),
        None => refuse(libc::ENOMEM),
    }
}

/// `posix_memalign`: returns the block, or the error number. As in glibc, `errno` is set if there
/// is no memory, and otherwise kept.
///
/// # Errors
/// `EINVAL` if the alignment is not a power of two and a multiple of the size of a pointer;
/// `ENOMEM` if there is no memory.
pub fn posix_memalign(align: usize, size: usize) -> Result<*mut u8, i32> {
    if !align.is_power_of_two() || !align.is_multiple_of(size_of::<usize>()) {
        return Err(libc::EINVAL);
    }
    let block = errno::kept(|| alloc(align, size));
    if block.is_null() {
        errno::set(libc::ENOMEM);
        return Err(libc::ENOMEM);
    }
    Ok(block)
}

/// Returns `size` bytes at a multiple of `align`, a power of two; or null with `errno` set.
fn alloc(align: usize, size: usize) -> *mut u8 {
    let cache = current();
    let align = align.max(ALIGN);
    if let Some(class) = SizeClass::serving(size, align) {
        let block = HEAP.pop(cache, class);
        if !block.is_null() {
            clear_registers();
            if cache.sampler.count(size) {
                return sampled(size, align, cache, block.cast());
            }
            return block.cast();
        }
    }
    malloc_slow::<false>(size, align, cache)
}
