//! The background thread: gives memory back while the program is busy with other things, or with nothing.
//!
//! It is started by the first thread that finds several MiB of free pages, looks once in each purge delay, and ends when next to nothing is
//! free, until a thread finds much again. It never allocates and holds no lock but those of the tiers, briefly. It does not outlive the
//! program: a process ends with its last thread, so this one ends when no other has a cache, whatever is left to give back.
//!
//! ```text
//!  NONE ◄──► RUNS        OFF: not wanted, or the system refused a thread
//! ```
//!
//! - B1. Only the thread itself goes from RUNS to NONE; then it looks once more. Free pages are counted under the page heap's lock
//!   before the state is read, so either that look finds them, or whoever freed them finds NONE and starts another thread.
//! - B2. A fork child has no such thread: its state is NONE again.

use super::{HEAP, Heap};
use crate::mheap::IDLE_BYTES;
use crate::os;
use crate::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use core::ffi::c_void;
use core::ptr::null_mut;

/// Free bytes that are worth a thread.
const MUCH: usize = 4 << 20;
/// Looks with next to nothing free before the thread ends.
const PATIENCE: u32 = 3;
/// Beyond the delay, so that a whole one is over at the next look; the clock is a few milliseconds late.
const SLACK: u64 = 10;

const NONE: u32 = 0;
const RUNS: u32 = 1;
const OFF: u32 = 2;

/// What the thread is doing.
pub(super) struct Background(AtomicU32);

impl Background {
    crate::sync::const_unless_loom! {
        /// Not started.
        pub(super) fn new() -> Self {
            Self(AtomicU32::new(NONE))
        }
    }

    /// There shall be none.
    pub(super) fn turn_off(&self) {
        self.0.store(OFF, Relaxed);
    }

    /// After `fork`, in the child (B2).
    pub(super) fn forget(&self) {
        if !matches!(self.0.load(Relaxed), OFF | NONE) {
            self.0.store(NONE, Relaxed);
        }
    }
}

impl Heap {
    /// Called where a thread has come out of a slow path, with nothing half changed: sees that somebody looks after free pages.
    #[inline(always)]
    pub(super) fn after_slow(&self) {
        // Relaxed: the lock of the page heap orders this against the thread's last look (B1).
        if self.tiers.mheap.idle_bytes() >= MUCH && self.background.0.load(Relaxed) == NONE {
            self.start_background();
        }
    }

    #[cold]
    #[inline(never)]
    fn start_background(&self) {
        let state = &self.background.0;
        if !core::ptr::eq(self, &raw const HEAP) || !self.tiers.mheap.keeps_free_pages() || !self.wants_background() {
            return;
        }
        // Acquire: pairs with the Release in `run`, so that the new thread's word on who attends is the last.
        if state.compare_exchange(NONE, RUNS, Acquire, Relaxed).is_ok() && !os::thread::spawn(run) {
            state.store(OFF, Relaxed);
        }
    }

    /// Whether free pages go back in time, and there is a program for which that matters.
    fn wants_background(&self) -> bool {
        self.tiers.mheap.purge_delay().is_some() && self.registry.figures().in_use > 0
    }

    /// One look. Returns whether there is more to do later.
    fn attend(&self) -> bool {
        self.end_rest();
        self.tiers.mheap.attend() > IDLE_BYTES
    }
}

extern "C-unwind" fn run(_: *mut c_void) -> *mut c_void {
    os::thread::name_self(c"greyspan");
    let (state, mheap) = (&HEAP.background.0, &HEAP.tiers.mheap);
    loop {
        mheap.set_attended(true);
        let mut quiet = 0;
        while quiet < PATIENCE && HEAP.wants_background() {
            let delay = mheap.purge_delay().unwrap_or(0);
            os::futex::wait_for(state, RUNS, delay.saturating_add(SLACK));
            quiet = if HEAP.attend() { 0 } else { quiet + 1 };
        }
        mheap.set_attended(false);
        // Release: pairs with the Acquire of whoever starts the next one.
        state.store(NONE, Release);
        // The look takes the page heap's lock (B1).
        let more = HEAP.attend() && HEAP.wants_background();
        if !more || state.compare_exchange(NONE, RUNS, Relaxed, Relaxed).is_err() {
            return null_mut();
        }
    }
}
