//! The registry of thread caches: makes them, numbers them, and passes the caches of ended threads
//! on to new threads.
//!
//! - REGISTRY-1. One thread at a time uses a cache. Between threads, the cache stands on the list
//!   of unused ones, owns no span, and its mailbox is closed.
//! - REGISTRY-2. Caches are never freed, so a stale owner number leads to a mailbox (REMOTE-3).
//! - REGISTRY-3. The late cache belongs to no thread. Under its lock, it serves threads that have
//!   no cache.

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

// SAFETY: only the holder of the lock touches an unused cache (REGISTRY-1).
unsafe impl Send for Inner {}

struct Late(Option<&'static MCache>);

// SAFETY: only the holder of its lock touches the late cache (REGISTRY-3).
unsafe impl Send for Late {}

/// All thread caches of a heap.
pub(super) struct Registry {
    inner: Lock<Inner>,
    late: Lock<Late>,
    /// Whether no other thread had a cache at the last fork of this process or of the parent that
    /// made it. Relaxed: the forking thread reads and writes it under the locks.
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
        /// Returns a registry without caches.
        pub(super) fn new() -> Self {
            Self {
                inner: Lock::new(Inner { memory: Bump::new(), unused: None, count: 0, in_use: 0 }),
                late: Lock::new(Late(None)),
                sole: AtomicBool::new(false),
            }
        }
    }

    /// Takes both locks for a `fork` by the thread whose cache is `own`. `None`: the fork has
    /// interrupted a call of the heap. Returns whether no other thread has a cache. That stays so
    /// until the locks are released; until then, and in the child, `is_sole` tells it.
    pub(super) fn before_fork(&self, own: Option<&MCache>, patience: &mut Patience) -> bool {
        self.late.hold_for_fork(patience);
        self.inner.hold_for_fork(patience);
        // The lock is lent to this thread. A thread that has interrupted a call may not have it. A
        // lock that the interrupted call holds would not help either.
        let sole = own.is_some_and(|own| self.inner.lock().in_use == usize::from(own.is_ready()));
        if self.is_sole() != sole {
            self.sole.store(sole, Relaxed);
        }
        sole
    }

    /// Returns what `before_fork` last returned.
    pub(super) fn is_sole(&self) -> bool {
        self.sole.load(Relaxed)
    }

    /// Releases both locks after `fork`, in the parent.
    ///
    /// # Safety
    /// The caller is in the thread that forks, and has its turn.
    pub(super) unsafe fn after_fork_in_parent(&self) {
        // SAFETY: this thread has the turn (contract of this function), and no code uses the value.
        unsafe { self.late.release_after_fork() };
        // SAFETY: this thread has the turn, and no code uses the value.
        unsafe { self.inner.release_after_fork() };
    }

    /// Resets both locks after `fork`, in the child. `keep`: the thread keeps them for a fork
    /// around this one; otherwise they are free.
    ///
    /// # Safety
    /// The caller is the child's only thread, and its parent called `before_fork`.
    pub(super) unsafe fn after_fork_in_child(&self, keep: bool) {
        // SAFETY: this is the child's only thread, and the parent took the locks (contract of this
        // function).
        unsafe { self.late.reset_in_child(keep) };
        // SAFETY: this is the child's only thread, and the parent took the locks.
        unsafe { self.inner.reset_in_child(keep) };
    }

    /// Counts all caches as unused except `own`, which counts if it is ready. For the child of a
    /// fork.
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

    /// Returns a ready cache for a thread that has none: an unused one, or a new one. `None`: there
    /// is no memory.
    pub(super) fn new_cache(&self, tiers: &Tiers) -> Option<&'static MCache> {
        let mut inner = self.inner.lock();
        let cache = match inner.unused {
            Some(cache) => {
                inner.unused = cache.next_unused.take();
                cache.shared.mailbox.reopen();
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
        // SAFETY: just initialised, and never freed (REGISTRY-2).
        let cache: &'static MCache = unsafe { memory.as_ref() };
        // SAFETY: zeroed memory behind the record, taken with it.
        unsafe { cache.bins.set_slots(memory.as_ptr().wrapping_add(1).cast()) };
        let id = inner.count + 1;
        if !tiers.directory.enter(os, &mut inner.memory, id, &cache.shared) {
            return None;
        }
        inner.count = id;
        tiers.mheap.set_cache_bytes(inner.memory.used());
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

    /// Returns the late cache, if there is one. For the child of a fork.
    pub(super) fn late_in_child(&self) -> Option<&'static MCache> {
        self.late.lock().0
    }

    /// Gives all resting spans to the page heap. Holds the late cache's lock, because threads
    /// without a cache and the background thread call this too.
    pub(super) fn end_rest(&self, tiers: &Tiers) {
        let _late = self.late.lock();
        tiers.end_rest();
    }

    /// Gives up the free memory of the late cache.
    pub(super) fn trim_late(&self, tiers: &Tiers) {
        let late = self.late.lock();
        if let Some(cache) = late.0 {
            cache.trim(tiers);
        }
    }

    /// Returns the shared parts of all caches, in use or not.
    pub(super) fn shared(&self, tiers: &Tiers) -> impl Iterator<Item = &'static Shared> {
        let count = self.figures().count;
        (1..=count).filter_map(|id| tiers.directory.get(id))
    }
}
