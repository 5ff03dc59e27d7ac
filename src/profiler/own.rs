//! Keeps the profiler's own allocations out of the profiles.
//!
//! It owns a count per thread. `snapshot` and the writers of profiles work inside of [`unsampled`],
//! and so do the console's threads.

#![forbid(unsafe_code)]

use core::cell::Cell;

std::thread_local! {
    /// The number of calls of [`unsampled`] that the thread is in.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Returns whether the calling thread's allocations are the profiler's own. Allocates nothing.
pub(super) fn is_own() -> bool {
    DEPTH.get() != 0
}

/// One call of [`unsampled`]. It also ends when the call unwinds.
struct Inside;

impl Inside {
    fn new() -> Self {
        DEPTH.set(DEPTH.get().saturating_add(1));
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get().saturating_sub(1));
    }
}

/// Runs `work` and returns its result. Allocations of this thread meanwhile are not sampled.
///
/// The thread's draws go on, so later allocations are sampled with the same probability as without
/// the call. The console uses it, to stay out of the profiles that it shows.
///
/// # Panics
/// Panics if `work` panics. Sampling continues then.
#[doc(hidden)]
#[allow(unreachable_pub, reason = "it is public with the feature `profiling`")]
pub fn unsampled<R>(work: impl FnOnce() -> R) -> R {
    let _inside = Inside::new();
    work()
}
