//! The hook on thread exit: a pthread key whose destructor the C library calls with a thread's value.
//!
//! - Owns: nothing; a key lives as long as the process.
//! - Callers: `heap`, which makes one key, and sets it once per thread that allocates.
//! - Locks and ordering: none.
//!
//! When a thread ends, glibc runs the destructors of `thread_local!` values first, then those of pthread keys, in the
//! order of the keys, and repeats up to `PTHREAD_DESTRUCTOR_ITERATIONS` (4) rounds while any value is not null. So
//! other keys' destructors may allocate and free after ours; ours may set its own value again to be called in the next
//! round, but not for ever. The thread that calls `exit`, or returns from `main`, runs no key destructor at all.
//!
//! Invariants:
//! 1. [`set`] does not allocate for a key below 32: glibc keeps those values inside the thread's own record. Later
//!    keys go through a block that glibc allocates with `calloc` on the thread's first `set`, which may come back into
//!    us.

use core::ffi::c_void;

#[cfg(all(test, unix))]
mod tests;

/// A destructor, called with the value of the thread that ends.
pub(crate) type Destructor = unsafe extern "C" fn(*mut c_void);

/// A key under which each thread keeps one pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    #[cfg(unix)]
    raw: libc::pthread_key_t,
}

impl Key {
    /// Whether [`set`] may allocate (invariant 1); true where nothing is known.
    #[cfg(unix)]
    pub(crate) fn may_allocate(self) -> bool {
        !cfg!(all(target_os = "linux", target_env = "gnu")) || self.raw >= 32
    }
}

/// A new key; each thread's value is null until it is set, and `destructor` is called with values that are not null.
/// `None`: the process has no key left, or the system has no such hook.
#[cfg(unix)]
pub(crate) fn create_key(destructor: Destructor) -> Option<Key> {
    let _keep = super::errno::KeepErrno::new();
    let mut raw: libc::pthread_key_t = 0;
    // SAFETY: `raw` is live and filled by the call; the destructor is a function of this crate.
    let refused = unsafe { libc::pthread_key_create(&raw mut raw, Some(destructor)) };
    if refused == 0 { Some(Key { raw }) } else { None }
}

/// Sets this thread's value. False: the system had no memory for it, and the destructor will not be called.
#[cfg(unix)]
pub(crate) fn set(key: Key, value: *mut c_void) -> bool {
    let _keep = super::errno::KeepErrno::new();
    // SAFETY: the key was made by `create_key` and is never deleted.
    unsafe { libc::pthread_setspecific(key.raw, value) == 0 }
}

/// None: there is no such hook here.
#[cfg(not(unix))]
pub(crate) fn create_key(_destructor: Destructor) -> Option<Key> {
    None
}

/// False: there is no such hook here.
#[cfg(not(unix))]
pub(crate) fn set(_key: Key, _value: *mut c_void) -> bool {
    false
}
