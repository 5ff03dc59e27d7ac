//! The word of one thread that looks after something, sleeps while there is nothing to do, and is
//! called when there is.
//!
//! ```text
//!          claim             lie_down
//!   NONE ────────► AWAKE ◄────────────► ASLEEP
//!     ▲              │ ▲     get_up        │
//!     └──── leave ───┘ └──── CALLED ◄──────┴── call (also from AWAKE)
//! ```
//!
//! Owned by the background thread of the heap. The word carries no data: what there is to do lies
//! under a lock.
//!
//! - WATCH-1. The watcher lies down first and then takes the lock and looks. A caller changes the
//!   matter under the lock and then reads the word. So either the look finds the change, or the
//!   caller finds ASLEEP.
//! - WATCH-2. The same holds for `leave`: the watcher looks once more after it, and claims the word
//!   again if there is work.

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
/// The watcher looks as soon as it runs.
const CALLED: u32 = 3;
/// There shall be no watcher.
pub(crate) const OFF: u32 = 4;

/// The state of a watcher.
pub(crate) struct Watch(AtomicU32);

impl Watch {
    const_unless_loom! {
        /// There is no watcher yet.
        pub(crate) fn new() -> Self {
            Self(AtomicU32::new(NONE))
        }
    }

    /// The word to sleep on: while it is `AWAKE`, with a limit, or `ASLEEP`.
    #[cfg(not(loom))]
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.0
    }

    /// Whether there is no watcher, and one may come.
    pub(crate) fn is_none(&self) -> bool {
        self.0.load(Relaxed) == NONE
    }

    /// Whether there is a watcher that does not sleep, or not for long.
    #[cfg(not(loom))]
    pub(crate) fn is_awake(&self) -> bool {
        matches!(self.0.load(Relaxed), AWAKE | CALLED)
    }

    /// Whether there shall be no watcher.
    #[cfg(not(loom))]
    pub(crate) fn is_off(&self) -> bool {
        self.0.load(Relaxed) == OFF
    }

    /// Whether the watcher sleeps without a limit. Relaxed: the lock orders this against the
    /// watcher's last look (WATCH-1).
    pub(crate) fn is_asleep(&self) -> bool {
        self.0.load(Relaxed) == ASLEEP
    }

    /// The calling thread makes the watcher, or is it. `false`: there is one, or there shall be
    /// none.
    pub(crate) fn claim(&self) -> bool {
        // Acquire: pairs with the Release in `leave`, so that what the last watcher wrote comes
        // before.
        self.0.compare_exchange(NONE, AWAKE, Acquire, Relaxed).is_ok()
    }

    /// The watcher, or the thread that claimed the word in vain, is about to end. `work` takes the
    /// lock and looks. `false`: there is work, and the caller is the watcher again; or the watch
    /// was turned off.
    pub(crate) fn leave(&self, work: impl Fn() -> bool) -> bool {
        let blind = cfg!(greyspan_broken = "watch_leaves_blindly");
        if blind && work() {
            return false;
        }
        // Release: pairs with the Acquire in `claim`.
        let left = self
            .0
            .fetch_update(Release, Relaxed, |state| (state != OFF).then_some(NONE));
        left.is_ok() && (blind || !(work() && self.claim()))
    }

    /// The watcher is about to sleep without a limit. `work` takes the lock and looks. `false`:
    /// there is work, or the watcher was called.
    pub(crate) fn lie_down(&self, work: impl Fn() -> bool) -> bool {
        let blind = cfg!(greyspan_broken = "watch_looks_first");
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

    /// The watcher runs again. Returns whether it was called.
    pub(crate) fn get_up(&self) -> bool {
        // Relaxed: the work lies under a lock.
        let woken = self.0.fetch_update(Relaxed, Relaxed, |state| {
            matches!(state, ASLEEP | CALLED).then_some(AWAKE)
        });
        woken == Ok(CALLED)
    }

    /// The watcher, if there is one, is to look now. Returns whether its sleep is to be ended by
    /// the system.
    pub(crate) fn call(&self) -> bool {
        // Relaxed: as in `get_up`.
        self.0
            .fetch_update(Relaxed, Relaxed, |state| {
                matches!(state, AWAKE | ASLEEP).then_some(CALLED)
            })
            .is_ok()
    }

    /// There shall be no watcher. Returns whether there is one, which ends when it runs next; the
    /// caller wakes it.
    #[cfg(not(loom))]
    pub(crate) fn turn_off(&self) -> bool {
        // Acquire: pairs with the Release in `leave`, as in `claim`.
        matches!(self.0.swap(OFF, Acquire), AWAKE | ASLEEP | CALLED)
    }

    /// There shall be no watcher, unless there is one.
    #[cfg(not(loom))]
    pub(crate) fn rule_out(&self) {
        // Relaxed: if another thread has just claimed the word, there is one.
        let _ = self.0.compare_exchange(NONE, OFF, Relaxed, Relaxed);
    }

    /// After `fork`, in the child: the watcher is the parent's. Nothing is written where nothing
    /// changes.
    #[cfg(not(loom))]
    pub(crate) fn forget(&self) {
        if !matches!(self.0.load(Relaxed), OFF | NONE) {
            self.0.store(NONE, Relaxed);
        }
    }
}
