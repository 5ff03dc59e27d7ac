//! The state word of one watcher thread. The watcher does some upkeep, sleeps while there is no
//! work, and is called when there is.
//!
//! ```text
//!          claim             lie_down
//!   NONE ────────► AWAKE ◄────────────► ASLEEP
//!     ▲              │ ▲     get_up        │
//!     └──── leave ───┘ └──── CALLED ◄──────┴── call (also from AWAKE)
//! ```
//!
//! The heap's background thread uses it. The word carries no data: the work is described under a
//! lock.
//!
//! - WATCH-1. The watcher first lies down, then takes the lock and looks for work. A caller adds
//!   work under the lock, then reads the word. So either the look finds the work, or the caller
//!   finds `ASLEEP`.
//! - WATCH-2. The same holds for `leave`: after it the watcher looks once more. If there is work,
//!   the watcher claims the word again.

use super::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use super::const_unless_loom;

/// There is no watcher.
const NONE: u32 = 0;
/// The watcher works, or sleeps for a limited time.
pub(crate) const AWAKE: u32 = 1;
/// The watcher sleeps without a limit.
pub(crate) const ASLEEP: u32 = 2;
/// The watcher looks for work as soon as it runs.
const CALLED: u32 = 3;
/// The watch is off: no watcher may start.
pub(crate) const OFF: u32 = 4;

/// The state of a watcher.
pub(crate) struct Watch(AtomicU32);

impl Watch {
    const_unless_loom! {
        /// Returns the state without a watcher.
        pub(crate) fn new() -> Self {
            Self(AtomicU32::new(NONE))
        }
    }

    /// Returns the word to sleep on: with a time limit while it is `AWAKE`, without one while it is
    /// `ASLEEP`.
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.0
    }

    /// Returns whether there is no watcher, and one may start.
    pub(crate) fn is_none(&self) -> bool {
        self.0.load(Relaxed) == NONE
    }

    /// Returns whether there is a watcher that works or sleeps for a limited time.
    pub(crate) fn is_awake(&self) -> bool {
        matches!(self.0.load(Relaxed), AWAKE | CALLED)
    }

    /// Returns whether the watch is off.
    pub(crate) fn is_off(&self) -> bool {
        self.0.load(Relaxed) == OFF
    }

    /// Returns whether the watcher sleeps without a limit. Relaxed: the lock orders this load and
    /// the watcher's last look (WATCH-1).
    pub(crate) fn is_asleep(&self) -> bool {
        self.0.load(Relaxed) == ASLEEP
    }

    /// Makes the calling thread the watcher, or the thread that starts one. `false`: there is a
    /// watcher, or the watch is off.
    pub(crate) fn claim(&self) -> bool {
        // Acquire: pairs with the Release in `leave`, for the last watcher's writes.
        self.0.compare_exchange(NONE, AWAKE, Acquire, Relaxed).is_ok()
    }

    /// Ends the watcher, or gives up a claim that led to no watcher. `work` takes the lock and
    /// looks for work. `false`: there is work and the caller is the watcher again, or the watch is
    /// off.
    pub(crate) fn leave(&self, work: impl Fn() -> bool) -> bool {
        let blind = super::broken!("watch_leaves_blindly");
        if blind && work() {
            return false;
        }
        // Release: pairs with the Acquire in `claim`.
        let left = self
            .0
            .fetch_update(Release, Relaxed, |state| (state != OFF).then_some(NONE));
        left.is_ok() && (blind || !(work() && self.claim()))
    }

    /// Prepares the watcher to sleep without a limit. `work` takes the lock and looks for work.
    /// `false`: there is work, or the watcher was called.
    pub(crate) fn lie_down(&self, work: impl Fn() -> bool) -> bool {
        let blind = super::broken!("watch_looks_first");
        if blind && work() {
            return false;
        }
        // Relaxed: the look that follows takes the lock (WATCH-1).
        if self.0.compare_exchange(AWAKE, ASLEEP, Relaxed, Relaxed).is_err() {
            return false;
        }
        if !blind && work() {
            self.get_up();
            return false;
        }
        true
    }

    /// Notes that the watcher runs again. Returns whether it was called.
    pub(crate) fn get_up(&self) -> bool {
        // Relaxed: the work is described under a lock.
        let woken = self.0.fetch_update(Relaxed, Relaxed, |state| {
            matches!(state, ASLEEP | CALLED).then_some(AWAKE)
        });
        woken == Ok(CALLED)
    }

    /// Tells the watcher, if there is one, to look for work now. Returns whether the caller must
    /// wake it by a system call.
    pub(crate) fn call(&self) -> bool {
        // Relaxed: the work is described under a lock.
        self.0
            .fetch_update(Relaxed, Relaxed, |state| {
                matches!(state, AWAKE | ASLEEP).then_some(CALLED)
            })
            .is_ok()
    }

    /// Turns the watch off. Returns whether there is a watcher; it ends when it runs next, and the
    /// caller wakes it.
    pub(crate) fn turn_off(&self) -> bool {
        // Acquire: pairs with the Release in `leave`, for the last watcher's writes.
        matches!(self.0.swap(OFF, Acquire), AWAKE | ASLEEP | CALLED)
    }

    /// Turns the watch off, unless there is a watcher.
    pub(crate) fn rule_out(&self) {
        // Relaxed: if another thread has just claimed the word, there is a watcher.
        let _ = self.0.compare_exchange(NONE, OFF, Relaxed, Relaxed);
    }

    /// Forgets the parent's watcher, in the child after `fork`. Writes only if the state changes.
    pub(crate) fn forget(&self) {
        if !matches!(self.0.load(Relaxed), OFF | NONE) {
            self.0.store(NONE, Relaxed);
        }
    }
}
