//! A lock of four bytes that allocates nothing, is fair enough, and can be reset in a fork child.
//!
//! The algorithm is mutex 2 of Drepper, "Futexes Are Tricky" (2011): free, held, or held while some
//! thread may sleep. A short spin comes first. The standard library's locks do not serve, because a
//! child cannot force them open.
//!
//! - LOCK-1. A thread that forks holds each lock, with the bit `FORK` set, from before the fork
//!   until after it. Other libraries' fork handlers may call the heap in that thread meanwhile.
//!   Such a call borrows the value and leaves the lock unchanged.
//! - LOCK-2. The bit is set in the same step that takes the lock. So a signal handler that
//!   interrupts the thread and forks never finds a lock that its thread holds without the bit.

use super::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use super::forker::FORKER;
use super::{IS_MODEL, const_unless_loom, spin_hint};
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Beside `HELD`: some thread may sleep.
const WAITED: u32 = 2;
/// Beside `HELD`: the thread that forks holds the lock (LOCK-1).
const FORK: u32 = 4;

/// How often a thread looks at a held lock before it sleeps.
const SPINS: u32 = if IS_MODEL { 1 } else { 64 };

/// A value that one thread at a time may reach.
pub(crate) struct Lock<T> {
    state: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value moves between threads with the lock, and only its holder reaches it.
unsafe impl<T: Send> Sync for Lock<T> {}
// SAFETY: owning the lock is owning the value.
unsafe impl<T: Send> Send for Lock<T> {}

/// The right to reach the value. Releases the lock when dropped. Stays in its thread.
pub(crate) struct Guard<'a, T> {
    lock: &'a Lock<T>,
    /// The thread has held the lock since it forked, and keeps it after this guard.
    lent: bool,
    stays: PhantomData<*mut ()>,
}

impl<T> Lock<T> {
    const_unless_loom! {
        /// Returns a free lock around `value`.
        pub(crate) fn new(value: T) -> Self {
            Self { state: AtomicU32::new(FREE), value: UnsafeCell::new(value) }
        }
    }

    /// Waits for the lock.
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        let lent = !self.try_acquire(HELD) && self.acquire_slow();
        Guard {
            lock: self,
            lent: lent && !super::broken!("lent_given_back"),
            stays: PhantomData,
        }
    }

    #[inline]
    fn try_acquire(&self, held: u32) -> bool {
        // Acquire: pairs with the Release in `release`.
        self.state.compare_exchange(FREE, held, Acquire, Relaxed).is_ok()
    }

    /// Waits for the lock. `true`: the lock is lent, because this thread holds it for a fork
    /// (LOCK-1).
    #[cold]
    fn acquire_slow(&self) -> bool {
        for _ in 0..SPINS {
            let state = self.state.load(Relaxed);
            if is_lent(state) {
                return true;
            }
            if state == FREE && self.try_acquire(HELD) {
                return false;
            }
            spin_hint();
        }
        loop {
            let state = self.state.load(Relaxed);
            if is_lent(state) {
                return true;
            }
            if state == FREE {
                // With WAITED: this thread cannot know that no other thread sleeps.
                if self.try_acquire(HELD | WAITED) {
                    return false;
                }
            } else if self.say_waiting(state) {
                wait(&self.state, state | WAITED);
            }
        }
    }

    /// Notes in the held lock that a thread sleeps. `false`: the lock has changed since it read as
    /// `state`.
    fn say_waiting(&self, state: u32) -> bool {
        state & WAITED != 0
            || self
                .state
                .compare_exchange(state, state | WAITED, Relaxed, Relaxed)
                .is_ok()
    }

    #[inline]
    fn release(&self) {
        // Release: pairs with the Acquire in `try_acquire`.
        if self.state.swap(FREE, Release) & WAITED != 0 {
            wake_one(&self.state);
        }
    }

    /// Takes the lock without a guard, before a fork of this thread, which has the turn of
    /// [`FORKER`]. If the thread holds the lock for a fork already, nothing changes. If the
    /// `patience` ends first, the thread goes on without the lock.
    pub(crate) fn hold_for_fork(&self, patience: &mut Patience) {
        let mut held = HELD | FORK;
        loop {
            let state = self.state.load(Relaxed);
            if state & FORK != 0 {
                return;
            }
            if state == FREE {
                if self.try_acquire(held) {
                    return;
                }
            } else if self.say_waiting(state) {
                held |= WAITED;
                if !patience.wait(&self.state, state | WAITED) {
                    return;
                }
            }
        }
    }

    /// Releases a lock taken by [`hold_for_fork`](Self::hold_for_fork). Does nothing if the lock is
    /// not held that way.
    ///
    /// # Safety
    /// The caller is the thread that has the turn of [`FORKER`], and does not use the value any
    /// more.
    pub(crate) unsafe fn release_after_fork(&self) {
        if self.state.load(Relaxed) & FORK != 0 {
            self.release();
        }
    }

    /// Frees the lock, whichever thread holds it. `keep`: makes it this thread's instead, for an
    /// outer fork that goes on in the child.
    ///
    /// # Safety
    /// The caller is the only thread of a new fork child. The value is at rest, or the call that
    /// changes it continues in this thread before any other call reads it.
    pub(crate) unsafe fn reset_in_child(&self, keep: bool) {
        let state = if keep { HELD | FORK } else { FREE };
        // A page that is not written stays shared with the parent. Relaxed: the child has one
        // thread.
        if self.state.load(Relaxed) != state {
            self.state.store(state, Relaxed);
        }
    }
}

