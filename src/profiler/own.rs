//! What the profiler itself allocates, which is in no profile.
//!
//! Owns a count for each thread. `snapshot` and what writes profiles work inside of [`unsampled`],
//! and so do the console's threads.

#![forbid(unsafe_code)]

use core::cell::Cell;

std::thread_local! {
    /// Calls of [`unsampled`] that the thread is in.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Whether the calling thread's allocations are the profiler's own. Allocates nothing.
pub(super) fn is_own() -> bool {
    DEPTH.get() != 0
}

/// One call of [`unsampled`]; ends also where that unwinds.
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

/// Does `work`, and samples nothing that this thread allocates meanwhile. The thread's draws go on:
/// what comes behind is sampled with the chance that it would have had.
///
/// For the console, which would else be in the profiles that it shows.
#[doc(hidden)]
pub fn unsampled<R>(work: impl FnOnce() -> R) -> R {
    let _inside = Inside::new();
    work()
}
