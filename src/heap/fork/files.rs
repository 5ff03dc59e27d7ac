//! The lock of the C library's list of open files. `fork` takes it after our locks, and a thread
//! that holds it may wait for one that allocates. It is recursive.

use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};

unsafe extern "C" {
    fn _IO_list_lock();
    fn _IO_list_unlock();
    fn _IO_list_resetlock();
}

/// How often the forking thread has taken the lock. Relaxed: written only under the lock.
static TAKEN: AtomicU32 = AtomicU32::new(0);

pub(super) fn lock() {
    // SAFETY: takes a recursive lock.
    unsafe { _IO_list_lock() };
    TAKEN.store(TAKEN.load(Relaxed) + 1, Relaxed);
}

/// Releases the lock. Does nothing if a child, of a fork inside this one, has reset it.
pub(super) fn unlock() {
    if let Some(left) = TAKEN.load(Relaxed).checked_sub(1) {
        TAKEN.store(left, Relaxed);
        // SAFETY: the thread took it before it forked.
        unsafe { _IO_list_unlock() };
    }
}

pub(super) fn reset() {
    TAKEN.store(0, Relaxed);
    // SAFETY: the child has no other thread.
    unsafe { _IO_list_resetlock() };
}
