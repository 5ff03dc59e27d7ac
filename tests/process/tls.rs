//! The end of a thread: allocation and frees in thread-local destructors, also in those that run
//! after the allocator's own.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{ptr, thread};

use crate::GLOBAL;
use crate::harness::{DONE, Next, Scenario};
use crate::probe::{free, free_all, make, make_mixed, memory};
use crate::support::oracle::{Block, check_zero};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("tls::destructors_of_thread_locals_allocate_and_free", thread_locals),
    Scenario::new(
        "tls::a_thread_whose_first_allocation_is_in_a_destructor_is_served",
        first_in_destructor,
    ),
    Scenario::new("tls::key_destructors_that_run_again_and_again_allocate_and_free", keys),
    Scenario::new("tls::allocation_after_teardown_leaks_nothing", no_leak),
    Scenario::new("tls::zeroed_memory_after_teardown_leaks_nothing", no_leak_of_zeroed),
    Scenario::new("tls::a_thread_with_the_smallest_stack_allocates", small_stack),
];

/// At its drop, it frees its blocks, which another thread made, allocates new ones, and keeps some
/// of these for longer.
struct Heir(RefCell<Vec<Block>>);

static DROPPED: AtomicUsize = AtomicUsize::new(0);

impl Drop for Heir {
    fn drop(&mut self) {
        free_all(self.0.take());
        let mut row = make_mixed(60, 21);
        free_all(row.drain(..30));
        row.extend(make_mixed(30, 22));
        free_all(row);
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

thread_local! {
    static EARLY: Heir = const { Heir(RefCell::new(Vec::new())) };
    static LATE: Heir = const { Heir(RefCell::new(Vec::new())) };
}

/// Uses `EARLY` before the thread's first own allocation, and `LATE` after.
fn with_both(given: Vec<Block>, more: Vec<Block>) {
    EARLY.with(|heir| *heir.0.borrow_mut() = given);
    free_all(make_mixed(20, 23));
    LATE.with(|heir| *heir.0.borrow_mut() = more);
}

fn thread_locals() -> Next {
    for round in 0..200 {
        let (given, more) = (make_mixed(40, round), make_mixed(40, round + 500));
        thread::spawn(move || with_both(given, more)).join().unwrap();
    }
    assert_eq!(DROPPED.load(Ordering::Relaxed), 400);
    // The main thread's destructors run after `main` has returned.
    with_both(thread::spawn(|| make_mixed(40, 1)).join().unwrap(), make_mixed(40, 2));
    DONE
}

/// A key whose value is the number of the destructor's round.
static KEY: AtomicUsize = AtomicUsize::new(usize::MAX);

fn create(destructor: unsafe extern "C" fn(*mut c_void)) -> libc::pthread_key_t {
    let mut key = 0;
    // SAFETY: the pointer is to a live value, and the destructor lives as long as the process.
    let failed = unsafe { libc::pthread_key_create(&raw mut key, Some(destructor)) };
    assert_eq!(failed, 0);
    key
}

fn set(key: libc::pthread_key_t, value: usize) {
    // SAFETY: the key was created and is never deleted.
    let failed = unsafe { libc::pthread_setspecific(key, ptr::without_provenance(value)) };
    assert_eq!(failed, 0);
}

static AGAIN: AtomicUsize = AtomicUsize::new(0);

/// Allocates, frees, and asks the C library to be called again while it still does so.
unsafe extern "C" fn again(value: *mut c_void) {
    free_all(make_mixed(25, 31));
    // Holds one small block across the call of `set`: by then the thread may have no other block.
    let held = make(48, value.addr());
    let round = value.addr();
    if round < 4 {
        set(KEY.load(Ordering::Relaxed) as libc::pthread_key_t, round + 1);
    }
    free(held);
    AGAIN.fetch_add(1, Ordering::Relaxed);
}

fn keys() -> Next {
    // Created after the allocator's own key, so its destructor runs after the allocator's in each
    // round.
    free_all(make_mixed(10, 1));
    KEY.store(create(again) as usize, Ordering::Relaxed);
    for round in 0..300 {
        thread::spawn(move || {
            set(KEY.load(Ordering::Relaxed) as libc::pthread_key_t, 1);
            free_all(make_mixed(20, round));
        })
        .join()
        .unwrap();
    }
    assert_eq!(AGAIN.load(Ordering::Relaxed), 300 * 4, "POSIX asks for four rounds");
    DONE
}

extern "C" fn set_key_only(_: *mut c_void) -> *mut c_void {
    set(KEY.load(Ordering::Relaxed) as libc::pthread_key_t, 1);
    ptr::null_mut()
}

extern "C" fn allocate_on_a_small_stack(_: *mut c_void) -> *mut c_void {
    for size in [1, 64, 1_000, 9_000, 33_000, 200_000, 3 << 20] {
        for seed in 0..40 {
            free(make(size, seed));
        }
    }
    ptr::null_mut()
}

/// Runs a bare thread of the C library, without the allocations of `std::thread`.
fn bare_thread(body: extern "C" fn(*mut c_void) -> *mut c_void, stack: Option<usize>) {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the pointer is to a place for attributes.
    let failed = unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) };
    assert_eq!(failed, 0);
    if let Some(stack) = stack {
        // SAFETY: the attributes are initialised.
        let failed = unsafe { libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack) };
        assert_eq!(failed, 0);
    }
    let mut thread = 0;
    // SAFETY: the attributes are initialised, and the body takes no argument.
    let failed = unsafe { libc::pthread_create(&raw mut thread, attributes.as_ptr(), body, ptr::null_mut()) };
    assert_eq!(failed, 0);
    // SAFETY: the thread was created, is not detached, and is joined once.
    let failed = unsafe { libc::pthread_join(thread, ptr::null_mut()) };
    assert_eq!(failed, 0);
}

