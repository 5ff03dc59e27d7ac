//! `fork` in a process with many threads: the child finds every lock free and every shared
//! structure at rest.
//!
//! Before the fork, the forking thread takes all locks, in lock order. Afterwards the parent
//! releases them and the child resets them. Meanwhile the forking thread may go on allocating and
//! freeing, because handlers of other libraries do so before and after these hooks. Each lock that
//! such a call needs is lent to the thread (LOCK-1).
//!
//! If no other thread has a cache, the locks of the size classes are free and stay free (FORK-3),
//! and nothing needs mending. Then neither process writes to them, so their pages are not copied.
//! The child's one thread goes on with its own cache. The caches of the other threads stay in the
//! state in which those threads left them, and are never used again. Their spans become unowned:
//!
//! - FORK-1. A write of a thread that is gone to its span may be half done. So the child gives up
//!   the span's free list, carve mark and remote list, and every object counts as live. The first
//!   thread that frees into the span claims it, as it claims any unowned span. Blocks that the
//!   child frees serve it again.
//! - FORK-2. Tokens (OWN-3) of threads that are gone are void. The mail of the caches that are left
//!   is made anew from the words of their spans.
//! - FORK-3. A class's lock is taken by threads that have a cache, and by the holder of the late
//!   cache's lock. The forking thread holds that lock and the registry's, so no cache comes into
//!   use meanwhile.
//!
//! Signal handlers fork too:
//!
//! - FORK-4. A handler that forks may interrupt a hook. So each hook can be repeated: it takes only
//!   locks that it does not hold, and releases only locks that it holds. `FORKER` counts the forks
//!   under way. The last one to end gives the turn back.
//! - FORK-5. The handler may have interrupted a slow call of its thread, which may hold a lock.
//!   Then the hook waits a few milliseconds for each lock, and goes on without the locks that it
//!   does not get. The child resets all locks. The interrupted call goes on in the child, and the
//!   heap is mended when it has ended.
//!
//! The child loses the blocks that the other threads had in bins, runs and empty spans. It also
//! loses the pages that one of them was about to give back.

