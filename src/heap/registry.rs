//! The registry of thread caches: makes them, numbers them, and passes the caches of ended threads
//! on to new threads.
//!
//! - REGISTRY-1. One thread at a time uses a cache. Between threads, the cache stands on the list
//!   of unused ones, owns no span, and its mailbox is closed.
//! - REGISTRY-2. Caches are never freed, so a stale owner number leads to a mailbox (REMOTE-3).
//! - REGISTRY-3. The late cache belongs to no thread. Under its lock, it serves threads that have
//!   no cache, and the keeper of idle threads' caches ([`park`](super::park)).

use super::park::give_back;
use crate::base::list::List;
use crate::mcache::{CACHE_ALIGN, CACHE_BYTES, InUse, MCache, Stack};
use crate::meta::Bump;
use crate::remote::Shared;
use crate::sync::atomic::{AtomicBool, Ordering::Relaxed};
use crate::sync::lock::{Guard, Lock, Patience};
use crate::tiers::Tiers;

struct Inner {
    memory: Bump,
    unused: Option<&'static MCache>,
    count: u32,
    in_use: usize,
    /// The caches that threads have.
    users: List<InUse>,
    /// A thread got a cache since the keeper last looked at all.
    is_new: bool,
}

// SAFETY: only the holder of the lock touches an unused cache (REGISTRY-1).
unsafe impl Send for Inner {}

/// The state of the late lock.
pub(super) struct Late {
    cache: Option<&'static MCache>,
    /// Caches that the keeper has revoked. Empty while the lock is free.
    pub(super) revoked: Stack,
    /// Caches that were parked and not yet reclaimed; some may have gone back to their threads.
    pub(super) parked: Stack,
    /// When the keeper last looked for idle threads, in coarse milliseconds.
    looked_at: u64,
    /// Whether some thread kept its cache at that look, or has taken it back since.
    pub(super) active: bool,
}

impl Late {
    /// Whether the last look is at least `delay` milliseconds ago. Notes a look if so.
    pub(super) fn is_time_to_look(&mut self, delay: u64) -> bool {
        let now = crate::os::coarse_millis();
        let is_time = now.saturating_sub(self.looked_at) >= delay;
        if is_time {
            self.looked_at = now;
        }
        is_time
    }
}

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
                inner: Lock::new(Inner { memory: Bump::new(), unused: None, count: 0, in_use: 0, users: List::new(), is_new: false }),
                late: Lock::new(Late { cache: None, revoked: Stack::new(), parked: Stack::new(), looked_at: 0, active: false }),
                sole: AtomicBool::new(false),
            }
        }
    }

    /// Takes both locks for a `fork` by the thread whose cache is `own`. `None`: the fork has
    /// interrupted a call of the heap. Returns whether no other thread has a cache. That stays so
    /// until the locks are released; until then, and in the child, `is_sole` tells it.
    pub(super) fn before_fork(&self, own: Option<&'static MCache>, patience: &mut Patience) -> bool {
        self.late.hold_for_fork(patience);
        self.inner.hold_for_fork(patience);
        // The child has no keeper, and its thread needs its cache.
        if let Some(own) = own.filter(|own| own.handover.is_parked()) {
            give_back(own);
        }
        // The lock is lent to this thread. A thread that has interrupted a call may not have it. A
        // lock that the interrupted call holds would not help either.
        let sole = own.is_some_and(|own| self.inner.lock().in_use == usize::from(own.handover.has_owner()));
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
    pub(super) fn forget_others(&self, own: &'static MCache) {
        let mut late = self.late.lock();
        let mut inner = self.inner.lock();
        let left = own.handover.has_owner();
        if inner.in_use != usize::from(left) {
            inner.in_use = usize::from(left);
            // The slots of the other threads are gone.
            inner.users = List::new();
            if left {
                inner.users.push(own);
                own.seat.unstack();
            }
            late.revoked = Stack::new();
            late.parked = Stack::new();
        }
    }

    /// Takes the late lock.
    pub(super) fn late(&self) -> Guard<'_, Late> {
        self.late.lock()
    }

    /// Returns whether a thread got a cache since [`for_each_in_use`](Self::for_each_in_use) last
    /// ran.
    pub(super) fn has_new(&self) -> bool {
        self.inner.lock().is_new
    }

    /// Calls `visit` with each cache that a thread has. `visit` takes no lock.
    pub(super) fn for_each_in_use(&self, mut visit: impl FnMut(&'static MCache)) {
        let mut inner = self.inner.lock();
        inner.is_new = false;
        let mut next = inner.users.first();
        while let Some(cache) = next {
            next = inner.users.after(cache);
            visit(cache);
        }
    }

    /// Returns upper bounds of the free bytes that the caches of threads keep: of all, and of
    /// threads that were idle at the keeper's last look.
    pub(super) fn held_bytes(&self) -> [usize; 2] {
        let inner = self.inner.lock();
        let (mut all, mut idle) = (0, 0);
        let mut next = inner.users.first();
        while let Some(cache) = next {
            next = inner.users.after(cache);
            let held = cache.held_bytes();
            all += held;
            idle += if cache.seat.is_idle() { held } else { 0 };
        }
        [all, idle]
    }

    pub(super) fn figures(&self) -> CacheFigures {
        let inner = self.inner.lock();
        CacheFigures {
            in_use: inner.in_use * CACHE_BYTES,
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
        inner.users.push(cache);
        inner.is_new = true;
        cache.make_ready(tiers);
        Some(cache)
    }

    fn make_cache(tiers: &Tiers, inner: &mut Inner) -> Option<&'static MCache> {
        let os = tiers.mheap.os();
        let memory = inner.memory.take(os, CACHE_BYTES, CACHE_ALIGN)?.cast::<MCache>();
        // SAFETY: fresh, zeroed memory of this size and alignment, which is never freed
        // (REGISTRY-2).
        let cache = unsafe { MCache::make(memory) };
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
        self.hide(cache);
        cache.leave(tiers);
        let mut inner = self.inner.lock();
        inner.in_use -= 1;
        inner.users.remove(cache);
        cache.next_unused.set(inner.unused);
        inner.unused = Some(cache);
        inner.in_use == 0
    }

    /// Hides a thread that ends from the keeper, which uses its cache no more.
    fn hide(&self, cache: &MCache) {
        let _late = self.late.lock();
        cache.handover.take_back();
        cache.seat.leave();
    }

    /// Runs `f` with the late cache.
    pub(super) fn with_late<R>(&self, tiers: &Tiers, f: impl FnOnce(&MCache) -> R) -> Option<R> {
        let mut late = self.late.lock();
        self.late_cache(tiers, &mut late).map(f)
    }

    /// Returns the late cache to the holder of its lock. `None`: there is no memory for it.
    pub(super) fn late_cache(&self, tiers: &Tiers, late: &mut Late) -> Option<&'static MCache> {
        if late.cache.is_none() {
            let mut inner = self.inner.lock();
            let cache = Self::make_cache(tiers, &mut inner)?;
            cache.make_ready(tiers);
            late.cache = Some(cache);
        }
        late.cache
    }

    /// Returns the late cache, if there is one. For the child of a fork.
    pub(super) fn late_in_child(&self) -> Option<&'static MCache> {
        self.late.lock().cache
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
        if let Some(cache) = late.cache {
            cache.trim(tiers);
        }
    }

    /// Returns the shared parts of all caches, in use or not.
    pub(super) fn shared(&self, tiers: &Tiers) -> impl Iterator<Item = &'static Shared> {
        let count = self.figures().count;
        (1..=count).filter_map(|id| tiers.directory.get(id))
    }
}
