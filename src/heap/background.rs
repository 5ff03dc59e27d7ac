//! The background thread: gives free memory back while the program is busy with other work, or
//! idle.
//!
//! - Start: an allocation starts the thread once the heap has grown to 16 MiB. A free never starts
//!   it, because the C library frees while it holds locks that starting a thread takes.
//! - Work: while pages lie idle, the thread looks once in each purge delay. Otherwise it sleeps,
//!   and a free that leaves many pages idle wakes it. It never allocates, and takes only locks of
//!   the tiers and the registry, briefly.
//! - Without it: if the system refuses a thread, the program's threads look meanwhile, and an
//!   allocation tries again later.
//! - End: a process ends with its last thread. So this thread ends when no other thread has a
//!   cache, even if pages are left to give back.
//!
//! `sync::watch` says whether the thread sleeps or runs, and which thread wakes it.
//!
//! - BACKGROUND-1. Free pages and threads with a cache are counted under a lock before the watch is
//!   read, as WATCH-1 requires.
//! - BACKGROUND-2. A `fork` child has no background thread. An allocation starts its own.

use super::park::Whom;
use super::{HEAP, Heap};
use crate::events::PurgeCause;
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

/// The heap has a background thread once it has taken this many bytes from the system.
const GROWN: usize = 16 << 20;
/// Free bytes that are worth waking the thread for.
const MUCH: usize = 4 << 20;
/// The thread sleeps without a time limit after this many looks that found almost nothing free.
const PATIENCE: u32 = 3;
/// Milliseconds added to the delay, so a whole delay has passed at the next look: the clock is a
/// few milliseconds late.
const SLACK: u64 = 10;
/// Milliseconds until the next try, after the system refused a thread.
const AGAIN: u64 = 1000;
/// Stands for the number of a thread that the system refused, for a thread that waits for its end.
const REFUSED: usize = usize::MAX;
/// Fewest milliseconds between two looks that concern threads alone.
const NAP: u64 = 1000;
/// Milliseconds that a thread waits for another thread that ends the background thread.
const LOOKS: u32 = 1000;

/// The work that a look leaves for later.
struct Look {
    /// Free pages that have memory.
    pages: bool,
    /// Threads that may become idle.
    threads: bool,
}

/// The state of the background thread.
pub(super) struct Background {
    watch: Watch,
    /// When the system may next be asked for a thread, in coarse milliseconds.
    ask_at: AtomicU64,
    /// When a thread of the program looks next while there is no background thread, in coarse
    /// milliseconds.
    look_at: AtomicU64,
    /// The thread's number while it runs, else 0. `REFUSED`: the watch was turned off while the
    /// system refused the thread.
    thread: AtomicUsize,
    /// The process that the thread belongs to.
    process: AtomicU32,
    /// Threads that are ending the background thread at this moment.
    ending: AtomicU32,
    /// Whether the user wants the thread even if the process was started under a seccomp filter.
    wanted: AtomicBool,
}

impl Background {
    crate::sync::const_unless_loom! {
        /// Returns the state before the start.
        pub(super) fn new() -> Self {
            Self { watch: Watch::new(), ask_at: AtomicU64::new(0), look_at: AtomicU64::new(0), thread: AtomicUsize::new(0), process: AtomicU32::new(0), ending: AtomicU32::new(0), wanted: AtomicBool::new(false) }
        }
    }

    /// Rules the thread out. Called before the thread exists.
    pub(super) fn turn_off(&self) {
        self.watch.turn_off();
    }

    /// Notes that the user wants the thread even if the process was started under a seccomp filter.
    /// If the program confines itself, the thread ends all the same.
    pub(super) fn insist(&self) {
        self.wanted.store(true, Relaxed);
    }

    /// Forgets the thread, in the child of a `fork` (BACKGROUND-2).
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
    /// Ends the slow path of an allocation, with nothing half changed: samples the peak, and starts
    /// the background thread once the heap has grown.
    #[inline(always)]
    pub(super) fn after_alloc(&self) {
        if self.tiers.mheap.has_grown() {
            self.sample_peak();
        }
        if self.tiers.mheap.grown_bytes() >= GROWN {
            if self.background.watch.is_none() {
                self.background.start(self);
            }
            self.after_free();
        }
    }

    /// Wakes the background thread if many pages are free. Without that thread, the caller looks
    /// after them. Called at the end of each slow free.
    #[inline(always)]
    pub(in crate::heap) fn after_free(&self) {
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

    /// Prepares for a seccomp filter that the program is about to install. From here on there is no
    /// background thread, and the heap makes only system calls that any allocator makes. `waits`:
    /// until the thread has ended.
    pub(crate) fn confine(&self, waits: bool) {
        os::sandbox::enter();
        self.background.end(waits);
    }

    /// Whether a thread of the program has a cache, so that memory matters to it.
    fn is_used(&self) -> bool {
        self.registry.figures().in_use > 0
    }

    /// Looks after free pages once, and after idle threads too if the caller is the `keeper`.
    fn attend(&self, keeper: bool) -> Look {
        let may_give = self.tiers.mheap.purge_delay().is_some();
        let threads = keeper && may_give && self.registry.park(&self.tiers, Whom::Idle, PurgeCause::Idle).active;
        self.registry.end_rest(&self.tiers);
        let pages = self.tiers.mheap.attend() > IDLE_BYTES;
        Look { pages, threads }
    }

    /// A thread gets a cache, or takes its own back: from here on there may be something to give
    /// back.
    pub(super) fn after_wake(&self) {
        if self.background.watch.is_asleep() {
            self.background.call();
        }
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
            heap.attend(false);
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
        // must leave its parent's thread alone.
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
        // Another thread may still wait for the end. The wait has a bound, because this thread may
        // be in a handler that interrupted that wait.
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
            // SAFETY: one thread turns the watch off. The background thread finds it off and does
            // not detach itself.
            unsafe { os::thread::join(number) };
        }
    }

    /// Looks once in each purge delay until almost nothing is free or no thread of the program has
    /// a cache.
    fn attend_while_idle(&self, heap: &Heap) {
        let (watch, mheap) = (&self.watch, &heap.tiers.mheap);
        mheap.set_attended(true);
        let (mut quiet, mut pages) = (0, true);
        while quiet < PATIENCE && heap.is_used() && !watch.is_off() {
            heap.heed_system();
            let delay = mheap.purge_delay().unwrap_or(0).max(if pages { 0 } else { NAP });
            os::futex::wait_for(watch.word(), AWAKE, delay.saturating_add(SLACK));
            let called = watch.get_up();
            let look = heap.attend(true);
            pages = look.pages;
            quiet = if pages || look.threads || called { 0 } else { quiet + 1 };
        }
        mheap.set_attended(false);
    }
}

/// Whether the background thread has work: pages to give back, or its own end.
fn has_work(heap: &Heap) -> bool {
    // BACKGROUND-1: `attend` takes the page heap's lock, `is_used` the registry's.
    let look = heap.attend(true);
    heap.tiers.mheap.idle_bytes() >= MUCH || look.threads || !heap.is_used()
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
            // A thread that ends this one waits for it if its number is set.
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
            HEAP.attend(true);
        }
    }
    null_mut()
}
