//! Which guards of [`GcLock`](super::GcLock)s the thread holds: in debug builds, so that a thread
//! that would wait for itself says so instead. In release builds nothing is kept and nothing is
//! looked for.
//!
//! - A guard stays in its thread, so the list is the thread's own.
//! - A guard that is leaked stays in the list. Its lock stays locked too, but it may die, and
//!   another may lie at its address. So a lock has a number, which is never used again. The list is
//!   asked only about a lock that is held.

#![forbid(unsafe_code)]

/// Which lock it is.
pub(crate) struct Number {
    #[cfg(all(debug_assertions, not(loom)))]
    number: u64,
}

/// One guard that the thread holds.
pub(crate) struct Held {
    #[cfg(all(debug_assertions, not(loom)))]
    lock: u64,
}

#[cfg(all(debug_assertions, not(loom)))]
mod list {
    use super::{Held, Number};
    use crate::sync::tally::{AtomicU64, Ordering::Relaxed};
    use core::cell::RefCell;

    thread_local! {
        /// Number of the lock, and whether the guard writes.
        static GUARDS: RefCell<Vec<(u64, bool)>> = const { RefCell::new(Vec::new()) };
    }

    impl Number {
        /// The number of a new lock.
        pub(crate) fn new() -> Self {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            // Relaxed: no two locks get the same.
            let number = NEXT.fetch_add(1, Relaxed);
            Self { number }
        }
    }

    impl Held {
        /// The thread has got a guard of `lock`.
        pub(crate) fn new(lock: &Number, writes: bool) -> Self {
            let lock = lock.number;
            // A thread that ends keeps no list.
            let _ = GUARDS.try_with(|guards| guards.borrow_mut().push((lock, writes)));
            Self { lock }
        }

        /// `lock` is held, and the thread is about to wait for it.
        ///
        /// # Panics
        /// If the thread holds it itself.
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

#[cfg(not(all(debug_assertions, not(loom))))]
impl Number {
    /// The number of a new lock.
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self {}
    }
}

#[cfg(not(all(debug_assertions, not(loom))))]
impl Held {
    /// The thread has got a guard.
    #[inline(always)]
    pub(crate) fn new(_: &Number, _writes: bool) -> Self {
        Self {}
    }

    /// The thread is about to wait.
    #[inline(always)]
    pub(crate) fn before_waiting(_: &Number, _to: &str) {}
}
