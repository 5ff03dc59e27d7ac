//! Caches over tiers of their own: where a refill finds objects, where freed blocks go, and which
//! runs a thread keeps.

use super::bins::Bins;
use super::*;
use crate::base::geometry::{MEDIUM_MIN, PAGE};
use crate::meta::Bump;
use crate::mspan::{MSpan, State};
use crate::os::sim::Sim;
use crate::size_class::RunClass;
use std::ptr::{eq, null_mut};

const KIB: usize = 1 << 10;

struct Place {
    sim: &'static Sim,
    tiers: &'static Tiers,
    own: &'static MCache,
    other: &'static MCache,
}

impl Place {
    fn new() -> Self {
        let sim = Sim::new();
        let tiers: &'static Tiers = Box::leak(Box::new(Tiers::new(sim)));
        // Nothing depends on the time.
        tiers.mheap.set_purge_delay(-1);
        tiers.end_long_rest();
        let [own, other] = [1, 2].map(|id| {
            let cache: &'static MCache = Box::leak(Box::new(MCache::new()));
            let slots = Box::leak(vec![0usize; SLOT_BYTES / size_of::<usize>()].into_boxed_slice());
            // SAFETY: so many zeroed bytes, which are leaked.
            unsafe { cache.set_slots(slots.as_mut_ptr().cast()) };
            assert!(tiers.directory.enter(sim, &mut Bump::new(), id, cache.shared()));
            cache.make_ready(tiers);
            cache
        });
        Self { sim, tiers, own, other }
    }

    fn take(&self, cache: &MCache, class: SizeClass) -> *mut Block {
        let block = cache.take(self.tiers, class);
        assert!(!block.is_null());
        block
    }

    fn take_many(&self, cache: &MCache, class: SizeClass, count: usize) -> Vec<*mut Block> {
        (0..count).map(|_| self.take(cache, class)).collect()
    }

    /// Frees a block as the heap does.
    fn free(&self, cache: &MCache, class: SizeClass, block: *mut Block) {
        // SAFETY: the block is live, of the class, and given up.
        if !unsafe { cache.push(class, block) } {
            // SAFETY: the block is live, of the class, and given up.
            unsafe { cache.push_over(self.tiers, class, block) };
        }
    }

    /// Frees a block past the bins.
    fn free_to_span(&self, cache: &MCache, block: *mut Block) {
        // SAFETY: the block is live, and given up.
        assert!(unsafe { cache.free(self.tiers, block) });
    }

    fn span(&self, block: *mut Block) -> Option<&'static MSpan> {
        self.tiers.mheap.map().span_of(Addr::of(block))
    }

    fn inuse(&self) -> usize {
        self.tiers.mheap.figures().inuse
    }

    /// Spans in use as small ones of `class`.
    fn spans(&self, class: SizeClass) -> usize {
        let spans = self.tiers.mheap.all_spans();
        spans
            .filter(|span| span.state() == State::Small && span.class() == Some(class))
            .count()
    }

    /// No memory is left for new spans.
    fn exhaust(&self) {
        self.tiers.mheap.set_hard_limit(Some(0));
    }

    /// A large block of the class's size. The bin of runs was asked for it.
    fn take_run(&self, class: RunClass) -> *mut Block {
        let run = self.own.pop_run(class);
        if !run.is_null() {
            return run;
        }
        let run = self.own.pop_longer_run(self.tiers, class);
        assert!(run.is_null(), "these tests want runs of the page heap");
        let span = self.own.alloc_large(self.tiers, class.size(), 1).expect("memory");
        span.base().cast()
    }

    fn free_run(&self, class: RunClass, run: *mut Block) {
        // SAFETY: the run is live, of at least the class's size, and given up.
        if !unsafe { self.own.push_run(class, run) } {
            // SAFETY: the run is live, of at least the class's size, and given up.
            unsafe { self.own.push_run_over(self.tiers, class, run) };
        }
    }

    fn kept(&self) -> usize {
        self.own.shared().run_bytes.load(Relaxed)
    }
}

fn class() -> SizeClass {
    SizeClass::holding(1000)
}

fn run_class(pages: usize) -> RunClass {
    RunClass::serving(pages * PAGE, 1).expect("a run class's size")
}

fn bins(place: &Place) -> &Bins {
    &place.own.bins
}

/// Empties the bin of `class` by handing its blocks out.
fn drain(cache: &MCache, class: SizeClass) -> Vec<*mut Block> {
    core::iter::from_fn(|| Some(cache.pop(class)).filter(|block| !block.is_null())).collect()
}

#[test]
fn a_refill_takes_blocks_that_came_by_mail_before_it_cuts_untouched_memory() {
    let place = Place::new();
    let first = place.take(place.own, class());
    let rest = drain(place.own, class());
    place.free_to_span(place.other, first);
    place.other.idle(place.tiers);
    assert_eq!(place.take(place.own, class()), first);
    assert_eq!(place.own.bins.held(class()), 0, "it was the only one");
    assert!(!rest.contains(&first));
}

