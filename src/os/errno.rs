//! Keeps `errno`: POSIX.1-2024 asks that `free` leaves it alone, and a system call made inside must not show.

/// Puts `errno` back to what it was, when dropped.
pub(crate) struct KeepErrno(i32);

fn place() -> *mut i32 {
    // SAFETY: always callable; gives the address of the calling thread's `errno`.
    unsafe { libc::__errno_location() }
}

impl KeepErrno {
    /// Remembers `errno`.
    pub(crate) fn new() -> Self {
        // SAFETY: the place is valid for the calling thread.
        Self(unsafe { place().read() })
    }

    /// What `errno` is now.
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

/// What `f` gives, with `errno` as it was before. For an `f` that does not unwind, in places where the compiler shall not prepare for that.
#[cfg(feature = "preload")]
pub(crate) fn kept<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: the place is valid for the calling thread.
    let before = unsafe { place().read() };
    let result = f();
    // SAFETY: as above; it is the same thread.
    unsafe { place().write(before) };
    result
}

/// The calling thread's `errno`.
#[cfg(feature = "preload")]
pub(crate) fn now() -> i32 {
    // SAFETY: the place is valid for the calling thread.
    unsafe { place().read() }
}

/// The calling thread's `errno`, for tests.
#[cfg(test)]
pub(super) fn get() -> i32 {
    // SAFETY: the place is valid for the calling thread.
    unsafe { place().read() }
}

/// Sets the calling thread's `errno`.
#[cfg(any(test, feature = "preload"))]
pub(crate) fn set(value: i32) {
    // SAFETY: the place is valid for the calling thread.
    unsafe { place().write(value) };
}
