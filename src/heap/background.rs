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
    /// Ends the slow path of an allocation, with nothing half changed: starts the background thread
    /// once the heap has grown.
    #[inline(always)]
    pub(super) fn after_alloc(&self) {
        if self.tiers.mheap.grown_bytes() >= GROWN {
            if self.background.watch.is_none() {
                self.background.start(self);
            }
            self.after_free();
        }
    }

    /// Ends the slow path of a free. If many pages are free, wakes the background thread to look
    /// after them; if there is no such thread, the caller does it.
    #[inline(always)]
    pub(super) fn after_free(&self) {
        if self.tiers.mheap.idle_bytes() >= MUCH && !self.background.watch.is_awake() {
            self.background.look_after_pages(self);
        }
    }

    /// Ends the life of a thread with a cache. If it was the `last` one, the background thread may
    /// end.
    pub(super) fn after_exit(&self, last: bool) {
        if last {
            self.background.call();
        } else {
            self.after_free();
        }
    }

    /// The program is about to confine itself by a seccomp filter. From here on there is no
    /// background thread, and the heap makes no other system calls than any allocator makes.
    /// `waits`: for the end of the thread.
    pub(crate) fn confine(&self, waits: bool) {
        os::sandbox::enter();
        self.background.end(waits);
    }

    /// Whether a thread of the program has a cache, so that memory matters to it.
    fn is_used(&self) -> bool {
        self.registry.figures().in_use > 0
    }

    /// Looks after free pages once. Returns whether there is more to do later.
    fn attend(&self) -> bool {
        self.registry.end_rest(&self.tiers);
        self.tiers.mheap.attend() > IDLE_BYTES
    }
}

impl Background {
    #[cold]
    #[inline(never)]
    fn look_after_pages(&self, heap: &Heap) {
        if self.watch.is_asleep() {
            return self.call();
        }
        let now = os::coarse_millis();
        // Relaxed: two threads that look at once find less the second time.
        if now >= self.look_at.load(Relaxed) {
            let delay = heap.tiers.mheap.purge_delay().unwrap_or(u64::MAX);
            self.look_at.store(now.saturating_add(delay), Relaxed);
            heap.attend();
        }
    }

    fn call(&self) {
        if self.watch.call() {
            os::futex::wake_one(self.watch.word());
        }
    }

    #[cold]
    #[inline(never)]
    fn start(&self, heap: &Heap) {
        let now = os::coarse_millis();
        // Relaxed: two threads that ask at once cost one call more.
        if now < self.ask_at.load(Relaxed) || !core::ptr::eq(heap, &raw const HEAP) || !heap.is_used() {
            return;
        }
        // A filter may forbid a call that a thread needs, at the price of the process.
        match os::sandbox::may_have_thread() {
            Answer::Yes => {}
            _ if self.wanted.load(Relaxed) && !os::sandbox::is_announced() => {}
            Answer::NotYet => return self.ask_at.store(now + AGAIN, Relaxed),
            Answer::No => return self.watch.rule_out(),
        }
        if !self.watch.claim() {
            return;
        }
        self.process.store(os::fork::process(), Relaxed);
        if !os::thread::spawn(run) {
            self.ask_at.store(now + AGAIN, Relaxed);
            if !self.watch.leave(|| false) {
                // The watch was turned off. Release: pairs with the Acquire in `join`.
                self.thread.store(REFUSED, Release);
            }
        }
    }

    /// Ends the background thread for good; `waits`: until the kernel has seen its end.
    fn end(&self, waits: bool) {
        let (watch, ending) = (&self.watch, &self.ending);
        // A child that was made without the hooks of `fork` has no such thread. A child of `vfork`
        // leaves its parent's alone.
        if !watch.is_none() && !watch.is_off() && self.process.load(Relaxed) != os::fork::process() {
            return;
        }
        ending.fetch_add(1, Relaxed);
        if watch.turn_off() {
            os::futex::wake_one(watch.word());
            if waits {
                self.join();
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
    fn join(&self) {
        // Acquire: pairs with the Releases where the number is set.
        let mut number = self.thread.load(Acquire);
        while number == 0 {
            os::futex::wait_for(self.watch.word(), OFF, 1);
            number = self.thread.load(Acquire);
        }
        if number != REFUSED {
            // SAFETY: one thread turns the watch off; the background thread, which finds that, does
            // not detach itself.
            unsafe { os::thread::join(number) };
        }
    }

    /// Looks once in each purge delay until next to nothing is free, or no thread of the program is
    /// left.
    fn attend_while_idle(&self, heap: &Heap) {
        let (watch, mheap) = (&self.watch, &heap.tiers.mheap);
        mheap.set_attended(true);
        let mut quiet = 0;
        while quiet < PATIENCE && heap.is_used() && !watch.is_off() {
            let delay = mheap.purge_delay().unwrap_or(0);
            os::futex::wait_for(watch.word(), AWAKE, delay.saturating_add(SLACK));
            let called = watch.get_up();
            quiet = if heap.attend() || called { 0 } else { quiet + 1 };
        }
        mheap.set_attended(false);
    }
}

/// Whether the background thread has something to do: pages to give back, or to end.
fn has_work(heap: &Heap) -> bool {
    // `attend` takes the page heap's lock, `is_used` the registry's (BACKGROUND-1).
    heap.attend();
    heap.tiers.mheap.idle_bytes() >= MUCH || !heap.is_used()
}

extern "C-unwind" fn run(_: *mut c_void) -> *mut c_void {
    // The C library frees blocks in this thread as it ends: they give it no cache.
    super::thread::have_no_cache();
    os::thread::name_self(c"greyspan");
    let background = &HEAP.background;
    let Background { watch, thread, .. } = background;
    loop {
        // Release: pairs with the Acquire in `join`.
        thread.store(os::thread::own_number(), Release);
        if watch.is_off() {
            break;
        }
        background.attend_while_idle(&HEAP);
        if !HEAP.is_used() {
            // A number that is set is that of a thread to wait for.
            thread.store(0, Relaxed);
            if watch.leave(|| HEAP.is_used()) {
                os::thread::detach_self();
                break;
            }
        } else if watch.lie_down(|| has_work(&HEAP)) {
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