#[test]
fn a_refill_takes_a_span_of_its_own_before_a_listed_one_and_that_before_a_resting_one() {
    let place = Place::new();
    // One span that the other thread has given up with room in it.
    let listed = place.take_many(place.other, class(), 3);
    place.other.idle(place.tiers);
    assert_eq!(place.spans(class()), 1);
    // One that is empty and rests.
    let third = {
        let block = place
            .tiers
            .mheap
            .take_small(class(), class().span_pages())
            .expect("memory");
        block.set_state(State::Free);
        place.tiers.mheap.note_use(block);
        place.tiers.rest(class(), block);
        block
    };
    let block = place.take(place.own, class());
    assert!(eq(
        place.span(block).expect("a span"),
        place.span(listed[0]).expect("a span")
    ));
    // All objects of the listed span, and then the resting one.
    let mut last = block;
    while eq(
        place.span(last).expect("a span"),
        place.span(listed[0]).expect("a span"),
    ) {
        last = place.take(place.own, class());
    }
    assert!(eq(place.span(last).expect("a span"), third));
    assert!(place.tiers.take_resting(class()).is_none());
    // A free object of an owned span that is on no active place.
    let before = place.spans(class());
    drain(place.own, class());
    place.free_to_span(place.own, listed[1]);
    while let Some(span) = place.own.spans.active(class()) {
        let block = place.take(place.own, class());
        if block == listed[1] {
            break;
        }
        assert!(eq(place.span(block).expect("a span"), span) || place.spans(class()) == before);
    }
    assert_eq!(place.spans(class()), before, "no new span was made");
}

#[test]
fn a_span_that_the_thread_kept_serves_another_class_of_its_length() {
    let place = Place::new();
    let block = place.take(place.own, class());
    let span = place.span(block).expect("a span");
    let other = SizeClass::all().find(|&other| other != class() && other.lengths()[0] == span.pages());
    let other = other.expect("a class with spans of this length");
    place.free(place.own, class(), block);
    place.own.end_idle(place.tiers, 0);
    assert_eq!((span.state(), place.inuse()), (State::Free, span.bytes()));
    let sys = place.tiers.mheap.sys_bytes();
    let block = place.take(place.own, other);
    assert!(eq(place.span(block).expect("a span"), span) && span.class() == Some(other));
    assert_eq!((place.inuse(), place.tiers.mheap.sys_bytes()), (span.bytes(), sys));
}

#[test]
fn an_object_for_the_heaps_own_use_touches_no_bin() {
    let place = Place::new();
    place.take(place.own, class());
    let bins = bins(&place);
    let before = (bins.held(class()), bins.cap(class()));
    let block = place.own.take_past_bins(place.tiers, class());
    assert!(!block.is_null());
    assert_eq!((bins.held(class()), bins.cap(class())), before);
    place.free_to_span(place.own, block);
    assert_eq!((bins.held(class()), bins.cap(class())), before);
}

#[test]
fn a_refill_without_memory_gives_nothing_and_leaves_the_cache_in_order() {
    let place = Place::new();
    let row = place.take_many(place.own, class(), 5);
    place.exhaust();
    let more: Vec<_> =
        core::iter::from_fn(|| Some(place.own.take(place.tiers, class())).filter(|block| !block.is_null())).collect();
    let span = place.span(row[0]).expect("a span");
    assert_eq!(row.len() + more.len(), span.objects() as usize);
    place.free_to_span(place.own, row[2]);
    assert_eq!(place.take(place.own, class()), row[2]);
}

#[test]
fn each_refill_gives_up_all_free_memory_if_the_program_asked_for_it_once() {
    let place = Place::new();
    let block = place.take(place.own, class());
    place.free(place.own, class(), block);
    place.own.end_idle(place.tiers, 0);
    let kept = place.inuse();
    assert!(kept > 0, "the store keeps the span");
    place.tiers.purges.fetch_add(1, Relaxed);
    let other = SizeClass::all().find(|other| !other.lengths().contains(&(kept / PAGE)));
    let block = place.take(place.own, other.expect("a class with other spans"));
    assert_eq!(place.inuse(), place.span(block).expect("a span").bytes());
    // Only once.
    let again = place.take(place.own, class());
    let held = place.own.bins.held(class());
    place.take_many(place.own, SizeClass::holding(16), 2);
    assert_eq!(place.own.bins.held(class()), held, "{again:?}");
    // A cache that begins later has nothing to give up.
    place.tiers.purges.fetch_add(1, Relaxed);
    place.own.make_ready(place.tiers);
    place.take(place.own, SizeClass::holding(48));
    assert_eq!(place.own.bins.held(class()), held);
}

