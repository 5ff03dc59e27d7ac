//! Regions in windows: how much they map, and how they act if another mapping lies in the way.

use super::*;
use crate::base::geometry::{HUGE_SHIFT, WINDOW_TRIES};
use crate::os::sim::Kind;

/// Returns the address behind the ready part of the heap's region `number`.
fn frontier(heap: &MHeap, number: usize) -> usize {
    let figures = heap.region_figures(number).expect("there is such a region");
    figures.base.addr() + (figures.ready << HUGE_SHIFT)
}

#[test]
fn a_heap_maps_little_more_than_it_uses() {
    let sim = Sim::new();
    let heap = MHeap::new(sim);
    let span = large(&heap, MIB, 1);
    assert_eq!(sim.windows(), 1);
    assert!(sim.reserved_bytes() < 8 * MIB, "{}", sim.reserved_bytes());
    let more: Vec<_> = (0..100).map(|_| large(&heap, 5 * MIB, 1)).collect();
    let (used, mapped) = (501 * MIB, sim.reserved_bytes());
    assert!(mapped < used + used / 4 + 8 * MIB, "{mapped}");
    let figures = heap.region_figures(0).expect("the region");
    assert!((used..mapped).contains(&figures.reserved), "{}", figures.reserved);
    more.into_iter().chain([span]).for_each(|span| heap.give(span));
    end(sim, &heap);
}

#[test]
fn a_region_ends_in_front_of_another_mapping_and_the_heap_goes_on_elsewhere() {
    let sim = Sim::new();
    let heap = MHeap::new(sim);
    let mut spans = vec![large(&heap, MIB, 1)];
    for number in 0..3 {
        let wall = frontier(&heap, number) + 6 * MIB;
        sim.occupy(wall, PAGE);
        while heap.region_figures(number + 1).is_none() {
            spans.push(large(&heap, MIB, 1));
        }
        let last = frontier(&heap, number);
        assert!(last <= wall && last + 4 * MIB >= wall, "{last:#x} {wall:#x}");
    }
    assert_eq!(sim.windows(), 4);
    // The heap does not ask a closed region again.
    let calls = sim.calls();
    spans.push(large(&heap, 100 * MIB, 1));
    assert!(sim.calls() - calls < 10, "{}", sim.calls() - calls);
    check(sim, &heap, &spans);
    spans.into_iter().for_each(|span| heap.give(span));
    end(sim, &heap);
}

#[test]
fn an_object_that_meets_another_mapping_as_it_grows_stays_whole() {
    let sim = Sim::new();
    let heap = MHeap::new(sim);
    let span = large(&heap, 2 * MIB, 1);
    sim.occupy(frontier(&heap, 0), PAGE);
    assert_eq!(heap.grow_in_place(span, large_pages(40 * MIB)), None);
    let moved = large(&heap, 40 * MIB, 1);
    check(sim, &heap, &[span, moved]);
    heap.give(span);
    heap.give(moved);
    end(sim, &heap);
}

#[test]
fn where_no_window_is_free_the_heap_reserves() {
    let sim = Sim::new();
    sim.occupy(0, usize::MAX);
    let heap = MHeap::new(sim);
    let spans: Vec<_> = (0..60).map(|_| large(&heap, 5 * MIB, 1)).collect();
    assert_eq!(sim.windows() % WINDOW_TRIES, 0);
    check(sim, &heap, &spans);
    spans.into_iter().for_each(|span| heap.give(span));
    end(sim, &heap);
}

#[test]
fn where_there_are_no_windows_each_reservation_is_larger_than_the_last() {
    let sim = Sim::new();
    sim.board_up_windows();
    let heap = MHeap::new(sim);
    let spans: Vec<_> = (0..300).map(|_| large(&heap, 5 * MIB, 1)).collect();
    let sizes: Vec<_> = (0..)
        .map_while(|number| heap.region_figures(number))
        .map(|figures| figures.reserved)
        .collect();
    assert!(sizes.len() > 2 && sizes.is_sorted_by(|a, b| a < b), "{sizes:?}");
    check(sim, &heap, &spans);
    spans.into_iter().for_each(|span| heap.give(span));
    end(sim, &heap);
}

#[test]
fn a_region_that_could_not_begin_leaves_nothing_behind() {
    let sim = Sim::new();
    let heap = MHeap::new(sim);
    // The first call creates a span record; each later call is for the region.
    for call in 2..6 {
        sim.fail_from(sim.calls() + call);
        assert!(heap.take_large(MIB, large_pages(MIB), 1, 0).is_none());
        assert!(heap.region_figures(0).is_none());
    }
    let kept = sim.reserved_bytes();
    for _ in 0..100 {
        sim.fail_kind(Kind::Claim);
        assert!(heap.take_large(MIB, large_pages(MIB), 1, 0).is_none());
    }
    assert_eq!(sim.reserved_bytes(), kept);
    sim.heal();
    heap.give(large(&heap, MIB, 1));
    end(sim, &heap);
}
