//! The page heap over a simulated system.

mod edges;
mod growth;
mod limits;

use super::*;
use crate::base::addr::Addr;
use crate::base::geometry::{HUGE, PAGES_PER_HUGE};
use crate::os::sim::Sim;
use crate::size_class::large_pages;

mod window;

const MIB: usize = 1 << 20;

fn heap() -> (&'static Sim, MHeap) {
    heap_on(Sim::new())
}

fn heap_on(sim: &'static Sim) -> (&'static Sim, MHeap) {
    let heap = MHeap::new(sim);
    heap.set_window(256 * MIB);
    (sim, heap)
}

/// Checks that the figures agree with each other and with the spans in `out`, and that the system
/// saw no wrong call.
fn check(sim: &Sim, heap: &MHeap, out: &[&'static MSpan]) -> HeapFigures {
    let figures = heap.figures();
    let pages: usize = out.iter().map(|span| span.pages()).sum();
    assert_eq!(figures.inuse, pages * PAGE);
    assert!(figures.released <= figures.sys - figures.inuse, "{figures:?}");
    assert_eq!(sim.violations(), Vec::<String>::new());
    figures
}

/// Ends a heap whose spans were all given back.
fn end(sim: &Sim, heap: &MHeap) {
    heap.purge();
    let figures = check(sim, heap, &[]);
    assert_eq!(figures.released, figures.sys, "all that is free is released");
    // SAFETY: no code uses the heap any more.
    unsafe { sim.tear_down() };
}

fn large(heap: &MHeap, bytes: usize, align: usize) -> &'static MSpan {
    heap.take_large(bytes, large_pages(bytes), align, 0)
        .expect("the system refuses nothing")
}

#[test]
fn pages_that_lie_in_parts_of_the_systems_keep_no_others_from_going_back() {
    let (sim, heap) = heap_on(Sim::with_page_size(64 << 10));
    let mut out: Vec<_> = (0..41 * PAGES_PER_HUGE).map(|_| large(&heap, PAGE, 1)).collect();
    // First all pages of one huge page become free, then every other page of forty more.
    for span in out.split_off(40 * PAGES_PER_HUGE) {
        heap.give(span);
    }
    heap.purge();
    let mut kept = Vec::new();
    for (index, span) in out.into_iter().enumerate() {
        if index % 2 == 0 {
            kept.push(span)
        } else {
            heap.give(span)
        }
    }
    let more: Vec<_> = (0..PAGES_PER_HUGE / 8).map(|_| large(&heap, 8 * PAGE, 8)).collect();
    more.into_iter().for_each(|span| heap.give(span));
    assert!(heap.purge() >= HUGE, "{:?}", heap.figures());
    kept.into_iter().for_each(|span| heap.give(span));
    end(sim, &heap);
}

/// A sequence of numbers that is the same in each run (xorshift, Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize % n
    }
}

#[test]
fn a_random_walk_keeps_the_books() {
    let (sim, heap) = heap();
    let mut numbers = Numbers(0x9E37_79B9);
    let mut out: Vec<&'static MSpan> = Vec::new();
    for step in 0..3000 {
        match numbers.below(10) {
            0..3 => {
                let class = SizeClass::from_index(numbers.below(crate::size_class::COUNT)).expect("below the count");
                out.push(
                    heap.take_small(class, class.span_pages())
                        .expect("the system refuses nothing"),
                );
            }
            3 if step % 2 == 0 => {
                let bytes = 1 + numbers.below(MIB);
                out.extend(heap.take_begun(bytes, large_pages(bytes)));
            }
            3..5 => {
                let align = PAGE << numbers.below(10);
                let span = large(&heap, 1 + numbers.below(6 * MIB), align);
                assert!(span.base().addr().is_multiple_of(align));
                out.push(span);
            }
            5 if !out.is_empty() => {
                let span = out[numbers.below(out.len())];
                if span.state() == State::Large {
                    heap.shrink_in_place(span, span.pages().div_ceil(2));
                }
            }
            6 if !out.is_empty() => {
                let span = out[numbers.below(out.len())];
                if span.state() == State::Large {
                    heap.grow_in_place(span, span.pages() + 1 + numbers.below(100));
                }
            }
            _ if !out.is_empty() => heap.give(out.swap_remove(numbers.below(out.len()))),
            _ => {}
        }
        let first_pages = out.iter().all(|span| {
            let found = heap.map().span_of(Addr::of(span.base()));
            found.is_some_and(|found| core::ptr::eq(found, *span))
        });
        assert!(first_pages, "the page map knows every span that is out");
        if step % 100 == 0 {
            heap.purge();
        }
        check(sim, &heap, &out);
    }
    out.drain(..).for_each(|span| heap.give(span));
    end(sim, &heap);
}