#[test]
fn a_class_without_a_refill_in_a_window_of_refills_loses_its_bin_and_its_empty_spans() {
    let place = Place::new();
    let (idle, busy) = (SizeClass::holding(200), SizeClass::holding(8 * KIB));
    let row = place.take_many(place.own, idle, 3);
    row.into_iter().for_each(|block| place.free(place.own, idle, block));
    assert!(place.own.bins.held(idle) > 0 && place.spans(idle) == 1);
    // Twice as many refills as a window has: the idle class was refilled in the first one.
    for _ in 0..2 * 160 * 10 {
        place.take(place.own, busy);
    }
    assert!(place.own.bins.is_closed(idle) && !place.own.bins.is_closed(busy));
    assert_eq!(place.spans(idle), 0);
}

/// Live objects by the tallies and by the spans' own counts, per class and of large objects.
fn agree(place: &Place) {
    for _ in 0..2 {
        place.own.trim(place.tiers);
        place.other.trim(place.tiers);
    }
    let mut held = [0u64; COUNT + 1];
    for span in place.tiers.mheap.all_spans() {
        match span.state() {
            State::Small => held[span.class_index()] += u64::from(span.live()),
            State::Large => held[COUNT] += 1,
            _ => {}
        }
    }
    for (index, held) in held.into_iter().enumerate() {
        let tallies = [place.own, place.other].map(|cache| &cache.shared().tallies[index]);
        let mallocs: u64 = tallies.iter().map(|tally| tally.mallocs.load(Relaxed)).sum();
        let frees: u64 = tallies.iter().map(|tally| tally.frees.load(Relaxed)).sum();
        assert_eq!(mallocs - frees, held, "class {index}");
    }
}

#[test]
fn tallies_count_each_object_that_goes_from_a_span_and_each_that_comes_back() {
    let place = Place::new();
    for size in [8, 100, 1000, 5000, 32 * KIB] {
        let class = SizeClass::holding(size);
        let row = place.take_many(place.own, class, 400);
        agree(&place);
        for (index, &block) in row.iter().enumerate().take(300) {
            let cache = if index % 3 == 0 { place.other } else { place.own };
            place.free(cache, class, block);
        }
        agree(&place);
        // Free objects come first, then untouched ones.
        let mut taken = vec![place.take(place.own, class)];
        taken.append(&mut drain(place.own, class));
        let zeroed = place.own.take_untouched(class);
        agree(&place);
        if !zeroed.is_null() {
            taken.push(zeroed.cast());
        }
        taken.into_iter().for_each(|block| place.free_to_span(place.own, block));
        let again = place.take_many(place.own, class, 500);
        again.iter().for_each(|&block| place.free(place.own, class, block));
        agree(&place);
        row[300..]
            .iter()
            .for_each(|&block| place.free_to_span(place.other, block));
        agree(&place);
    }
    let span = place.own.alloc_large(place.tiers, 100 * KIB, 1).expect("memory");
    agree(&place);
    place.own.free_large(place.tiers, span, span.base());
    agree(&place);
}

#[test]
fn a_trim_tells_the_bytes_that_it_gave_to_the_page_heap() {
    let place = Place::new();
    for size in [100, 3000] {
        let class = SizeClass::holding(size);
        let row = place.take_many(place.own, class, 20);
        row.into_iter().for_each(|block| place.free(place.own, class, block));
    }
    let before = place.inuse();
    assert_eq!(place.own.trim(place.tiers), before);
    assert_eq!((place.inuse(), place.own.trim(place.tiers)), (0, 0));
}

#[test]
fn a_block_that_a_closed_bin_refuses_returns_to_its_span() {
    let place = Place::new();
    let row = place.take_many(place.own, class(), 4);
    let span = place.span(row[0]).expect("a span");
    place.own.empty_bin(place.tiers, class());
    let live = span.live();
    assert_eq!(live, 4);
    let before = place.inuse();
    place.free(place.own, class(), row[0]);
    assert_eq!(place.inuse(), before, "it gets no array");
    assert!(place.own.bins.is_closed(class()) && span.live() == live - 1);
}

/// A place whose bin of `class` is full and in its whole first array, and blocks to free.
fn full(class: SizeClass) -> (Place, Vec<*mut Block>) {
    let place = Place::new();
    let row = place.take_many(place.own, class, 1200);
    let mut row = row.into_iter();
    let narrow = bins(&place).cap(class);
    while bins(&place).is_narrow(class) || bins(&place).held(class) < bins(&place).cap(class) {
        place.free(place.own, class, row.next().expect("enough blocks"));
    }
    assert!(bins(&place).cap(class) >= narrow);
    (place, row.collect())
}

