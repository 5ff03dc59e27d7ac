//! A thread's life with the heap: before its cache, with its cache, after its cache.
//!
//! ```text
//!                                keeper ┌► PARKED ┐ next call
//!  EMPTY ──first slow call──► its own cache ◄───────┘
//!                                └──exit hook──► TORN
//! ```
//!
//! The thread-local slot holds one pointer. It starts at `EMPTY`, a cache that is never ready, so
//! the fast path initialises and tests nothing. The first slow call attaches a cache and arms the
//! exit hook: a pthread key, whose destructor runs after those of Rust's and C++'s thread-locals.
//! If the thread allocates or frees after that, the late cache serves it under a lock.
//!
//! While the thread is idle, the keeper ([`park`](super::park)) may take the cache over. The key's
//! value still names it, and the next slow call takes it back.

use super::HEAP;
use super::Heap;
use crate::mcache::{MCache, Sentinel};
use crate::os;
use crate::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Release},
};
use crate::sync::handover::Entered;
use core::ffi::c_void;

pub(crate) use super::serve::current;
use super::serve::{place, set_current};

static TORN: Sentinel = Sentinel::new();
/// Stands in for the cache of a thread that the keeper has parked.
static PARKED: Sentinel = Sentinel::new();

/// The pthread key of the exit hook plus one; 0 while there is none.
static EXIT_KEY: AtomicUsize = AtomicUsize::new(0);

/// Returns the calling thread's cache if it has one by now. `cache` is what the slot held when the
/// call began.
#[inline]
pub(super) fn current_or(cache: &MCache) -> &MCache {
    if cache.is_ready() { cache } else { current() }
}

impl Heap {
    /// Does a slow operation `f` with a cache: `cache` itself, one that the thread gets now or
    /// takes back, or the late one. `None`: there is no memory for a cache. Such operations may
    /// nest.
    #[inline(always)]
    pub(super) fn with_cache<R>(&self, cache: &MCache, f: impl FnOnce(&MCache) -> R) -> Option<R> {
        match cache.handover.enter() {
            Some(entered) => Some(finish(cache, entered, f)),
            None => self.with_own(cache, f),
        }
    }

    /// Does `f` as [`with_cache`](Self::with_cache) does, with a cache that the thread gets or
    /// takes back first.
    #[cold]
    #[inline(never)]
    fn with_own<R>(&self, found: &MCache, f: impl FnOnce(&MCache) -> R) -> Option<R> {
        // The heaps of tests have no thread-local slots: their callers pass ready caches.
        while let Some(cache) = attach(found) {
            if let Some(entered) = cache.handover.enter() {
                return Some(finish(cache, entered, f));
            }
        }
        self.registry.with_late(&self.tiers, f)
    }
}

/// Does a slow operation `f` of a few instructions with `cache`. `None`: the thread must get or
/// take back a cache first; nothing was done.
#[inline(always)]
pub(super) fn quick<R>(cache: &MCache, f: impl FnOnce(&MCache) -> R) -> Option<R> {
    let entered = cache.handover.enter()?;
    Some(finish(cache, entered, f))
}

/// Does the slow operation `f`, which the caller has entered, and leaves it.
#[inline(always)]
fn finish<R>(cache: &MCache, entered: Entered, f: impl FnOnce(&MCache) -> R) -> R {
    let result = f(cache);
    cache.handover.leave(entered);
    result
}

/// Whether `cache` stands for a thread that has given its cache up.
fn is_torn(cache: &MCache) -> bool {
    core::ptr::eq(cache, TORN.cache())
}

/// Returns the cache that `found`, from the calling thread's slot, stands for: the one that the
/// keeper has parked, or `found` itself.
pub(super) fn unparked(found: &'static MCache) -> &'static MCache {
    match exit_key() {
        Some(key) if is_parked(found) => named(os::tls::get(key)).unwrap_or(found),
        _ => found,
    }
}

/// Returns whether the calling thread has a cache, parked or not.
#[cfg(test)]
pub(crate) fn has_cache() -> bool {
    unparked(current()).handover.has_owner()
}

fn is_parked(cache: &MCache) -> bool {
    core::ptr::eq(cache, PARKED.cache())
}

/// Whether the calling thread, whose slot held `found` when its call began, has a cache. The keeper
/// may have it at this moment.
pub(super) fn has_own(found: &MCache) -> bool {
    found.handover.has_owner() || is_parked(found)
}

/// Returns the cache that a value of the exit hook's key names.
fn named(value: *mut c_void) -> Option<&'static MCache> {
    // SAFETY: `arm` sets the key to caches only, which are never freed. While the hook runs, the
    // value is null.
    unsafe { value.cast::<MCache>().as_ref() }
}

