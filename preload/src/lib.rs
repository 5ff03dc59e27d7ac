//! libgreyspan.so: the names of C's `malloc` family for the greyspan heap, for `LD_PRELOAD` and for linking.
//!
//! Owns nothing: a function here is one call of `greyspan::raw`, which says what it does. Semantics
//! are those of POSIX.1-2024 and of glibc. `cxx` has C++'s operators, `second` the names that glibc
//! has beside C's, `report` what tells about the heap, `sandbox` what tells the heap of a filter.
//! No function unwinds but `operator new`; their ABI allows it all the same, because code that
//! aborts where something unwinds would bring the standard library's reports with it.

pub mod cxx;
#[cfg(target_env = "gnu")]
pub mod forks;
#[cfg(all(target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub mod loader;
pub mod report;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub mod sandbox;
pub mod second;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod unwind;

use core::ffi::{c_int, c_void};
use heap::raw;

/// C's `malloc`.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn malloc(size: usize) -> *mut c_void {
    raw::malloc(size).cast()
}

/// C's `calloc`.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn calloc(count: usize, size: usize) -> *mut c_void {
    raw::calloc(count, size).cast()
}

/// C's `realloc`.
///
/// # Safety
/// `ptr` is null or a block of this heap that is in use, which the caller alone uses.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn realloc(ptr: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: as the caller promised.
    unsafe { raw::realloc(ptr.cast(), size) }.cast()
}

/// `realloc` to `count` times `size` bytes.
///
/// # Safety
/// As for [`realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn reallocarray(ptr: *mut c_void, count: usize, size: usize) -> *mut c_void {
    // More than there is where the product overflows: refused, with the block as it was.
    // SAFETY: as the caller promised.
    unsafe { raw::realloc(ptr.cast(), count.saturating_mul(size)) }.cast()
}

/// C's `free`.
///
/// # Safety
/// `ptr` is null or a block of this heap that is in use, and nobody uses it any more. Most other pointers end the process.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn free(ptr: *mut c_void) {
    // SAFETY: as the caller promised.
    unsafe { raw::free(ptr.cast()) };
}

/// The old name of `free`.
///
/// # Safety
/// As for [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn cfree(ptr: *mut c_void) {
    // SAFETY: as the caller promised.
    unsafe { raw::free(ptr.cast()) };
}

/// `free` of a block that was asked for with `size` bytes.
///
/// # Safety
/// As for [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn free_sized(ptr: *mut c_void, size: usize) {
    // SAFETY: as the caller promised.
    unsafe { raw::free_sized(ptr.cast(), 1, size) };
}

/// `free` of a block that was asked for with `size` bytes at a multiple of `align`.
///
/// # Safety
/// As for [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn free_aligned_sized(ptr: *mut c_void, align: usize, size: usize) {
    // SAFETY: as the caller promised.
    unsafe { raw::free_sized(ptr.cast(), align, size) };
}

/// C's `aligned_alloc`.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    raw::aligned_alloc(align, size).cast()
}

/// glibc's `memalign`.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn memalign(align: usize, size: usize) -> *mut c_void {
    raw::memalign(align, size).cast()
}

/// POSIX's `posix_memalign`.
///
/// # Safety
/// `place` is valid for a pointer to be written.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn posix_memalign(place: *mut *mut c_void, align: usize, size: usize) -> c_int {
    match raw::posix_memalign(align, size) {
        Ok(block) => {
            // SAFETY: as the caller promised.
            unsafe { place.write(block.cast()) };
            0
        }
        Err(error) => error,
    }
}

/// `size` bytes at a multiple of the system's page.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn valloc(size: usize) -> *mut c_void {
    raw::page_aligned(size, false).cast()
}

/// Whole pages of the system.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pvalloc(size: usize) -> *mut c_void {
    raw::page_aligned(size, true).cast()
}

/// Bytes that may be used behind `ptr`.
///
/// # Safety
/// `ptr` is null or a block of this heap that is in use.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn malloc_usable_size(ptr: *mut c_void) -> usize {
    raw::usable_size(ptr.cast())
}
