//! The limits: the memory that counts, and the idle pages that go back.

use super::*;
use crate::base::geometry::HUGE_SHIFT;
use crate::mheap::survey::{HugeBooks, PageBooks};
use crate::os::PageSource;
use crate::os::sim::Kind;
use std::ops::Range;

/// Bytes of a few pages and records, by which the tests' sums may be off.
const LITTLE: usize = 128 << 10;

fn footprint(heap: &MHeap) -> usize {
    heap.footprint(&heap.inner.lock())
}

/// Returns the bytes of idle pages that have memory.
fn idle(heap: &MHeap) -> usize {
    let figures = heap.figures();
    figures.sys - figures.inuse - figures.released
}

/// Returns the pages of a span that are idle and have memory.
fn idle_pages_at(heap: &MHeap, base: *mut u8, pages: usize) -> usize {
    let region = heap.region_figures(0).expect("the region");
    let is_idle = |page: usize| {
        let offset = base.addr() + page * PAGE - region.base.addr();
        let mut books = [HugeBooks::UNKNOWN];
        heap.huge_books(0, offset >> HUGE_SHIFT, &mut books);
        books[0].page(offset % HUGE / PAGE) == PageBooks::Dirty
    };
    (0..pages).filter(|&page| is_idle(page)).count()
}

/// A heap with idle runs of 8 MiB, no two of which touch.
struct Place {
    sim: &'static Sim,
    heap: MHeap,
    held: Vec<&'static MSpan>,
    /// The bases of the idle runs, the one that is idle for longest first.
    idle: Vec<*mut u8>,
}

impl Place {
    fn new(runs: usize) -> Self {
        Self::on(Sim::new(), runs)
    }

    fn on(sim: &'static Sim, runs: usize) -> Self {
        let (sim, heap) = heap_on(sim);
        heap.set_purge_delay(-1);
        // Before the runs, so that a large request has room without growth.
        let room = large(&heap, 24 * MIB, 1);
        let (go, held): (Vec<_>, Vec<_>) = (0..runs)
            .map(|_| (large(&heap, 8 * MIB, 1), large(&heap, MIB / 2, 1)))
            .unzip();
        heap.give(room);
        heap.purge();
        // The last address becomes idle first.
        let idle: Vec<_> = go.iter().rev().map(|span| span.base()).collect();
        go.into_iter().rev().for_each(|span| heap.give(span));
        Self { sim, heap, held, idle }
    }

    /// Sets a hard limit that leaves `bytes` bytes.
    fn leave(&self, bytes: usize) {
        self.heap.set_hard_limit(Some(footprint(&self.heap) + bytes));
    }

    fn limit(&self) -> usize {
        self.heap.limits()[1].expect("a limit")
    }

    /// Checks that `bytes` went back since `before` were idle, and that the footprint is just below
    /// the limit.
    fn check_back(&self, before: usize, bytes: Range<usize>) {
        let back = before - idle(&self.heap);
        assert!(bytes.contains(&back), "{back} bytes, not {bytes:?}");
        let footprint = footprint(&self.heap);
        let limit = self.limit();
        assert!(
            footprint <= limit && footprint + 2 * PAGE >= limit,
            "{footprint} {limit}"
        );
    }

    fn end(self) {
        self.heap.set_hard_limit(None);
        self.held.into_iter().for_each(|span| self.heap.give(span));
        end(self.sim, &self.heap);
    }
}

#[test]
fn idle_pages_that_serve_a_request_cost_nothing() {
    let place = Place::new(4);
    place.leave(0);
    let before = idle(&place.heap);
    let first = place.heap.take_idle(8 * MIB, 8 * MIB / PAGE, 1).expect("it is idle");
    // The shortest free run that serves it is an idle one.
    let second = large(&place.heap, 8 * MIB, 1);
    assert_eq!(idle(&place.heap), before - 16 * MIB, "all other pages are still idle");
    [first, second].into_iter().for_each(|span| place.heap.give(span));
    place.end();
}

