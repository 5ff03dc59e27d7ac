//! Memory that is allocated before `main`, and a process whose first requests the kernel refuses.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::GLOBAL;
use crate::harness::{DONE, KEY, Next, Scenario, mark};
use crate::probe::{free_all, make_mixed};
use crate::support::oracle::Block;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "birth::memory_from_before_main_is_whole_in_main_and_can_be_freed",
        before_main,
    ),
    Scenario::new(
        "birth::memory_from_before_main_can_be_freed_by_another_thread",
        before_main_elsewhere,
    ),
    Scenario::new(REFUSED, refused_at_first).marked(&["refused", "served"]),
    Scenario::new(LIMITED, limited_at_first),
];

const REFUSED: &str = "birth::a_refusal_at_the_very_first_request_is_null_and_a_later_try_succeeds";
const LIMITED: &str = "birth::limits_that_the_program_sets_before_its_first_request_stay";

const PAGE: Layout = Layout::new::<[u8; 4096]>();

const SOFT_LIMIT: usize = 48 << 20;
const HARD_LIMIT: usize = 64 << 20;

static EARLY: Mutex<Vec<Block>> = Mutex::new(Vec::new());
static FIRST: AtomicPtr<u8> = AtomicPtr::new(ptr::dangling_mut());
static REFUSALS: AtomicUsize = AtomicUsize::new(0);

/// The loader runs this before `main`.
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

extern "C" fn constructor() {
    if is_scenario(REFUSED) {
        first_request_under_a_limit();
    } else if is_scenario(LIMITED) {
        greyspan::set_memory_limit(Some(SOFT_LIMIT));
        greyspan::set_hard_limit(Some(HARD_LIMIT));
    } else {
        *EARLY.lock().unwrap() = make_mixed(500, 11);
    }
}

/// Returns whether this process runs the scenario `name`. Does not allocate.
fn is_scenario(name: &str) -> bool {
    // SAFETY: the key is a C string, and no other thread exists that could change the environment.
    let value = unsafe { libc::getenv(KEY.as_ptr()) };
    if value.is_null() {
        return false;
    }
    // SAFETY: `getenv` returned a C string.
    let value = unsafe { std::ffi::CStr::from_ptr(value) };
    value.to_bytes() == name.as_bytes()
}

fn set_address_space(soft: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live value.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    assert_eq!(got, 0);
    limit.rlim_cur = soft.min(limit.rlim_max);
    // SAFETY: the pointer is to a live value.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(set, 0);
}

fn first_request_under_a_limit() {
    // Less than the mapped size, so that the kernel refuses every mapping.
    set_address_space(1);
    for _ in 0..3 {
        // SAFETY: the layout is not empty.
        let block = unsafe { GLOBAL.alloc(PAGE) };
        FIRST.store(block, Ordering::Relaxed);
        REFUSALS.fetch_add(usize::from(block.is_null()), Ordering::Relaxed);
    }
    set_address_space(u64::MAX);
}

fn refused_at_first() -> Next {
    // An allocator that holds its first bytes in its image may serve even this request; then the
    // scenario refuses nothing.
    let served = !FIRST.load(Ordering::Relaxed).is_null();
    assert!(served || REFUSALS.load(Ordering::Relaxed) == 3);
    mark("refused");
    free_all(make_mixed(2_000, 5));
    mark("served");
    DONE
}

fn limited_at_first() -> Next {
    free_all(make_mixed(500, 13));
    assert_eq!(greyspan::memory_limit(), Some(SOFT_LIMIT));
    assert_eq!(greyspan::hard_limit(), Some(HARD_LIMIT));
    let beyond = Layout::from_size_align(HARD_LIMIT, 1).expect("a layout");
    // SAFETY: the layout is not empty.
    let block = unsafe { GLOBAL.alloc(beyond) };
    assert!(block.is_null(), "the hard limit should refuse this request");
    DONE
}

fn before_main() -> Next {
    let early = std::mem::take(&mut *EARLY.lock().unwrap());
    assert_eq!(early.len(), 500);
    let more = make_mixed(500, 12);
    free_all(early);
    free_all(more);
    DONE
}

fn before_main_elsewhere() -> Next {
    std::thread::spawn(before_main).join().unwrap()
}
