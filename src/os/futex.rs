//! Sleeping on a word of memory and waking who sleeps there: Linux's futex, or a yield where there is none.
//!
//! - Owns: nothing.
//! - Callers: `sync::lock` only.
//! - Locks and ordering: no order of its own; the caller's operations on the word carry it.
//!
//! Invariants:
//! 1. `wait` may return at any time for no reason; the caller tests its word again.
//! 2. Both calls keep `errno`.

use super::errno::KeepErrno;
use crate::sync::unmodeled::AtomicU32;

/// Sleeps until [`wake`], if `word` still holds `expected` when the kernel looks.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn wait(word: &AtomicU32, expected: u32) {
    let _keep = KeepErrno::new();
    let no_timeout: *const libc::timespec = core::ptr::null();
    // SAFETY: `word` is a live, aligned word of four bytes; a null timeout means none; the kernel only reads the word.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            expected,
            no_timeout,
        )
    };
}

/// Wakes one thread that sleeps in [`wait`] on `word`.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn wake(word: &AtomicU32) {
    let _keep = KeepErrno::new();
    // SAFETY: the kernel takes the address as a name and does not access the word.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            1,
        )
    };
}

/// Lets other threads run.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn wait(_word: &AtomicU32, _expected: u32) {
    let _keep = KeepErrno::new();
    std::thread::yield_now();
}

/// Nothing: who waits only yields.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn wake(_word: &AtomicU32) {}
