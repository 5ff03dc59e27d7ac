//! With the feature `stats` the counters are exact: each scenario knows its allocations, to the
//! block.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::RefCell;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use greyspan::{SizeClassStats, Stats, stats};

use crate::GLOBAL;
use crate::fork::in_child;
use crate::harness::{DONE, Next, Scenario};
use crate::probe::churn;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("exact::each_block_is_counted_where_it_belongs", each),
    Scenario::new("exact::resizing_counts_what_it_does", resizing),
    #[cfg(feature = "profiling")]
    Scenario::new("exact::sampled_objects_are_counted_as_any_others", sampled),
    Scenario::new("exact::no_count_is_lost_when_threads_end", threads),
    Scenario::new("exact::blocks_that_go_without_a_thread_cache_are_counted", torn),
    Scenario::new("exact::a_child_of_a_fork_counts_on", fork),
    Scenario::new("exact::sums_beside_threads_are_bounded_by_what_was_done", bounds),
    Scenario::new(
        "exact::what_is_held_is_no_more_than_lies_in_spans_however_long_a_snapshot_takes",
        held,
    ),
];

/// The difference between two snapshots.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    mallocs: u64,
    frees: u64,
    total: u64,
    objects: i64,
    allocated: i64,
}

fn change(before: &Stats, after: &Stats) -> Change {
    Change {
        mallocs: after.mallocs - before.mallocs,
        frees: after.frees - before.frees,
        total: after.total_alloc - before.total_alloc,
        objects: after.heap_objects.cast_signed() - before.heap_objects.cast_signed(),
        allocated: after.allocated.cast_signed() - before.allocated.cast_signed(),
    }
}

/// Returns the change that `count` live blocks of `bytes` each make.
fn made(count: u64, bytes: u64) -> Change {
    Change {
        mallocs: count,
        frees: 0,
        total: count * bytes,
        objects: count.cast_signed(),
        allocated: (count * bytes).cast_signed(),
    }
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout")
}

fn alloc(layout: Layout) -> *mut u8 {
    // SAFETY: no layout here is empty.
    let block = unsafe { GLOBAL.alloc(layout) };
    assert!(!block.is_null());
    block
}

fn free(block: *mut u8, layout: Layout) {
    // SAFETY: made by `alloc` with this layout, and freed once.
    unsafe { GLOBAL.dealloc(block, layout) };
}

fn row(stats: &Stats, size: usize) -> SizeClassStats {
    *stats
        .by_size
        .iter()
        .find(|row| row.size == size as u64)
        .expect("a class")
}

fn each() -> Next {
    const COUNT: usize = 1000;
    let mut blocks = [std::ptr::null_mut(); COUNT];
    // Sizes of classes, and one layout that no type has: its block returns through the bin of a
    // smaller class.
    for (size, align, class) in [
        (64, 8, 64),
        (1024, 8, 1024),
        (8, 8, 8),
        (12_288, 4096, 12_288),
        (40, 64, 64),
    ] {
        let layout = layout(size, align);
        let before = stats();
        for block in &mut blocks {
            *block = alloc(layout);
        }
        let full = stats();
        assert_eq!(change(&before, &full), made(COUNT as u64, class as u64), "{layout:?}");
        let (was, is) = (row(&before, class), row(&full, class));
        assert_eq!(
            (is.mallocs - was.mallocs, is.frees - was.frees),
            (COUNT as u64, 0),
            "{layout:?}"
        );
        blocks.into_iter().for_each(|block| free(block, layout));
        let after = stats();
        let (was, is) = (row(&full, class), row(&after, class));
        assert_eq!(
            (is.mallocs - was.mallocs, is.frees - was.frees),
            (0, COUNT as u64),
            "{layout:?}"
        );
        assert_eq!(
            (after.heap_objects, after.allocated),
            (before.heap_objects, before.allocated)
        );
    }
    // Large objects count by their pages.
    for bytes in [100 << 10, 1 << 20, 5 << 20, 64 << 20] {
        let layout = layout(bytes, 8);
        let before = stats();
        let mut large = [std::ptr::null_mut(); 3];
        for block in &mut large {
            // SAFETY: the layout is not empty.
            *block = unsafe { GLOBAL.alloc_zeroed(layout) };
            assert!(!block.is_null());
        }
        let full = change(&before, &stats());
        assert_eq!((full.mallocs, full.frees, full.objects), (3, 0, 3), "{layout:?}");
        let total = 3 * bytes as u64;
        assert!((total..=total + total / 8).contains(&full.total), "{full:?}");
        assert_eq!(full.allocated, full.total.cast_signed());
        large.into_iter().for_each(|block| free(block, layout));
        let after = change(&before, &stats());
        assert_eq!((after.frees, after.objects, after.allocated), (3, 0, 0), "{layout:?}");
    }
    DONE
}

