//! [`KeepErrno`]: an allocator must not be seen in `errno`, so every call into libc stands under this guard.
//!
//! - Owns: the value that `errno` had.
//! - Callers: the modules of `os`.
//! - Locks and ordering: none; `errno` belongs to the thread.
//!
//! Invariants:
//! 1. After the guard is dropped, `errno` is what it was when the guard was made.

/// Restores `errno` on drop.
pub(crate) struct KeepErrno {
    #[cfg(unix)]
    saved: libc::c_int,
}

impl KeepErrno {
    /// Remembers `errno` as it is now.
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(unix)]
            saved: get(),
        }
    }
}

impl Drop for KeepErrno {
    #[inline]
    fn drop(&mut self) {
        #[cfg(unix)]
        set(self.saved);
    }
}

/// The address of this thread's `errno`.
#[cfg(unix)]
#[inline]
fn location() -> *mut libc::c_int {
    #[cfg(any(
        target_os = "linux",
        target_os = "emscripten",
        target_os = "hurd",
        target_os = "dragonfly"
    ))]
    // SAFETY: takes no argument and returns a pointer that is valid as long as the thread lives.
    return unsafe { libc::__errno_location() };
    #[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
    // SAFETY: takes no argument and returns a pointer that is valid as long as the thread lives.
    return unsafe { libc::__errno() };
    #[cfg(any(target_os = "freebsd", target_vendor = "apple"))]
    // SAFETY: takes no argument and returns a pointer that is valid as long as the thread lives.
    return unsafe { libc::__error() };
    #[cfg(any(target_os = "solaris", target_os = "illumos"))]
    // SAFETY: takes no argument and returns a pointer that is valid as long as the thread lives.
    return unsafe { libc::___errno() };
}

/// This thread's `errno`.
#[cfg(unix)]
#[inline]
pub(crate) fn get() -> libc::c_int {
    // SAFETY: `location` is valid for reads on this thread.
    unsafe { *location() }
}

/// Sets this thread's `errno`.
#[cfg(unix)]
#[inline]
pub(crate) fn set(value: libc::c_int) {
    // SAFETY: `location` is valid for writes on this thread.
    unsafe { *location() = value }
}