#[test]
fn a_request_gives_back_its_shortfall_and_the_pages_that_were_idle_for_longest() {
    for page in [4 << 10, 16 << 10, 64 << 10] {
        let place = Place::on(Sim::with_page_size(page), 6);
        place.leave(4 * MIB);
        let before = idle(&place.heap);
        // No idle run is so long.
        let span = large(&place.heap, 10 * MIB, 1);
        place.check_back(before, 6 * MIB..6 * MIB + LITTLE);
        let pages = |run: usize| idle_pages_at(&place.heap, place.idle[run], 8 * MIB / PAGE);
        assert!(pages(0) * PAGE < 2 * MIB + LITTLE, "{}", pages(0));
        assert_eq!(pages(5) * PAGE, 8 * MIB, "it became idle last");
        place.heap.give(span);
        place.end();
    }
}

#[test]
fn a_request_that_no_idle_pages_can_help_leaves_them_idle() {
    let place = Place::new(2);
    place.leave(4 * MIB);
    let before = (idle(&place.heap), footprint(&place.heap));
    assert!(place.heap.take_large(21 * MIB, large_pages(21 * MIB), 1, 0).is_none());
    assert_eq!((idle(&place.heap), footprint(&place.heap)), before);
    place.end();
}

#[test]
fn a_request_is_refused_if_the_system_takes_no_pages_back_and_served_once_it_does() {
    let place = Place::new(6);
    place.leave(4 * MIB);
    place.sim.fail_kind(Kind::Release);
    let before = place.heap.figures();
    let take = || place.heap.take_large(10 * MIB, large_pages(10 * MIB), 1, 0);
    assert!(take().is_none());
    let after = check(place.sim, &place.heap, &place.held);
    assert_eq!((after.inuse, after.released), (before.inuse, before.released));
    assert!(footprint(&place.heap) <= place.limit());
    place.sim.heal();
    let span = take().expect("there are enough idle pages");
    place.heap.give(span);
    place.end();
}

/// Returns an object of 4 MiB with clean pages behind it, another span, and a heap with 8 idle MiB.
fn growing() -> (&'static Sim, MHeap, &'static MSpan, &'static MSpan) {
    let (sim, heap) = heap();
    heap.set_purge_delay(-1);
    let [run, apart, object, behind] = [8, 1, 4, 32].map(|mib| large(&heap, mib * MIB, 1));
    heap.give(behind);
    heap.purge();
    heap.give(run);
    (sim, heap, object, apart)
}

#[test]
fn growth_in_place_gives_back_its_shortfall() {
    for refuses in [false, true] {
        let (sim, heap, object, apart) = growing();
        heap.set_hard_limit(Some(footprint(&heap) + MIB));
        if refuses {
            sim.fail_kind(Kind::Release);
        }
        let before = idle(&heap);
        let grown = heap.grow_in_place(object, 7 * MIB / PAGE);
        assert_eq!(grown, (!refuses).then_some(true));
        let back = before - idle(&heap);
        assert_eq!(back, if refuses { 0 } else { 2 * MIB });
        check(sim, &heap, &[apart, object]);
        sim.heal();
        [apart, object].into_iter().for_each(|span| heap.give(span));
        end(sim, &heap);
    }
}

#[test]
fn growth_in_place_beyond_the_soft_limit_gives_as_much_back() {
    let (sim, heap, object, apart) = growing();
    heap.set_soft_limit(Some(footprint(&heap)));
    let before = idle(&heap);
    assert_eq!(heap.grow_in_place(object, 5 * MIB / PAGE), Some(true));
    assert_eq!(before - idle(&heap), MIB);
    [apart, object].into_iter().for_each(|span| heap.give(span));
    end(sim, &heap);
}

/// An object of 60 MiB without room behind it, 32 idle MiB, and a limit of 100 MiB.
fn sixty_beside_idle() -> (&'static Sim, MHeap, &'static MSpan, &'static MSpan) {
    let (sim, heap) = heap();
    heap.set_purge_delay(-1);
    let [object, apart, run] = [60, 1, 32].map(|mib| large(&heap, mib * MIB, 1));
    heap.give(run);
    heap.set_hard_limit(Some(100 * MIB));
    (sim, heap, object, apart)
}

