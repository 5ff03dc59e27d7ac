//! [`Lock`]: a mutex of four bytes that neither allocates nor panics and that a forked child can reset.
//!
//! - Owns: the value it guards.
//! - Callers: every module that has slow-path state; the fork handlers, through the three calls named after fork.
//! - Locks and ordering: taking the lock is an Acquire that pairs with the Release of the unlock before it. A waiter
//!   spins briefly, then sleeps in the kernel (`os::futex`), or yields where there is no futex.
//!
//! Invariants:
//! 1. The state is `FREE`, `HELD` (nobody sleeps), or `CONTENDED` (somebody may sleep).
//! 2. Only who turned the state away from `FREE` touches the value, until it turns the state back.
//! 3. A thread sleeps only while the state is `CONTENDED`, and an unlock that finds `CONTENDED` wakes one sleeper.

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

use super::atomic::{AtomicU32, Ordering};
use super::cell::{MutPtr, UnsafeCell};
use super::{const_unless_loom, spin_hint};

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// Pauses before a waiter sleeps: about the length of the critical sections here.
#[cfg(not(loom))]
const SPINS: u32 = 64;

/// A mutual-exclusion lock around a `T`. Not re-entrant: a second `lock` by the holder never returns.
pub(crate) struct Lock<T> {
    state: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the lock owns its value and hands out access one thread at a time (invariant 2); moving it moves the value.
unsafe impl<T: Send> Send for Lock<T> {}
// SAFETY: sharing the lock moves access to the value between threads one at a time (invariant 2), which is `T: Send`.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    const_unless_loom! {
        /// A free lock around `value`.
        pub(crate) const fn new(value: T) -> Self {
            Self { state: AtomicU32::new(FREE), value: UnsafeCell::new(value) }
        }
    }

    /// Takes the lock, waiting as long as another thread holds it.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.acquire();
        self.guard()
    }

    /// Takes the lock if nobody holds it.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        if self.try_acquire() { Some(self.guard()) } else { None }
    }

    /// Takes the lock without a guard; for the handler that runs before `fork`. It is given back by
    /// [`release_after_fork`](Self::release_after_fork) in the parent and by [`reset_in_child`](Self::reset_in_child)
    /// in the child.
    pub(crate) fn acquire_for_fork(&self) {
        self.acquire();
    }

    /// Gives back what [`acquire_for_fork`](Self::acquire_for_fork) took; for the handler in the parent.
    ///
    /// # Safety
    /// This thread holds the lock by `acquire_for_fork` and has not given it back.
    pub(crate) unsafe fn release_after_fork(&self) {
        self.release();
    }

    /// Makes the lock free, whoever held it; for the handler in the child.
    ///
    /// # Safety
    /// The process has one thread, no guard of this lock is alive in it, and the value is whole: the thread that forked
    /// held the lock by `acquire_for_fork`, or nobody did.
    pub(crate) unsafe fn reset_in_child(&self) {
        // Release: pairs with the Acquire of the next lock in the child, as an unlock would. Sleepers do not exist
        // here.
        self.state.store(FREE, Ordering::Release);
    }

    #[inline]
    fn guard(&self) -> Guard<'_, T> {
        Guard {
            lock: self,
            access: ManuallyDrop::new(self.value.get_mut()),
            not_send: PhantomData,
        }
    }

    #[inline]
    fn try_acquire(&self) -> bool {
        // Acquire: pairs with the Release of `release` and `reset_in_child`.
        self.state
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[inline]
    fn acquire(&self) {
        if !self.try_acquire() {
            self.acquire_contended();
        }
    }

    #[cfg(not(loom))]
    #[cold]
    fn acquire_contended(&self) {
        let mut spins = SPINS;
        while spins > 0 && self.state.load(Ordering::Relaxed) == HELD {
            spin_hint();
            spins -= 1;
        }
        if self.try_acquire() {
            return;
        }
        // Acquire: pairs with the Release of `release`. Taking a free lock as `CONTENDED` costs the unlock one needless
        // wake at the most and keeps invariant 3 without counting sleepers.
        while self.state.swap(CONTENDED, Ordering::Acquire) != FREE {
            crate::os::futex::wait(&self.state, CONTENDED);
        }
    }

    #[cfg(loom)]
    fn acquire_contended(&self) {
        while !self.try_acquire() {
            spin_hint();
        }
    }

    #[inline]
    fn release(&self) {
        // Release: pairs with the Acquire of `try_acquire` and `acquire_contended`.
        if self.state.swap(FREE, Ordering::Release) == CONTENDED {
            #[cfg(not(loom))]
            crate::os::futex::wake(&self.state);
        }
    }
}

/// Access to the value of a [`Lock`] that this thread holds; dropping it unlocks.
pub(crate) struct Guard<'a, T> {
    lock: &'a Lock<T>,
    access: ManuallyDrop<MutPtr<T>>,
    /// A raw pointer, so that the guard stays on the thread that took the lock.
    not_send: PhantomData<*mut T>,
}

// SAFETY: a shared guard gives only `&T`.
unsafe impl<T: Sync> Sync for Guard<'_, T> {}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this thread holds the lock (invariant 2) as long as the guard lives; `&self` admits no `&mut T`.
        unsafe { MutPtr::deref(&self.access) }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this thread holds the lock (invariant 2) as long as the guard lives; `&mut self` makes it the only
        // access.
        unsafe { MutPtr::deref(&self.access) }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: dropped here only, and not used after; the access must end before the lock is given back.
        unsafe { ManuallyDrop::drop(&mut self.access) };
        self.lock.release();
    }
}