#[test]
fn spans_given_back_join_into_one_run() {
    let (sim, heap) = heap();
    let spans: Vec<_> = (0..64).map(|_| large(&heap, 64 << 10, 1)).collect();
    let first = spans.iter().map(|span| span.base().addr()).min();
    spans.into_iter().for_each(|span| heap.give(span));
    let sys = heap.figures().sys;
    let whole = large(&heap, 4 * MIB, 1);
    assert_eq!(Some(whole.base().addr()), first, "the pieces are one run again");
    assert_eq!(heap.figures().sys, sys);
    heap.give(whole);
    end(sim, &heap);
}

#[test]
fn pages_that_have_memory_are_used_before_untouched_ones() {
    let (sim, heap) = heap();
    let touched = large(&heap, 200 << 10, 1);
    let base = touched.base();
    heap.give(touched);
    let again = large(&heap, 100 << 10, 1);
    assert!((base.addr()..base.addr() + (200 << 10)).contains(&again.base().addr()));
    assert!(!again.zeroed(), "it may have been written to");
    heap.give(again);
    end(sim, &heap);
}

#[test]
fn what_nobody_missed_for_a_delay_goes_back_and_no_more() {
    let (sim, heap) = heap();
    heap.set_purge_delay(20);
    heap.set_attended(true);
    let (idle, used) = (large(&heap, 8 * MIB, 1), large(&heap, 2 * MIB, 1));
    heap.give(idle);
    heap.attend();
    // During the delay that begins now, 2 MiB are free only at times.
    heap.give(used);
    let used = large(&heap, 2 * MIB, 1);
    std::thread::sleep(std::time::Duration::from_millis(60));
    heap.give(used);
    heap.attend();
    let figures = heap.figures();
    let dirty = figures.sys - figures.inuse - figures.released;
    assert_eq!(dirty, 2 * MIB, "{figures:?}");
    std::thread::sleep(std::time::Duration::from_millis(60));
    heap.attend();
    end(sim, &heap);
}

/// Models pages that the program has locked, on a kernel that does not release such pages.
#[test]
fn pages_that_the_system_does_not_take_back_keep_no_others_from_going_back() {
    let (sim, heap) = heap();
    let spans = [(); 8].map(|()| large(&heap, 2 * MIB, PAGES_PER_HUGE));
    spans.into_iter().for_each(|span| heap.give(span));
    sim.fail_at(sim.calls() + 1);
    let given = heap.purge();
    // The refused pages have their turn at the end of the same round.
    assert_eq!((given, sim.refusals()), (16 * MIB, 1));
    let spans = [(); 8].map(|()| large(&heap, 2 * MIB, PAGES_PER_HUGE));
    spans.into_iter().for_each(|span| heap.give(span));
    sim.fail_kind(crate::os::sim::Kind::Release);
    let before = sim.refusals();
    assert_eq!(heap.purge(), 0);
    assert!(sim.refusals() - before <= 16, "a round ends");
    sim.heal();
    end(sim, &heap);
}