/// Returns a cache for the thread whose slot held `cache`: the same one, or a new one if there is
/// memory. The caller sets the slot and then calls [`arm`].
pub(super) fn ready(cache: &'static MCache) -> &'static MCache {
    let cache = unparked(cache);
    if cache.handover.has_owner() || is_torn(cache) {
        return cache;
    }
    HEAP.set_up();
    let cache = HEAP.registry.new_cache(&HEAP.tiers).unwrap_or(cache);
    HEAP.after_wake();
    cache
}

/// Takes the calling thread's cache back from the keeper.
pub(super) fn take_back(cache: &'static MCache) {
    HEAP.registry.take_back(cache);
    HEAP.after_wake();
}

/// Gives the calling thread, whose slot held `found` when its call began, a cache, or back its own.
/// `None`: the thread has given its cache up, or there is no memory.
#[cold]
fn attach(found: &MCache) -> Option<&'static MCache> {
    // In a slow call of a program in C, the slot itself says only that there is one.
    if is_torn(found) {
        return None;
    }
    HEAP.set_up();
    // The set-up may have allocated, and so given the thread its cache.
    let cache = if found.handover.has_owner() {
        // SAFETY: the thread's cache, and caches are never freed.
        unsafe { &*core::ptr::from_ref(found) }
    } else {
        unparked(current())
    };
    if cache.handover.has_owner() {
        take_back(cache);
        // A slow call of a program in C sets the slot when it ends.
        if is_parked(current()) {
            set_current(cache);
        }
        return Some(cache);
    }
    let cache = HEAP.registry.new_cache(&HEAP.tiers)?;
    // The slot is set first: if arming the hook allocates, that call finds a ready cache.
    set_current(cache);
    arm(cache);
    HEAP.after_wake();
    Some(cache)
}

/// Marks the calling thread, which belongs to the heap, as one that never gets a cache.
pub(super) fn have_no_cache() {
    set_current(TORN.cache());
}

/// Makes the exit hook run for this thread.
pub(super) fn arm(cache: &'static MCache) {
    if let Some(key) = exit_key() {
        let value = core::ptr::from_ref(cache).cast_mut().cast::<c_void>();
        // If the system refuses, the cache stays behind when the thread ends. That leak is bounded,
        // and no reason to fail an allocation.
        if os::tls::set(key, value) {
            cache.seat.take(place());
        }
    }
}

/// Takes the cache away from the idle thread that has it: from here on its operations take the slow
/// path. `false`: the thread is in a slow operation, or has no hook. The caller holds the late
/// lock.
pub(super) fn park(cache: &'static MCache) -> bool {
    // A thread that is in its exit hook is hidden already, and ends its handover without the lock.
    if cache.seat.is_hidden() || !cache.handover.revoke() {
        return false;
    }
    let done = cache.seat.exchange(cache, PARKED.cache());
    if !done {
        cache.handover.take_back();
    }
    done
}

/// Whether the slot of the thread still says that its cache is parked. A slow call of a program in
/// C that began before [`park`] puts the cache back in the slot when it ends. The caller holds the
/// late lock, and has settled the handover.
pub(super) fn stays_parked(cache: &'static MCache) -> bool {
    cache.seat.shows(PARKED.cache())
}

/// Undoes [`park`] for a thread that turned out to be busy. The caller holds the late lock.
pub(super) fn unpark(cache: &'static MCache) {
    cache.seat.exchange(PARKED.cache(), cache);
}

fn exit_key() -> Option<os::tls::Key> {
    // Acquire: pairs with the Release in `create_exit_key`.
    EXIT_KEY.load(Acquire).checked_sub(1).map(os::tls::Key::from_index)
}

/// Makes the key of the exit hook. Called once and early, so its number is small and setting it
/// never allocates.
pub(super) fn create_exit_key() {
    if let Some(key) = os::tls::create_key(thread_exits) {
        // Release: pairs with the Acquire in `arm`.
        EXIT_KEY.store(key.index() + 1, Release);
    }
}

/// The exit hook: the thread gives its cache up.
extern "C-unwind" fn thread_exits(value: *mut c_void) {
    let found = current();
    let cache = named(value).filter(|_| is_parked(found)).unwrap_or(found);
    if cache.handover.has_owner() {
        // From here on the thread has no cache; later calls in it find `TORN`.
        super::c::nested::before_exit();
        let last = HEAP.registry.retire_cache(&HEAP.tiers, cache);
        // This takes locks, so calls of signal handlers are still nested.
        HEAP.after_exit(last);
        set_current(TORN.cache());
    }
}
