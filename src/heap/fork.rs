//! `fork` in a process with many threads: the child finds every lock free and every shared structure at rest.
//!
//! Before the fork the forking thread takes all locks, in lock order; afterwards the parent releases them and the child makes them new.
//! Where no other thread has a cache, the locks of the size classes are free and stay so (F3), and nothing is to be mended: then neither process
//! writes to them, nor copies the pages where they lie. The child's one thread goes on with its own cache. The caches of the threads that are gone stay as they were, with whatever those
//! threads were in the middle of: nobody touches them again. Their spans become nobody's:
//!
//! - F1. What such a thread wrote to a span without a lock may be half done, so its free list, its carve mark and the remote list are
//!   given up, and every object counts as live. The first thread that frees into the span claims it, as any that nobody owns, and
//!   what the child frees serves it again.
//! - F2. Tokens (W3) that those threads held are void, and the mail of the caches that are left is made anew from the words of their spans.
//! - F3. A class's lock is taken by threads that have a cache, and by whoever holds the late cache's lock. The forking thread holds that and the
//!   registry's, so no cache comes to be used meanwhile.
//!
//! Blocks that those threads had in bins, runs and empty spans are lost to the child, and so are pages that somebody had out to give back.

use super::{HEAP, Heap};
use crate::mcache::MCache;
use crate::mspan::State;
use crate::os;
use crate::size_class::SizeClass;
use crate::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sync::spin_hint;

const NOT_YET: u32 = 0;
const BUSY: u32 = 1;
const DONE: u32 = 2;

impl Heap {
    /// Process-wide set-up: reads the options, makes the exit key, registers the fork hooks and, if asked for, the exit hook. Every thread
    /// passes here before it gets its cache; one does the work.
    pub(super) fn set_up(&self) {
        let state: &AtomicU32 = &self.set_up;
        // Acquire: pairs with the Release below, so that whoever sees DONE sees the options in force.
        if state.load(Acquire) == DONE {
            return;
        }
        match state.compare_exchange(NOT_YET, BUSY, Acquire, Acquire) {
            Ok(_) => {
                let options = super::options::apply(self);
                super::thread::create_exit_key();
                // Release: pairs with the Acquires above. Registering comes after: it may allocate, through a cache by then.
                state.store(DONE, Release);
                os::fork::register(before_fork, after_fork_in_parent, after_fork_in_child);
                if options.show_stats && !os::exit::register(super::stats::show_stats) {
                    os::report::warn(format_args!("no table at exit: the system has no room for the handler"));
                }
                // libgreyspan.so begins when it is loaded: the unwinder cannot be loaded here.
                #[cfg(all(feature = "profiling", not(feature = "preload")))]
                if let Some(rate) = options.profile_rate
                    && !(crate::profiler::begin(rate) && os::exit::register(crate::profiler::write_at_exit))
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

    fn before_fork(&self, own: &MCache) {
        if !self.registry.before_fork(own) {
            for class in SizeClass::all() {
                self.tiers.central(class).before_fork();
            }
        }
        self.tiers.mheap.before_fork();
    }

    /// # Safety
    /// Follows `before_fork` in the same thread.
    unsafe fn after_fork_in_parent(&self) {
        // SAFETY: this thread holds all locks since `before_fork`.
        unsafe { self.tiers.mheap.after_fork_in_parent() };
        if !self.registry.is_sole() {
            for class in SizeClass::all() {
                // SAFETY: likewise.
                unsafe { self.tiers.central(class).after_fork_in_parent() };
            }
        }
        // SAFETY: likewise.
        unsafe { self.registry.after_fork_in_parent() };
    }

    /// # Safety
    /// Follows `before_fork`, in the child's only thread.
    unsafe fn after_fork_in_child(&self) {
        // SAFETY: the forking thread, which is this one, held all locks.
        unsafe { self.tiers.mheap.after_fork_in_child() };
        let sole = self.registry.is_sole();
        if !sole {
            for class in SizeClass::all() {
                // SAFETY: likewise.
                unsafe { self.tiers.central(class).after_fork_in_child() };
            }
        }
        #[cfg(feature = "preload")]
        let own = super::nested::forking();
        #[cfg(not(feature = "preload"))]
        let own = super::thread::current();
        // SAFETY: likewise.
        unsafe { self.registry.after_fork_in_child(own) };
        self.tiers.mheap.set_attended(false);
        crate::events::reset_in_child();
        self.background.forget();
        if sole {
            return;
        }
        let left = [Some(own), self.late_in_child()];
        self.orphan(|| left.into_iter().flatten().filter(|cache| cache.is_ready()));
    }

    /// Gives up the spans of all caches but those that are `left` (F1, F2). The caller is the only thread, and no lock is held.
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
        self.tiers.reset_room(left().map(MCache::room).sum());
    }
}

/// The lock of the C library's list of open files, which `fork` takes after our locks, and threads that hold it may wait for one that allocates.
#[cfg(all(feature = "preload", target_env = "gnu"))]
mod files {
    unsafe extern "C" {
        fn _IO_list_lock();
        fn _IO_list_unlock();
        fn _IO_list_resetlock();
    }

    pub(super) fn lock() {
        // SAFETY: takes a lock that the thread may hold already.
        unsafe { _IO_list_lock() };
    }

    pub(super) fn unlock() {
        // SAFETY: the thread took it before it forked.
        unsafe { _IO_list_unlock() };
    }

    pub(super) fn reset() {
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

extern "C" fn before_fork() {
    files::lock();
    before(|own| HEAP.before_fork(own));
}

extern "C" fn after_fork_in_parent() {
    // SAFETY: the system calls this in the thread that forked, after `before_fork`.
    after(|| unsafe { HEAP.after_fork_in_parent() });
    files::unlock();
}

extern "C" fn after_fork_in_child() {
    // SAFETY: the system calls this in the child's only thread, after `before_fork` in its parent.
    after(|| unsafe { HEAP.after_fork_in_child() });
    files::reset();
}

#[cfg(feature = "preload")]
use super::nested::{after_fork as after, before_fork as before};

#[cfg(not(feature = "preload"))]
fn before(lock: impl FnOnce(&'static MCache)) {
    lock(super::thread::current());
}

#[cfg(not(feature = "preload"))]
fn after(unlock: impl FnOnce()) {
    unlock();
}
