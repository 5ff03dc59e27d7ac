//! Calls that come while another call of the same thread is under way: from a signal handler that interrupted it, from a function of the C
//! library that it called itself, or from a handler of `fork`.
//!
//! A slow call runs with the thread's slot set to `BUSY`, a cache that is never ready; so every call that comes meanwhile ends up here, on
//! its slow path, and neither touches what is half done nor waits for a lock that its own thread holds. Such a call gets its memory straight
//! from the system, and what it frees waits until the call under way has ended. Called by `untyped`, `thread`, `fork` and `api::raw`.
//!
//! - E1. While the slot holds `BUSY`, one frame of this thread's stack is inside of `alone`, `before_exit` or `fork`, and has the thread's cache.
//! - E2. `BLOCKS` holds the blocks that came from the system, each once, from the time it is handed out to the time it is unmapped.
//! - E3. A handler that interrupts the fast path, which is a few instructions, is served by the bins like any other caller. What it may not do
//!   is to make the very bin run over or empty that was about to change, or to keep a block of it: POSIX lets no handler call `malloc` at all.

use super::HEAP;
use super::slot::{current, set_current};
use crate::base::addr::align_up;
use crate::base::geometry::REQUEST_MAX;
use crate::mcache::{MCache, Sentinel};
#[cfg_attr(any(test, loom), allow(unused_imports, reason = "there `Os` is the trait itself"))]
use crate::os::PageSource;
use crate::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use core::ptr::null_mut;

static BUSY: Sentinel = Sentinel::new();

/// Whether this is what a nested call finds in the slot.
pub(super) fn is_nested(cache: &MCache) -> bool {
    core::ptr::eq(cache, BUSY.cache())
}

/// Runs `f` with the thread's cache, which it gets now if it has none yet; calls that come meanwhile are nested. The caller is not.
pub(super) fn alone<R>(f: impl FnOnce(&'static MCache) -> R) -> R {
    let before = current();
    set_current(BUSY.cache());
    let own = super::thread::ready(before);
    let result = f(own);
    if is_nested(current()) {
        set_current(own);
    }
    if !core::ptr::eq(own, before) {
        super::thread::arm(own);
    }
    if WAITING.load(Relaxed) {
        serve();
    }
    result
}

/// As [`alone`]; `None`, and nothing done, for a nested call.
pub(crate) fn alone_unless_nested<R>(f: impl FnOnce(&'static MCache) -> R) -> Option<R> {
    (!is_nested(current())).then(|| alone(f))
}

/// The thread is about to end; calls are nested until the slot is set again.
pub(super) fn before_exit() {
    set_current(BUSY.cache());
}

/// The cache of the thread that forks; written and read by the thread that holds all locks, and by its copy in the child.
static FORKING: AtomicPtr<MCache> = AtomicPtr::new(null_mut());

/// Takes all locks, by `lock`, which gets the thread's cache, for a fork.
pub(super) fn before_fork(lock: impl FnOnce(&'static MCache)) {
    let cache = current();
    let own = core::ptr::from_ref(cache).cast_mut();
    set_current(BUSY.cache());
    lock(cache);
    // What is not written stays on a page that the last child shares.
    if FORKING.load(Relaxed) != own {
        FORKING.store(own, Relaxed);
    }
}

/// The cache of the thread that forks, between the two hooks.
pub(super) fn forking() -> &'static MCache {
    // SAFETY: null, or a cache, which is never freed.
    unsafe { FORKING.load(Relaxed).as_ref() }.unwrap_or_else(|| current())
}

/// Releases all locks, by `unlock`, after a fork.
pub(super) fn after_fork(unlock: impl FnOnce()) {
    let own = forking();
    unlock();
    // What nested calls have freed waits for the next slow call.
    set_current(own);
}

const BLOCKS_MAX: usize = 1024;
const WAITING_MAX: usize = 256;

/// Blocks of nested calls (E2), and how many slots are in use.
static BLOCKS: [AtomicPtr<u8>; BLOCKS_MAX] = [const { AtomicPtr::new(null_mut()) }; BLOCKS_MAX];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Blocks that nested calls have freed, and whether there are any.
static FREED: [AtomicPtr<u8>; WAITING_MAX] = [const { AtomicPtr::new(null_mut()) }; WAITING_MAX];
static WAITING: AtomicBool = AtomicBool::new(false);

/// In front of each block of a nested call.
#[repr(C)]
struct Head {
    mapping: *mut u8,
    mapped: usize,
    size: usize,
}

/// `size` zeroed bytes at a multiple of `align`, from the system; null when there are none or nested calls hold too many blocks.
pub(super) fn malloc(size: usize, align: usize) -> *mut u8 {
    if size > REQUEST_MAX || align > REQUEST_MAX {
        return null_mut();
    }
    let (front, os) = (align.max(32), HEAP.tiers.mheap.os());
    let bytes = align_up(size + 2 * front, os.page_size());
    let Some(slot) = claim() else { return null_mut() };
    let Some(mapping) = os.reserve(bytes, os.page_size()) else {
        give_up(slot);
        return null_mut();
    };
    // SAFETY: reserved just now.
    if !unsafe { os.prepare(mapping, bytes) } {
        // SAFETY: likewise, and nobody uses it.
        unsafe { os.free(mapping, bytes) };
        give_up(slot);
        return null_mut();
    }
    let mapping = mapping.as_ptr();
    let block = mapping.wrapping_add(align_up(mapping.addr() + 32, front) - mapping.addr());
    let head = Head {
        mapping,
        mapped: bytes,
        size,
    };
    // SAFETY: there are 32 bytes at least between the mapping's start and the block.
    unsafe { block.cast::<Head>().wrapping_sub(1).write(head) };
    // Release: the head, for the Acquire in `size`.
    slot.store(block, Release);
    block
}

/// What a slot holds while its block is being made.
static CLAIMED: u8 = 0;

/// A slot that is this caller's.
fn claim() -> Option<&'static AtomicPtr<u8>> {
    COUNT.fetch_add(1, Relaxed);
    let mine = (&raw const CLAIMED).cast_mut();
    let found = BLOCKS
        .iter()
        .find(|slot| slot.compare_exchange(null_mut(), mine, Relaxed, Relaxed).is_ok());
    if found.is_none() {
        COUNT.fetch_sub(1, Relaxed);
    }
    found
}

fn give_up(slot: &AtomicPtr<u8>) {
    slot.store(null_mut(), Relaxed);
    COUNT.fetch_sub(1, Relaxed);
}

fn slot_of(ptr: *mut u8) -> Option<&'static AtomicPtr<u8>> {
    if COUNT.load(Relaxed) == 0 {
        return None;
    }
    // Acquire: pairs with the Release in `malloc`.
    BLOCKS.iter().find(|slot| slot.load(Acquire) == ptr)
}

