//! The runs that a thread keeps, and when it gives them up.

use super::*;
use crate::base::geometry::SMALL_HEAP;

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
        place.own.give_runs_for(place.tiers, 65);
        assert_eq!(place.kept(), class.size(), "the heap would grow all the same");
        place.own.give_runs_for(place.tiers, 64);
        assert_eq!(place.kept(), if touched { 0 } else { class.size() });
        if touched {
            place.free_run(class, place.take_run(class));
        }
        let found = place.own.pop_longer_run(place.tiers, run_class(60));
        assert_eq!(found.is_null(), !touched);
    }
}

/// A place with a heap that is not small, and a run of each of these lengths that the thread keeps.
fn place_with_runs(lengths: &[usize]) -> (Place, Vec<*mut Block>) {
    let place = Place::new();
    place.sim.be_honest();
    place.own.alloc_large(place.tiers, SMALL_HEAP, 1).expect("memory");
    let row: Vec<_> = lengths.iter().map(|&pages| place.take_run(run_class(pages))).collect();
    for (&pages, &run) in lengths.iter().zip(&row) {
        // SAFETY: the run is this test's, and has so many bytes.
        unsafe { run.cast::<u8>().write_bytes(1, pages * PAGE) };
        place.free_run(run_class(pages), run);
    }
    assert_eq!(place.kept(), lengths.iter().sum::<usize>() * PAGE);
    (place, row)
}

#[test]
fn beyond_a_small_heap_the_shortest_run_that_is_long_enough_goes() {
    let (place, row) = place_with_runs(&[12, 20, 16, 24]);
    place.own.give_runs_for(place.tiers, 13);
    assert_eq!(place.kept(), 56 * PAGE);
    assert!(place.span(row[2]).is_none(), "the page heap has it");
    place.own.give_runs_for(place.tiers, 12);
    assert_eq!(place.kept(), 44 * PAGE);
}

#[test]
fn beyond_a_small_heap_a_few_of_the_longest_runs_go_if_none_is_long_enough() {
    let (place, row) = place_with_runs(&[12, 9, 14, 11, 10, 13]);
    place.own.give_runs_for(place.tiers, 15);
    assert_eq!(place.kept(), (9 + 10) * PAGE);
    assert!(place.span(row[1]).is_some() && place.span(row[4]).is_some());
    place.own.give_runs_for(place.tiers, 20);
    assert_eq!(place.kept(), 19 * PAGE, "they have less memory than that");
    place.own.give_runs_for(place.tiers, 19);
    assert_eq!(place.kept(), 0);
}

#[test]
fn beyond_a_small_heap_no_run_serves_shorter_requests() {
    let (place, _) = place_with_runs(&[12]);
    assert!(place.own.pop_longer_run(place.tiers, run_class(11)).is_null());
    assert_eq!(place.kept(), 12 * PAGE);
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
