//! Helpers for the standard library's locks, which the collector's threads and the drop thread wait
//! on. A panic of another thread poisons none of them.

use crate::sync::blocking::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Locks `mutex`.
pub(crate) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits on `condvar` until `deadline` at the latest. Returns `false` if the deadline has passed.
pub(crate) fn wait_by<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    deadline: Option<Instant>,
) -> (MutexGuard<'a, T>, bool) {
    let Some(deadline) = deadline else {
        return (condvar.wait(guard).unwrap_or_else(PoisonError::into_inner), true);
    };
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return (guard, false);
    }
    let woken = condvar.wait_timeout(guard, left);
    (woken.unwrap_or_else(PoisonError::into_inner).0, true)
}