/// Returns whether this thread holds the lock, which reads as `state`, since it forked.
fn is_lent(state: u32) -> bool {
    state & FORK != 0 && FORKER.is(crate::os::fork::me())
}

/// How long a thread that forks waits for locks.
pub(crate) struct Patience {
    /// Milliseconds left; `None`: no limit.
    left: Option<u32>,
}

impl Patience {
    /// Waits without limit.
    pub(crate) fn endless() -> Self {
        Self { left: None }
    }

    /// Waits 30 ms. For a thread that may be waiting for itself, because it has interrupted a call
    /// of the heap. Threads hold locks far shorter than that, unless they wait for that call.
    pub(crate) fn short() -> Self {
        Self { left: Some(30) }
    }

    /// Waits for a change of `word` while it holds `value`; may return early. `false`: the patience
    /// has ended.
    fn wait(&mut self, word: &AtomicU32, value: u32) -> bool {
        if self.left.is_some() {
            return self.wait_briefly(word, value);
        }
        wait(word, value);
        true
    }

    /// Does what [`wait`](Self::wait) does, for at most a millisecond.
    pub(crate) fn wait_briefly(&mut self, word: &AtomicU32, value: u32) -> bool {
        match &mut self.left {
            None => {}
            Some(0) => return false,
            Some(left) => *left -= 1,
        }
        wait_briefly(word, value);
        true
    }
}

// In a model, a thread that waits gives way to the others.

fn wait_briefly(word: &AtomicU32, value: u32) {
    if IS_MODEL {
        spin_hint();
    } else {
        crate::os::futex::wait_for(word, value, 1);
    }
}

fn wait(state: &AtomicU32, value: u32) {
    if IS_MODEL {
        spin_hint();
    } else {
        crate::os::futex::wait(state, value);
    }
}

fn wake_one(state: &AtomicU32) {
    if !IS_MODEL {
        crate::os::futex::wake_one(state);
    }
}

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
        if !self.lent {
            self.lock.release();
        }
    }
}

#[cfg(all(test, not(greyspan_loom)))]
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
        assert!(!lock.try_acquire(HELD));
        assert!(!lock.try_acquire(HELD), "a try that fails must leave the lock held");
        drop(guard);
        assert!(lock.try_acquire(HELD));
    }

    #[test]
    fn a_thread_that_may_wait_for_itself_forks_without_the_lock() {
        let lock = Lock::new(());
        let guard = lock.lock();
        lock.hold_for_fork(&mut Patience { left: Some(2) });
        // SAFETY: nothing uses the value; the lock is not held for a fork.
        unsafe { lock.release_after_fork() };
        assert!(!lock.try_acquire(HELD), "the guard still has it");
        drop(guard);
        assert!(lock.try_acquire(HELD));
    }
}
