//! A lock of four bytes: allocation-free, fair enough, and one that a `fork` child can make new.
//!
//! After Drepper, "Futexes Are Tricky" (2011), mutex 2: 0 free, 1 held, 2 held and somebody may sleep. A short spin comes first. The
//! standard library's locks are ruled out because a child cannot force them open.

use super::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use super::{const_unless_loom, spin_hint};
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// Looks at a held lock before the thread goes to sleep.
const SPINS: u32 = if cfg!(loom) { 1 } else { 64 };

/// A value that one thread at a time may reach.
pub(crate) struct Lock<T> {
    state: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value moves between threads with the lock, and only its holder reaches it.
unsafe impl<T: Send> Sync for Lock<T> {}
// SAFETY: owning the lock is owning the value.
unsafe impl<T: Send> Send for Lock<T> {}

/// The right to reach the value; gives the lock back when dropped. Stays in its thread.
pub(crate) struct Guard<'a, T> {
    lock: &'a Lock<T>,
    stays: PhantomData<*mut ()>,
}

impl<T> Lock<T> {
    const_unless_loom! {
        /// A free lock around `value`.
        pub(crate) fn new(value: T) -> Self {
            Self { state: AtomicU32::new(FREE), value: UnsafeCell::new(value) }
        }
    }

    /// Waits for the lock.
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.acquire();
        Guard {
            lock: self,
            stays: PhantomData,
        }
    }

    #[inline]
    fn try_acquire(&self) -> bool {
        // Acquire: pairs with the Release in `release`.
        self.state.compare_exchange(FREE, HELD, Acquire, Relaxed).is_ok()
    }

    #[inline]
    fn acquire(&self) {
        if !self.try_acquire() {
            self.acquire_slow();
        }
    }

    #[cold]
    fn acquire_slow(&self) {
        for _ in 0..SPINS {
            if self.state.load(Relaxed) == FREE && self.try_acquire() {
                return;
            }
            spin_hint();
        }
        // Acquire: pairs with the Release in `release`. CONTENDED, because this thread cannot know that it slept alone.
        while self.state.swap(CONTENDED, Acquire) != FREE {
            wait(&self.state, CONTENDED);
        }
    }

    #[inline]
    fn release(&self) {
        // Release: pairs with the Acquires above.
        if self.state.swap(FREE, Release) == CONTENDED {
            wake_one(&self.state);
        }
    }

    /// Takes the lock without a guard, before `fork`.
    pub(crate) fn acquire_for_fork(&self) {
        self.acquire();
    }

    /// The value under a lock taken by [`acquire_for_fork`](Self::acquire_for_fork).
    ///
    /// # Safety
    /// This thread took it so, and has not given it back; it has no other reference to the value meanwhile.
    #[expect(clippy::mut_from_ref, reason = "the lock is held")]
    pub(crate) unsafe fn held(&self) -> &mut T {
        // SAFETY: as the caller promised.
        unsafe { &mut *self.value.get() }
    }

    /// Gives back a lock taken by [`acquire_for_fork`](Self::acquire_for_fork).
    ///
    /// # Safety
    /// This thread took it so, and has not given it back.
    pub(crate) unsafe fn release_after_fork(&self) {
        self.release();
    }

    /// Makes the lock free, whoever holds it.
    ///
    /// # Safety
    /// This is the only thread of a process just forked, and the value is at rest: its parent held the lock by
    /// [`acquire_for_fork`](Self::acquire_for_fork).
    pub(crate) unsafe fn reset_in_child(&self) {
        // Relaxed: there is no other thread.
        self.state.store(FREE, Relaxed);
    }
}

#[cfg(not(loom))]
fn wait(state: &AtomicU32, value: u32) {
    crate::os::futex::wait(state, value);
}

#[cfg(not(loom))]
fn wake_one(state: &AtomicU32) {
    crate::os::futex::wake_one(state);
}

#[cfg(loom)]
fn wait(_: &AtomicU32, _: u32) {
    spin_hint();
}

#[cfg(loom)]
fn wake_one(_: &AtomicU32) {}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: this thread holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this thread holds the lock, and the guard is borrowed uniquely.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.lock.release();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_of_many_threads_add_up() {
        static TOTAL: Lock<u64> = Lock::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20_000).for_each(|_| *TOTAL.lock() += 1));
            }
        });
        assert_eq!(*TOTAL.lock(), 80_000);
    }

    #[test]
    fn a_held_lock_is_not_had_twice() {
        let lock = Lock::new(());
        let guard = lock.lock();
        assert!(!lock.try_acquire());
        assert!(!lock.try_acquire(), "a try that fails must leave the lock held");
        drop(guard);
        assert!(lock.try_acquire());
    }
}
