//! Bins that run over: they widen, grow, give their older half back, or close.

use super::*;

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

#[test]
fn a_full_bin_that_may_not_grow_gives_its_older_half_back() {
    // Medium bins grow out of the room of all threads. There is none where pages go back at once.
    let class = SizeClass::holding(2 * MEDIUM_MIN);
    let (place, row) = full(class);
    place.tiers.mheap.set_purge_delay(0);
    let cap = bins(&place).cap(class);
    assert!(bins(&place).window.is_refilled(class));
    place.free(place.own, class, row[0]);
    assert_eq!((bins(&place).cap(class), bins(&place).held(class)), (cap, cap / 2 + 1));
    assert_eq!(place.own.bins.pop(class), row[0], "the youngest stay");
}

#[test]
fn a_full_bin_of_a_class_that_was_not_refilled_lately_closes() {
    let (place, row) = full(class());
    (0..64).for_each(|_| bins(&place).window.note_overflow());
    assert!(!bins(&place).window.is_refilled(class()));
    let span = place.span(row[0]).expect("a span");
    let live = span.live();
    place.free(place.own, class(), row[0]);
    assert!(bins(&place).is_closed(class()) && span.live() < live);
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
    let bury = |block, buried: &dyn Fn(*mut Block) -> bool| place.own.bins.bury(class(), block, 0, buried);
    bury(row[1], &|block| block == row[1]);
    assert_eq!(place.own.bins.pop(class()), row[3], "it is not the youngest");
    bury(row[2], &|block| block == row[2] || block == row[0]);
    assert_eq!(place.own.bins.pop(class()), row[2], "the oldest is such a block too");
    bury(row[1], &|block| block == row[1]);
    assert_eq!(
        [place.own.bins.pop(class()), place.own.bins.pop(class())],
        [row[0], row[1]]
    );
    bury(row[1], &|block| block == row[1]);
    assert!(place.own.bins.pop(class()).is_null(), "an empty bin");
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
    assert!(
        place.own.bins.pop(class()).is_null(),
        "the slot in front is no free block"
    );
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
fn bins_of_the_smallest_medium_class_grow_out_of_the_room_of_all_threads() {
    let class = SizeClass::serving(MEDIUM_MIN, 128).expect("a class's size");
    assert_eq!(class.size(), MEDIUM_MIN);
    let (place, row) = full(class);
    row.into_iter()
        .take(1)
        .for_each(|block| place.free(place.own, class, block));
    assert!(bins(&place).growth(class) > 0);
    assert_eq!(place.tiers.room.bytes(), bins(&place).growth(class));
}
