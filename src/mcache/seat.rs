//! Where the keeper finds the thread of a cache, and how it knows that the thread is idle.
//!
//! The *keeper* is any thread that gives back what idle threads keep: it holds the registry's late
//! lock. To take a cache over, it writes the sentinel `PARKED` to the thread's slot, so that every
//! operation of the thread that begins from there on takes the slow path.
//!
//! - SEAT-1. `slot` is null, or points to the slot of the thread that has the cache. The thread
//!   sets it once it has its exit hook, and the hook clears it under the lock. So the keeper writes
//!   to no slot of a thread that has ended.
//! - SEAT-2. The holder of the late lock alone reads and writes the other fields, but for `idle`,
//!   which any thread may read for the statistics. It orders nothing, so it is relaxed.

use super::MCache;
use crate::base::list::{Linked, Links};
use crate::os;
use crate::os::rest::{Clock, Handlers};
use crate::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use core::cell::Cell;
use core::ptr::null_mut;

/// Nanoseconds of processor time between two looks of the keeper up to which a thread is idle.
const IDLE_NANOS: u64 = 1_000_000;

/// How a thread has been since the keeper's last look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It has hardly run.
    Idle,
    Busy,
    /// The system does not tell, or the thread has not run since a try in vain.
    Unknown,
}

/// Stands for the processor time of a thread that the keeper has not looked at.
const UNSEEN: u64 = u64::MAX;

/// The keeper's notes on the thread of a cache.
pub(crate) struct Seat {
    slot: AtomicPtr<AtomicPtr<MCache>>,
    thread: AtomicUsize,
    /// Whether the thread was idle at the keeper's last look.
    idle: AtomicBool,
    /// Processor time that the thread had used when the keeper last looked; `UNSEEN` if it has not
    /// looked since the thread got its cache or took it back.
    used: Cell<u64>,
    /// The value of `used` when the keeper last tried in vain to find the thread at rest.
    vain: Cell<u64>,
    /// Whether the cache stands on the keeper's stack, and the next one there.
    stacked: Cell<bool>,
    below: Cell<Option<&'static MCache>>,
    links: Links<MCache>,
}

/// The list of the caches that threads have.
pub(crate) struct InUse;

impl Linked for InUse {
    type Node = MCache;
    fn links(cache: &MCache) -> &Links<MCache> {
        &cache.seat.links
    }
}

impl Seat {
    crate::sync::const_unless_loom! {
        /// Returns the notes on a cache that no thread has.
        pub(super) fn new() -> Self {
            Self {
                slot: AtomicPtr::new(null_mut()),
                thread: AtomicUsize::new(0),
                idle: AtomicBool::new(false),
                used: Cell::new(UNSEEN),
                vain: Cell::new(UNSEEN),
                stacked: Cell::new(false),
                below: Cell::new(None),
                links: Links::new(),
            }
        }
    }

    /// Lets the keeper find the calling thread, whose slot is at `slot`, unless it finds it
    /// already.
    pub(crate) fn take(&self, slot: *mut AtomicPtr<MCache>) {
        if !self.slot.load(Relaxed).is_null() {
            return;
        }
        self.thread.store(os::thread::own_number(), Relaxed);
        // Release: pairs with the Acquire in `slot`, for the thread's number.
        self.slot.store(slot, Release);
    }

    /// Hides the thread, which is about to end, from the keeper. The caller holds the late lock.
    pub(crate) fn leave(&self) {
        self.slot.store(null_mut(), Relaxed);
        self.wake();
    }

    /// Notes that the thread runs: it is not idle before the second look from here on. The caller
    /// holds the late lock.
    pub(crate) fn wake(&self) {
        self.used.set(UNSEEN);
        self.idle.store(false, Relaxed);
    }

