//! Which guards of [`GcLock`](super::GcLock)s the thread holds: in debug builds, so that a thread
//! that would wait for itself says so instead. In release builds nothing is kept and nothing is
//! looked for.
//!
//! - A guard stays in its thread, so the list is the thread's own.
//! - A guard that is leaked stays in the list. Its lock stays locked too. The list is asked only
//!   about a lock that is held.

#![forbid(unsafe_code)]

/// One guard that the thread holds.
pub(crate) struct Held {
    #[cfg(all(debug_assertions, not(loom)))]
    lock: usize,
}

#[cfg(all(debug_assertions, not(loom)))]
mod list {
    use super::Held;
    use core::cell::RefCell;

    thread_local! {
        /// Address of the lock, and whether the guard writes.
        static GUARDS: RefCell<Vec<(usize, bool)>> = const { RefCell::new(Vec::new()) };
    }

    impl Held {
        /// The thread has got a guard of `lock`.
        pub(crate) fn new<L>(lock: &L, writes: bool) -> Self {
            let lock = core::ptr::from_ref(lock).addr();
            // A thread that ends keeps no list.
            let _ = GUARDS.try_with(|guards| guards.borrow_mut().push((lock, writes)));
            Self { lock }
        }

        /// `lock` is held, and the thread is about to wait for it.
        ///
        /// # Panics
        /// If the thread holds it itself.
        pub(crate) fn before_waiting<L>(lock: &L, to: &str) {
            let lock = core::ptr::from_ref(lock).addr();
            let own = GUARDS.try_with(|guards| guards.borrow().iter().rev().find(|guard| guard.0 == lock).copied());
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
impl Held {
    /// The thread has got a guard.
    #[inline(always)]
    pub(crate) fn new<L>(_: &L, _writes: bool) -> Self {
        Self {}
    }

    /// The thread is about to wait.
    #[inline(always)]
    pub(crate) fn before_waiting<L>(_: &L, _to: &str) {}
}
