//! libgreyspan.so: exports C's `malloc` family for the greyspan heap, for `LD_PRELOAD` and for
//! linking.
//!
//! Owns nothing: each function here is one call of `greyspan::raw`, which documents it. Semantics
//! are those of POSIX.1-2024 and of glibc. The modules:
//!
//! - `cxx`: C++'s operators `new` and `delete`.
//! - `second`: glibc's second names for the `malloc` family.
//! - `report`: statistics, purging and the heap profile.
//! - `forks`, `loader`, `sandbox`: C functions that the heap must know about: `fork` handlers,
//!   `dlopen`, and the calls that install a seccomp filter.
//! - `unwind`: traps in place of libgcc's unwinder.
//!
//! Only `operator new` unwinds. All functions have an ABI that allows unwinding: with another ABI
//! the compiler would add code that aborts on unwinding, and with it the standard library's panic
//! reports.

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

/// C's `malloc`: returns a block of at least `size` bytes, aligned to 16, or null with `errno` set.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn malloc(size: usize) -> *mut c_void {
    raw::malloc(size).cast()
}

/// C's `calloc`: returns a zeroed block of `count` times `size` bytes, or null with `errno` set.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn calloc(count: usize, size: usize) -> *mut c_void {
    raw::calloc(count, size).cast()
}

/// C's `realloc`: returns a block of `size` bytes with the old content, or null with `errno` set
/// and the old block unchanged. For a null `ptr` it is `malloc`; for 0 bytes it is `free`, and
/// returns null.
///
/// # Safety
/// `ptr` is null or a block of this heap in use, which the caller alone uses.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn realloc(ptr: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: `ptr` is null or a block that the caller alone uses (contract of this function).
    unsafe { raw::realloc(ptr.cast(), size) }.cast()
}

/// Calls `realloc` with `count` times `size` bytes. Refuses a product that overflows, with
/// `ENOMEM`.
///
/// # Safety
/// As for [`realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn reallocarray(ptr: *mut c_void, count: usize, size: usize) -> *mut c_void {
    // A product that overflows saturates: no heap serves so much, so the block stays unchanged.
    // SAFETY: `ptr` is null or a block that the caller alone uses (contract of this function).
    unsafe { raw::realloc(ptr.cast(), count.saturating_mul(size)) }.cast()
}

/// C's `free`. Keeps `errno`.
///
/// # Safety
/// `ptr` is null or a block of this heap in use that no code uses any more. For most other pointers
/// the heap reports the misuse in one line on standard error and aborts the process.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn free(ptr: *mut c_void) {
    // SAFETY: `ptr` is null or a block that no code uses any more (contract of this function).
    unsafe { raw::free(ptr.cast()) };
}

/// The old name of [`free`].
///
/// # Safety
/// As for [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn cfree(ptr: *mut c_void) {
    // SAFETY: `ptr` is null or a block that no code uses any more (contract of this function).
    unsafe { raw::free(ptr.cast()) };
}

/// C23's `free_sized`: frees a block that was requested with `size` bytes. Another size that the
/// block cannot have aborts the process.
///
/// # Safety
/// As for [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn free_sized(ptr: *mut c_void, size: usize) {
    // SAFETY: `ptr` is null or a block that no code uses any more (contract of this function).
    unsafe { raw::free_sized(ptr.cast(), 1, size) };
}

/// C23's `free_aligned_sized`: frees a block that was requested with `size` bytes at a multiple of
/// `align`. Other values that the block cannot have abort the process.
///
/// # Safety
/// As for [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn free_aligned_sized(ptr: *mut c_void, align: usize, size: usize) {
    // SAFETY: `ptr` is null or a block that no code uses any more (contract of this function).
    unsafe { raw::free_sized(ptr.cast(), align, size) };
}

/// C's `aligned_alloc`: returns `size` bytes at a multiple of `align`, or null with `errno` set:
/// `EINVAL` if `align` is no power of two. `size` need not be a multiple of `align`.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    raw::aligned_alloc(align, size).cast()
}

/// glibc's `memalign`: as [`aligned_alloc`], but rounds `align` up to a power of two.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn memalign(align: usize, size: usize) -> *mut c_void {
    raw::memalign(align, size).cast()
}

/// POSIX's `posix_memalign`: stores the block at `place` and returns 0, or returns an error and
/// leaves `place` alone. `EINVAL`: `align` is no power of two or below 8. `ENOMEM`: no memory.
///
/// # Safety
/// `place` is valid for writing one pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn posix_memalign(place: *mut *mut c_void, align: usize, size: usize) -> c_int {
    match raw::posix_memalign(align, size) {
        Ok(block) => {
            // SAFETY: `place` is valid for writing one pointer (contract of this function).
            unsafe { place.write(block.cast()) };
            0
        }
        Err(error) => error,
    }
}

/// The old `valloc`: returns `size` bytes at a multiple of the system's page.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn valloc(size: usize) -> *mut c_void {
    raw::page_aligned(size, false).cast()
}

/// The old `pvalloc`: returns whole pages of the system, `size` bytes rounded up, at least one
/// page.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pvalloc(size: usize) -> *mut c_void {
    raw::page_aligned(size, true).cast()
}

/// Returns how many bytes at `ptr` the program may use: at least as many as it requested. 0 for
/// null.
///
/// # Safety
/// `ptr` is null or a block of this heap in use.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn malloc_usable_size(ptr: *mut c_void) -> usize {
    raw::usable_size(ptr.cast())
}