    /// Notes the outcome of a [`look`](Self::look). A thread that has not run since a try in vain
    /// is idle too. The caller holds the late lock.
    pub(crate) fn note(&self, activity: Activity) {
        let vain = activity == Activity::Unknown && self.vain.get() != UNSEEN && !self.is_hidden();
        self.idle.store(activity == Activity::Idle || vain, Relaxed);
    }

    /// Returns whether the thread was idle at the keeper's last look and has not taken its cache
    /// back since. Any thread may ask.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle.load(Relaxed)
    }

    /// Whether the keeper cannot find the thread: it has no exit hook yet, or is about to end. The
    /// caller holds the late lock.
    pub(crate) fn is_hidden(&self) -> bool {
        self.slot().is_none()
    }

    fn slot(&self) -> Option<&AtomicPtr<MCache>> {
        // Acquire: pairs with the Release in `take`.
        // SAFETY: null, or the slot of a thread that has not ended (SEAT-1).
        unsafe { self.slot.load(Acquire).as_ref() }
    }

    /// Puts `to` in the thread's slot if `from` stands there. The caller holds the late lock.
    pub(crate) fn exchange(&self, from: &'static MCache, to: &'static MCache) -> bool {
        let [from, to] = [from, to].map(|cache| core::ptr::from_ref(cache).cast_mut());
        // Relaxed: the keeper's fence follows (HANDOVER-2).
        self.slot()
            .is_some_and(|slot| slot.compare_exchange(from, to, Relaxed, Relaxed).is_ok())
    }

    /// Whether `cache` stands in the thread's slot. The caller holds the late lock.
    pub(crate) fn shows(&self, cache: &'static MCache) -> bool {
        // Relaxed: the Acquire in `settle` orders it behind the owner's last slow operation.
        self.slot().is_some_and(|slot| core::ptr::eq(slot.load(Relaxed), cache))
    }

    /// Whether the thread sleeps, and is in no operation of the heap. The caller holds the late
    /// lock.
    pub(crate) fn is_at_rest(&self, handlers: &mut Handlers) -> bool {
        self.clock().is_some_and(|clock| clock.is_at_rest(handlers))
    }

    fn clock(&self) -> Option<Clock> {
        self.slot()?;
        // SAFETY: the thread has not ended: it would have to hide first (SEAT-1).
        unsafe { Clock::of(self.thread.load(Relaxed)) }
    }

    /// Returns how the thread has been since the last call. The caller holds the late lock.
    pub(crate) fn look(&self) -> Activity {
        let Some(used) = self.clock().and_then(Clock::nanos) else {
            return Activity::Unknown;
        };
        let before = self.used.replace(used);
        match used.checked_sub(before) {
            _ if used == self.vain.get() => Activity::Unknown,
            Some(ran) if ran < IDLE_NANOS => Activity::Idle,
            _ => Activity::Busy,
        }
    }

    /// Notes that the thread, which is idle, could not be shown to be at rest: until it runs again,
    /// another try is in vain. The caller holds the late lock.
    pub(crate) fn note_vain(&self) {
        self.vain.set(self.used.get());
    }
}

impl Seat {
    /// Forgets the stack that the cache stands on, which is given up.
    pub(crate) fn unstack(&self) {
        self.stacked.set(false);
    }
}

/// A stack of caches for the keeper. A cache stands on one stack at most.
pub(crate) struct Stack(Cell<Option<&'static MCache>>);

impl Stack {
    pub(crate) const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// Puts `cache` on the stack, unless it stands on one.
    pub(crate) fn push(&self, cache: &'static MCache) {
        if !cache.seat.stacked.replace(true) {
            cache.seat.below.set(self.0.replace(Some(cache)));
        }
    }

    /// Whether no cache stands on the stack.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.get().is_none()
    }

    /// Takes the cache that came last.
    pub(crate) fn pop(&self) -> Option<&'static MCache> {
        let cache = self.0.get()?;
        self.0.set(cache.seat.below.take());
        cache.seat.stacked.set(false);
        Some(cache)
    }
}
