//! Sleeping on a word, and waking a sleeping thread.

use super::errno::KeepErrno;
use crate::sync::atomic::AtomicU32;

/// Sleeps while `word` holds `value`; may return early.
pub(crate) fn wait(word: &AtomicU32, value: u32) {
    wait_until(word, value, core::ptr::null());
}

/// Sleeps while `word` holds `value`, for at most `millis` milliseconds; may return early.
pub(crate) fn wait_for(word: &AtomicU32, value: u32, millis: u64) {
    let limit = libc::timespec {
        tv_sec: (millis / 1000).min(1 << 30) as _,
        tv_nsec: (millis % 1000 * 1_000_000) as libc::c_long,
    };
    wait_until(word, value, &raw const limit);
}

/// Sleeps up to `limit`, which is valid, or null for no limit.
fn wait_until(word: &AtomicU32, value: u32, limit: *const libc::timespec) {
    let _errno = KeepErrno::new();
    // SAFETY: the word is valid for the call. So is the limit, unless it is null, which means no
    // limit.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            core::ptr::from_ref(word),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            value,
            limit,
        )
    };
}

/// Wakes one thread that sleeps on `word`.
pub(crate) fn wake_one(word: &AtomicU32) {
    let _errno = KeepErrno::new();
    // SAFETY: the kernel only compares the address.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            core::ptr::from_ref(word),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            1,
        )
    };
}