/// The size of the nested call's block at `ptr`; `None` where there is none.
#[cold]
pub(super) fn size(ptr: *mut u8) -> Option<usize> {
    slot_of(ptr)?;
    // SAFETY: a block that was handed out, and is not free, has its head in front.
    Some(unsafe { (*ptr.cast::<Head>().wrapping_sub(1)).size })
}

/// Gives the block at `ptr` back to the system, if it is a nested call's.
#[cold]
pub(super) fn release(ptr: *mut u8) -> bool {
    let Some(slot) = slot_of(ptr) else { return false };
    // SAFETY: as in `size`.
    let head = unsafe { ptr.cast::<Head>().wrapping_sub(1).read() };
    // AcqRel: one caller gets the block; what others did to it comes before.
    if slot.compare_exchange(ptr, null_mut(), AcqRel, Relaxed).is_err() {
        return false;
    }
    COUNT.fetch_sub(1, Relaxed);
    if let Some(mapping) = core::ptr::NonNull::new(head.mapping) {
        // SAFETY: the block's mapping, of which nobody knows any more.
        unsafe { HEAP.tiers.mheap.os().free(mapping, head.mapped) };
    }
    true
}

/// `ptr` is freed as soon as the thread, or another, ends its slow call. More than can wait are lost.
pub(super) fn free(ptr: *mut u8) {
    if ptr.is_null() || release(ptr) {
        return;
    }
    // Release: what the program did to the block comes before `serve`, by the Acquire there.
    let kept = FREED
        .iter()
        .any(|slot| slot.compare_exchange(null_mut(), ptr, Release, Relaxed).is_ok());
    if kept {
        // Release: pairs with the Acquire in `serve`.
        WAITING.store(true, Release);
    }
}

/// Frees what nested calls could not.
#[cold]
#[inline(never)]
fn serve() {
    // Acquire: pairs with the Release in `free`.
    while WAITING.swap(false, Acquire) {
        for slot in &FREED {
            // Acquire: as above.
            let ptr = slot.swap(null_mut(), Acquire);
            if !ptr.is_null() {
                // SAFETY: a nested call gave the block up.
                unsafe { HEAP.free_untyped(current(), ptr) };
            }
        }
    }
}
