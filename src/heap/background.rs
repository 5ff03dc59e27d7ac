//! The background thread: gives memory back while the program is busy with other things, or with nothing.
//!
//! It is started by the first thread that finds several MiB of free pages, looks once in each purge delay, and sleeps for good when
//! next to nothing is free, until a thread finds much again. It never allocates and holds no lock but those of the tiers, briefly.
//!
//! ```text
//!  NONE ──► AWAKE ◄──► ASLEEP        OFF: not wanted, or the system refused a thread
//! ```
//!
//! - B1. Only the thread itself goes from AWAKE to ASLEEP; then it looks once more. Free pages are counted under the page heap's lock
//!   before the state is read, so either that look finds them, or whoever freed them finds ASLEEP and wakes it.
//! - B2. A fork child has no such thread: its state is NONE again.

use super::{HEAP, Heap};
use crate::mheap::IDLE_BYTES;
use crate::os;
use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};
use core::ffi::c_void;

/// Free bytes that are worth a thread, or waking it.
const MUCH: usize = 4 << 20;
/// Looks with next to nothing free before the thread sleeps for good.
const PATIENCE: u32 = 3;
/// Beyond the delay, so that a whole one is over at the next look; the clock is a few milliseconds late.
const SLACK: u64 = 10;

const NONE: u32 = 0;
const AWAKE: u32 = 1;
const ASLEEP: u32 = 2;
const OFF: u32 = 3;

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
        if self.0.load(Relaxed) != OFF {
            self.0.store(NONE, Relaxed);
        }
    }
}

impl Heap {
    /// Called where a thread has come out of a slow path, with nothing half changed: sees that somebody looks after free pages.
    #[inline(always)]
    pub(super) fn after_slow(&self) {
        // Relaxed: the lock of the page heap orders this against the thread's last look (B1).
        if self.tiers.mheap.idle_bytes() >= MUCH && matches!(self.background.0.load(Relaxed), NONE | ASLEEP) {
            self.wake_background();
        }
    }

    #[cold]
    #[inline(never)]
    fn wake_background(&self) {
        let state = &self.background.0;
        if !core::ptr::eq(self, &raw const HEAP) || !self.tiers.mheap.keeps_free_pages() {
            return;
        }
        if state.compare_exchange(ASLEEP, AWAKE, Relaxed, Relaxed).is_ok() {
            os::futex::wake_one(state);
        } else if state.compare_exchange(NONE, AWAKE, Relaxed, Relaxed).is_ok() {
            if os::thread::spawn(run) {
                self.tiers.mheap.set_attended(true);
            } else {
                state.store(OFF, Relaxed);
            }
        }
    }

    /// One look. Returns whether there is more to do later.
    fn attend(&self) -> bool {
        self.tiers.end_rest();
        self.tiers.mheap.attend() > IDLE_BYTES
    }
}

extern "C-unwind" fn run(_: *mut c_void) -> *mut c_void {
    os::thread::name_self(c"greyspan");
    let state = &HEAP.background.0;
    let mut quiet = 0;
    loop {
        // For ever: whoever sets a delay later wants to see it kept.
        let delay = HEAP.tiers.mheap.purge_delay().unwrap_or(u64::from(u32::MAX));
        os::futex::wait_for(state, AWAKE, delay.saturating_add(SLACK));
        quiet = if HEAP.attend() { 0 } else { quiet + 1 };
        if quiet < PATIENCE {
            continue;
        }
        quiet = 0;
        state.store(ASLEEP, Relaxed);
        // The look takes the page heap's lock (B1).
        if HEAP.attend() {
            state.store(AWAKE, Relaxed);
            continue;
        }
        while state.load(Relaxed) == ASLEEP {
            os::futex::wait(state, ASLEEP);
        }
    }
}
