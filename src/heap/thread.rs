//! A thread's life with the heap: no cache yet, a cache of its own, no cache any more.
//!
//! ```text
//!  EMPTY ──first slow call──► its own cache ──exit hook──► TORN
//! ```
//!
//! The thread-local slot holds one pointer and starts at `EMPTY`, a cache that is never ready; so the fast path has nothing to initialise or
//! test. The first slow call attaches a cache and arms the exit hook: a pthread key, whose destructor runs after those of Rust's and
//! C++'s thread-locals. What the thread still allocates or frees afterwards goes through the late cache, under a lock.

use super::HEAP;
use super::Heap;
use crate::mcache::{MCache, Sentinel};
use crate::os;
use crate::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Release},
};
use core::ffi::c_void;

pub(crate) use super::slot::current;
use super::slot::set_current;

static TORN: Sentinel = Sentinel::new();

/// The pthread key of the exit hook plus one; 0 while there is none.
static EXIT_KEY: AtomicUsize = AtomicUsize::new(0);

/// The calling thread's cache if it has one by now, where `cache` was what it had before.
pub(super) fn current_or(cache: &MCache) -> &MCache {
    if cache.is_ready() { cache } else { current() }
}

impl Heap {
    /// Runs `f` with a ready cache: `cache` itself, one that the thread gets now, or the late one. `None`: no memory for any.
    pub(super) fn with_cache<R>(&self, cache: &MCache, f: impl FnOnce(&MCache) -> R) -> Option<R> {
        if cache.is_ready() {
            return Some(f(cache));
        }
        // Tests run heaps of their own, without thread-local slots: they come with ready caches.
        match attach(cache) {
            Some(cache) => Some(f(cache)),
            None => self.with_late(f),
        }
    }
}

/// Whether this is the slot of a thread that has no cache any more.
fn is_torn(cache: &MCache) -> bool {
    core::ptr::eq(cache, TORN.cache())
}

/// The cache of a thread whose slot held `cache`: the same, or one that it gets now, where there is memory. The caller sets the slot and then
/// calls [`arm`].
pub(super) fn ready(cache: &'static MCache) -> &'static MCache {
    if cache.is_ready() || is_torn(cache) {
        return cache;
    }
    HEAP.set_up();
    HEAP.new_cache().unwrap_or(cache)
}

/// Gives the calling thread, whose slot held `found`, a cache. `None`: it has none any more, or there is no memory.
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
    // Setting up may have allocated, and so given the thread its cache.
    let cache = current();
    if cache.is_ready() {
        return Some(cache);
    }
    let cache = HEAP.new_cache()?;
    // The slot is set first: should arming the hook allocate, that call finds a ready cache.
    set_current(cache);
    arm(cache);
    Some(cache)
}

/// The calling thread, which has no cache, never gets one: it is the heap's own.
pub(super) fn have_no_cache() {
    set_current(TORN.cache());
}

/// Makes the exit hook run for this thread.
pub(super) fn arm(cache: &'static MCache) {
    // Acquire: pairs with the Release in `create_exit_key`.
    if let Some(key) = EXIT_KEY.load(Acquire).checked_sub(1) {
        let value = core::ptr::from_ref(cache).cast_mut().cast::<c_void>();
        // A refusal leaves the cache behind when the thread ends: a bounded leak, and no reason to fail an allocation.
        os::tls::set(os::tls::Key::from_index(key), value);
    }
}

/// Makes the key of the exit hook; once, early, so that its number is small and setting it never allocates.
pub(super) fn create_exit_key() {
    if let Some(key) = os::tls::create_key(thread_exits) {
        // Release: pairs with the Acquire in `arm`.
        EXIT_KEY.store(key.index() + 1, Release);
    }
}

/// The exit hook.
extern "C-unwind" fn thread_exits(_: *mut c_void) {
    let cache = current();
    if cache.is_ready() {
        // From here on the thread has no cache; what runs later in it finds that out by `TORN`.
        super::c::nested::before_exit();
        let last = HEAP.retire_cache(cache);
        // It takes locks, so calls of signal handlers are nested still.
        HEAP.after_exit(last);
        set_current(TORN.cache());
    }
}