fn first_in_destructor() -> Next {
    free_all(make_mixed(10, 1));
    KEY.store(create(again) as usize, Ordering::Relaxed);
    for _ in 0..200 {
        bare_thread(set_key_only, None);
    }
    assert_eq!(AGAIN.load(Ordering::Relaxed), 200 * 4);
    DONE
}

fn no_leak() -> Next {
    free_all(make_mixed(10, 1));
    KEY.store(create(again) as usize, Ordering::Relaxed);
    let live_and_die = |count| {
        for _ in 0..count {
            bare_thread(set_key_only, None);
            thread::spawn(|| {
                set(KEY.load(Ordering::Relaxed) as libc::pthread_key_t, 1);
                with_both(make_mixed(20, 1), Vec::new());
            })
            .join()
            .unwrap();
        }
    };
    live_and_die(100);
    let before = memory();
    live_and_die(1_500);
    let after = memory();
    assert!(after.resident <= before.resident + (1 << 20), "{before:?} {after:?}");
    assert!(after.mapped <= before.mapped + (4 << 20), "{before:?} {after:?}");
    DONE
}

/// Like [`again`], with zeroed memory of a size of which a bin holds few blocks.
unsafe extern "C" fn again_zeroed(value: *mut c_void) {
    let layout = Layout::new::<[u64; 128]>();
    let blocks = [(); 3].map(|()| {
        // SAFETY: the layout is not empty.
        let block = NonNull::new(unsafe { GLOBAL.alloc_zeroed(layout) }).expect("served");
        // SAFETY: `alloc_zeroed` returned the block, so all of it is initialised.
        unsafe { check_zero(block, layout.size()) };
        // SAFETY: the block has this layout and belongs to this function.
        unsafe { Block::write(block, layout, value.addr()) }
    });
    if value.addr() < 4 {
        set(KEY.load(Ordering::Relaxed) as libc::pthread_key_t, value.addr() + 1);
    }
    free_all(blocks);
}

fn no_leak_of_zeroed() -> Next {
    free_all(make_mixed(10, 1));
    KEY.store(create(again_zeroed) as usize, Ordering::Relaxed);
    let out = |count| {
        (0..count).for_each(|_| bare_thread(set_key_only, None));
        let rows = greyspan::stats().by_size;
        let row = rows.iter().find(|row| row.size == 1024).expect("a class of 1 KiB");
        row.mallocs - row.frees
    };
    let (before, after) = (out(2), out(20));
    // A bin holds at most this many.
    assert!(after <= before + 16, "{before} blocks out, then {after}");
    DONE
}

fn small_stack() -> Next {
    // SAFETY: reads a constant of the system.
    let least = unsafe { libc::sysconf(libc::_SC_THREAD_STACK_MIN) };
    bare_thread(
        allocate_on_a_small_stack,
        Some(usize::try_from(least).unwrap_or(0).max(16 << 10)),
    );
    DONE
}