/// Samples each object, so that it lies apart from unsampled objects of its class.
#[cfg(feature = "profiling")]
fn sampled() -> Next {
    greyspan::profile::start(1).expect("memory for the tables");
    // The unwinder initialises itself once, before the counts.
    let layout = layout(64, 8);
    free(alloc(layout), layout);
    let _ = each();
    resizing()
}

fn resizing() -> Next {
    let resize = |block: *mut u8, old: usize, new: usize| {
        // SAFETY: made with the old size, and this function alone uses it.
        let block = unsafe { GLOBAL.realloc(block, layout(old, 8), new) };
        assert!(!block.is_null());
        block
    };
    let start = stats();
    let block = alloc(layout(100, 8));
    let before = stats();
    let block = resize(block, 100, 104);
    assert_eq!(change(&before, &stats()), made(0, 0), "the same class");
    let block = resize(block, 104, 1000);
    let grown = change(&before, &stats());
    assert_eq!((grown.mallocs, grown.frees, grown.objects), (1, 1, 0));
    assert_eq!((grown.total, grown.allocated), (1024, 1024 - 104));
    let mut size = 1000;
    let mut block = block;
    for new in [300_000, 400_000, 3 << 20, 20 << 20, 100 << 20, 1 << 20, 500, 60] {
        let before = stats();
        block = resize(block, size, new);
        let changed = change(&before, &stats());
        assert_eq!(changed.objects, 0, "{size} to {new}: {changed:?}");
        assert_eq!(changed.mallocs, changed.frees, "{size} to {new}: {changed:?}");
        let held = stats().allocated - start.allocated;
        assert!(
            (new as u64..=new as u64 + new as u64 / 8 + 8).contains(&held),
            "{held} for {new}"
        );
        size = new;
    }
    free(block, layout(size, 8));
    let end = change(&start, &stats());
    assert_eq!((end.objects, end.allocated), (0, 0), "{end:?}");
    assert_eq!(end.mallocs, end.frees);
    DONE
}

fn threads() -> Next {
    const THREADS: u64 = 64;
    const EACH: u64 = 5000;
    let layout = layout(320, 8);
    // The allocations that a standard-library thread makes for itself are of other classes, or the
    // same each time.
    let before = row(&stats(), 320);
    for _ in 0..3 {
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(move || {
                    let mut last = std::ptr::null_mut::<u8>();
                    for _ in 0..EACH {
                        let block = alloc(layout);
                        if !last.is_null() {
                            free(last, layout);
                        }
                        last = block;
                    }
                    free(last, layout);
                });
            }
        });
    }
    let after = row(&stats(), 320);
    assert_eq!(after.mallocs - before.mallocs, 3 * THREADS * EACH);
    assert_eq!(after.frees - before.frees, 3 * THREADS * EACH);
    DONE
}

/// Allocates in its destructor, at the end of a thread.
struct Late;

impl Drop for Late {
    fn drop(&mut self) {
        let layout = layout(448, 8);
        free(alloc(layout), layout);
    }
}

thread_local! {
    static REST: RefCell<Option<Late>> = const { RefCell::new(None) };
}

