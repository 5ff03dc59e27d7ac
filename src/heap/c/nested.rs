//! Nested calls: calls that come while another call of the same thread is under way. A signal
//! handler that interrupted the first call makes them, or a function of the C library that the heap
//! called.
//!
//! A slow call runs with the thread's slot set to `BUSY`, a cache that is never ready. So every
//! call that comes meanwhile takes its slow path and ends here. It neither touches half-done work
//! nor waits for a lock that its own thread holds. It gets its memory from `spare`, and the blocks
//! that it frees wait until the call under way has ended. Called by `c`, `thread`, `fork` and
//! `api::raw`.
//!
//! - NESTED-1. While the slot holds `BUSY`, one frame of this thread's stack is inside `alone` or
//!   `before_exit`, and has the thread's cache.
//! - NESTED-2. A block that waits is linked by its own first word, so there is room for each. It is
//!   marked as free meanwhile, so a second free of it is detected, and so is a write to it.
//! - NESTED-3. A handler may interrupt the fast path, which is a few instructions. The bins serve
//!   it like any other caller. But it must not empty or overfill the very bin that was about to
//!   change, and must not keep a block of that bin. POSIX allows no handler to call `malloc` at
//!   all.

use super::spare;
use crate::heap::HEAP;
use crate::heap::serve::{current, set_current};
use crate::heap::thread;
use crate::mcache::c::clear_registers;
use crate::mcache::{BUSY, MCache};
use crate::mspan::Block;
use crate::sync::atomic::{
    AtomicBool, AtomicPtr,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    compiler_fence,
};
use crate::sync::handover::Entered;
use core::ptr::null_mut;

/// Whether `cache` is the one that a nested call finds in the slot.
pub(crate) fn is_nested(cache: &MCache) -> bool {
    core::ptr::eq(cache, BUSY.cache())
}

