//! The thread that forks: which thread it is, if any, and how many of its forks are under way at
//! once.
//!
//! From its first fork hook to its last, that thread holds the heap's locks and goes on using the
//! data that they guard ([`Lock`](super::lock::Lock) lends it to that thread). A signal handler may
//! interrupt a hook and call `fork` itself. So one word holds the whole state, and each step of a
//! hook may run again.
//!
//! - FORKER-1. The word is 0, or holds a thread and the number of its forks under way. While it is
//!   not 0, only that thread changes it, and no other thread begins a fork.
//! - FORKER-2. A nested fork restores the number before the outer one goes on. So neither sees the
//!   other's count.
//! - FORKER-3. While the outermost fork releases the locks, `CLOSING` is set. A fork nested in that
//!   phase releases all locks again at its end, because the outer fork may already be past locks
//!   that the inner one took again.

use super::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use super::{const_unless_loom, static_of};

/// The outermost fork is releasing the locks.
const CLOSING: u64 = 1;
/// One fork under way, of at most 2^15 - 1.
const FORK: u64 = 2;
/// Above these bits lies the thread's address. Its highest 16 bits are dropped: they are equal in
/// all threads.
const THREAD: u32 = 16;

/// The thread that forks.
pub(crate) struct Forker(AtomicU64);

/// How a fork treats the locks when it ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing: this thread never got the turn.
    Stranger,
    /// Nothing: the fork around this one holds the locks.
    Inner,
    /// Releases the locks; the fork around this one is releasing them too.
    Closing,
    /// Releases the locks, and then the turn.
    Last,
}

impl Forker {
    const_unless_loom! {
        /// Returns the state in which no thread forks.
        pub(crate) fn new() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    /// Returns whether the thread `me` forks.
    pub(crate) fn is(&self, me: u64) -> bool {
        // Relaxed: no other thread can have written this thread's number.
        self.0.load(Relaxed) >> THREAD == me << THREAD >> THREAD && self.is_any()
    }

    /// Returns whether some thread forks.
    pub(crate) fn is_any(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    /// Returns whether more than one fork is under way. For the thread that has the turn.
    pub(crate) fn is_nested(&self) -> bool {
        self.0.load(Relaxed) & 0xffff >= 2 * FORK
    }

    /// Begins a fork of the thread `me`. `false`: another thread forks.
    pub(crate) fn enter(&self, me: u64) -> bool {
        if self.is(me) {
            self.0.store(self.0.load(Relaxed) + FORK, Relaxed);
            return true;
        }
        // Acquire: pairs with the Release in `finish`.
        let first = me << THREAD | FORK;
        self.0.compare_exchange(0, first, Acquire, Relaxed).is_ok()
    }

    /// Ends a fork of the thread `me`.
    pub(crate) fn leave(&self, me: u64) -> Left {
        if !self.is(me) {
            return Left::Stranger;
        }
        let word = self.0.load(Relaxed);
        let (count, closing) = ((word & 0xffff) / FORK, word & CLOSING);
        if count == 1 {
            self.0.store(word | CLOSING, Relaxed);
            return Left::Last;
        }
        self.0.store(word - FORK, Relaxed);
        if count == 2 && closing != 0 {
            Left::Closing
        } else {
            Left::Inner
        }
    }

    /// Gives the turn back. The last fork of this thread has released the locks, or the caller is
    /// the only thread of a child.
    pub(crate) fn finish(&self) {
        // Release: pairs with the Acquire in `enter`.
        self.0.store(0, Release);
    }
}

static_of! {
    /// The state of this process.
    pub(crate) static FORKER: Forker = Forker::new();
}

#[cfg(all(test, not(greyspan_loom)))]
mod tests {
    use super::*;

    #[test]
    fn forks_of_one_thread_nest_and_keep_others_out() {
        let forker = Forker::new();
        assert!(forker.enter(7) && forker.enter(7) && forker.enter(7));
        assert!(!forker.enter(8) && forker.leave(8) == Left::Stranger);
        assert_eq!([forker.leave(7), forker.leave(7)], [Left::Inner, Left::Inner]);
        assert_eq!(forker.leave(7), Left::Last);
        assert!(!forker.enter(8), "the locks are not given back yet");
        forker.finish();
        assert!(forker.enter(8) && !forker.is(7));
    }

    #[test]
    fn a_fork_inside_of_the_end_of_another_gives_the_locks_back_once_more() {
        let forker = Forker::new();
        assert!(forker.enter(7));
        assert_eq!(forker.leave(7), Left::Last);
        assert!(forker.enter(7) && forker.enter(7));
        assert_eq!([forker.leave(7), forker.leave(7)], [Left::Inner, Left::Closing]);
        assert!(!forker.enter(8));
        forker.finish();
        assert!(forker.enter(8));
    }

    #[test]
    fn threads_are_told_apart_by_all_bits_that_addresses_have() {
        let forker = Forker::new();
        assert!(forker.enter(0x7fff_ffff_f740));
        assert!(forker.is(0x7fff_ffff_f740) && !forker.is(0x6fff_ffff_f740) && !forker.is(0));
    }
}
