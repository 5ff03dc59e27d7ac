//! Sleeping on a word, and waking who sleeps.

use super::errno::KeepErrno;
use crate::sync::atomic::AtomicU32;

/// Sleeps while `word` holds `value`; may return early.
pub(crate) fn wait(word: &AtomicU32, value: u32) {
    let _errno = KeepErrno::new();
    let none = core::ptr::null::<libc::timespec>();
    // SAFETY: the word is valid for the call; a null timeout means none.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            core::ptr::from_ref(word),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            value,
            none,
        )
    };
}

/// Wakes one thread that sleeps on `word`.
pub(crate) fn wake_one(word: &AtomicU32) {
    let _errno = KeepErrno::new();
    // SAFETY: the address is only compared by the kernel.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            core::ptr::from_ref(word),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            1,
        )
    };
}
