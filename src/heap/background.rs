//! The background thread: gives memory back while the program is busy with other things, or with nothing.
//!
//! An allocation starts it as soon as the heap has grown; a free never does, since the C library
//! frees while it holds locks that starting a thread takes. While pages lie idle the thread looks
//! once in each purge delay; else it sleeps, and a free that leaves much idle wakes it. Where the
//! system refuses a thread, the program's threads look meanwhile, and an allocation tries again
//! later. The thread never allocates and holds no lock but those of the tiers, briefly. It does not
//! outlive the program: a process ends with its last thread, so this one ends when no other has a
//! cache, whatever is left to give back. Whether it sleeps or runs, and who wakes it, is
//! `sync::watch`.
//!
//! - B1. Free pages and the threads that have a cache are counted under a lock before the watch is
//!   read; that is what WATCH-1 wants.
//! - B2. A fork child has no such thread: an allocation starts its own.

use super::{HEAP, Heap};
use crate::mheap::IDLE_BYTES;
use crate::os;
use crate::os::sandbox::Answer;
use crate::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sync::watch::{ASLEEP, AWAKE, OFF, Watch};
use core::ffi::c_void;
use core::ptr::null_mut;

/// Bytes that the heap has taken from the system from which on it has a thread.
const GROWN: usize = 16 << 20;
/// Free bytes that are worth waking it.
const MUCH: usize = 4 << 20;
/// Looks with next to nothing free before the thread sleeps without a limit.
const PATIENCE: u32 = 3;
/// Beyond the delay, so that a whole one is over at the next look; the clock is a few milliseconds late.
const SLACK: u64 = 10;
/// Milliseconds until the system is asked again for a thread that it refused.
const AGAIN: u64 = 1000;
/// The number of a thread that the system refused, where it is waited for.
const REFUSED: usize = usize::MAX;
/// Milliseconds that a thread waits for another one that ends the background thread.
const LOOKS: u32 = 1000;

/// What the thread is doing.
pub(super) struct Background {
    watch: Watch,
    /// When the system may be asked for a thread, in coarse milliseconds.
    ask_at: AtomicU64,
    /// When a thread of the program looks next, where there is no other, likewise.
    look_at: AtomicU64,
    /// The thread's number while it runs, else 0; `REFUSED` where one that was wanted no more is
    /// not to be had.
    thread: AtomicUsize,
    /// The process that the thread is one of.
    process: AtomicU32,
    /// Threads that end it at this moment.
    ending: AtomicU32,
    /// The user wants the thread under a filter too, if the process was started under it.
    wanted: AtomicBool,
}

impl Background {
    crate::sync::const_unless_loom! {
        /// Not started.
        pub(super) fn new() -> Self {
            Self { watch: Watch::new(), ask_at: AtomicU64::new(0), look_at: AtomicU64::new(0), thread: AtomicUsize::new(0), process: AtomicU32::new(0), ending: AtomicU32::new(0), wanted: AtomicBool::new(false) }
        }
    }

    /// There shall be none. Called before there is one.
    pub(super) fn turn_off(&self) {
        self.watch.turn_off();
    }

    /// There shall be one, unless the program confines itself.
    pub(super) fn insist(&self) {
        self.wanted.store(true, Relaxed);
    }

    /// After `fork`, in the child (B2).
    pub(super) fn forget(&self) {
        self.watch.forget();
        if self.thread.load(Relaxed) != 0 {
            self.thread.store(0, Relaxed);
        }
        if self.ask_at.load(Relaxed) != 0 {
            self.ask_at.store(0, Relaxed);
        }
        if self.ending.load(Relaxed) != 0 {
            self.ending.store(0, Relaxed);
        }
    }
}

impl Heap {
    /// Called where a thread has come out of an allocation's slow path, with nothing half changed:
    /// sees to it that there is a thread that looks after free pages.
    #[inline(always)]
    pub(super) fn after_alloc(&self) {
        if self.tiers.mheap.grown_bytes() >= GROWN {
            if self.background.watch.is_none() {
                self.start_background();
            }
            self.after_free();
        }
    }

    /// Called where a thread has come out of a free's slow path: where many pages are free the
    /// background thread is woken to look after them, or where there is none the caller does it.
    #[inline(always)]
    pub(super) fn after_free(&self) {
        if self.tiers.mheap.idle_bytes() >= MUCH && !self.background.watch.is_awake() {
            self.look_after_pages();
        }
    }

    /// Called by a thread that has given its cache up; the `last` one that had any lets the
    /// background thread end.
    pub(super) fn after_exit(&self, last: bool) {
        if last {
            self.call_background();
        } else {
            self.after_free();
        }
    }

    #[cold]
    #[inline(never)]
    fn look_after_pages(&self) {
        let Background { watch, look_at, .. } = &self.background;
        if watch.is_asleep() {
            return self.call_background();
        }
        let now = os::coarse_millis();
        // Relaxed: two threads that look at once find less the second time.
        if now >= look_at.load(Relaxed) {
            let delay = self.tiers.mheap.purge_delay().unwrap_or(u64::MAX);
            look_at.store(now.saturating_add(delay), Relaxed);
            self.attend();
        }
    }

    fn call_background(&self) {
        let watch = &self.background.watch;
        if watch.call() {
            os::futex::wake_one(watch.word());
        }
    }

