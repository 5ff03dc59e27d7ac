//! Resting spans and the room for free objects, over a simulated system.

use super::*;
use crate::base::geometry::{ROOM_MAX, ROOM_MIN};
use crate::mspan::State;
use crate::os::sim::Sim;

fn tiers() -> &'static Tiers {
    let tiers: &'static Tiers = Box::leak(Box::new(Tiers::new(Sim::new())));
    tiers.mheap.set_purge_delay(-1);
    tiers
}

fn class() -> SizeClass {
    SizeClass::holding(1000)
}

/// An empty span of `class`, of which no thread knows.
fn retired(tiers: &Tiers, class: SizeClass) -> &'static MSpan {
    let span = tiers.mheap.take_small(class, class.span_pages()).expect("memory");
    span.set_state(State::Free);
    tiers.mheap.note_use(span);
    span
}

fn inuse(tiers: &Tiers) -> usize {
    tiers.mheap.figures().inuse
}

fn resting(tiers: &Tiers) -> usize {
    tiers.resting.load(Relaxed)
}

#[test]
fn a_span_rests_with_its_class_alone_and_is_counted_meanwhile() {
    let tiers = tiers();
    let span = retired(tiers, class());
    tiers.rest(class(), span);
    assert_eq!((resting(tiers), inuse(tiers)), (span.bytes(), span.bytes()));
    assert!(tiers.take_resting(SizeClass::holding(64)).is_none());
    assert!(
        tiers
            .take_resting(class())
            .is_some_and(|found| core::ptr::eq(found, span))
    );
    assert_eq!(resting(tiers), 0);
    assert!(tiers.take_resting(class()).is_none());
}

#[test]
fn a_span_for_which_there_is_no_rest_goes_to_the_page_heap() {
    let tiers = tiers();
    let limits: [fn(&Tiers); 2] = [
        |tiers| tiers.mheap.set_purge_delay(0),
        |tiers| tiers.mheap.set_soft_limit(Some(1 << 40)),
    ];
    for limit in limits {
        limit(tiers);
        tiers.rest(class(), retired(tiers, class()));
        assert_eq!((resting(tiers), inuse(tiers)), (0, 0));
        assert!(tiers.take_resting(class()).is_none());
        tiers.mheap.set_purge_delay(-1);
    }
    // Enough spans of the class rest.
    tiers.mheap.set_soft_limit(None);
    let mut bytes = 0;
    loop {
        let span = retired(tiers, class());
        tiers.rest(class(), span);
        if inuse(tiers) == bytes {
            break;
        }
        bytes += class().span_bytes();
        assert_eq!((resting(tiers), inuse(tiers)), (bytes, bytes));
    }
    assert!(bytes > 0 && resting(tiers) == bytes);
}

#[test]
fn rest_ends_for_a_growth_that_the_resting_spans_can_serve() {
    let tiers = tiers();
    let other = SizeClass::holding(64);
    let bytes = class().span_bytes() + other.span_bytes();
    for (want, left) in [(bytes + 1, bytes), (bytes, 0)] {
        tiers.end_rest();
        tiers.rest(class(), retired(tiers, class()));
        tiers.rest(other, retired(tiers, other));
        tiers.end_rest_for(want);
        assert_eq!((resting(tiers), inuse(tiers)), (left, left));
    }
}

#[test]
fn the_end_of_rest_counts_the_spans_of_all_classes() {
    let tiers = tiers();
    assert_eq!(tiers.end_rest(), 0);
    for class in SizeClass::all() {
        tiers.rest(class, retired(tiers, class));
    }
    assert_eq!(tiers.end_rest(), COUNT);
    assert_eq!((resting(tiers), inuse(tiers)), (0, 0));
}

#[test]
fn long_rest_ends_once_in_each_period() {
    let tiers = tiers();
    tiers.rest(class(), retired(tiers, class()));
    let now = crate::os::coarse_millis();
    // Far ahead, so that no delay of this test ends the period.
    tiers.rest_ended.store(now + 1_000_000, Relaxed);
    tiers.end_long_rest();
    assert!(resting(tiers) > 0, "the period is not over");
    tiers.rest_ended.store(now - REST_MILLIS, Relaxed);
    tiers.end_long_rest();
    assert_eq!((resting(tiers), inuse(tiers)), (0, 0));
    assert!(tiers.rest_ended.load(Relaxed) >= now, "another period begins");
}

#[test]
fn caches_get_room_up_to_a_bound_and_a_refusal_takes_none() {
    let tiers = tiers();
    let Tiers { room, mheap, .. } = tiers;
    assert!(room.ask(mheap, ROOM_MIN - 1, 4) && room.ask(mheap, 1, 4));
    assert!(!room.ask(mheap, 1, 4));
    assert_eq!(room.bytes(), ROOM_MIN);
    room.give_back(100);
    assert!(!room.ask(mheap, 101, 4) && room.ask(mheap, 100, 4) && !room.ask(mheap, 1, 4));
    assert_eq!(room.bytes(), ROOM_MIN);
    room.reset(17);
    assert_eq!(room.bytes(), 17);
}

#[test]
fn a_quarter_of_a_large_heap_is_room_within_a_bound() {
    let tiers = tiers();
    let Tiers { room, mheap, .. } = tiers;
    for bytes in [64 << 20, 128 << 20, 2048 << 20] {
        mheap.take_large(bytes, bytes / PAGE, 1, 0).expect("memory");
        let quarter = (mheap.sys_bytes() / 4).min(ROOM_MAX);
        room.reset(0);
        assert!(room.ask(mheap, quarter, 4) && !room.ask(mheap, 1, 4));
        assert_eq!(room.bytes(), quarter);
    }
    assert_eq!(room.bytes(), ROOM_MAX);
}

#[test]
fn there_is_no_room_where_free_pages_go_back_at_once() {
    let tiers = tiers();
    tiers.mheap.set_purge_delay(0);
    assert!(!tiers.room.ask(&tiers.mheap, 1, 4));
    tiers.mheap.set_purge_delay(1000);
    tiers.mheap.set_soft_limit(Some(1 << 40));
    assert!(!tiers.room.ask(&tiers.mheap, 1, 4) && tiers.room.bytes() == 0);
    tiers.mheap.set_soft_limit(None);
    assert!(tiers.room.ask(&tiers.mheap, 1, 4));
}
