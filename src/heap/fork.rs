//! `fork` in a process with many threads: the child finds every lock free and every shared structure at rest.
//!
//! Before the fork the forking thread takes all locks, in lock order; afterwards the parent
//! releases them and the child makes them new. Meanwhile that thread may go on allocating and
//! freeing, from its own cache as ever: handlers of other libraries do, before and after these
//! hooks. Each lock that such a call needs is lent to it (L1 of `sync::lock`).
//!
//! Where no other thread has a cache, the locks of the size classes are free and stay so (F3), and
//! nothing is to be mended: then neither process writes to them, nor copies the pages where they
//! lie. The child's one thread goes on with its own cache. The caches of the threads that are gone
//! stay as they were, with whatever those threads were in the middle of, and are never used again.
//! Their spans come to have no owner:
//!
//! - F1. What such a thread wrote to a span without a lock may be half done, so its free list, its carve mark and the remote list are
//!   given up, and every object counts as live. The first thread that frees into the span claims it, as any that nobody owns, and
//!   what the child frees serves it again.
//! - F2. Tokens (W3) that those threads held are void, and the mail of the caches that are left is made anew from the words of their spans.
//! - F3. A class's lock is taken by threads that have a cache, and by whoever holds the late cache's lock. The forking thread holds that and the
//!   registry's, so no cache comes to be used meanwhile.
//!
//! Signal handlers fork, too:
//!
//! - F4. A hook may be interrupted by a handler that forks. Each hook can be done again: it takes
//!   locks that are not taken, and gives back those that are. `FORKER` counts the forks under way;
//!   the last to end gives back the turn.
//! - F5. The thread may be interrupted in the middle of a slow call, and may hold a lock by that.
//!   Its hook waits for each lock a few milliseconds, and goes on without those that it does not
//!   get. The child's locks are all made free, and its heap is mended when the slow call has ended,
//!   which goes on in the child.
//!
//! Blocks that threads which are gone had in bins, runs and empty spans are lost to the child, and
//! so are pages that one of them had out to give back.

use super::{HEAP, Heap};
use crate::mcache::MCache;
use crate::mspan::State;
use crate::os;
use crate::size_class::SizeClass;
use crate::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sync::forker::{FORKER, Left};
use crate::sync::lock::Patience;
use crate::sync::spin_hint;
use core::cell::UnsafeCell;

const NOT_YET: u32 = 0;
const BUSY: u32 = 1;
const DONE: u32 = 2;

impl Heap {
    /// Process-wide set-up: reads the options, makes the exit key, registers the fork hooks and, if asked for, the exit hook. Every thread
    /// passes here before it gets its cache; one does the work.
    pub(crate) fn set_up(&self) {
        let state: &AtomicU32 = &self.set_up;
        // Acquire: pairs with the Release below, so that whoever sees DONE sees the options in force.
        if state.load(Acquire) == DONE {
            return;
        }
        match state.compare_exchange(NOT_YET, BUSY, Acquire, Acquire) {
            Ok(_) => {
                let options = super::options::apply(self);
                super::thread::create_exit_key();
                crate::mspan::draw_early();
                // Release: pairs with the Acquires above. Registering comes after: it may allocate, through a cache by then.
                state.store(DONE, Release);
                register_hooks();
                // Before a thread of the heap's own runs. The key is made already: no thread can
                // close this object before its call returns.
                if !os::pin::pin() {
                    self.background.turn_off();
                }
                if options.show_stats && !os::exit::register(super::stats::show_stats) {
                    os::report::warn(format_args!("no table at exit: the system has no room for the handler"));
                }
                // libgreyspan.so begins when it is loaded: the unwinder cannot be loaded here.
                #[cfg(feature = "profiling")]
                if !crate::mspan::CHECKED
                    && let Some(rate) = options.profile_rate
                    && !(crate::profiler::begin(rate) && os::exit::register(crate::profiler::exit::write_at_exit))
                {
                    os::report::warn(format_args!("no heap profile: the system has no memory for it"));
                }
            }
            Err(_) => {
                while state.load(Acquire) == BUSY {
                    spin_hint();
                }
            }
        }
        debug_assert_eq!(state.load(Relaxed), DONE);
    }

