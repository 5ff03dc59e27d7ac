//! C's operations on the heap of the process: sizes, contents, `errno`, and calls that come while
//! another call of the thread is under way.

use super::super::HEAP;
use super::super::c;
use super::super::c::aligned::memalign;
use super::super::c::free::free_sized;
use super::super::c::malloc::{calloc, malloc};
use super::super::c::nested::{alone, is_nested, turn};
use super::super::c::usable::usable_size as usable;
use super::super::serve::current;
use crate::base::geometry::{PAGE, REQUEST_MAX, RUN_MAX};
use crate::mcache::c::Pushed;
use crate::os::errno;
use crate::size_class::SizeClass;
use std::collections::BTreeSet;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

const KIB: usize = 1 << 10;

/// Sizes of each kind: classes, the edges between the kinds, runs, and whole pages.
const SIZES: [usize; 12] = [
    1,
    16,
    100,
    1000,
    1025,
    5000,
    32 * KIB,
    32 * KIB + 1,
    70_000,
    300 * KIB,
    RUN_MAX,
    RUN_MAX + 1,
];

fn free(ptr: *mut u8) {
    // SAFETY: the block is the test's, which gives it up.
    unsafe { c::free::free(ptr) };
}

fn realloc(ptr: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: the block is the test's.
    unsafe { c::realloc::realloc(ptr, size) }
}

fn bytes<'a>(ptr: *mut u8, size: usize) -> &'a mut [u8] {
    // SAFETY: the block is the test's, has so many bytes, and was written or is zeroed.
    unsafe { std::slice::from_raw_parts_mut(ptr, size) }
}

/// The places of a block that carry a pattern: all of a small one, some of a large one and its end.
fn places(size: usize) -> impl Iterator<Item = usize> {
    let step = if size > 8 * KIB { 61 } else { 1 };
    (0..size).step_by(step).chain(size.saturating_sub(16)..size)
}

fn pattern(place: usize) -> u8 {
    (place % 251 + 1) as u8
}

/// Writes the pattern to all places.
fn fill(ptr: *mut u8, size: usize) {
    for place in places(size) {
        // SAFETY: the block is the test's and has so many bytes.
        unsafe { ptr.wrapping_add(place).write(pattern(place)) };
    }
}

/// The first `size` bytes hold what `fill` wrote when the block had `before` bytes.
fn check(ptr: *mut u8, before: usize, size: usize) {
    for place in places(before).filter(|&place| place < size) {
        // SAFETY: the block is the test's and has so many bytes.
        let byte = unsafe { ptr.wrapping_add(place).read() };
        assert_eq!(byte, pattern(place), "at {place} of {before} bytes");
    }
}