#[test]
fn the_hard_limit_refuses_and_lets_go() {
    let (sim, heap) = heap();
    heap.set_hard_limit(Some(16 * MIB));
    let span = large(&heap, 12 * MIB, 1);
    assert!(heap.take_large(8 * MIB, large_pages(8 * MIB), 1, 0).is_none());
    heap.give(span);
    // Idle pages count until they are purged, and the request purges them itself.
    let span = large(&heap, 8 * MIB, 1);
    heap.set_hard_limit(None);
    let more = large(&heap, 32 * MIB, 1);
    heap.give(span);
    heap.give(more);
    end(sim, &heap);
}

#[test]
fn a_refusal_is_told_if_the_limit_is_its_reason_the_first_at_once() {
    let (sim, heap) = heap();
    let held = large(&heap, 4 * MIB, 1);
    heap.set_hard_limit(Some(8 * MIB));
    let refusals = || heap.inner.lock().told.refusals();
    heap.note_refusal(MIB, false);
    assert_eq!(refusals(), (false, 0), "there is room for it");
    for untold in [0, 1] {
        heap.note_refusal(5 * MIB, false);
        assert_eq!(refusals(), (true, untold), "the first is told at once");
    }
    heap.give(held);
    end(sim, &heap);
}

#[test]
fn a_small_window_limits_nothing() {
    let sim = Sim::new();
    let heap = MHeap::new(sim);
    heap.set_window(8 * MIB);
    let spans: Vec<_> = (0..300).map(|_| large(&heap, 5 * MIB, 1)).collect();
    spans.into_iter().for_each(|span| heap.give(span));
    end(sim, &heap);
}

#[test]
fn huge_pages_are_asked_for_where_small_objects_fill_much_and_stop_with_the_first_part_given_back() {
    let (sim, heap) = heap();
    let class = SizeClass::serving(64, 8).expect("a class");
    let spans: Vec<_> = (0..2000)
        .map(|_| heap.take_small(class, class.span_pages()).expect("memory"))
        .collect();
    // The first run in an advised huge page touches all of it.
    let figures = heap.figures();
    assert!(figures.sys - figures.inuse > figures.released, "{figures:?}");
    spans.into_iter().for_each(|span| heap.give(span));
    end(sim, &heap);
}

#[test]
fn after_a_slow_first_touch_the_heap_goes_without_huge_pages_for_a_while_and_for_longer_after_another() {
    let (sim, heap) = heap();
    let class = SizeClass::serving(32 << 10, 8).expect("a class");
    let mut out = Vec::new();
    // Returns the bytes by which the heap grows until it asks for and touches the next huge page.
    let mut grown = || {
        let (touches, before) = (sim.touches(), heap.figures().sys);
        while sim.touches() == touches {
            out.push(heap.take_small(class, class.span_pages()).expect("memory"));
        }
        heap.figures().sys - before
    };
    grown();
    assert!((0..20).all(|_| grown() <= 8 * MIB), "none was slow");
    sim.set_touch_nanos(5_000_000);
    let slow: [usize; 5] = std::array::from_fn(|_| grown());
    let [first, rests @ ..] = slow;
    assert!(first <= 8 * MIB, "{slow:?}");
    for (index, rest) in rests.into_iter().enumerate() {
        let due = (16 * MIB) << index;
        assert!((due..due * 2).contains(&rest), "{slow:?}");
    }
    sim.set_touch_nanos(100_000);
    assert!(grown() >= 256 * MIB && grown() <= 8 * MIB, "one was fast again");
    out.into_iter().for_each(|span| heap.give(span));
    end(sim, &heap);
}