#[test]
fn a_full_bin_that_may_not_grow_gives_its_older_half_back() {
    // Medium bins grow out of the room of all threads. There is none where pages go back at once.
    let class = SizeClass::holding(2 * MEDIUM_MIN);
    let (place, row) = full(class);
    place.tiers.mheap.set_purge_delay(0);
    let cap = bins(&place).cap(class);
    assert!(bins(&place).is_refilled(class));
    place.free(place.own, class, row[0]);
    assert_eq!((bins(&place).cap(class), bins(&place).held(class)), (cap, cap / 2 + 1));
    assert_eq!(place.own.pop(class), row[0], "the youngest stay");
}

#[test]
fn a_full_bin_of_a_class_that_was_not_refilled_lately_closes() {
    let (place, row) = full(class());
    (0..64).for_each(|_| bins(&place).note_overflow());
    assert!(!bins(&place).is_refilled(class()));
    let span = place.span(row[0]).expect("a span");
    let live = span.live();
    place.free(place.own, class(), row[0]);
    assert!(bins(&place).is_closed(class()) && span.live() < live);
}

#[test]
fn a_bin_that_runs_over_without_a_refill_for_long_closes() {
    let class = SizeClass::holding(2 * MEDIUM_MIN);
    let (place, row) = full(class);
    place.tiers.mheap.set_purge_delay(0);
    assert!(row.len() > 64 * bins(&place).cap(class));
    for block in row {
        place.free(place.own, class, block);
    }
    assert!(bins(&place).is_closed(class));
}

#[test]
fn a_bin_for_whose_array_there_is_no_memory_stays_as_it_is_and_keeps_no_room() {
    for class in [class(), SizeClass::holding(2 * MEDIUM_MIN)] {
        let (place, row) = full(class);
        let cap = bins(&place).cap(class);
        let before = place.tiers.room.bytes();
        place.exhaust();
        place.free(place.own, class, row[0]);
        assert_eq!(
            (bins(&place).cap(class), bins(&place).growth(class)),
            (cap, 0),
            "{class:?}"
        );
        assert_eq!(place.tiers.room.bytes(), before, "{class:?}");
        // The growth was given back: with memory the bin doubles.
        place.tiers.mheap.set_hard_limit(None);
        let mut row = row[1..].iter();
        while bins(&place).growth(class) == 0 {
            place.free(place.own, class, *row.next().expect("it grows before that"));
        }
        assert_eq!(bins(&place).cap(class), 2 * cap, "{class:?}");
    }
}

#[test]
fn a_bin_that_has_grown_leaves_nothing_behind_when_it_is_emptied() {
    let place = Place::new();
    for class in [class(), SizeClass::holding(2 * MEDIUM_MIN)] {
        for _ in 0..10 {
            let row = place.take_many(place.own, class, 60);
            row.into_iter().for_each(|block| place.free(place.own, class, block));
        }
        assert!(bins(&place).growth(class) > 0);
    }
    place.own.trim(place.tiers);
    place.tiers.end_rest();
    assert_eq!((place.inuse(), place.tiers.room.bytes(), place.own.room()), (0, 0, 0));
}

#[test]
fn half_a_bin_comes_with_a_refill() {
    let place = Place::new();
    for class in SizeClass::all() {
        place.take(place.own, class);
        let cap = bins(&place).cap(class);
        assert_eq!(bins(&place).batch(class) as usize, (cap / 2).max(1), "{class:?}");
        assert!(bins(&place).held(class) < (cap / 2).max(1), "{class:?}");
    }
}

#[test]
fn a_small_bin_grows_up_to_the_most_slots() {
    let place = Place::new();
    let (class, mut most) = (SizeClass::holding(64), 0);
    for _ in 0..20 {
        for block in place.take_many(place.own, class, 3000) {
            place.free(place.own, class, block);
            most = bins(&place).cap(class).max(most);
        }
    }
    assert_eq!(most, 1024);
}

#[cfg(sampling)]
#[test]
fn the_youngest_block_is_buried_unless_it_would_meet_another_such() {
    let place = Place::new();
    let row = place.take_many(place.own, class(), 4);
    drain(place.own, class());
    row.iter().for_each(|&block| place.free(place.own, class(), block));
    let bury = |block, buried: &dyn Fn(*mut Block) -> bool| place.own.bury(class(), block, 0, buried);
    bury(row[1], &|block| block == row[1]);
    assert_eq!(place.own.pop(class()), row[3], "it is not the youngest");
    bury(row[2], &|block| block == row[2] || block == row[0]);
    assert_eq!(place.own.pop(class()), row[2], "the oldest is such a block too");
    bury(row[1], &|block| block == row[1]);
    assert_eq!([place.own.pop(class()), place.own.pop(class())], [row[0], row[1]]);
    bury(row[1], &|block| block == row[1]);
    assert!(place.own.pop(class()).is_null(), "an empty bin");
}

