//! The backlog of a heap's drop thread, and how long a thread that enters the heap waits for it.
//!
//! - BEHIND-1. A thread waits only while drops end. If none ends within `patience`, it goes on, and
//!   no thread waits until the next drop ends.
//! - BEHIND-2. The patience shrinks after a wait in vain and grows after a successful one. So a
//!   drop that needs a lock of the waiting thread costs little.
//! - BEHIND-3. No wait is longer than [`LONGEST`]. A destructor or cleanup never waits for others.

use crate::sync::tally::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use core::cell::Cell;
use std::time::{Duration, Instant};

/// The longest wait of one `enter`.
const LONGEST: Duration = Duration::from_secs(2);
/// The bounds of the patience.
const MOST_PATIENCE: Duration = Duration::from_millis(500);
const LEAST_PATIENCE: Duration = Duration::from_micros(200);

thread_local! {
    /// The number of the heap whose drops and cleanups the thread runs at this moment. 0: none.
    pub(crate) static DROPPING: Cell<u64> = const { Cell::new(0) };
}

/// Returns the number of the heap whose destructor or cleanup makes this call. 0: none does.
pub(crate) fn dropping() -> u64 {
    DROPPING.get()
}

/// The work that waits for a drop thread.
pub(crate) struct Behind {
    bytes: AtomicUsize,
    /// Drops and cleanups that ended.
    done: AtomicU64,
    /// The value of `done` plus one when a thread last waited in vain (BEHIND-1).
    stuck: AtomicU64,
    /// Nanoseconds.
    patience: AtomicU64,
}

impl Behind {
    pub(crate) fn new() -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            done: AtomicU64::new(0),
            stuck: AtomicU64::new(0),
            patience: AtomicU64::new(MOST_PATIENCE.as_nanos() as u64),
        }
    }

    /// Returns the bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn remove(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    /// Counts one drop or cleanup that has ended.
    pub(crate) fn advance(&self) {
        self.done.fetch_add(1, Relaxed);
    }

    /// Begins a wait of the calling thread.
    pub(crate) fn wait(&self) -> Wait<'_> {
        let now = Instant::now();
        Wait {
            behind: self,
            begun: now,
            done: self.done.load(Relaxed),
            since: now,
        }
    }
}

/// One wait.
pub(crate) struct Wait<'a> {
    behind: &'a Behind,
    begun: Instant,
    /// Drops that had ended by `since`.
    done: u64,
    since: Instant,
}

impl Wait<'_> {
    /// Returns whether the thread should wait on.
    pub(crate) fn is_worth_it(&mut self) -> bool {
        if self.behind.bytes() == 0 || self.begun.elapsed() >= LONGEST || dropping() != 0 {
            return false;
        }
        let done = self.behind.done.load(Relaxed);
        if done != self.done {
            (self.done, self.since) = (done, Instant::now());
            return true;
        }
        if self.behind.stuck.load(Relaxed) == done + 1 {
            return false;
        }
        let patience = Duration::from_nanos(self.behind.patience.load(Relaxed));
        let lasts = self.since.elapsed() < patience;
        if !lasts {
            self.behind.stuck.store(done + 1, Relaxed);
            self.set_patience(patience / 4);
        }
        lasts
    }

    /// Ends the wait because the thread has nothing left to wait for.
    pub(crate) fn succeed(self) {
        let patience = Duration::from_nanos(self.behind.patience.load(Relaxed));
        if patience < MOST_PATIENCE {
            self.set_patience(patience * 2);
        }
    }

    fn set_patience(&self, patience: Duration) {
        let patience = patience.clamp(LEAST_PATIENCE, MOST_PATIENCE);
        self.behind.patience.store(patience.as_nanos() as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_waits_for_drops_that_end_and_for_no_others() {
        let behind = Behind::new();
        assert!(!behind.wait().is_worth_it(), "nothing waits");
        behind.add(1);
        let mut wait = behind.wait();
        assert!(wait.is_worth_it());
        behind.patience.store(0, Relaxed);
        assert!(!wait.is_worth_it(), "no drop has ended");
        behind.patience.store(u64::MAX, Relaxed);
        assert!(!behind.wait().is_worth_it(), "none has ended since");
        behind.advance();
        assert!(behind.wait().is_worth_it());
        behind.remove(1);
        assert!(!behind.wait().is_worth_it());
    }

    #[test]
    fn patience_in_vain_shrinks_and_other_patience_grows() {
        let behind = Behind::new();
        behind.add(1);
        let patience = || Duration::from_nanos(behind.patience.load(Relaxed));
        for _ in 0..20 {
            behind.advance();
            let mut wait = behind.wait();
            // The wait then looks as long as `MOST_PATIENCE`.
            wait.since = wait.begun.checked_sub(MOST_PATIENCE).expect("a clock that runs");
            assert!(!wait.is_worth_it());
        }
        assert_eq!(patience(), LEAST_PATIENCE);
        (0..20).for_each(|_| behind.wait().succeed());
        assert_eq!(patience(), MOST_PATIENCE);
    }

    #[test]
    fn a_destructor_does_not_wait_for_drops() {
        let behind = Behind::new();
        behind.add(1);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                DROPPING.set(1);
                behind.wait().is_worth_it()
            });
            assert!(!waits.join().expect("the thread's answer"));
        });
    }
}
