//! Exports the second names that glibc has, or had, for the functions of C's `malloc` family.
//!
//! Programs call them to bypass a `malloc` that they define themselves. They pass the blocks to
//! `free` all the same, so both must belong to one heap.

use core::ffi::{c_int, c_void};

/// As [`malloc`](crate::malloc).
#[unsafe(no_mangle)]
pub extern "C-unwind" fn __libc_malloc(size: usize) -> *mut c_void {
    crate::malloc(size)
}

/// As [`calloc`](crate::calloc).
#[unsafe(no_mangle)]
pub extern "C-unwind" fn __libc_calloc(count: usize, size: usize) -> *mut c_void {
    crate::calloc(count, size)
}

/// As [`realloc`](crate::realloc).
///
/// # Safety
/// As for that function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __libc_realloc(ptr: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: this function has the contract of the one that it calls.
    unsafe { crate::realloc(ptr, size) }
}

/// As [`reallocarray`](crate::reallocarray).
///
/// # Safety
/// As for that function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __libc_reallocarray(ptr: *mut c_void, count: usize, size: usize) -> *mut c_void {
    // SAFETY: this function has the contract of the one that it calls.
    unsafe { crate::reallocarray(ptr, count, size) }
}

/// As [`free`](crate::free).
///
/// # Safety
/// As for that function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __libc_free(ptr: *mut c_void) {
    // SAFETY: this function has the contract of the one that it calls.
    unsafe { crate::free(ptr) };
}

/// As [`memalign`](crate::memalign).
#[unsafe(no_mangle)]
pub extern "C-unwind" fn __libc_memalign(align: usize, size: usize) -> *mut c_void {
    crate::memalign(align, size)
}

/// As [`valloc`](crate::valloc).
#[unsafe(no_mangle)]
pub extern "C-unwind" fn __libc_valloc(size: usize) -> *mut c_void {
    crate::valloc(size)
}

/// As [`pvalloc`](crate::pvalloc).
#[unsafe(no_mangle)]
pub extern "C-unwind" fn __libc_pvalloc(size: usize) -> *mut c_void {
    crate::pvalloc(size)
}

/// As [`posix_memalign`](crate::posix_memalign).
///
/// # Safety
/// As for that function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __posix_memalign(place: *mut *mut c_void, align: usize, size: usize) -> c_int {
    // SAFETY: this function has the contract of the one that it calls.
    unsafe { crate::posix_memalign(place, align, size) }
}
