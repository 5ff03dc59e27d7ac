//! The two pipelines: memory that reads as zero, the empty request, and what every slow end does.

use super::super::serve::current;
use super::super::thread::has_cache;
use super::super::{HEAP, Heap, SAMPLE_ALIGN};
use crate::base::addr::Addr;
use crate::base::geometry::{PAGE, RUN_MAX};
use crate::mcache::MCache;
use crate::mspan::{CHECKED, State};
use crate::os::PageSource;
use crate::os::sim::Sim;
use crate::size_class::SizeClass;
use std::alloc::Layout;
use std::ptr::NonNull;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A heap over a simulated system and the caches of two threads.
struct Place {
    heap: &'static Heap,
    sim: &'static Sim,
    own: &'static MCache,
    other: &'static MCache,
}

impl Place {
    fn new() -> Self {
        let sim = Sim::new();
        let heap: &'static Heap = Box::leak(Box::new(Heap::new(sim)));
        heap.tiers.mheap.set_window(64 << 20);
        // Nothing depends on the time.
        heap.tiers.mheap.set_purge_delay(-1);
        let [own, other] = [(); 2].map(|()| heap.registry.new_cache(&heap.tiers).expect("memory"));
        Self { heap, sim, own, other }
    }

    fn get<const ZERO: bool>(&self, size: usize) -> *mut u8 {
        let ptr = self.heap.alloc::<ZERO>(self.own, layout(size));
        assert!(!ptr.is_null(), "{size} bytes");
        ptr
    }

    /// Writes to all of the block, as far as a program may, and gives it back.
    fn free_dirty(&self, cache: &MCache, ptr: *mut u8, size: usize) {
        // SAFETY: the block is this test's and has so many bytes.
        unsafe { ptr.write_bytes(0xff, usable(size)) };
        // SAFETY: the block is live, of this layout, and given up.
        unsafe { self.heap.dealloc(cache, ptr, layout(size)) };
    }