#[cfg(checked)]
#[test]
fn the_slot_at_the_top_of_a_full_bin_is_null_whatever_lay_there_before() {
    let (place, row) = full(class());
    let top = |place: &Place| {
        // SAFETY: a bin has a slot at its end (BIN-2).
        unsafe { *bins(place).end(class()).get() }
    };
    drain(place.own, class());
    bins(&place).close(class());
    bins(&place).open(class());
    assert!(bins(&place).is_narrow(class()) && top(&place).is_null());
    bins(&place).open(class());
    assert!(top(&place).is_null());
    // A bin that grows: its array may be a block that held pointers.
    let cap = bins(&place).cap(class());
    let array = Box::leak(vec![row[0]; 2 * cap + 2].into_boxed_slice());
    // SAFETY: so many slots, which are leaked, for a bin of this capacity.
    unsafe { bins(&place).move_to(class(), array.as_mut_ptr(), cap) };
    assert!(top(&place).is_null() && bins(&place).cap(class()) == 2 * cap);
    assert!(place.own.pop(class()).is_null(), "the slot in front is no free block");
}

#[test]
fn a_run_that_was_missed_is_kept_and_counted_until_it_is_taken() {
    let place = Place::new();
    let class = run_class(12);
    let run = place.take_run(class);
    place.free_run(class, run);
    assert_eq!(place.kept(), class.size());
    assert_eq!((place.take_run(class), place.kept()), (run, 0));
    place.free_run(class, run);
    place.own.empty_runs(place.tiers);
    assert_eq!((place.kept(), place.own.room(), place.tiers.room.bytes()), (0, 0, 0));
    place.own.trim(place.tiers);
    place.tiers.end_rest();
    assert_eq!(place.inuse(), 0);
}

#[test]
fn a_full_bin_of_runs_that_may_not_grow_gives_its_older_half_back() {
    let place = Place::new();
    let class = run_class(12);
    let row: Vec<_> = (0..4).map(|_| place.take_run(class)).collect();
    place.free_run(class, row[0]);
    // Its one miss is used up.
    place.free_run(class, row[1]);
    assert!(place.span(row[0]).is_none(), "the page heap has it");
    assert_eq!(place.kept(), class.size());
    place.take_run(class);
    assert_eq!(place.kept(), 0);
}

#[test]
fn a_run_serves_requests_that_are_up_to_two_classes_shorter() {
    for (pages, shorter, serves) in [(12, 12, true), (12, 11, true), (12, 10, true), (12, 9, false)] {
        let place = Place::new();
        let run = place.take_run(run_class(pages));
        place.free_run(run_class(pages), run);
        let class = run_class(shorter);
        let mut found = place.own.pop_run(class);
        if found.is_null() {
            found = place.own.pop_longer_run(place.tiers, class);
        }
        assert_eq!(
            found,
            if serves { run } else { null_mut() },
            "{pages} for {shorter} pages"
        );
        assert_eq!(place.kept(), if serves { 0 } else { pages * PAGE });
    }
}

#[test]
fn a_long_tail_of_a_run_goes_to_the_page_heap_when_a_shorter_request_gets_it() {
    // A run of more pages than its bin's class has.
    for (pages, left) in [(12, 12), (13, 8), (24, 8)] {
        let place = Place::new();
        let run = place.take_run(run_class(pages));
        let array = place.take_run(run_class(9));
        place.free_run(run_class(9), array);
        place.own.give_long_run(place.tiers, 9);
        place.free_run(run_class(9), run);
        assert_eq!(place.own.pop_longer_run(place.tiers, run_class(8)), run);
        assert_eq!(place.span(run).expect("a span").pages(), left, "of {pages}");
    }
}

#[test]
fn runs_of_untouched_memory_serve_no_shorter_requests_and_do_not_count_as_memory() {
    for touched in [false, true] {
        let place = Place::new();
        place.sim.be_honest();
        let class = run_class(64);
        let run = place.take_run(class);
        if touched {
            // SAFETY: the run is this test's, and has so many bytes.
            unsafe { run.cast::<u8>().write_bytes(1, class.size()) };
        }
        place.free_run(class, run);
        assert_eq!(place.own.runs_seem_to_have(place.tiers, class.size()), touched);
        assert!(!place.own.runs_seem_to_have(place.tiers, class.size() + 1));
        let found = place.own.pop_longer_run(place.tiers, run_class(60));
        assert_eq!(found, if touched { run } else { null_mut() });
    }
}

#[test]
fn a_run_that_is_long_enough_is_given_up_for_an_object_that_grows() {
    let place = Place::new();
    let row = [12, 20, 16].map(|pages| (run_class(pages), place.take_run(run_class(pages))));
    row.into_iter().for_each(|(class, run)| place.free_run(class, run));
    assert_eq!(place.kept(), 48 * PAGE);
    place.own.give_long_run(place.tiers, 21);
    assert_eq!(place.kept(), 48 * PAGE, "none is so long");
    place.own.give_long_run(place.tiers, 1);
    assert!(
        place.kept() == 28 * PAGE && place.span(row[1].1).is_none(),
        "the longest goes"
    );
    place.own.give_long_run(place.tiers, 16);
    assert!(place.kept() == 12 * PAGE && place.span(row[2].1).is_none());
    place.own.give_long_run(place.tiers, 12);
    assert_eq!(place.kept(), 0);
    place.own.give_long_run(place.tiers, 1);
}

