//! Preserves `errno`. POSIX.1-2024 requires that `free` keeps it, so a system call inside must not
//! change it.

/// Restores `errno` when dropped.
pub(crate) struct KeepErrno(i32);

fn place() -> *mut i32 {
    // SAFETY: always callable; returns the address of the calling thread's `errno`.
    unsafe { libc::__errno_location() }
}

impl KeepErrno {
    /// Saves `errno`.
    pub(crate) fn new() -> Self {
        // SAFETY: the place is valid for the calling thread.
        Self(unsafe { place().read() })
    }

    /// Returns the current `errno`.
    pub(super) fn now(&self) -> i32 {
        // SAFETY: the place is valid for the calling thread.
        unsafe { place().read() }
    }
}

impl Drop for KeepErrno {
    fn drop(&mut self) {
        // SAFETY: the place is valid for the calling thread.
        unsafe { place().write(self.0) };
    }
}

/// Returns the result of `f` and restores `errno`. `f` must not unwind: this is for places where
/// the compiler shall add no code for unwinding.
pub(crate) fn kept<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: the place is valid for the calling thread.
    let before = unsafe { place().read() };
    let result = f();
    // SAFETY: the place is valid for the calling thread, which has not changed.
    unsafe { place().write(before) };
    result
}

/// Returns the calling thread's `errno`.
pub(crate) fn now() -> i32 {
    // SAFETY: the place is valid for the calling thread.
    unsafe { place().read() }
}

/// Returns the calling thread's `errno`, for tests.
#[cfg(test)]
pub(super) fn get() -> i32 {
    // SAFETY: the place is valid for the calling thread.
    unsafe { place().read() }
}

/// Sets the calling thread's `errno`.
pub(crate) fn set(value: i32) {
    // SAFETY: the place is valid for the calling thread.
    unsafe { place().write(value) };
}
