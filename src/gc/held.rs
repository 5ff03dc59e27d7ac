//! The list of [`GcLock`](super::GcLock) guards that the thread holds. It exists in debug builds
//! only: there a thread that would wait for its own guard panics. Release builds keep no list and
//! check nothing.
//!
//! - A guard stays in its thread, so each thread keeps its own list.
//! - A leaked guard stays in the list. Its lock stays locked, but the lock's object may die and
//!   another may lie at its address. So each lock has a number that is never used again.
//! - Only a lock that is held at the moment is looked up in the list.

#![forbid(unsafe_code)]

/// The identity of a lock.
pub(crate) struct Number {
    #[cfg(all(debug_assertions, not(greyspan_loom)))]
    number: u64,
}

/// One guard that the thread holds.
pub(crate) struct Held {
    #[cfg(all(debug_assertions, not(greyspan_loom)))]
    lock: u64,
}

#[cfg(all(debug_assertions, not(greyspan_loom)))]
mod list {
    use super::{Held, Number};
    use crate::sync::tally::{AtomicU64, Ordering::Relaxed};
    use core::cell::RefCell;

    thread_local! {
        /// The number of the lock, and whether the guard writes.
        static GUARDS: RefCell<Vec<(u64, bool)>> = const { RefCell::new(Vec::new()) };
    }

    impl Number {
        /// Makes the number of a new lock.
        pub(crate) fn new() -> Self {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            // Relaxed: the addition alone makes the number unique.
            let number = NEXT.fetch_add(1, Relaxed);
            Self { number }
        }
    }

    impl Held {
        /// Notes that the thread has got a guard of `lock`.
        pub(crate) fn new(lock: &Number, writes: bool) -> Self {
            let lock = lock.number;
            // A thread that ends keeps no list, so the error is ignored.
            let _ = GUARDS.try_with(|guards| guards.borrow_mut().push((lock, writes)));
            Self { lock }
        }

        /// Checks, before the thread waits for the held `lock`, that the thread does not hold it
        /// itself.
        ///
        /// # Panics
        /// If the thread holds the lock itself.
        pub(crate) fn before_waiting(lock: &Number, to: &str) {
            let is_of = |guard: &&(u64, bool)| guard.0 == lock.number;
            let own = GUARDS.try_with(|guards| guards.borrow().iter().rev().find(is_of).copied());
            if let Ok(Some((_, writes))) = own {
                let holds = if writes { "writing" } else { "reading" };
                panic!(
                    "greyspan::gc: deadlock: this thread would wait to {to} a GcLock whose guard for {holds} it holds itself; \
                     drop that guard first, or use `try_write` or `try_read`"
                );
            }
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            let _ = GUARDS.try_with(|guards| {
                let mut guards = guards.borrow_mut();
                if let Some(at) = guards.iter().rposition(|guard| guard.0 == self.lock) {
                    guards.remove(at);
                }
            });
        }
    }
}

#[cfg(not(all(debug_assertions, not(greyspan_loom))))]
impl Number {
    /// Makes the identity of a new lock.
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self {}
    }
}

#[cfg(not(all(debug_assertions, not(greyspan_loom))))]
impl Held {
    /// Notes that the thread has got a guard. In release builds does nothing.
    #[inline(always)]
    pub(crate) fn new(_: &Number, _writes: bool) -> Self {
        Self {}
    }

    /// Checks before the thread waits. In release builds does nothing.
    #[inline(always)]
    pub(crate) fn before_waiting(_: &Number, _to: &str) {}
}