    /// Takes the turn and all locks, for a fork by the thread of `own`; `None` where it has
    /// interrupted a call of the heap (F5).
    fn before_fork(&self, own: Option<&MCache>) {
        let mut patience = if own.is_some() {
            Patience::endless()
        } else {
            Patience::short()
        };
        if !take_turn(&mut patience) {
            return;
        }
        // A thread that holds it may wait for the call that this one has interrupted.
        if own.is_some() {
            files::lock();
        }
        if !self.registry.before_fork(own, &mut patience) {
            for class in SizeClass::all() {
                self.tiers.central(class).before_fork(&mut patience);
            }
        }
        self.tiers.mheap.before_fork(&mut patience);
        hold_signals();
    }

    /// # Safety
    /// The caller is in the thread that forks, and has its turn.
    unsafe fn after_fork_in_parent(&self) {
        // SAFETY: as the caller promised.
        unsafe { self.tiers.mheap.after_fork_in_parent() };
        // Those that were not taken are only looked at.
        for class in SizeClass::all() {
            // SAFETY: likewise.
            unsafe { self.tiers.central(class).after_fork_in_parent() };
        }
        // SAFETY: likewise.
        unsafe { self.registry.after_fork_in_parent() };
    }

    /// All locks are free, or the thread's for a fork around this one (`keep`).
    ///
    /// # Safety
    /// The caller is the child's only thread.
    unsafe fn after_fork_in_child(&self, keep: bool) {
        // SAFETY: as the caller promised.
        unsafe { self.tiers.mheap.after_fork_in_child(keep) };
        for class in SizeClass::all() {
            // SAFETY: likewise.
            unsafe { self.tiers.central(class).after_fork_in_child(keep) };
        }
        // SAFETY: likewise.
        unsafe { self.registry.after_fork_in_child(keep) };
        self.tiers.mheap.set_attended(false);
        crate::events::reset_in_child();
        self.background.forget();
    }

    /// What threads that are gone have left is set right, in the child, whose thread has the cache
    /// `own`.
    pub(super) fn mend_in_child(&self, own: &'static MCache) {
        self.registry.forget_others(own);
        if self.registry.is_sole() {
            return;
        }
        let left = [Some(own), self.late_in_child()];
        self.orphan(|| left.into_iter().flatten().filter(|cache| cache.is_ready()));
    }

    /// Gives up the spans of all caches but those that are `left` (F1, F2). The caller is the only
    /// thread, and holds no lock but for a fork around the one that made this process.
    pub(super) fn orphan<I: Iterator<Item = &'static MCache>>(&self, left: impl Fn() -> I) {
        for cache in left() {
            // The words of the spans say all that is on it.
            let _ = cache.mailbox().take_all();
        }
        for span in self.tiers.mheap.all_spans() {
            let Some(class) = span.class().filter(|_| span.state() == State::Small) else {
                continue;
            };
            let owner = span.word.owner();
            let cache = left().find(|cache| cache.mailbox().id() == owner);
            if owner != 0 && cache.is_none() {
                // Its owner may have been about to take it off.
                self.tiers.central(class).remove(span);
                span.orphan_in_child();
            } else if span.word.renew_token_in_child()
                && let Some(cache) = cache
            {
                cache.mailbox().post_in_child(span);
            }
        }
        self.tiers.room.reset(left().map(MCache::room).sum());
    }
}

/// Whether the thread has the turn to fork now. `false`: another thread has it, and the patience is
/// at its end.
fn take_turn(patience: &mut Patience) -> bool {
    loop {
        let turns = TURNS.load(Relaxed);
        if FORKER.enter(os::fork::me()) {
            return true;
        }
        // Relaxed, both: a thread that is not woken looks again after a moment.
        WAITING.fetch_add(1, Relaxed);
        let waited = patience.wait_briefly(&TURNS, turns);
        WAITING.fetch_sub(1, Relaxed);
        if !waited {
            return false;
        }
    }
}

/// Turns that have ended, and threads that wait for that.
static TURNS: AtomicU32 = AtomicU32::new(0);
static WAITING: AtomicU32 = AtomicU32::new(0);

fn end_turn() {
    TURNS.fetch_add(1, Relaxed);
    FORKER.finish();
    if WAITING.load(Relaxed) > 0 {
        os::futex::wake_one(&TURNS);
    }
}

/// The signals that the outermost fork of the thread with the turn holds back.
struct Held(UnsafeCell<Option<os::fork::Signals>>);

// SAFETY: only the thread that has the turn reaches the cell, and none of its signal handlers while
// it holds them back.
unsafe impl Sync for Held {}