#[test]
fn a_move_by_page_tables_needs_room_for_the_growth_alone() {
    let (sim, heap, object, apart) = sixty_beside_idle();
    let before = idle(&heap);
    assert!(heap.grow_in_place(object, 70 * MIB / PAGE).is_none(), "it must move");
    let moved = heap.relocate(object, 70 * MIB, 1, 200 * MIB / PAGE);
    let (new, true) = moved.expect("there is room") else {
        panic!("it was copied");
    };
    assert!(footprint(&heap) <= 100 * MIB);
    // Until the old span is given back, other requests do not see both.
    let other = large(&heap, MIB, 1);
    heap.give(other);
    heap.give_moved(object);
    assert!(footprint(&heap) <= 100 * MIB);
    let back = before - idle(&heap);
    assert!(back <= 4 * MIB + LITTLE, "{back} bytes");
    check(sim, &heap, &[new, apart]);
    assert_eq!(heap.inner.lock().afloat, 0);
    [new, apart].into_iter().for_each(|span| heap.give(span));
    end(sim, &heap);
}

#[test]
fn a_move_that_the_system_refuses_needs_room_for_a_copy() {
    for limited in [true, false] {
        let (sim, heap, object, apart) = sixty_beside_idle();
        // The first touch of a huge page would bring memory to all of it.
        heap.set_huge(crate::options::Huge::Always);
        if !limited {
            heap.set_hard_limit(None);
        }
        let touches = sim.touches();
        sim.fail_kind(Kind::Remap);
        let copied = heap.relocate(object, 70 * MIB, 1, 200 * MIB / PAGE);
        assert_eq!(copied.map(|(_, moved)| moved), (!limited).then_some(false));
        assert_eq!(sim.touches(), touches, "a move brings its own memory");
        let mut out = vec![object, apart];
        out.extend(copied.map(|(span, _)| span));
        check(sim, &heap, &out);
        assert_eq!(heap.inner.lock().afloat, 0);
        sim.heal();
        out.into_iter().for_each(|span| heap.give(span));
        end(sim, &heap);
    }
}

#[test]
fn a_move_that_is_refused_at_any_call_leaves_no_more_idle_memory() {
    let mut refused = 0;
    for call in 1..20 {
        let (sim, heap, object, apart) = sixty_beside_idle();
        heap.set_huge(crate::options::Huge::Always);
        let before = idle(&heap);
        sim.fail_from(sim.calls() + call);
        // The room ends inside of a huge page.
        if let Some((to, moved)) = heap.relocate(object, 65 * MIB, 1, 200 * MIB / PAGE + 1) {
            assert!(moved, "there is no room for a copy");
            heap.give_moved(object);
            heap.give(to);
        } else {
            assert!(idle(&heap) <= before, "{} at call {call}", idle(&heap));
            check(sim, &heap, &[object, apart]);
            heap.give(object);
            refused += 1;
        }
        sim.heal();
        heap.give(apart);
        end(sim, &heap);
    }
    assert!((2..19).contains(&refused), "{refused}");
}

#[test]
fn beyond_the_soft_limit_the_excess_goes_back_and_no_more() {
    let place = Place::new(6);
    let before = idle(&place.heap);
    place.heap.set_soft_limit(Some(footprint(&place.heap) - 3 * MIB));
    // A request looks, and a free.
    let span = large(&place.heap, 16 * PAGE, 1);
    let taken = before - idle(&place.heap);
    assert_eq!(taken, 16 * PAGE + 3 * MIB);
    place.heap.set_soft_limit(Some(footprint(&place.heap) - 3 * MIB));
    let before = idle(&place.heap);
    place.heap.give(span);
    assert_eq!(before + 16 * PAGE - idle(&place.heap), 3 * MIB);
    place.end();
}

