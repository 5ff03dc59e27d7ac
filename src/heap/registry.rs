//! The registry of thread caches: makes them, numbers them, and hands those of ended threads to new ones.
//!
//! - G1. A cache is used by one thread at a time; between threads it stands on the list of unused ones, owns no span and its mailbox is
//!   closed.
//! - G2. Caches are never freed, so a stale owner number leads to a mailbox (R3 of `remote`).
//! - G3. The late cache belongs to no thread: it serves whoever has none, under its lock.

use crate::mcache::{MCache, SLOT_BYTES};
use crate::meta::Bump;
use crate::remote::Shared;
use crate::sync::atomic::{AtomicBool, Ordering::Relaxed};
use crate::sync::lock::{Lock, Patience};
use crate::tiers::Tiers;

struct Inner {
    memory: Bump,
    unused: Option<&'static MCache>,
    count: u32,
    in_use: usize,
}

// SAFETY: an unused cache is touched only by the holder of the lock (G1).
unsafe impl Send for Inner {}

struct Late(Option<&'static MCache>);

// SAFETY: the late cache is touched only by the holder of its lock (G3).
unsafe impl Send for Late {}

/// All thread caches of a heap.
pub(super) struct Registry {
    inner: Lock<Inner>,
    late: Lock<Late>,
    /// Whether no other thread had a cache when this process, or the one that it is a fork of, forked last. Relaxed: written and read by the
    /// thread that forks, under the locks.
    sole: AtomicBool,
}

/// Figures of the thread caches, in bytes.
#[derive(Clone, Copy)]
pub(super) struct CacheFigures {
    pub(super) in_use: usize,
    pub(super) sys: usize,
    pub(super) count: u32,
}

impl Registry {
    crate::sync::const_unless_loom! {
        /// Knows no cache.
        pub(super) fn new() -> Self {
            Self {
                inner: Lock::new(Inner { memory: Bump::new(), unused: None, count: 0, in_use: 0 }),
                late: Lock::new(Late(None)),
                sole: AtomicBool::new(false),
            }
        }
    }

    /// Both locks, for `fork`, by the thread of `own`; `None` where it has interrupted a call of
    /// the heap. Whether no other thread has a cache, which stays so until they are released;
    /// `is_sole` tells it until then, and in the child.
    pub(super) fn before_fork(&self, own: Option<&MCache>, patience: &mut Patience) -> bool {
        self.late.hold_for_fork(patience);
        self.inner.hold_for_fork(patience);
        // The lock is lent to this thread. One that has interrupted a call may not have it, and a
        // lock that its own call holds is no use.
        let sole = own.is_some_and(|own| self.inner.lock().in_use == usize::from(own.is_ready()));
        if self.is_sole() != sole {
            self.sole.store(sole, Relaxed);
        }
        sole
    }

    /// What `before_fork` found last.
    pub(super) fn is_sole(&self) -> bool {
        self.sole.load(Relaxed)
    }

    /// After `fork`, in the parent.
    ///
    /// # Safety
    /// The caller is in the thread that forks, and has its turn.
    pub(super) unsafe fn after_fork_in_parent(&self) {
        // SAFETY: as the caller promised; nothing of the value is in use.
        unsafe { self.late.release_after_fork() };
        // SAFETY: likewise.
        unsafe { self.inner.release_after_fork() };
    }

    /// After `fork`, in the child; the thread keeps the locks for a fork around this one, or they
    /// are free.
    ///
    /// # Safety
    /// The caller is the child's only thread, and its parent called `before_fork`.
    pub(super) unsafe fn after_fork_in_child(&self, keep: bool) {
        // SAFETY: as the caller promised.
        unsafe { self.late.reset_in_child(keep) };
        // SAFETY: likewise.
        unsafe { self.inner.reset_in_child(keep) };
    }

    /// In the child of a fork, whose thread has the cache `own`, if that is ready: all other caches
    /// are in no thread's use.
    pub(super) fn forget_others(&self, own: &MCache) {
        let mut inner = self.inner.lock();
        if own.is_ready() && inner.in_use != 1 {
            inner.in_use = 1;
        }
    }

    pub(super) fn figures(&self) -> CacheFigures {
        let inner = self.inner.lock();
        CacheFigures {
            in_use: inner.in_use * (size_of::<MCache>() + SLOT_BYTES),
            sys: inner.memory.mapped(),
            count: inner.count,
        }
    }

    /// A ready cache for a thread that has none: an unused one, or a new one. `None`: no memory.
    pub(super) fn new_cache(&self, tiers: &Tiers) -> Option<&'static MCache> {
        let mut inner = self.inner.lock();
        let cache = match inner.unused {
            Some(cache) => {
                inner.unused = cache.next_unused.take();
                cache.mailbox().reopen();
                cache
            }
            None => Self::make_cache(tiers, &mut inner)?,
        };
        inner.in_use += 1;
        cache.make_ready(tiers);
        Some(cache)
    }

    fn make_cache(tiers: &Tiers, inner: &mut Inner) -> Option<&'static MCache> {
        let os = tiers.mheap.os();
        let memory = inner
            .memory
            .take(os, size_of::<MCache>() + SLOT_BYTES, align_of::<MCache>())?
            .cast::<MCache>();
        // SAFETY: fresh memory of the right size and alignment.
        unsafe { MCache::write_new(memory) };
        // SAFETY: just initialised, and never freed (G2).
        let cache: &'static MCache = unsafe { memory.as_ref() };
        // SAFETY: zeroed memory behind the record, taken with it.
        unsafe { cache.set_slots(memory.as_ptr().wrapping_add(1).cast()) };
        let id = inner.count + 1;
        if !tiers.directory.enter(os, &mut inner.memory, id, cache.shared()) {
            return None;
        }
        inner.count = id;
        Some(cache)
    }

    /// Takes back the cache of a thread that ends. Returns whether no other thread has one.
    pub(super) fn retire_cache(&self, tiers: &Tiers, cache: &'static MCache) -> bool {
        cache.leave(tiers);
        let mut inner = self.inner.lock();
        inner.in_use -= 1;
        cache.next_unused.set(inner.unused);
        inner.unused = Some(cache);
        inner.in_use == 0
    }

    /// Runs `f` with the late cache.
    pub(super) fn with_late<R>(&self, tiers: &Tiers, f: impl FnOnce(&MCache) -> R) -> Option<R> {
        let mut late = self.late.lock();
        if late.0.is_none() {
            let mut inner = self.inner.lock();
            let cache = Self::make_cache(tiers, &mut inner)?;
            cache.make_ready(tiers);
            late.0 = Some(cache);
        }
        late.0.map(f)
    }

    /// After `fork`, in the child: the late cache, if there is one.
    pub(super) fn late_in_child(&self) -> Option<&'static MCache> {
        self.late.lock().0
    }

    /// Gives all resting spans to the page heap. Holds the late cache's lock: a thread without a cache may call this, and the background thread.
    pub(super) fn end_rest(&self, tiers: &Tiers) {
        let _late = self.late.lock();
        tiers.end_rest();
    }

    /// Gives the late cache's free memory up.
    pub(super) fn trim_late(&self, tiers: &Tiers) {
        let late = self.late.lock();
        if let Some(cache) = late.0 {
            cache.trim(tiers);
        }
    }

    /// What all caches show, in use or not.
    pub(super) fn shared(&self, tiers: &Tiers) -> impl Iterator<Item = &'static Shared> {
        let count = self.figures().count;
        (1..=count).filter_map(|id| tiers.directory.get(id))
    }
}