/// Returns the `errno` that `call` sets, or 0.
fn error(call: impl FnOnce()) -> i32 {
    errno::set(0);
    call();
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

#[test]
fn calloc_gives_zeros_to_the_last_usable_byte_of_dirty_memory_too() {
    let _turn = turn();
    for size in SIZES {
        for _ in 0..3 {
            let ptr = calloc(1, size);
            let usable = usable(ptr);
            assert!(usable >= size && ptr.addr().is_multiple_of(16));
            assert!(bytes(ptr, usable).iter().all(|&byte| byte == 0), "{size} bytes");
            bytes(ptr, usable).fill(0xff);
            free(ptr);
        }
    }
}

#[test]
fn a_kept_run_has_the_size_of_its_present_holder() {
    let _turn = turn();
    // One run class serves them all.
    let large = malloc(104 * KIB);
    assert_eq!(usable(large), 104 * KIB);
    free(large);
    assert_eq!(usable(large), 0, "it is free");
    for size in [97 * KIB, 104 * KIB, 100 * KIB + 1, 96 * KIB + 1] {
        let again = malloc(size);
        assert_eq!(again, large, "the run that the thread keeps");
        assert_eq!(usable(again), size.next_multiple_of(4096));
        free(again);
    }
}

#[test]
fn a_thread_learns_by_its_first_free_which_pages_there_are() {
    let _turn = turn();
    std::thread::spawn(|| {
        free(malloc(200));
        let ptr = malloc(200);
        // SAFETY: the block is the test's, which gives it up.
        let pushed = unsafe { current().push_untyped(ptr.cast()) };
        assert!(matches!(pushed, Pushed::Done), "the fast path knows the page");
    })
    .join()
    .expect("the block is free");
}

#[test]
fn a_thread_that_only_frees_gathers_all_blocks_of_another_thread_and_the_owner_gets_them_back() {
    let _turn = turn();
    // More than the first span has, so that chains begin in both ways, and fewer than a full chain.
    const COUNT: u64 = 70;
    let make = || (0..COUNT).map(|_| AtomicPtr::new(malloc(200)));
    let (blocks, again): (Vec<_>, Vec<_>) = (make().collect(), make().collect());
    let known: BTreeSet<usize> = blocks.iter().map(|block| block.load(Relaxed).addr()).collect();
    std::thread::spawn(|| {
        free(malloc(3000));
        blocks.into_iter().for_each(|block| free(block.into_inner()));
        assert_eq!(current().shared.outbox.gathered().0, COUNT);
    })
    .join()
    .expect("the blocks are free");
    let blocks: Vec<_> = make().chain(make()).chain(make()).collect();
    let returned = blocks
        .iter()
        .filter(|block| known.contains(&block.load(Relaxed).addr()));
    assert_eq!(returned.count() as u64, COUNT);
    blocks
        .into_iter()
        .chain(again)
        .for_each(|block| free(block.into_inner()));
}

#[test]
fn a_large_block_does_not_begin_with_the_words_of_the_one_before() {
    let _turn = turn();
    for size in [40 * KIB, RUN_MAX + 1] {
        for _ in 0..3 {
            let ptr = malloc(size);
            assert_eq!(bytes(ptr, 16), [0; 16], "{size} bytes");
            fill(ptr, size);
            free(ptr);
        }
    }
}

#[test]
fn a_block_that_changes_its_size_keeps_what_both_sizes_hold() {
    let _turn = turn();
    for from in SIZES {
        for to in SIZES {
            let ptr = malloc(from);
            fill(ptr, from);
            let new = realloc(ptr, to);
            assert!(usable(new) >= to && new.addr().is_multiple_of(16));
            check(new, from, from.min(to));
            fill(new, to);
            let whole = usable(new);
            // To the last byte that the program may use.
            fill(new, whole);
            let grown = realloc(new, whole + 100);
            check(grown, whole, whole);
            free(grown);
        }
    }
}

#[test]
fn a_small_block_keeps_its_place_while_three_quarters_of_it_are_in_use() {
    let _turn = turn();
    let ptr = malloc(1024);
    assert_eq!(realloc(ptr, 769), ptr);
    assert_eq!(realloc(ptr, 1024), ptr);
    let moved = realloc(ptr, 768);
    assert_ne!(moved, ptr);
    assert_eq!(usable(moved), 768);
    assert_eq!(realloc(moved, 760), moved);
    let class = SizeClass::serving(16, 16).expect("a small size");
    let least = malloc(class.size());
    assert_eq!(realloc(least, 1), least, "the same class serves both");
    [moved, least].into_iter().for_each(free);
}

#[test]
fn a_block_that_moves_leaves_its_place_to_others() {
    let _turn = turn();
    for (from, to) in [(100, 1000), (1000, 40 * KIB), (40 * KIB, 100)] {
        let ptr = malloc(from);
        let new = realloc(ptr, to);
        assert_ne!(new, ptr);
        assert_eq!(usable(ptr), 0, "from {from} to {to} bytes");
        free(new);
    }
}

#[test]
fn blocks_are_aligned_as_asked_and_to_16_at_least() {
    let _turn = turn();
    for align in [1, 2, 8, 16, 64, 512, 4096, PAGE, 64 * KIB, 2048 * KIB] {
        for size in [0, 1, 100, 5000, 40 * KIB] {
            let ptr = memalign(align, size);
            assert!(ptr.addr().is_multiple_of(align.max(16)), "{size} at {align}");
            assert!(usable(ptr) >= size);
            fill(ptr, size);
            // Its size alone does not tell that it is large for its alignment.
            let new = realloc(ptr, size + 50_000);
            check(new, size, size);
            fill(new, size + 50_000);
            let new = realloc(new, size + 90_000);
            check(new, size + 50_000, size + 50_000);
            free(new);
        }
    }
}

#[test]
fn a_request_that_cannot_be_served_sets_errno_and_leaves_the_block_as_it_was() {
    let _turn = turn();
    let requests: [fn() -> *mut u8; 5] = [
        || malloc(REQUEST_MAX + 1),
        || malloc(usize::MAX),
        || calloc(1, usize::MAX - 100),
        || memalign(64, usize::MAX - 1000),
        || memalign(1 << 60, 100),
    ];
    for (number, request) in requests.iter().enumerate() {
        assert_eq!(error(|| assert!(request().is_null())), libc::ENOMEM, "request {number}");
    }
    for size in [100, 1000, 40 * KIB, RUN_MAX + 1] {
        let ptr = malloc(size);
        fill(ptr, size);
        for beyond in [REQUEST_MAX + 1, usize::MAX] {
            let failed = || assert!(realloc(ptr, beyond).is_null());
            assert_eq!(error(failed), libc::ENOMEM, "{size} to {beyond} bytes");
        }
        check(ptr, size, size);
        assert_eq!(error(|| free(ptr)), 0);
    }
}

#[test]
fn a_sized_free_takes_every_size_that_the_block_may_have() {
    let _turn = turn();
    for size in SIZES {
        let last = usable(malloc(size));
        // The size asked for, and the most that the program may use.
        for told in [size, last] {
            let ptr = malloc(size);
            // SAFETY: the block is the test's, which gives it up.
            unsafe { free_sized(ptr, 16, told) };
            assert_eq!(usable(ptr), 0, "{told} of {size} bytes");
        }
    }
    let ptr = memalign(4096, 100);
    // SAFETY: the block is the test's, which gives it up.
    unsafe { free_sized(ptr, 4096, 100) };
    assert_eq!(usable(ptr), 0);
    // SAFETY: null is no block.
    unsafe { free_sized(null_mut(), 16, 5) };
}

#[test]
fn a_block_of_a_nested_call_may_be_resized_and_freed_outside_of_it() {
    let _turn = turn();
    for size in [100, 3000, 70_000] {
        let mut blocks = [null_mut(); 3];
        alone(|_| blocks.iter_mut().for_each(|place| *place = malloc(size)));
        let [first, second, third] = blocks;
        let known = |ptr| {
            HEAP.tiers
                .mheap
                .map()
                .span_of(crate::base::addr::Addr::of(ptr))
                .is_some()
        };
        assert!(!known(first), "it is no span's");
        blocks.iter().for_each(|&ptr| fill(ptr, size));
        let (up, down) = (realloc(first, 2 * size), realloc(second, size / 2));
        check(up, size, size);
        check(down, size, size / 2);
        assert!(known(up) && known(down));
        free(third);
        // Their places serve nested calls again.
        let mut again = [null_mut(); 3];
        alone(|_| again.iter_mut().for_each(|place| *place = malloc(size)));
        [up, down].into_iter().for_each(free);
        again.into_iter().for_each(free);
        assert_eq!(error(|| free(null_mut())), 0);
    }
}

#[test]
fn nested_calls_are_refused_as_others_are() {
    let _turn = turn();
    alone(|_| {
        for size in [REQUEST_MAX + 1, usize::MAX] {
            assert_eq!(error(|| assert!(malloc(size).is_null())), libc::ENOMEM);
        }
    });
}

#[test]
fn a_nested_call_resizes_a_block_of_the_thread_and_frees_the_old_one_later() {
    let _turn = turn();
    for size in [100, 3000, 70_000] {
        let ptr = malloc(size);
        fill(ptr, size);
        let mut new = null_mut();
        alone(|_| {
            new = realloc(ptr, 2 * size);
            check(new, size, size);
            assert_eq!(usable(ptr), 0, "it is free");
        });
        check(new, size, size);
        free(new);
    }
}

#[test]
fn a_large_block_that_moves_to_a_kept_run_has_its_own_size_there() {
    let _turn = turn();
    let mut held = Vec::new();
    // A block grows where it is if the pages behind it are free, and moves to idle pages if other
    // tests leave some. So the test goes on until the kept run is the only place.
    let moved = (0..100).any(|_| {
        let ptr = malloc(40 * KIB);
        fill(ptr, 40 * KIB);
        held.push(malloc(40 * KIB));
        HEAP.purge(current());
        let run = malloc(104 * KIB);
        free(run);
        let new = realloc(ptr, 97 * KIB);
        assert_eq!(usable(new), 100 * KIB);
        check(new, 40 * KIB, 40 * KIB);
        let grown = realloc(new, 101 * KIB);
        assert_eq!(usable(grown), 104 * KIB);
        held.push(grown);
        new == run
    });
    assert!(moved, "no block moved to a kept run");
    held.into_iter().for_each(free);
}

#[cfg(feature = "stats")]
#[test]
fn each_call_counts_once() {
    let _turn = turn();
    // Other tests use the same heap: only this thread's counts are looked at.
    free(malloc(1));
    let seen = || {
        let exact = current().shared.exact().expect("counts");
        let (classes, large, _) = exact.mallocs();
        let mallocs = classes.sum::<u64>() + large;
        let (classes, large, _) = exact.frees();
        (mallocs, classes.sum::<u64>() + large)
    };
    let (mut mallocs, mut frees) = seen();
    for size in SIZES {
        for turn in 0..30 {
            let ptr = match turn % 3 {
                0 => malloc(size),
                1 => calloc(1, size),
                _ => memalign(64, size),
            };
            mallocs += 1;
            assert_eq!(seen(), (mallocs, frees), "{size} bytes, turn {turn}");
            free(ptr);
            frees += 1;
            assert_eq!(seen(), (mallocs, frees), "{size} bytes, turn {turn}");
        }
    }
    // An object that is large for its alignment alone counts as large when it moves, too.
    let exact = current().shared.exact().expect("counts");
    let held = || -> Vec<u64> {
        let (mallocs, frees) = (exact.mallocs().0, exact.frees().0);
        mallocs
            .zip(frees)
            .map(|(mallocs, frees)| mallocs.wrapping_sub(frees))
            .collect()
    };
    let before = held();
    let ptr = realloc(memalign(64 * KIB, 100), 50_000);
    free(realloc(ptr, 100));
    let moved: Vec<_> = held()
        .iter()
        .zip(&before)
        .map(|(now, before)| now.wrapping_sub(*before))
        .collect();
    assert!(moved.iter().all(|&count| count == 0), "{moved:?}");
}

/// Runs this test in a process of its own, where all objects are sampled. Returns whether the
/// caller is that process.
#[cfg(feature = "stats")]
fn is_sampled_process(test: &str) -> bool {
    const KEY: &str = "SPAN_TEST_SAMPLED";
    if std::env::var_os(KEY).is_some() {
        assert!(crate::profiler::begin(1), "memory");
        return true;
    }
    let mut command = std::process::Command::new(std::env::current_exe().expect("a path"));
    let name = format!("heap::tests::c::{test}");
    let end = command
        .args(["--exact", &name])
        .env(KEY, "")
        .output()
        .expect("a process");
    assert!(end.status.success(), "{}", String::from_utf8_lossy(&end.stdout));
    assert!(String::from_utf8_lossy(&end.stdout).contains("1 passed"));
    false
}

#[cfg(feature = "stats")]
#[test]
fn sampled_objects_are_counted_by_one_class_whatever_becomes_of_them() {
    if !is_sampled_process("sampled_objects_are_counted_by_one_class_whatever_becomes_of_them") {
        return;
    }
    free(malloc(1));
    let exact = current().shared.exact().expect("counts");
    let held = || -> (Vec<i64>, i64) {
        let (classes, large, _) = exact.mallocs();
        let (freed, large_freed, _) = exact.frees();
        let held = classes.zip(freed).map(|(made, freed)| made as i64 - freed as i64);
        (held.collect(), large as i64 - large_freed as i64)
    };
    let before = held();
    for _ in 0..300 {
        // The alignment takes a larger class than the size alone.
        free(memalign(2048, 253));
        // Large for its alignment alone.
        free(memalign(16 * KIB, 100));
        // A small object that grows large, and the way back.
        free(realloc(malloc(30_000), 2_000_000));
        free(realloc(malloc(2_000_000), 30_000));
    }
    assert_eq!(held(), before);
}

#[cfg(feature = "stats")]
#[test]
fn a_free_counts_though_its_bin_is_full() {
    let _turn = turn();
    let row: Vec<_> = (0..3000).map(|_| malloc(200)).collect();
    let frees = || current().shared.exact().expect("counts").frees().0.sum::<u64>();
    let before = frees();
    row.into_iter().for_each(free);
    assert_eq!(frees(), before + 3000);
}

#[test]
fn a_slow_call_that_the_keeper_meets_keeps_its_cache_and_its_slot() {
    let met = std::thread::spawn(|| {
        alone(|own| {
            let late = HEAP.registry.late();
            let revoked = own.handover.revoke();
            drop(late);
            // An operation within the call.
            let same = HEAP.with_cache(own, |cache| core::ptr::eq(cache, own));
            revoked && same == Some(true) && is_nested(current())
        })
    });
    assert!(met.join().expect("the call ends"));
}