#[cfg_attr(not(all(checked, target_env = "gnu")), path = "fork/files_absent.rs")]
mod files;

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
    /// Sets the process up: reads the options, makes the exit key, and registers the fork hooks
    /// and, if asked for, the exit hook. Every thread passes here before it gets its cache; one of
    /// them does the work.
    pub(crate) fn set_up(&self) {
        let state: &AtomicU32 = &self.set_up;
        // Acquire: pairs with the Release below. A thread that sees DONE sees the options in force.
        if state.load(Acquire) == DONE {
            return;
        }
        match state.compare_exchange(NOT_YET, BUSY, Acquire, Acquire) {
            Ok(_) => {
                let options = super::options::apply(self);
                super::thread::create_exit_key();
                crate::mspan::draw_early();
                // Release: pairs with the Acquires above. The hooks are registered after this: the
                // call may allocate, and by then through a cache.
                state.store(DONE, Release);
                register_hooks();
                // Before the background thread runs. The exit key exists already, so no thread can
                // close this object before its call returns.
                if !os::pin::pin() {
                    self.background.turn_off();
                }
                if options.show_stats && !os::exit::register(super::stats::show_stats) {
                    os::report::warn(format_args!(
                        "no statistics at exit: the system has no room for the exit handler"
                    ));
                }
                // libgreyspan.so begins when it is loaded: the unwinder cannot be loaded here.
                #[cfg(feature = "profiling")]
                if !crate::mspan::CHECKED
                    && let Some(rate) = options.profile_rate
                    && !(crate::profiler::begin(rate) && os::exit::register(crate::profiler::exit::write_at_exit))
                {
                    os::report::warn(format_args!(
                        "no heap profile: not enough memory for the profiler's tables"
                    ));
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

    /// Takes the turn and all locks, for a fork by the thread whose cache is `own`. `None`: the
    /// fork has interrupted a call of the heap (FORK-5).
    fn before_fork(&self, own: Option<&'static MCache>) {
        let mut patience = if own.is_some() {
            Patience::endless()
        } else {
            Patience::short()
        };
        if !take_turn(&mut patience) {
            return;
        }
        // A thread that holds this lock may wait for the call that this thread has interrupted.
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

    /// Releases all locks in the parent.
    ///
    /// # Safety
    /// The caller is in the thread that forks, and has its turn.
    unsafe fn after_fork_in_parent(&self) {
        // SAFETY: this is the thread that forks, and it has the turn (contract of this function).
        unsafe { self.tiers.mheap.after_fork_in_parent() };
        // A lock that was not taken is only read.
        for class in SizeClass::all() {
            // SAFETY: this is the thread that forks, and it has the turn.
            unsafe { self.tiers.central(class).after_fork_in_parent() };
        }
        // SAFETY: this is the thread that forks, and it has the turn.
        unsafe { self.registry.after_fork_in_parent() };
    }

    /// Resets all locks in the child. `keep`: the thread keeps them for a fork around this one.
    ///
    /// # Safety
    /// The caller is the child's only thread.
    unsafe fn after_fork_in_child(&self, keep: bool) {
        // SAFETY: this is the child's only thread (contract of this function).
        unsafe { self.tiers.mheap.after_fork_in_child(keep) };
        for class in SizeClass::all() {
            // SAFETY: this is the child's only thread.
            unsafe { self.tiers.central(class).after_fork_in_child(keep) };
        }
        // SAFETY: this is the child's only thread.
        unsafe { self.registry.after_fork_in_child(keep) };
        self.tiers.mheap.set_attended(false);
        crate::events::reset_in_child();
        self.background.forget();
    }

    /// Mends the state that threads which are gone have left, in the child, whose thread has the
    /// cache `own`.
    pub(super) fn mend_in_child(&self, own: &'static MCache) {
        self.registry.forget_others(own);
        if self.registry.is_sole() {
            return;
        }
        let left = [Some(own), self.registry.late_in_child()];
        self.orphan(|| left.into_iter().flatten().filter(|cache| cache.handover.has_owner()));
    }

    /// Gives up the spans of all caches except those that are `left` (FORK-1, FORK-2). The caller
    /// is the only thread, and holds no lock except for a fork around the one that made this
    /// process.
    pub(super) fn orphan<I: Iterator<Item = &'static MCache>>(&self, left: impl Fn() -> I) {
        for cache in left() {
            // The words of the spans name all mail.
            let _ = cache.shared.mailbox.take_all();
        }
        for span in self.tiers.mheap.all_spans() {
            let Some(class) = span.class().filter(|_| span.state() == State::Small) else {
                continue;
            };
            let owner = span.word.owner();
            let cache = left().find(|cache| cache.shared.mailbox.id() == owner);
            if owner != 0 && cache.is_none() {
                // The owner may have been about to take the span off the list.
                self.tiers.central(class).remove(span);
                self.tiers.mheap.forget_holes(span);
                span.orphan_in_child();
            } else if span.word.renew_token_in_child()
                && let Some(cache) = cache
            {
                cache.shared.mailbox.post_in_child(span);
            }
        }
        self.tiers.room.reset(left().map(MCache::room).sum());
    }
}

/// Takes the turn to fork. `false`: another thread has it, and the patience has ended.
fn take_turn(patience: &mut Patience) -> bool {
    loop {
        let turns = TURNS.load(Relaxed);
        if FORKER.enter(os::fork::me()) {
            return true;
        }
        // Relaxed, both: a thread that misses its wake-up looks again after a moment.
        WAITING.fetch_add(1, Relaxed);
        let waited = patience.wait_briefly(&TURNS, turns);
        WAITING.fetch_sub(1, Relaxed);
        if !waited {
            return false;
        }
    }
}

/// The number of turns that have ended. Threads wait on it.
static TURNS: AtomicU32 = AtomicU32::new(0);
/// The number of threads that wait for a turn to end.
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

// SAFETY: only the thread that has the turn reaches the cell, and no handler interrupts it while it
// holds its signals back.
unsafe impl Sync for Held {}

static HELD: Held = Held(UnsafeCell::new(None));

/// Holds the signals of this thread back. Called by the thread that has the turn, at the end of its
/// hook before the fork.
fn hold_signals() {
    if FORKER.is_nested() {
        return;
    }
    if let Some(signals) = os::fork::Signals::hold() {
        // SAFETY: this thread has the turn, and no handler interrupts it now.
        unsafe { HELD.0.get().write(Some(signals)) };
    }
}

/// Returns the signals that are held back. Called by the thread that has the turn.
fn held_signals() -> Option<os::fork::Signals> {
    // SAFETY: this thread has the turn; a handler interrupts it only while the cell is empty.
    unsafe { *HELD.0.get() }
}

/// Takes the signals that are held back. Called by the thread that has the turn, before it gives
/// the turn back; after that it lets them through.
fn take_signals() -> Option<os::fork::Signals> {
    // SAFETY: this thread has the turn; a handler interrupts it only while the cell is empty.
    unsafe { (*HELD.0.get()).take() }
}

/// Returns the calling thread's cache. `None`: the fork has interrupted a call of the heap
/// (FORK-5).
fn own() -> Option<&'static MCache> {
    let cache = super::thread::current();
    if super::c::nested::is_nested(cache) {
        return None;
    }
    Some(super::thread::unparked(cache))
}

/// Registers the hooks, once. The hooks that are registered first run last before a fork and first
/// after it. So no handler of another library runs while this thread holds the locks.
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
        // SAFETY: `Last` and `Closing` say that this thread had the turn.
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
        // The fork around this one goes on in the child, and lets the signals through once more.
        // But the child may end or call `exec` before.
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
