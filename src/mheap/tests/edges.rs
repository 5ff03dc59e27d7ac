//! Edges of the page heap that no other test covers:
//!
//! - limits at every size and by every way,
//! - the page map after a run was given back,
//! - the end of huge pages,
//! - the order of pages after a refusal.

use super::*;

/// Makes the heap as large as `bytes` more bytes need, with no more memory than before: later
/// growth needs no more of the tables and no more records.
fn stretch(heap: &MHeap, bytes: usize) {
    heap.set_hard_limit(None);
    heap.give(large(heap, bytes, 1));
    heap.purge();
}

/// Sets a hard limit that leaves exactly `bytes` bytes.
fn leave(heap: &MHeap, bytes: usize) {
    let footprint = heap.footprint(&heap.inner.lock());
    heap.set_hard_limit(Some(footprint + bytes));
}

#[test]
fn the_hard_limit_holds_for_every_size() {
    let (sim, heap) = heap();
    // After this, span records need no more memory.
    heap.give(large(&heap, PAGE, 1));
    for shift in 13..=36 {
        let bytes = 1 << shift;
        heap.purge();
        leave(&heap, bytes - PAGE);
        assert!(
            heap.take_large(bytes, large_pages(bytes), 1, 0).is_none(),
            "{bytes} bytes with a page less to go"
        );
        assert!(
            heap.take_large(bytes, large_pages(bytes), 1, bytes / PAGE).is_none(),
            "the limit holds for an object with room to grow, too"
        );
    }
    for shift in 13..=28 {
        let bytes = 1 << shift;
        stretch(&heap, bytes);
        leave(&heap, bytes);
        let span = heap.take_large(bytes, large_pages(bytes), 1, 0);
        heap.give(span.unwrap_or_else(|| panic!("{bytes} bytes fit to the byte")));
    }
    let class = SizeClass::serving(32 << 10, 8).expect("a class");
    heap.purge();
    leave(&heap, class.span_bytes() - PAGE);
    assert!(heap.take_small(class, class.span_pages()).is_none());
    leave(&heap, class.span_bytes());
    heap.give(heap.take_small(class, class.span_pages()).expect("it fits"));
    end(sim, &heap);
}

#[test]
fn the_hard_limit_holds_for_growth_in_place() {
    // Growth goes into free pages behind the object, or into its headroom.
    for room in [0, 128 * MIB] {
        let (sim, heap) = heap();
        let span = heap
            .take_large(4 * MIB, large_pages(4 * MIB), 1, room / PAGE)
            .expect("the system refuses nothing");
        let mut pages = span.pages();
        for more in [PAGE, MIB, 70 * MIB] {
            stretch(&heap, 2 * more);
            leave(&heap, more - 1);
            assert_eq!(
                heap.grow_in_place(span, pages + more / PAGE),
                None,
                "{more} bytes more, {room} of room"
            );
            check(sim, &heap, &[span]);
            leave(&heap, more);
            assert!(heap.grow_in_place(span, pages + more / PAGE).is_some(), "it fits");
            pages += more / PAGE;
            assert_eq!(span.pages(), pages);
        }
        heap.give(span);
        end(sim, &heap);
    }
}

#[test]
fn no_address_of_a_run_that_was_given_back_leads_to_a_span() {
    let (sim, heap) = heap();
    let class = SizeClass::serving(9000, 8).expect("a class");
    let small = heap.take_small(class, class.span_pages()).expect("memory");
    assert!(small.pages() > 1);
    let spans = [small, large(&heap, 3 * PAGE, 1), large(&heap, 5 * MIB, 4 * MIB)];
    let runs = spans.map(|span| (span.base(), span.pages()));
    let found = || {
        let pages = runs
            .iter()
            .flat_map(|&(base, pages)| (0..pages).map(move |page| base.wrapping_add(page * PAGE)));
        pages
            .filter(|&page| heap.map().span_of(Addr::of(page)).is_some())
            .count()
    };
    assert_eq!(
        found(),
        small.pages() + 2,
        "each page of a small span, the first of a large one"
    );
    spans.into_iter().for_each(|span| heap.give(span));
    assert_eq!(found(), 0);
    end(sim, &heap);
}

#[test]
fn huge_pages_end_with_the_first_part_of_one_that_goes_back_and_with_a_whole_one_they_do_not() {
    for (part, ends) in [(false, false), (true, true)] {
        let (sim, heap) = heap();
        let class = SizeClass::serving(64, 8).expect("a class");
        let mut spans = Vec::new();
        // Until every huge page is wholly in use.
        while sim.advised() < 4 || heap.figures().sys > heap.figures().inuse {
            spans.push(heap.take_small(class, class.span_pages()).expect("memory"));
        }
        let last = spans.last().map_or(0, |span| span.base().addr()) / HUGE;
        let in_last = |span: &&'static MSpan| span.base().addr() / HUGE == last;
        let (go, stay): (Vec<_>, Vec<_>) = spans.into_iter().partition(in_last);
        let asked = sim.advised();
        let count = if part { go.len() / 2 } else { go.len() };
        go[..count].iter().for_each(|span| heap.give(span));
        assert!(heap.purge() > 0);
        assert_eq!(sim.advised(), if ends { 0 } else { asked }, "a part: {part}");
        go[count..].iter().chain(&stay).for_each(|span| heap.give(span));
        end(sim, &heap);
    }
}

#[test]
fn pages_whose_release_is_always_refused_keep_no_others_from_going_back() {
    for refused in [0, 3, 7] {
        let (sim, heap) = heap();
        let spans: Vec<_> = (0..8 * 4).map(|_| large(&heap, MIB / 2, 1)).collect();
        let huge = |span: &MSpan| span.base().addr() / HUGE;
        let refused = huge(spans[refused * 4]);
        sim.fail_release_in(refused * HUGE..(refused + 1) * HUGE);
        // Two parts of each huge page become free that do not touch. Those of the refused huge page
        // become free first, so its turn comes first.
        let (mut go, mut stay) = (Vec::new(), Vec::new());
        for span in spans {
            if span.base().addr().is_multiple_of(MIB) {
                go.push(span)
            } else {
                stay.push(span)
            }
        }
        go.sort_by_key(|span| huge(span) != refused);
        go.into_iter().for_each(|span| heap.give(span));
        for _ in 0..32 {
            heap.purge();
        }
        let figures = check(sim, &heap, &stay);
        assert_eq!(
            figures.sys - figures.inuse - figures.released,
            MIB,
            "all but those: {figures:?}"
        );
        assert!(sim.refusals() > 0);
        sim.heal();
        stay.into_iter().for_each(|span| heap.give(span));
        end(sim, &heap);
    }
}