    #[cold]
    #[inline(never)]
    fn start_background(&self) {
        let Background {
            watch,
            ask_at,
            thread,
            process,
            wanted,
            ..
        } = &self.background;
        let now = os::coarse_millis();
        // Relaxed: two threads that ask at once cost one call more.
        if now < ask_at.load(Relaxed) || !core::ptr::eq(self, &raw const HEAP) || !self.is_used() {
            return;
        }
        // A filter may forbid what a thread needs, at the price of the process.
        match os::sandbox::may_have_thread() {
            Answer::Yes => {}
            _ if wanted.load(Relaxed) && !os::sandbox::is_announced() => {}
            Answer::NotYet => return ask_at.store(now + AGAIN, Relaxed),
            Answer::No => return watch.rule_out(),
        }
        if !watch.claim() {
            return;
        }
        process.store(os::fork::process(), Relaxed);
        if !os::thread::spawn(run) {
            ask_at.store(now + AGAIN, Relaxed);
            if !watch.leave(|| false) {
                // The watch was turned off. Release: pairs with the Acquire in `end_background`.
                thread.store(REFUSED, Release);
            }
        }
    }

    /// The program is about to confine itself by a seccomp filter. From here on there is no
    /// background thread, and the heap makes no other system calls than those that any allocator
    /// makes. `waits`: for the end of the thread.
    pub(crate) fn confine(&self, waits: bool) {
        os::sandbox::enter();
        self.end_background(waits);
    }

    /// Ends the background thread for good; `waits`: until the kernel has seen its end.
    fn end_background(&self, waits: bool) {
        let Background {
            watch, process, ending, ..
        } = &self.background;
        // A child that was made without the hooks of `fork` has no such thread, and one of `vfork`
        // leaves its parent's alone.
        if !watch.is_none() && !watch.is_off() && process.load(Relaxed) != os::fork::process() {
            return;
        }
        ending.fetch_add(1, Relaxed);
        if watch.turn_off() {
            os::futex::wake_one(watch.word());
            if waits {
                self.join_background();
            }
        }
        // Release: pairs with the Acquire below.
        ending.fetch_sub(1, Release);
        // Another thread may still wait for the end. Bounded: this one may be in a handler that has
        // interrupted that wait.
        let mut looks = 0;
        while waits && looks < LOOKS && ending.load(Acquire) > 0 {
            os::futex::wait_for(watch.word(), OFF, 1);
            looks += 1;
        }
    }

    /// Waits for the thread, after the watch was turned off.
    fn join_background(&self) {
        let thread = &self.background.thread;
        // Acquire: pairs with the Releases where the number is set.
        let mut number = thread.load(Acquire);
        while number == 0 {
            os::futex::wait_for(self.background.watch.word(), OFF, 1);
            number = thread.load(Acquire);
        }
        if number != REFUSED {
            // SAFETY: one thread turns the watch off; the background thread, which finds that, does
            // not detach itself.
            unsafe { os::thread::join(number) };
        }
    }

    /// Whether there is a thread of the program for which memory matters.
    fn is_used(&self) -> bool {
        self.registry.figures().in_use > 0
    }

    /// One look. Returns whether there is more to do later.
    fn attend(&self) -> bool {
        self.end_rest();
        self.tiers.mheap.attend() > IDLE_BYTES
    }

    /// Looks once in each purge delay until next to nothing is free, or no thread of the program is
    /// left.
    fn attend_while_idle(&self) {
        let (watch, mheap) = (&self.background.watch, &self.tiers.mheap);
        mheap.set_attended(true);
        let mut quiet = 0;
        while quiet < PATIENCE && self.is_used() && !watch.is_off() {
            let delay = mheap.purge_delay().unwrap_or(0);
            os::futex::wait_for(watch.word(), AWAKE, delay.saturating_add(SLACK));
            let called = watch.get_up();
            quiet = if self.attend() || called { 0 } else { quiet + 1 };
        }
        mheap.set_attended(false);
    }

    /// Whether the background thread has something to do: pages to give back, or to end.
    fn has_work(&self) -> bool {
        // `attend` takes the page heap's lock, `is_used` the registry's (B1).
        self.attend();
        self.tiers.mheap.idle_bytes() >= MUCH || !self.is_used()
    }
}

extern "C-unwind" fn run(_: *mut c_void) -> *mut c_void {
    // What the C library frees in this thread as it ends gives it no cache.
    super::thread::have_no_cache();
    os::thread::name_self(c"greyspan");
    let Background { watch, thread, .. } = &HEAP.background;
    loop {
        // Release: pairs with the Acquire in `end_background`.
        thread.store(os::thread::own_number(), Release);
        if watch.is_off() {
            break;
        }
        HEAP.attend_while_idle();
        if !HEAP.is_used() {
            // A number that is set is that of a thread to wait for.
            thread.store(0, Relaxed);
            if watch.leave(|| HEAP.is_used()) {
                os::thread::detach_self();
                break;
            }
        } else if watch.lie_down(|| HEAP.has_work()) {
            while watch.is_asleep() {
                os::futex::wait(watch.word(), ASLEEP);
            }
            watch.get_up();
            // The delay begins now.
            HEAP.attend();
        }
    }
    null_mut()
}