    fn inuse(&self) -> usize {
        self.heap.tiers.mheap.figures().inuse
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a good layout")
}

/// Bytes of a block for `size` bytes that read as zero where zeros were asked for.
fn usable(size: usize) -> usize {
    match SizeClass::serving(size, 8) {
        Some(class) if CHECKED => class.size(),
        _ => size,
    }
}

/// Whether the block reads as zero.
fn is_zero(ptr: *mut u8, size: usize) -> bool {
    // SAFETY: the block is this test's, was written before or comes zeroed, and has so many bytes.
    let bytes = unsafe { std::slice::from_raw_parts(ptr, usable(size)) };
    bytes.iter().all(|&byte| byte == 0)
}

#[test]
fn a_dirty_block_of_a_bin_is_zeroed_before_it_is_handed_out_as_zero() {
    let place = Place::new();
    for size in [8, 24, 100, 1000, 5000, 32 * KIB] {
        let deep = |ptr: &*mut u8| ptr.addr().is_multiple_of(SAMPLE_ALIGN);
        let mut row = (0..9).map(|_| place.get::<false>(size));
        let ptr = row.find(|ptr| !deep(ptr)).expect("one that no free buries");
        place.free_dirty(place.own, ptr, size);
        let again = place.get::<true>(size);
        assert_eq!(again, ptr, "the bin's youngest block");
        assert!(is_zero(again, size), "{size} bytes");
    }
}

#[test]
fn dirty_blocks_that_a_refill_brings_are_zeroed() {
    for size in [8, 24, 100, 1000, 5000, 32 * KIB] {
        let place = Place::new();
        let count = 4 * 64 * KIB / size.max(64);
        let row: Vec<_> = (0..count).map(|_| place.get::<false>(size)).collect();
        // Through the other thread: they come back by the spans' lists.
        for &ptr in &row[..count / 2] {
            place.free_dirty(place.other, ptr, size);
        }
        place.heap.thread_idle(place.other);
        for &ptr in &row[count / 2..] {
            place.free_dirty(place.own, ptr, size);
        }
        assert!(
            (0..2 * count).all(|_| is_zero(place.get::<true>(size), size)),
            "{size} bytes"
        );
    }
}

#[test]
fn blocks_in_pages_that_another_class_or_a_large_block_used_are_zeroed() {
    let place = Place::new();
    for round in 0..2 {
        for size in [24, 1000, 9000, 100 * KIB, RUN_MAX + 1] {
            let row: Vec<_> = (0..MIB / size + 2).map(|_| place.get::<true>(size)).collect();
            assert!(row.iter().all(|&ptr| is_zero(ptr, size)), "{size} bytes, round {round}");
            row.iter().for_each(|&ptr| place.free_dirty(place.own, ptr, size));
            // Spans and runs end, and their pages serve the next size.
            place.own.trim(&place.heap.tiers);
            place.heap.tiers.end_rest();
        }
    }
}

/// A place whose thread keeps the run of a block of `size` bytes, all of it dirty.
fn with_run(size: usize) -> (Place, *mut u8) {
    let place = Place::new();
    let ptr = place.get::<false>(size);
    place.free_dirty(place.own, ptr, size);
    (place, ptr)
}

#[test]
fn a_kept_run_is_zeroed_before_it_is_handed_out_as_zero() {
    for size in [33 * KIB, 100 * KIB, MIB, RUN_MAX] {
        let (place, ptr) = with_run(size);
        let again = place.get::<true>(size);
        assert_eq!(again, ptr, "the run that the thread keeps");
        assert!(is_zero(again, size), "{size} bytes");
    }
}

#[test]
fn a_kept_run_that_is_longer_is_zeroed_before_it_is_handed_out_as_zero() {
    for (size, smaller) in [(56 * KIB, 48 * KIB), (56 * KIB, 40 * KIB), (160 * KIB, 140 * KIB)] {
        let (place, ptr) = with_run(size);
        let again = place.get::<true>(smaller);
        assert_eq!(again, ptr, "the run that the thread keeps");
        assert!(is_zero(again, smaller), "{smaller} of {size} bytes");
    }
}

#[test]
fn dirty_pages_of_the_page_heap_are_zeroed_before_they_are_handed_out_as_zero() {
    for size in [RUN_MAX + 1, 6 * MIB + 123] {
        let (place, ptr) = with_run(size);
        let again = place.get::<true>(size);
        assert_eq!(again, ptr, "the pages that lie idle");
        assert!(is_zero(again, size), "{size} bytes");
    }
}

#[test]
fn pages_that_were_never_used_are_not_written_to() {
    let place = Place::new();
    place.sim.be_honest();
    for size in [100 * KIB, 6 * MIB] {
        let ptr = place.get::<true>(size);
        let behind = ptr.wrapping_add(PAGE).map_addr(|addr| addr.next_multiple_of(PAGE));
        let bytes = (size - 2 * PAGE) / PAGE * PAGE;
        let seen = place.sim.resident(NonNull::new(behind).expect("an address"), bytes);
        // The kernel may map a few pages around each that is touched.
        assert!(seen.is_some_and(|seen| seen <= bytes / 2), "{seen:?} of {bytes} bytes");
        assert!(is_zero(ptr, size));
    }
}

#[test]
fn a_zeroed_object_comes_from_untouched_memory_before_free_blocks_are_cut() {
    let place = Place::new();
    let class = SizeClass::serving(1000, 8).expect("a small size");
    place.get::<false>(1000);
    while !place.own.bins.pop(class).is_null() {}
    // The bin is empty; the active span has untouched objects and no free one.
    let [first, second] = [(); 2].map(|()| place.get::<true>(1000));
    assert_eq!(second.addr() - first.addr(), class.size());
    assert!(place.own.bins.pop(class).is_null(), "no refill was made");
}

#[test]
fn the_empty_request_is_served_by_a_block_that_no_other_has() {
    let place = Place::new();
    for align in [1, 8, 64, 4096, 64 * KIB] {
        let empty = Layout::from_size_align(0, align).expect("a good layout");
        let row: Vec<_> = (0..20)
            .map(|turn| {
                if turn % 2 == 0 {
                    place.heap.alloc::<false>(place.own, empty)
                } else {
                    place.heap.alloc::<true>(place.own, empty)
                }
            })
            .collect();
        let mut apart = row.clone();
        apart.sort_unstable();
        apart.dedup();
        assert_eq!(apart.len(), row.len(), "at {align}");
        assert!(row.iter().all(|ptr| !ptr.is_null() && ptr.addr().is_multiple_of(align)));
        let small = |ptr: &*mut u8| {
            let span = place.heap.tiers.mheap.map().span_of(Addr::of(*ptr));
            span.is_some_and(|span| span.state() == State::Small)
        };
        assert_eq!(row.iter().all(small), align <= PAGE, "at {align}");
        for ptr in row {
            let one = Layout::from_size_align(1, align).expect("a good layout");
            // SAFETY: one byte serves the empty request, and the block is given up.
            unsafe { place.heap.dealloc(place.own, ptr, one) };
        }
    }
}

/// A place in which nothing was looked after yet: spans of a thread that has ended rest, more
/// pages lie idle than are worth a look, and the heap has grown so far that it would have a
/// background thread. Before that, `before` runs.
fn unattended(before: impl FnOnce(&Place)) -> Place {
    let place = Place::new();
    let mheap = &place.heap.tiers.mheap;
    before(&place);
    let idle = mheap.take_large(12 * MIB, 12 * MIB / PAGE, 1, 0).expect("memory");
    mheap.take_large(20 * MIB, 20 * MIB / PAGE, 1, 0).expect("memory");
    let third = place.heap.registry.new_cache(&place.heap.tiers).expect("memory");
    let row: Vec<_> = (0..3).map(|_| place.heap.alloc::<false>(third, layout(700))).collect();
    // SAFETY: live blocks of this layout, each freed once.
    row.iter()
        .for_each(|&ptr| unsafe { place.heap.dealloc(third, ptr, layout(700)) });
    place.heap.registry.retire_cache(&place.heap.tiers, third);
    mheap.give(idle);
    assert!(mheap.idle_bytes() >= 4 * MIB && mheap.grown_bytes() >= 16 * MIB);
    assert!(rests(&place));
    place
}

/// Whether spans rest still. A look ends their rest.
fn rests(place: &Place) -> bool {
    let class = SizeClass::serving(700, 8).expect("a small size");
    match place.heap.tiers.take_resting(class) {
        Some(span) => {
            place.heap.tiers.rest(class, span);
            true
        }
        None => false,
    }
}

#[test]
fn every_slow_allocation_looks_after_free_pages() {
    for size in [RUN_MAX + 1, 100 * KIB] {
        let place = unattended(|_| ());
        place.get::<false>(size);
        assert!(!rests(&place), "{size} bytes");
        let place = unattended(|_| ());
        place.get::<true>(size);
        assert!(!rests(&place), "{size} zeroed bytes");
    }
    // A run that the thread keeps.
    let place = unattended(|place| {
        let ptr = place.get::<false>(100 * KIB);
        place.free_dirty(place.own, ptr, 100 * KIB);
    });
    let calls = place.sim.calls();
    place.get::<false>(100 * KIB);
    assert!(!rests(&place) && place.sim.calls() == calls);
}

#[test]
fn an_allocation_out_of_a_bin_does_not_look_after_pages() {
    let place = unattended(|place| {
        let ptr = place.get::<false>(100);
        place.free_dirty(place.own, ptr, 100);
    });
    let ptr = place.get::<true>(100);
    place.free_dirty(place.own, ptr, 100);
    assert!(rests(&place));
}

#[test]
fn every_slow_free_looks_after_free_pages() {
    // Pages of the page heap.
    let mut ptr = std::ptr::null_mut();
    let place = unattended(|place| ptr = place.get::<false>(RUN_MAX + 1));
    place.free_dirty(place.own, ptr, RUN_MAX + 1);
    assert!(!rests(&place), "a block without a bin");
    // A full bin of runs: nothing has made it grow.
    let place = unattended(|place| ptr = place.get::<false>(100 * KIB));
    place.free_dirty(place.other, ptr, 100 * KIB);
    assert!(!rests(&place), "a run");
    // A closed bin: the block is another thread's and begins a chain.
    let place = unattended(|place| ptr = place.get::<false>(1000));
    place.free_dirty(place.other, ptr, 1000);
    assert!(!rests(&place), "another thread's block");
    // A full bin, which widens.
    let mut row = Vec::new();
    let place = unattended(|place| row = (0..200).map(|_| place.get::<false>(1000)).collect());
    row.iter().for_each(|&ptr| place.free_dirty(place.own, ptr, 1000));
    assert!(!rests(&place), "a bin that runs over");
}

#[test]
fn a_free_that_a_bin_or_the_outbox_takes_does_not_look_after_pages() {
    let mut run = std::ptr::null_mut();
    let mut row = Vec::new();
    let place = unattended(|place| {
        // The bin of runs has room for one, and the outbox has a chain.
        let ptr = place.get::<false>(100 * KIB);
        place.free_dirty(place.own, ptr, 100 * KIB);
        run = place.get::<false>(100 * KIB);
        row = (0..4).map(|_| place.get::<false>(1000)).collect();
        place.free_dirty(place.other, row[0], 1000);
    });
    place.free_dirty(place.own, run, 100 * KIB);
    assert!(rests(&place), "a run");
    if !CHECKED {
        place.free_dirty(place.other, row[1], 1000);
        assert!(rests(&place), "a leaf of the chain");
    }
}

#[test]
fn a_small_heap_does_not_look_after_pages_when_it_allocates() {
    let place = Place::new();
    let mheap = &place.heap.tiers.mheap;
    let idle = mheap.take_large(12 * MIB, 12 * MIB / PAGE, 1, 0).expect("memory");
    let ptr = place.get::<false>(700);
    place.free_dirty(place.own, ptr, 700);
    place.heap.registry.retire_cache(&place.heap.tiers, place.own);
    mheap.give(idle);
    assert!(rests(&place));
    assert!(!place.heap.alloc::<false>(place.other, layout(100 * KIB)).is_null());
    assert!(rests(&place), "{} bytes", place.inuse());
}

#[cfg(feature = "stats")]
#[test]
fn each_request_counts_once_whichever_way_it_takes() {
    let place = Place::new();
    let seen = || {
        let stats = place.heap.stats();
        (stats.mallocs, stats.frees)
    };
    let (mut mallocs, mut frees) = seen();
    assert_eq!((mallocs, frees), (0, 0));
    for size in [8, 100, 1000, 20 * KIB, 40 * KIB, 100 * KIB, MIB, RUN_MAX + 1] {
        // Twice: the second time the bins have blocks.
        for turn in 0..2 {
            let row: Vec<_> = (0..40)
                .map(|index| {
                    let ptr = if index % 2 == 0 {
                        place.get::<false>(size)
                    } else {
                        place.get::<true>(size)
                    };
                    mallocs += 1;
                    assert_eq!(seen(), (mallocs, frees), "{size} bytes, turn {turn}");
                    ptr
                })
                .collect();
            for (index, ptr) in row.into_iter().enumerate() {
                let cache = if index % 3 == 0 { place.other } else { place.own };
                // SAFETY: the block is live, of this layout, and given up.
                unsafe { place.heap.dealloc(cache, ptr, layout(size)) };
                frees += 1;
                assert_eq!(seen(), (mallocs, frees), "{size} bytes, turn {turn}");
            }
        }
    }
    assert_eq!((place.heap.stats().heap_objects, place.heap.stats().allocated), (0, 0));
}

/// A block that one thread passes to another.
struct Passed(*mut u8);

// SAFETY: one thread at a time has the block.
unsafe impl Send for Passed {}

impl Passed {
    fn take(self) -> *mut u8 {
        self.0
    }
}

#[test]
fn a_thread_whose_first_call_takes_any_way_gets_its_cache_by_it() {
    for size in [100, 5000, 100 * KIB, RUN_MAX + 1] {
        let first = std::thread::spawn(move || {
            assert!(!has_cache());
            let ptr = HEAP.alloc::<true>(current(), layout(size));
            assert!(!ptr.is_null() && is_zero(ptr, size) && has_cache());
            Passed(ptr)
        });
        let passed = first.join().expect("it was served");
        let second = std::thread::spawn(move || {
            assert!(!has_cache());
            let ptr = passed.take();
            // SAFETY: the block is live, of this layout, and given up.
            unsafe { HEAP.dealloc(current(), ptr, layout(size)) };
            has_cache()
        });
        assert!(second.join().expect("it was taken back"), "{size} bytes");
    }
}