static HELD: Held = Held(UnsafeCell::new(None));

/// For the thread that has the turn, at the end of its hook before the fork.
fn hold_signals() {
    if FORKER.is_nested() {
        return;
    }
    if let Some(signals) = os::fork::Signals::hold() {
        // SAFETY: this thread has the turn, and no handler interrupts it now.
        unsafe { HELD.0.get().write(Some(signals)) };
    }
}

/// For the thread that has the turn.
fn held_signals() -> Option<os::fork::Signals> {
    // SAFETY: as in `take_signals`.
    unsafe { *HELD.0.get() }
}

/// For the thread that had the turn alone, before it gives it back. The caller lets them through
/// after that.
fn take_signals() -> Option<os::fork::Signals> {
    // SAFETY: this thread has the turn; a handler interrupts it only where the cell is empty.
    unsafe { (*HELD.0.get()).take() }
}

/// The lock of the C library's list of open files, which `fork` takes after our locks, and threads
/// that hold it may wait for one that allocates. A thread may take it again.
#[cfg(all(feature = "preload", target_env = "gnu"))]
mod files {
    use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};

    unsafe extern "C" {
        fn _IO_list_lock();
        fn _IO_list_unlock();
        fn _IO_list_resetlock();
    }

    /// How often the thread that forks has taken the lock. Relaxed: written under it.
    static TAKEN: AtomicU32 = AtomicU32::new(0);

    pub(super) fn lock() {
        // SAFETY: takes a lock that the thread may hold already.
        unsafe { _IO_list_lock() };
        TAKEN.store(TAKEN.load(Relaxed) + 1, Relaxed);
    }

    /// Nothing where a child, of a fork inside of this one, has made the lock new.
    pub(super) fn unlock() {
        if let Some(left) = TAKEN.load(Relaxed).checked_sub(1) {
            TAKEN.store(left, Relaxed);
            // SAFETY: the thread took it before it forked.
            unsafe { _IO_list_unlock() };
        }
    }

    pub(super) fn reset() {
        TAKEN.store(0, Relaxed);
        // SAFETY: the child has no other thread.
        unsafe { _IO_list_resetlock() };
    }
}

#[cfg(not(all(feature = "preload", target_env = "gnu")))]
mod files {
    pub(super) fn lock() {}
    pub(super) fn unlock() {}
    pub(super) fn reset() {}
}

/// The calling thread's cache; `None` where it has interrupted a call of the heap (F5).
fn own() -> Option<&'static MCache> {
    let cache = super::thread::current();
    if super::c::nested::is_nested(cache) {
        return None;
    }
    Some(cache)
}

/// Registers the hooks, once. Those that are registered first run last before a fork and first
/// after it: then no handler of another library runs while this thread holds the locks.
pub(crate) fn register_hooks() {
    static DONE: AtomicBool = AtomicBool::new(false);
    if !DONE.swap(true, Relaxed) {
        os::fork::register(before_fork, after_fork_in_parent, after_fork_in_child);
    }
}

extern "C-unwind" fn before_fork() {
    HEAP.before_fork(own());
}

extern "C-unwind" fn after_fork_in_parent() {
    let left = FORKER.leave(os::fork::me());
    if matches!(left, Left::Last | Left::Closing) {
        // SAFETY: the thread has the turn, since it left no stranger.
        unsafe { HEAP.after_fork_in_parent() };
    }
    if own().is_some() {
        files::unlock();
    }
    if left == Left::Last {
        let signals = take_signals();
        end_turn();
        if let Some(signals) = signals {
            signals.let_through();
        }
    }
}

extern "C-unwind" fn after_fork_in_child() {
    let (left, own) = (FORKER.leave(os::fork::me()), own());
    // SAFETY: the system calls this in the child's only thread.
    unsafe { HEAP.after_fork_in_child(left == Left::Inner) };
    if own.is_some() {
        files::reset();
    }
    let signals = match left {
        Left::Last => take_signals(),
        // The fork around this one goes on in the child, and lets them through once more; the child
        // may end or call `exec` before.
        Left::Inner => held_signals(),
        Left::Closing | Left::Stranger => None,
    };
    if matches!(left, Left::Last | Left::Stranger) {
        FORKER.finish();
    }
    WAITING.store(0, Relaxed);
    super::c::nested::mend_in_child();
    if let Some(signals) = signals {
        signals.let_through();
    }
}