#[test]
fn a_bin_of_runs_for_whose_array_there_is_no_memory_keeps_no_room() {
    let place = Place::new();
    let class = run_class(12);
    let run = place.take_run(class);
    place.exhaust();
    place.free_run(class, run);
    assert_eq!((place.kept(), place.own.room(), place.tiers.room.bytes()), (0, 0, 0));
    assert!(place.span(run).is_none(), "the page heap has it");
}

#[test]
fn idle_runs_go_with_their_room_after_a_delay() {
    let place = Place::new();
    let class = run_class(12);
    let mut row: Vec<_> = (0..8).map(|_| place.take_run(class)).collect();
    for _ in 0..4 {
        // Each miss lets the bin double.
        place.own.pop_longer_run(place.tiers, class);
        row.drain(..2).for_each(|run| place.free_run(class, run));
    }
    let (kept, room) = (place.kept(), place.own.room());
    assert!(kept >= 4 * class.size() && room > 0);
    place.own.end_idle_runs(place.tiers);
    assert_eq!((place.kept(), place.own.room()), (kept, room), "there is no delay");
    place.tiers.mheap.set_purge_delay(0);
    place.own.end_idle_runs(place.tiers);
    assert_eq!(place.kept(), kept, "the first look finds what was put there since");
    place.own.end_idle_runs(place.tiers);
    assert_eq!((place.kept(), place.own.room()), (0, place.tiers.room.bytes()));
    assert!(place.own.room() < room);
}

/// Takes all objects of the thread's active span of `class`, and no more.
fn exhaust(place: &Place, class: SizeClass) -> Vec<*mut Block> {
    let mut row = vec![place.take(place.own, class)];
    let span = place.own.spans.active(class).expect("a refill makes one");
    while span.has_room() || place.own.bins.held(class) > 0 {
        row.push(place.take(place.own, class));
    }
    assert!(place.own.spans.is_active(class, span));
    row
}

#[test]
fn used_memory_that_came_by_mail_serves_before_the_active_spans_untouched_memory() {
    let place = Place::new();
    let row = exhaust(&place, class());
    place.take(place.own, class());
    drain(place.own, class());
    let active = place.own.spans.active(class()).expect("a second span");
    assert!(active.has_room() && !eq(active, place.span(row[0]).expect("a span")));
    place.free_to_span(place.other, row[0]);
    place.other.idle(place.tiers);
    assert_eq!(place.take(place.own, class()), row[0]);
}

#[test]
fn mail_is_read_before_a_thread_without_an_active_span_makes_one() {
    let place = Place::new();
    let row = exhaust(&place, class());
    place.own.spans.deactivate(class());
    place.free_to_span(place.other, row[0]);
    place.other.idle(place.tiers);
    assert_eq!(place.take(place.own, class()), row[0]);
    assert_eq!(place.spans(class()), 1);
}

#[test]
fn refills_open_a_bin_step_by_step() {
    let place = Place::new();
    let mut caps: Vec<usize> = (0..500)
        .map(|_| {
            place.take(place.own, class());
            bins(&place).cap(class())
        })
        .collect();
    caps.dedup();
    assert!(caps.len() > 1 && caps.windows(2).all(|pair| pair[0] * 2 == pair[1]));
    assert!(!bins(&place).is_narrow(class()));
}

/// Lets a span of `class`, of the class's whole length, rest. Returns its bytes.
fn let_rest(place: &Place, class: SizeClass) -> usize {
    let span = place.tiers.mheap.take_small(class, class.span_pages()).expect("memory");
    span.set_state(State::Free);
    place.tiers.mheap.note_use(span);
    place.tiers.rest(class, span);
    span.bytes()
}

#[test]
fn a_resting_span_of_the_class_serves_where_there_is_no_memory_for_a_new_one() {
    let place = Place::new();
    let_rest(&place, class());
    place.exhaust();
    place.take(place.own, class());
    assert!(place.own.take(place.tiers, SizeClass::holding(64)).is_null());
}

#[test]
fn resting_spans_of_other_classes_make_way_before_untouched_pages_are_used() {
    let place = Place::new();
    let bytes = let_rest(&place, SizeClass::holding(32 * KIB));
    let small = class();
    assert!(bytes >= small.lengths()[0] * PAGE);
    place.take(place.own, small);
    assert_eq!(place.inuse(), small.lengths()[0] * PAGE);
}

#[test]
fn a_thread_that_wants_a_span_ends_long_rest() {
    let place = Place::new();
    let bytes = let_rest(&place, class());
    let large = SizeClass::holding(32 * KIB);
    let wanted = large.lengths()[0] * PAGE;
    assert!(bytes < wanted, "too little for the growth");
    std::thread::sleep(std::time::Duration::from_millis(530));
    place.take(place.own, large);
    assert_eq!(place.inuse(), wanted);
}

