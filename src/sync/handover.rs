//! The handover of a thread's slow half: the thread owns it while it is active, and another thread,
//! the *keeper*, takes it over while the thread is idle.
//!
//! ```text
//!          begin           revoke             settle
//!   VOID ────────► OWNED ────────► REVOKED ───────────► PARKED
//!                  ▲  ▲               │                   │
//!                  │  └─ owner busy ──┘                   │
//!                  └────────────── take_back ─────────────┘
//! ```
//!
//! The owner enters before each slow operation and leaves after it: two plain stores and one load.
//! It executes no fence and no atomic read-modify-write. The keeper pays for both sides: between
//! `revoke` and `settle` it makes every processor that runs a thread of the process execute a
//! fence.
//!
//! - HANDOVER-1. Only the holder of the keeper's lock changes the state, except for `begin`. So the
//!   owner finds `OWNED` without the lock, and takes the lock in every other state.
//! - HANDOVER-2. The owner writes `busy` and then reads the state. The keeper writes the state and
//!   then reads `busy`. A fence stands between on both sides. So one of them sees what the other
//!   wrote: the owner turns to the lock, or the keeper leaves the owner alone.
//! - HANDOVER-3. The keeper uses a parked half only while it holds the lock.

use super::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use super::const_unless_loom;

/// No thread has the cache.
const VOID: u32 = 0;
/// The thread uses its slow half without a lock.
const OWNED: u32 = 1;
/// The keeper has not yet found out whether the owner is busy.
const REVOKED: u32 = 2;
/// The slow half belongs to the holder of the keeper's lock.
const PARKED: u32 = 3;

/// A slow operation that has begun.
#[must_use]
pub(crate) struct Entered {
    /// Whether it began inside another one.
    outer: bool,
}

/// The state of one thread's slow half.
pub(crate) struct Handover {
    state: AtomicU32,
    /// The owner is in a slow operation, or about to find out whether it may begin one.
    busy: AtomicBool,
}

/// The owner's side of the fence (HANDOVER-2): it only keeps the compiler from moving accesses. The
/// model checker has no fence that works on other threads, so there it is a fence.
#[inline(always)]
pub(crate) fn light_fence() {
    if super::broken!("handover_unfenced") {
        return;
    }
    if super::IS_MODEL {
        super::atomic::fence(super::atomic::Ordering::SeqCst);
    } else {
        core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
    }
}

impl Handover {
    const_unless_loom! {
        /// Returns the state of a half without an owner.
        pub(crate) fn new() -> Self {
            Self { state: AtomicU32::new(VOID), busy: AtomicBool::new(false) }
        }
    }

    /// Gives the half to the calling thread. No other thread reaches it yet.
    pub(crate) fn begin(&self) {
        self.state.store(OWNED, Relaxed);
    }

    /// Takes the half from the thread that ends, which has entered nothing.
    pub(crate) fn end(&self) {
        self.state.store(VOID, Relaxed);
    }

    /// Returns whether a thread has the half, parked or not.
    pub(crate) fn has_owner(&self) -> bool {
        self.state.load(Relaxed) != VOID
    }

    /// Returns whether the owner may go on without the lock, as of some moment.
    #[inline(always)]
    pub(crate) fn is_owned(&self) -> bool {
        self.state.load(Relaxed) == OWNED
    }

    /// Returns whether the half belongs to the holder of the lock. For the holder.
    pub(crate) fn is_parked(&self) -> bool {
        self.state.load(Relaxed) == PARKED
    }

    /// Begins a slow operation of the owner; such operations may nest. `None`: the owner must
    /// [`take_back`](Self::take_back) the half first, or there is no owner.
    #[inline(always)]
    pub(crate) fn enter(&self) -> Option<Entered> {
        let outer = self.busy.load(Relaxed);
        self.busy.store(true, Relaxed);
        light_fence();
        if self.is_owned() {
            return Some(Entered { outer });
        }
        self.busy.store(outer, Relaxed);
        None
    }

    /// Ends a slow operation of the owner.
    #[inline(always)]
    pub(crate) fn leave(&self, entered: Entered) {
        // Release: pairs with the Acquire in `settle`, for the operation's writes.
        self.busy.store(entered.outer, Release);
    }

    /// Gives the half back to its owner. The caller holds the lock.
    pub(crate) fn take_back(&self) {
        self.state.store(OWNED, Relaxed);
    }

    /// Begins to take the half over. The caller holds the lock, and executes a fence on all
    /// processors before it calls [`settle`](Self::settle). `false`: there is no owner, or the half
    /// is parked.
    pub(crate) fn revoke(&self) -> bool {
        let owned = self.is_owned();
        if owned {
            self.state.store(REVOKED, Relaxed);
        }
        owned
    }

    /// Takes the revoked half over, under the lock. `false`: its owner is busy and keeps it.
    pub(crate) fn settle(&self) -> bool {
        // Acquire: pairs with the Release in `leave`.
        let idle = !self.busy.load(Acquire);
        self.state.store(if idle { PARKED } else { OWNED }, Relaxed);
        idle
    }
}
