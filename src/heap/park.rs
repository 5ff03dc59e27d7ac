//! Parking: the *keeper* takes the caches of idle threads over and gives back what they hold.
//!
//! A thread that sleeps cannot give its memory back. So another thread does it: the background
//! thread once in each purge delay, or a thread that asks for all memory back. It holds the late
//! lock while it does so.
//!
//! ```text
//!  all caches: revoke ── one fence everywhere ── settle ─┬─► parked ─┬─► at rest: gives up all
//!                                                       │           └─► else: keeps it
//!                                                       └─► its thread is busy: keeps it
//! ```
//!
//! An operation of the fast path enters nothing, so one may be under way in a thread that was
//! interrupted in it. A thread *at rest* is in none ([`os::rest`]). Any other thread gets its cache
//! back untouched.
//!
//! - PARK-1. A thread takes its cache back under the late lock. The keeper reclaims one cache at a
//!   time under it, and lets the lock go in between. So a thread that wakes waits for one cache at
//!   most.
//! - PARK-2. A cache that was reclaimed stays parked until its thread needs it. So a thread that
//!   sleeps on costs the keeper nothing more.

use super::registry::{Late, Registry};
use super::thread::{current, park, stays_parked, unpark, unparked};
use crate::events::PurgeCause;
use crate::mcache::{Activity, MCache};
use crate::os;
use crate::os::rest::Handlers;
use crate::size_class::SizeClass;
use crate::tiers::Tiers;

/// Milliseconds that a thread must have been idle before the keeper parks it.
const IDLE_MILLIS: u64 = 500;

/// The threads whose caches the keeper takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    /// Those that have hardly run since the last look.
    Idle,
    /// All that are in no slow operation, but the caller.
    All,
}

/// The outcome of a look.
pub(super) struct Parked {
    /// Another look, later, may find more idle threads.
    pub(super) active: bool,
    /// Bytes that went back out of spans with live objects.
    pub(super) bytes: usize,
}

impl Registry {
    /// Parks the caches of threads and reclaims them, and gives back the pages of spans that hold
    /// no live object, because of `cause`. A process under a seccomp filter makes none of the calls
    /// that this needs.
    pub(super) fn park(&self, tiers: &Tiers, whom: Whom, cause: PurgeCause) -> Parked {
        let mut parked = Parked { active: true, bytes: 0 };
        // A heap that serves no thread has nothing to give back.
        if self.figures().count == 0 || !os::sandbox::allows_looks() {
            parked.active = false;
            return parked;
        }
        let mut late = self.late();
        if whom == Whom::Idle && !late.is_time_to_look(IDLE_MILLIS) {
            parked.active = late.active || self.has_new();
            return parked;
        }
        let Some(own) = self.late_cache(tiers, &mut late) else {
            return parked;
        };
        late.active = self.take_over(&late, whom);
        let mut handlers = Handlers::new();
        while let Some(cache) = late.parked.pop() {
            if cache.handover.is_parked() {
                if cache.seat.is_at_rest(&mut handlers) {
                    cache.rest(tiers);
                } else {
                    cache.seat.note_vain();
                    give_back(cache);
                }
            }
            // PARK-1.
            drop(late);
            late = self.late();
        }
        // The blocks and spans of others that came to this cache meanwhile.
        own.idle(tiers);
        for class in SizeClass::all() {
            while let Some(bytes) = own.sink_one(tiers, class, whom == Whom::Idle) {
                parked.bytes += bytes;
                // PARK-1.
                drop(late);
                late = self.late();
            }
            tiers.central(class).grow_old();
        }
        parked.active = late.active || self.has_new();
        drop(late);
        tiers.mheap.note_purge(parked.bytes, cause);
        parked
    }

    /// Moves the caches of idle threads, or of all, to the stack of parked ones. Returns whether
    /// some thread keeps its cache.
    fn take_over(&self, late: &Late, whom: Whom) -> bool {
        let mut active = false;
        let own = unparked(current());
        self.for_each_in_use(|cache| {
            if cache.handover.is_parked() {
                return;
            }
            if core::ptr::eq(cache, own) {
                active = true;
                return;
            }
            let activity = cache.seat.look();
            // A look on request may come too soon after the last one to tell.
            if whom == Whom::Idle {
                cache.seat.note(activity);
            }
            if (whom == Whom::All || activity == Activity::Idle) && park(cache) {
                late.revoked.push(cache);
            } else {
                active |= activity != Activity::Unknown;
            }
        });
        if late.revoked.is_empty() {
            return active;
        }
        let fenced = os::barrier::everywhere();
        while let Some(cache) = late.revoked.pop() {
            if fenced && cache.handover.settle() && stays_parked(cache) {
                late.parked.push(cache);
            } else {
                give_back(cache);
                active |= fenced;
            }
        }
        active
    }

    /// Gives the parked cache back to the calling thread, which has it.
    pub(super) fn take_back(&self, cache: &'static MCache) {
        let mut late = self.late();
        late.active = true;
        cache.seat.wake();
        cache.handover.take_back();
    }
}

/// Gives a revoked cache back to its thread. The caller holds the late lock.
pub(super) fn give_back(cache: &'static MCache) {
    cache.handover.take_back();
    unpark(cache);
}