#[test]
fn kept_runs_with_memory_make_way_before_untouched_pages_are_used() {
    for large in [false, true] {
        let place = Place::new();
        let class = run_class(64);
        let run = place.take_run(class);
        place.free_run(class, run);
        assert_eq!(place.kept(), class.size());
        if large {
            place.own.alloc_large(place.tiers, 5 * PAGE, 1).expect("memory");
        } else {
            place.take(place.own, self::class());
        }
        assert_eq!(place.kept(), 0, "large: {large}");
    }
}

#[test]
fn blocks_that_were_sent_but_not_posted_yet_are_found_by_a_refill() {
    let place = Place::new();
    let first = place.take(place.own, class());
    drain(place.own, class());
    let span = place.span(first).expect("a span");
    if CHECKED {
        // SAFETY: the block is this test's, and of more than 8 bytes.
        unsafe { Block::set_mark(first) };
    }
    // SAFETY: the block is this test's, which gives it up.
    unsafe { Block::push_trunk(null_mut(), first, span.cut()) };
    span.word.send(2, span.block_ref(first), 1, |_| ());
    assert_eq!(place.take(place.own, class()), first);
}

#[cfg(checked)]
#[test]
fn a_free_that_names_no_size_knows_the_present_class_of_a_span() {
    let place = Place::new();
    let block = place.take(place.own, class());
    let span = place.span(block).expect("a span");
    let mut others = SizeClass::all().filter(|&other| other != class() && other.size() >= 64);
    let other = others.find(|other| other.lengths()[0] == span.pages());
    let other = other.expect("a class with spans of this length");
    place.own.learn_map(place.tiers);
    // SAFETY: the block is live, and given up.
    assert!(unsafe { place.own.push_untyped(block) });
    place.own.end_idle(place.tiers, 0);
    let block = place.take(place.own, other);
    assert!(eq(place.span(block).expect("a span"), span));
    let held = place.own.bins.held(other);
    // SAFETY: the block is live, and given up.
    assert!(unsafe { place.own.push_untyped(block) });
    assert_eq!((place.own.bins.held(other), place.own.pop(other)), (held + 1, block));
}

#[cfg(checked)]
#[test]
fn a_free_into_a_span_that_has_ended_is_left_to_the_slow_path() {
    let place = Place::new();
    let class = SizeClass::holding(2 * KIB);
    let row = exhaust(&place, class);
    place.take(place.own, class);
    place.own.learn_map(place.tiers);
    let span = place.span(row[0]).expect("a span");
    row.iter().for_each(|&block| place.free_to_span(place.own, block));
    assert_eq!(span.state(), State::Free);
    assert!(bins(&place).held(class) < bins(&place).cap(class));
    // SAFETY: the pages are still the heap's. A program may have written to the block by mistake.
    unsafe { Block::clear_mark(row[0]) };
    // SAFETY: the block is free: nothing is done with it.
    assert!(!unsafe { place.own.push_untyped(row[0]) });
}

#[test]
fn an_idle_thread_reads_its_mail_and_holds_no_empty_span() {
    let place = Place::new();
    let row = exhaust(&place, class());
    row.iter().for_each(|&block| place.free_to_span(place.other, block));
    place.other.idle(place.tiers);
    place.own.idle(place.tiers);
    place.tiers.end_rest();
    assert_eq!(place.inuse(), 0);
}

#[test]
fn a_span_that_a_thread_has_given_up_is_not_its_own_any_more() {
    let place = Place::new();
    let full = exhaust(&place, class());
    let other = place.take(place.own, SizeClass::holding(64));
    place.own.idle(place.tiers);
    for block in [full[0], other] {
        let span = place.span(block).expect("a span");
        assert!(!place.own.spans.owns_with_room(span) && !place.own.spans.owns_full(span));
        let live = span.live();
        place.free_to_span(place.own, block);
        assert_eq!(span.live(), live, "it waits in the outbox");
    }
    // The chain claims the span.
    place.own.flush_outbox(place.tiers);
    assert!(place.own.spans.owns_with_room(place.span(full[0]).expect("a span")));
}

/// Takes all objects of `count` spans of `class`.
fn fill_spans(place: &Place, class: SizeClass, count: usize) -> Vec<Vec<*mut Block>> {
    let rows = (0..count).map(|_| {
        let row = exhaust(place, class);
        let span = place.own.spans.active(class).expect("an active span");
        place.own.spans.retire_active(class, span);
        row
    });
    rows.collect()
}