#[test]
fn tables_and_records_of_threads_count() {
    let (sim, heap) = heap();
    let span = large(&heap, 256 * MIB, 1);
    let beside = |heap: &MHeap| {
        let figures = heap.figures();
        footprint(heap) - (figures.sys - figures.released)
    };
    // A page map entry for each page, and one record.
    assert!(beside(&heap) >= 256 * MIB / PAGE * 8, "{}", beside(&heap));
    assert!(beside(&heap) <= heap.figures().sys / PAGE * 10, "{}", beside(&heap));
    let before = footprint(&heap);
    heap.set_cache_bytes(12_345);
    assert_eq!(footprint(&heap), before + 12_345);
    heap.give(span);
    end(sim, &heap);
}

/// Each thread holds up to its share, so there is always room once idle pages went back.
#[test]
fn no_request_is_refused_because_another_thread_gives_pages_back() {
    let (sim, heap) = heap();
    heap.set_purge_delay(-1);
    let shares = 4;
    heap.give(large(&heap, 64 * MIB, 1));
    heap.purge();
    let limit = footprint(&heap) + shares * 2 * MIB + LITTLE;
    heap.set_hard_limit(Some(limit));
    std::thread::scope(|scope| {
        for share in 0..shares {
            let heap = &heap;
            scope.spawn(move || {
                let mut numbers = Numbers(0x9E37_79B9 + share as u64);
                for _ in 0..400 {
                    let first = 1 + numbers.below(2 * MIB / PAGE - 1);
                    let spans = [first, 2 * MIB / PAGE - first].map(|pages| {
                        let span = heap.take_large(pages * PAGE, pages, 1, 0);
                        span.unwrap_or_else(|| panic!("{pages} pages refused"))
                    });
                    spans.into_iter().for_each(|span| heap.give(span));
                }
            });
        }
    });
    end(sim, &heap);
}

/// Takes, grows, moves and gives back spans at random below a hard limit, over a system that
/// refuses a kind of call now and then.
#[test]
fn a_random_walk_stays_below_the_hard_limit() {
    let (mut refused, mut moves) = (0, 0);
    for walk in 0..16 {
        let (sim, heap) = heap_on(Sim::with_page_size([4 << 10, 16 << 10][walk as usize % 2]));
        heap.set_purge_delay(-1);
        let limit = 24 * MIB;
        heap.set_hard_limit(Some(limit));
        let mut numbers = Numbers(0x51A7 + walk);
        let mut out: Vec<&'static MSpan> = Vec::new();
        for step in 0..1000 {
            match numbers.below(40) {
                0 => sim.fail_kind([Kind::Release, Kind::Remap, Kind::Ready][numbers.below(3)]),
                1..4 => sim.heal(),
                4..8 => {
                    let class =
                        SizeClass::from_index(numbers.below(crate::size_class::COUNT)).expect("below the count");
                    out.extend(heap.take_small(class, class.span_pages()));
                }
                8..18 => {
                    let pages = 1 + numbers.below(5 * MIB / PAGE);
                    let span = heap.take_large(pages * PAGE, pages, 1, 0);
                    refused += usize::from(span.is_none());
                    out.extend(span);
                }
                choice @ 18..28 if !out.is_empty() => {
                    let index = numbers.below(out.len());
                    let (span, more) = (out[index], 1 + numbers.below(2 * MIB / PAGE));
                    let grown = span.pages() + more;
                    if span.state() == State::Large && choice < 23 {
                        heap.grow_in_place(span, grown);
                    } else if span.state() == State::Large
                        && let Some((to, moved)) = heap.relocate(span, grown * PAGE, 1, 2 * grown)
                    {
                        out[index] = to;
                        moves += usize::from(moved);
                        if moved { heap.give_moved(span) } else { heap.give(span) }
                    }
                }
                _ if !out.is_empty() => heap.give(out.swap_remove(numbers.below(out.len()))),
                _ => {}
            }
            check(sim, &heap, &out);
            let footprint = footprint(&heap);
            assert!(footprint <= limit + LITTLE, "{footprint} at step {step} of walk {walk}");
            assert_eq!(heap.inner.lock().afloat, 0);
        }
        sim.heal();
        heap.set_hard_limit(None);
        out.into_iter().for_each(|span| heap.give(span));
        end(sim, &heap);
    }
    assert!(refused > 400 && moves > 16, "{refused} {moves}");
}