/// Runs `f` with the thread's cache, which the thread gets now if it has none yet. Calls that come
/// meanwhile are nested. The caller is not nested.
pub(in crate::heap) fn alone<R>(f: impl FnOnce(&'static MCache) -> R) -> R {
    let before = current();
    set_current(BUSY.cache());
    let own = thread::ready(before);
    let entered = enter(own);
    let result = f(own);
    if let Some(entered) = entered {
        own.handover.leave(entered);
    }
    if is_nested(current()) {
        set_current(own);
    }
    if !core::ptr::eq(own, before) {
        thread::arm(own);
    }
    if WAITING.load(Relaxed) {
        serve();
    }
    result
}

/// Runs `f`, a few instructions, as [`alone`] does: with `cache`, which the thread's slot holds.
/// `false`: `f` returned that, or the thread must take the cache back first and nothing was done.
/// If the result is true, the caller ends with [`end_quick`].
#[inline(always)]
pub(super) fn quick(cache: &MCache, f: impl FnOnce() -> bool) -> bool {
    let Some(entered) = cache.handover.enter() else {
        return false;
    };
    // SAFETY: a thread's slot holds caches only, which are never freed.
    let own: &'static MCache = unsafe { &*core::ptr::from_ref(cache) };
    set_current(BUSY.cache());
    compiler_fence(SeqCst);
    let result = f();
    compiler_fence(SeqCst);
    set_current(own);
    own.handover.leave(entered);
    result
}

/// Does what nested calls left to do during a call of [`quick`].
#[inline(always)]
pub(super) fn end_quick() {
    if WAITING.load(Relaxed) {
        serve_last();
    }
}

/// Does what nested calls left to do, as the last step of a call.
#[cold]
#[inline(never)]
fn serve_last() {
    serve();
    clear_registers();
}

/// Begins a slow operation with the calling thread's cache. `None`: it has none.
fn enter(own: &'static MCache) -> Option<Entered> {
    loop {
        let entered = own.handover.enter();
        if entered.is_some() || !own.handover.has_owner() {
            return entered;
        }
        thread::take_back(own);
    }
}

/// Runs `f` as [`alone`] does. For a nested call it does nothing and returns `None`.
pub(crate) fn alone_unless_nested<R>(f: impl FnOnce(&'static MCache) -> R) -> Option<R> {
    (!is_nested(current())).then(|| alone(f))
}

/// Makes all calls nested until the slot is set again, because the thread is about to end.
pub(in crate::heap) fn before_exit() {
    set_current(BUSY.cache());
}

/// Whether freed blocks, or a child that must be mended, wait for the end of a slow call.
static WAITING: AtomicBool = AtomicBool::new(false);
/// The last freed of the blocks that wait.
static FREED: AtomicPtr<Block> = AtomicPtr::new(null_mut());
/// Whether this process is the child of a fork and is not mended yet.
static UNMENDED: AtomicBool = AtomicBool::new(false);

/// Mends the heap in the child of a fork: now, or at the end of the call that the fork has
/// interrupted.
pub(in crate::heap) fn mend_in_child() {
    // Relaxed, both: the child has one thread.
    UNMENDED.store(true, Relaxed);
    WAITING.store(true, Relaxed);
    alone_unless_nested(|_| ());
}

/// Frees `ptr` once this thread, or another, ends its slow call. If the pointer is wrong, ends the
/// process now.
pub(super) fn free(ptr: *mut u8) {
    if spare::release(ptr) || !HEAP.set_aside(ptr) {
        return;
    }
    let block: *mut Block = ptr.cast();
    let mut last = FREED.load(Relaxed);
    loop {
        // SAFETY: the block is free, so this call's, and has a first word.
        unsafe { Block::link(block, last) };
        // Release: pairs with the Acquire in `serve`, which sees the link and the program's writes.
        match FREED.compare_exchange(last, block, Release, Relaxed) {
            Ok(_) => break,
            Err(now) => last = now,
        }
    }
    // Release: pairs with the Acquire in `serve`.
    WAITING.store(true, Release);
}

/// Frees the blocks that wait and mends a child: the work that nested calls left.
#[cold]
#[inline(never)]
fn serve() {
    // Acquire: pairs with the Release in `free`.
    while WAITING.swap(false, Acquire) {
        if UNMENDED.load(Relaxed) {
            UNMENDED.store(false, Relaxed);
            alone(|own| HEAP.mend_in_child(own));
        }
        // Acquire: pairs with the Release in `free`.
        let mut block = FREED.swap(null_mut(), Acquire);
        while !block.is_null() {
            HEAP.check_set_aside(block.cast());
            // SAFETY: a block that was set aside, and linked by `free` (NESTED-2).
            let next = unsafe { Block::next(block) };
            // SAFETY: a block that was set aside, and no longer on the list.
            unsafe { Block::unlink(block) };
            // SAFETY: a nested call gave the block up.
            unsafe { HEAP.free_set_aside(block.cast()) };
            block = next;
        }
    }
}

/// Waits for the turn of a test that makes slow calls. The end of each such call frees the blocks
/// that wait, of all threads, so two of these tests at once would take each other's blocks.
#[cfg(test)]
pub(crate) fn turn() -> crate::sync::lock::Guard<'static, ()> {
    static TURN: crate::sync::lock::Lock<()> = crate::sync::lock::Lock::new(());
    TURN.lock()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::c;
    use crate::heap::c::malloc::malloc;
    use crate::heap::c::realloc::realloc;
    use crate::heap::c::usable::usable_size;
    use std::collections::BTreeSet;

    #[test]
    fn however_many_blocks_nested_calls_get_each_is_there_and_keeps_what_it_holds() {
        let _turn = turn();
        let sizes = [1, 100, 3000, 70_000];
        let blocks: Vec<(*mut u8, usize)> = (0..8000).map(|turn| (null_mut(), sizes[turn % 100 / 33])).collect();
        let mut blocks = blocks;
        alone(|_| {
            for (turn, (place, size)) in blocks.iter_mut().enumerate() {
                *place = malloc(*size);
                assert!(!place.is_null() && place.addr().is_multiple_of(16));
                // SAFETY: the block is this test's.
                unsafe { place.write_bytes(turn as u8, *size) };
            }
        });
        for (turn, (place, size)) in blocks.iter().enumerate() {
            assert!(usable_size(*place) >= *size);
            // SAFETY: the block is this test's, and was written whole.
            let bytes = unsafe { core::slice::from_raw_parts(*place, *size) };
            assert!(bytes.iter().all(|&byte| byte == turn as u8), "block {turn}");
        }
        for (place, _) in blocks {
            // SAFETY: the block is in use, and given up.
            unsafe { c::free::free(place) };
        }
    }

    #[test]
    fn however_many_blocks_nested_calls_free_all_serve_again() {
        let _turn = turn();
        const COUNT: usize = 3000;
        for size in [3000, 70_000] {
            let make = || -> Vec<*mut u8> { (0..COUNT).map(|_| malloc(size)).collect() };
            let free = |blocks: &[*mut u8]| {
                for &block in blocks {
                    // SAFETY: the block is in use, and given up.
                    unsafe { c::free::free(block) };
                }
            };
            let first = make();
            alone(|_| free(&first));
            let second = make();
            let known: BTreeSet<*mut u8> = first.into_iter().collect();
            let again = second.iter().filter(|block| known.contains(*block)).count();
            assert!(again > COUNT / 2, "{again} of {COUNT} blocks of {size} bytes");
            free(&second);
        }
    }

    #[test]
    fn a_block_of_a_nested_call_is_given_back_by_a_free_and_a_realloc_outside_of_it() {
        let _turn = turn();
        for size in [100, 3000, 70_000] {
            let mut blocks = [null_mut(); 2];
            alone(|_| blocks.iter_mut().for_each(|place| *place = malloc(size)));
            assert!(blocks.iter().all(|&block| spare::size(block) == Some(size)));
            // SAFETY: the block is this test's, which gives it up.
            unsafe { c::free::free(blocks[0]) };
            // SAFETY: the block is this test's.
            let moved = unsafe { realloc(blocks[1], 2 * size) };
            assert!(blocks.iter().all(|&block| spare::size(block).is_none()), "{size} bytes");
            // SAFETY: the block is this test's, which gives it up.
            unsafe { c::free::free(moved) };
        }
    }
}