/// Returns the bytes that count as having memory after 23 objects of 1 MiB. The program touched
/// every page of them, or only the first.
fn with_memory(touch_all: bool) -> usize {
    let (sim, heap) = heap();
    sim.be_honest();
    for _ in 0..23 {
        let span = large(&heap, MIB, 1);
        let last = if touch_all { MIB } else { 1 };
        for offset in (0..last).step_by(4096) {
            // SAFETY: the span holds 1 MiB, and only this test uses it.
            unsafe { span.base().wrapping_add(offset).write(1) };
        }
    }
    let figures = heap.figures();
    // SAFETY: no code uses the heap any more.
    unsafe { sim.tear_down() };
    figures.sys - figures.released
}

#[test]
fn huge_pages_are_asked_for_where_large_objects_are_touched_all_over() {
    // The first run in an advised huge page touches all of it, so its free pages do not count as
    // released.
    assert_eq!(with_memory(false), 23 * MIB);
    assert!(with_memory(true) > 23 * MIB);
}

#[test]
fn an_object_that_has_begun_to_grow_lies_where_it_can_go_on() {
    let (sim, heap) = heap();
    let sizes = [512, 64, 1024, 64].map(|kib| kib << 10);
    let spans = sizes.map(|bytes| large(&heap, bytes, 1));
    let pages = |bytes: usize| bytes / PAGE;
    assert!(
        heap.take_begun(96 << 10, pages(96 << 10)).is_none(),
        "nothing lies idle"
    );
    let longest = spans[2].base();
    for span in [spans[0], spans[2]] {
        span.set_dirty();
        heap.give(span);
    }
    let bytes = 96 << 10;
    assert!(heap.take_begun(MIB, pages(MIB)).is_none(), "it would fill the run");
    let span = heap.take_begun(bytes, pages(bytes)).expect("there is a run of 1 MiB");
    assert_eq!(span.base(), longest);
    assert_eq!(
        heap.grow_in_place(span, pages(MIB)),
        Some(false),
        "up to the next object"
    );
    let next = heap.take_begun(bytes, pages(bytes)).expect("there is a run of 512 KiB");
    assert!(next.base() < longest);
    check(sim, &heap, &[spans[1], spans[3], span, next]);
    for span in [spans[1], spans[3], span, next] {
        heap.give(span);
    }
    end(sim, &heap);
}

/// Whether an object of twice `piece` pages finds a place in two idle pieces, at the end of one
/// huge page and the start of the next, beside `fill` huge pages that are in use.
fn joins_two_pieces(fill: usize, piece: usize) -> bool {
    let (sim, heap) = heap();
    heap.set_purge_delay(-1);
    let mut out = vec![large(&heap, fill * HUGE, 1)];
    out.extend((0..4 * HUGE / PAGE / piece).map(|_| large(&heap, piece * PAGE, 1)));
    let start = |span: &MSpan| span.base().addr();
    let second = out.iter().skip(1).find(|second| {
        let is_first = |first: &&MSpan| first.pages() == piece && start(first) + piece * PAGE == start(second);
        start(second) % HUGE == 0 && out.iter().copied().any(|first| is_first(&first))
    });
    let end = second.map(|second| start(second)).expect("some lie so");
    let near = |span: &&'static MSpan| span.pages() == piece && start(span).abs_diff(end) <= piece * PAGE;
    let (gone, mut out): (Vec<_>, Vec<_>) = out
        .into_iter()
        .partition(|span| near(span) && start(span) != end + piece * PAGE);
    assert_eq!(gone.len(), 2);
    gone.into_iter().for_each(|span| heap.give(span));
    let found = heap.take_idle(2 * piece * PAGE, 2 * piece, 1);
    out.extend(found);
    check(sim, &heap, &out);
    out.into_iter().for_each(|span| heap.give(span));
    self::end(sim, &heap);
    found.is_some()
}

#[test]
fn the_larger_the_heap_the_longer_are_the_objects_that_a_search_serves() {
    let outcomes = [1, 40, 600].map(|fill| [16, 128].map(|piece| joins_two_pieces(fill, piece)));
    assert_eq!(outcomes, [[true, true], [false, true], [false, false]]);
}
