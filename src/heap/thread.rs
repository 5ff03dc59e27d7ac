//! A thread's life with the heap: before its cache, with its cache, after its cache.
//!
//! ```text
//!  EMPTY ──first slow call──► its own cache ──exit hook──► TORN
//! ```
//!
//! The thread-local slot holds one pointer. It starts at `EMPTY`, a cache that is never ready, so
//! the fast path initialises and tests nothing. The first slow call attaches a cache and arms the
//! exit hook: a pthread key, whose destructor runs after those of Rust's and C++'s thread-locals.
//! If the thread allocates or frees after that, the late cache serves it under a lock.

use super::HEAP;
use super::Heap;
use crate::mcache::{MCache, Sentinel};
use crate::os;
use crate::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Release},
};
use core::ffi::c_void;

pub(crate) use super::serve::current;
use super::serve::set_current;

static TORN: Sentinel = Sentinel::new();

/// The pthread key of the exit hook plus one; 0 while there is none.
static EXIT_KEY: AtomicUsize = AtomicUsize::new(0);

/// Returns the calling thread's cache if it has one by now. `cache` is what the slot held when the
/// call began.
#[inline]
pub(super) fn current_or(cache: &MCache) -> &MCache {
    if cache.is_ready() { cache } else { current() }
}

impl Heap {
    /// Runs `f` with a ready cache: `cache` itself, one that the thread gets now, or the late one.
    /// `None`: there is no memory for a cache.
    pub(super) fn with_cache<R>(&self, cache: &MCache, f: impl FnOnce(&MCache) -> R) -> Option<R> {
        if cache.is_ready() {
            return Some(f(cache));
        }
        // The heaps of tests have no thread-local slots: their callers pass ready caches.
        match attach(cache) {
            Some(cache) => Some(f(cache)),
            None => self.registry.with_late(&self.tiers, f),
        }
    }
}

/// Whether `cache` stands for a thread that has given its cache up.
fn is_torn(cache: &MCache) -> bool {
    core::ptr::eq(cache, TORN.cache())
}

/// Returns a cache for the thread whose slot held `cache`: the same one, or a new one if there is
/// memory. The caller sets the slot and then calls [`arm`].
pub(super) fn ready(cache: &'static MCache) -> &'static MCache {
    if cache.is_ready() || is_torn(cache) {
        return cache;
    }
    HEAP.set_up();
    HEAP.registry.new_cache(&HEAP.tiers).unwrap_or(cache)
}

/// Gives the calling thread, whose slot held `found`, a cache. `None`: the thread has given its
/// cache up, or there is no memory.
#[cold]
fn attach(found: &MCache) -> Option<&'static MCache> {
    let cache = current();
    if cache.is_ready() {
        return Some(cache);
    }
    if is_torn(found) {
        return None;
    }
    HEAP.set_up();
    // The set-up may have allocated, and so given the thread its cache.
    let cache = current();
    if cache.is_ready() {
        return Some(cache);
    }
    let cache = HEAP.registry.new_cache(&HEAP.tiers)?;
    // The slot is set first: if arming the hook allocates, that call finds a ready cache.
    set_current(cache);
    arm(cache);
    Some(cache)
}

/// Marks the calling thread, which belongs to the heap, as one that never gets a cache.
pub(super) fn have_no_cache() {
    set_current(TORN.cache());
}

/// Makes the exit hook run for this thread.
pub(super) fn arm(cache: &'static MCache) {
    // Acquire: pairs with the Release in `create_exit_key`.
    if let Some(key) = EXIT_KEY.load(Acquire).checked_sub(1) {
        let value = core::ptr::from_ref(cache).cast_mut().cast::<c_void>();
        // If the system refuses, the cache stays behind when the thread ends. That leak is bounded,
        // and no reason to fail an allocation.
        os::tls::set(os::tls::Key::from_index(key), value);
    }
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
extern "C-unwind" fn thread_exits(_: *mut c_void) {
    let cache = current();
    if cache.is_ready() {
        // From here on the thread has no cache; later calls in it find `TORN`.
        super::c::nested::before_exit();
        let last = HEAP.registry.retire_cache(&HEAP.tiers, cache);
        // This takes locks, so calls of signal handlers are still nested.
        HEAP.after_exit(last);
        set_current(TORN.cache());
    }
}