#[test]
fn of_small_objects_one_empty_span_stays_beside_the_active_one() {
    let place = Place::new();
    let class = SizeClass::holding(512);
    assert!(class.size() < crate::base::geometry::PINNING);
    let rows = fill_spans(&place, class, 2);
    for (row, state) in rows.iter().zip([State::Small, State::Free]) {
        let span = place.span(row[0]).expect("a span");
        row.iter().for_each(|&block| place.free_to_span(place.own, block));
        // The second one is empty beside the first.
        assert_eq!((span.live(), span.state()), (0, state));
    }
    let place = Place::new();
    let row = exhaust(&place, class);
    let span = place.span(row[0]).expect("a span");
    row.iter().for_each(|&block| place.free_to_span(place.own, block));
    assert!(span.state() == State::Small && place.own.spans.is_active(class, span));
}

#[test]
fn a_span_of_larger_objects_ends_with_its_last_object() {
    let place = Place::new();
    let class = SizeClass::holding(1024);
    assert_eq!(class.size(), crate::base::geometry::PINNING, "the smallest such class");
    let row = exhaust(&place, class);
    let span = place.span(row[0]).expect("a span");
    row.iter().for_each(|&block| place.free_to_span(place.own, block));
    assert_eq!(span.state(), State::Free);
    assert!(place.own.spans.active(class).is_none());
}

#[test]
fn an_empty_span_whose_token_is_out_stays_until_the_token_is_back() {
    let place = Place::new();
    let class = SizeClass::holding(2 * KIB);
    let row = exhaust(&place, class);
    let span = place.span(row[0]).expect("a span");
    if CHECKED {
        // SAFETY: the block is this test's, and of more than 8 bytes.
        unsafe { Block::set_mark(row[0]) };
    }
    // SAFETY: the block is this test's, which gives it up.
    unsafe { Block::push_trunk(null_mut(), row[0], span.cut()) };
    // This test plays the thread that holds the token.
    span.word.send(2, span.block_ref(row[0]), 1, |_| ());
    span.absorb(span.word.take());
    row[1..].iter().for_each(|&block| place.free_to_span(place.own, block));
    assert_eq!((span.live(), span.state()), (0, State::Small));
    place.own.mailbox().post_in_child(span);
    place.own.collect_mail(place.tiers);
    assert_eq!(span.state(), State::Free);
}

#[test]
fn a_narrow_bin_that_runs_over_has_its_whole_first_array_from_then_on() {
    let place = Place::new();
    let class = SizeClass::holding(16);
    place.take(place.own, class);
    let take = |_| place.own.take_past_bins(place.tiers, class);
    let row: Vec<_> = (0..40).map(take).collect();
    let cap = bins(&place).cap(class);
    assert!(bins(&place).is_narrow(class) && row.len() > cap);
    row.into_iter().for_each(|block| place.free(place.own, class, block));
    assert!(!bins(&place).is_narrow(class) && bins(&place).grown_array(class).is_null());
    assert!(bins(&place).cap(class) > 2 * cap);
}

#[test]
fn a_thread_that_frees_into_a_listed_span_has_it_off_the_list() {
    let place = Place::new();
    let row = place.take_many(place.other, class(), 3);
    let span = place.span(row[0]).expect("a span");
    place.other.idle(place.tiers);
    assert_ne!(span.shelf(), MSpan::NO_SHELF);
    place.free_to_span(place.own, row[0]);
    place.own.flush_outbox(place.tiers);
    assert!(place.own.spans.owns_with_room(span));
    assert_eq!(span.shelf(), MSpan::NO_SHELF);
}

#[test]
fn a_span_whose_last_object_a_thread_frees_ends_though_it_has_no_owner() {
    let place = Place::new();
    let class = SizeClass::holding(2 * KIB);
    let block = place.take(place.other, class);
    let span = place.span(block).expect("a span");
    place.other.idle(place.tiers);
    assert_eq!((span.live(), span.state()), (1, State::Small));
    place.free_to_span(place.own, block);
    place.own.flush_outbox(place.tiers);
    assert_eq!((span.live(), span.state()), (0, State::Free));
}

#[test]
fn a_zeroed_object_of_untouched_memory_is_counted() {
    let place = Place::new();
    place.take(place.own, class());
    drain(place.own, class());
    assert!(!place.own.take_untouched(class()).is_null());
    agree(&place);
}

#[test]
fn a_cache_whose_thread_has_ended_serves_no_more_and_takes_no_mail() {
    let place = Place::new();
    let row = place.take_many(place.own, class(), 5);
    place.own.leave(place.tiers);
    assert!(!place.own.is_ready());
    assert!(place.own.bins.is_closed(class()) && place.own.spans.pop_any(class()).is_none());
    // SAFETY: the block is live, and stays so where the free is refused.
    assert!(!unsafe { place.own.free(place.tiers, row[0]) }, "nothing was done");
    row.iter().for_each(|&block| place.free_to_span(place.other, block));
    place.other.leave(place.tiers);
    assert!(place.own.mailbox().is_empty());
    place.tiers.end_rest();
    assert_eq!(place.inuse(), 0);
}