extern "C" fn at_exit(value: *mut std::ffi::c_void) {
    // The C library destroys this key after the allocator's, which is older: the thread has no
    // cache any more.
    let layout = layout(448, 8);
    for _ in 0..value.addr() {
        free(alloc(layout), layout);
    }
}

fn torn() -> Next {
    const AFTER: usize = 100;
    let mut key = 0;
    // SAFETY: the place for the key is valid.
    assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, Some(at_exit)) }, 0);
    let before = row(&stats(), 448);
    for _ in 0..10 {
        thread::spawn(move || {
            REST.with(|rest| *rest.borrow_mut() = Some(Late));
            let value = std::ptr::without_provenance::<std::ffi::c_void>(AFTER);
            // SAFETY: a key that exists; its destructor reads the value as a number.
            assert_eq!(unsafe { libc::pthread_setspecific(key, value) }, 0);
        })
        .join()
        .expect("no panic");
    }
    let after = row(&stats(), 448);
    let (mallocs, frees) = (after.mallocs - before.mallocs, after.frees - before.frees);
    assert_eq!(mallocs, frees);
    assert_eq!(mallocs, 10 * (AFTER as u64 + 1));
    DONE
}

fn fork() -> Next {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for id in 0..3 {
            let over = &over;
            scope.spawn(move || churn(id, || !over.load(Ordering::Relaxed)));
        }
        for _ in 0..20 {
            in_child(|| {
                let layout = layout(2048, 8);
                let before = stats();
                let blocks = [(); 100].map(|()| alloc(layout));
                assert_eq!(change(&before, &stats()), made(100, 2048));
                blocks.into_iter().for_each(|block| free(block, layout));
                let after = change(&before, &stats());
                assert_eq!((after.mallocs, after.frees, after.objects), (100, 100, 0));
            });
        }
        over.store(true, Ordering::Relaxed);
    });
    DONE
}

/// Each thread counts an allocation before it begins and after it is done. Every snapshot in
/// between lies between the two counts.
fn bounds() -> Next {
    const THREADS: usize = 4;
    let layout = layout(768, 8);
    let (begun, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let start = Barrier::new(THREADS + 1);
    let before = row(&stats(), 768).mallocs;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                for _ in 0..20_000 {
                    begun.fetch_add(1, Ordering::SeqCst);
                    let block = alloc(layout);
                    done.fetch_add(1, Ordering::SeqCst);
                    free(block, layout);
                }
            });
        }
        start.wait();
        loop {
            let least = done.load(Ordering::SeqCst);
            let now = row(&stats(), 768);
            let most = begun.load(Ordering::SeqCst);
            let counted = now.mallocs - before;
            assert!((least..=most).contains(&counted), "{least} <= {counted} <= {most}");
            assert!(now.frees <= now.mallocs);
            if least == THREADS as u64 * 20_000 {
                break;
            }
        }
    });
    DONE
}

/// More threads than processors, each holding one block at a time. A snapshot may wait in the
/// middle of its sums while the threads hand out millions of blocks. It still counts no more blocks
/// than the threads hold and their caches keep.
fn held() -> Next {
    let threads = thread::available_parallelism().map_or(4, std::num::NonZero::get) + 2;
    let layout = layout(64, 8);
    let stop = AtomicBool::new(false);
    let (mut objects, mut bytes) = (0, 0);
    let before = stats();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..1000 {
                        free(std::hint::black_box(alloc(layout)), layout);
                    }
                }
            });
        }
        let begun = std::time::Instant::now();
        while begun.elapsed().as_millis() < 1500 {
            let now = stats();
            objects = objects.max(now.heap_objects.saturating_sub(before.heap_objects));
            bytes = bytes.max(now.allocated.saturating_sub(before.allocated));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let most = 4000 * threads as u64;
    assert!(objects < most, "{objects} objects held by {threads} threads");
    assert!(bytes < most * 64, "{bytes} bytes held by {threads} threads");
    DONE
}
