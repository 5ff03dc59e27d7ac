//! The `GREYSPAN_*` variables of the environment, read by hand: `std::env` allocates.
//!
//! - Owns: nothing; the text belongs to the process.
//! - Callers: `options`, once, when the heap starts.
//! - Locks and ordering: none. Like `getenv` in any C library, a reading relies on nobody changing the environment at
//!   that moment; `std::env::set_var` is `unsafe` for exactly that.
//!
//! Invariants:
//! 1. A process that gained privileges (`AT_SECURE`) has no variables here: its caller must not steer its allocator.
//! 2. What is yielded begins with `GREYSPAN_`, is split at the first `=`, and is borrowed for the reading only.

use core::ffi::{CStr, c_char};
use core::ptr;

#[cfg(test)]
mod tests;

const PREFIX: &[u8] = b"GREYSPAN_";

/// Calls `read` with the variables of this process, as pairs of name and value in the order of the environment.
pub(crate) fn with_pairs<R>(read: impl FnOnce(Pairs<'_>) -> R) -> R {
    let block = if is_privileged() { ptr::null() } else { environment() };
    // SAFETY: the block is null or the process's environment, and stays as it is meanwhile: see "Locks and ordering".
    read(unsafe { Pairs::new(block) })
}

/// The `GREYSPAN_*` variables of one environment block.
pub(crate) struct Pairs<'a> {
    /// Null, or the next entry of a block that ends with a null entry.
    next: *const *const c_char,
    text: core::marker::PhantomData<&'a [u8]>,
}

impl Pairs<'_> {
    /// The variables of `block`.
    ///
    /// # Safety
    /// `block` is null or leads to pointers to C strings, the last one null; all of it is unchanged during `'a`.
    unsafe fn new(block: *const *const c_char) -> Self {
        Self {
            next: block,
            text: core::marker::PhantomData,
        }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.next.is_null() {
            // SAFETY: `next` is at an entry of the block, the null entry at its end included (contract of `new`).
            let entry = unsafe { *self.next };
            if entry.is_null() {
                break;
            }
            self.next = self.next.wrapping_add(1);
            // SAFETY: an entry that is not null is a C string, unchanged during `'a` (contract of `new`).
            let text: &'a [u8] = unsafe { CStr::from_ptr(entry) }.to_bytes();
            if !text.starts_with(PREFIX) {
                continue;
            }
            let Some(equals) = text.iter().position(|&byte| byte == b'=') else {
                continue;
            };
            if let (Some(name), Some(value)) = (text.get(..equals), text.get(equals + 1..)) {
                return Some((name, value));
            }
        }
        None
    }
}

/// The environment block of this process, or null where there is no way to it without allocating.
fn environment() -> *const *const c_char {
    #[cfg(all(unix, not(target_vendor = "apple")))]
    {
        unsafe extern "C" {
            /// The C library's environment (POSIX).
            static environ: *const *const c_char;
        }
        // SAFETY: the C library defines the variable, and it holds the block once the process runs.
        unsafe { environ }
    }
    #[cfg(target_vendor = "apple")]
    {
        // SAFETY: takes no argument and returns the address of the variable that holds the block.
        let place = unsafe { libc::_NSGetEnviron() };
        // SAFETY: the address is valid as long as the process runs.
        unsafe { *place }.cast_const().cast()
    }
    #[cfg(not(unix))]
    ptr::null()
}

/// Whether the process runs with more rights than its caller has (set-user-id, capabilities).
fn is_privileged() -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let _keep = super::errno::KeepErrno::new();
        // SAFETY: takes any number and touches no memory of ours.
        unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
    }
    #[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
    {
        // SAFETY: takes no argument and cannot fail.
        let user = unsafe { libc::getuid() };
        // SAFETY: takes no argument and cannot fail.
        let effective_user = unsafe { libc::geteuid() };
        // SAFETY: takes no argument and cannot fail.
        let group = unsafe { libc::getgid() };
        // SAFETY: takes no argument and cannot fail.
        let effective_group = unsafe { libc::getegid() };
        user != effective_user || group != effective_group
    }
    #[cfg(not(unix))]
    false
}
