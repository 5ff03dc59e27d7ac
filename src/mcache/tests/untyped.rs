//! Frees that name no size.

use super::*;
use crate::mcache::c::Pushed;

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
    assert!(matches!(unsafe { place.own.push_untyped(block) }, Pushed::Done));
    place.own.end_idle(place.tiers, class(), 1);
    let block = place.take(place.own, other);
    assert!(eq(place.span(block).expect("a span"), span));
    let held = place.own.bins.held(other);
    // SAFETY: the block is live, and given up.
    assert!(matches!(unsafe { place.own.push_untyped(block) }, Pushed::Done));
    assert_eq!(
        (place.own.bins.held(other), place.own.bins.pop(other)),
        (held + 1, block)
    );
}

#[test]
fn a_free_into_a_closed_bin_goes_home_only_if_the_block_is_surely_in_use() {
    let place = Place::new();
    let class = SizeClass::holding(512);
    let row = place.take_many(place.own, class, 1000);
    place.own.empty_bin(place.tiers, class);
    place.own.learn_map(place.tiers);
    let goes_home = |cache: &MCache, block: *mut Block| {
        let page = place.own.main.page(block.addr()).expect("a page of the heap");
        // SAFETY: a live block that is given up, or one that the cache refuses.
        unsafe { cache.free_home_untyped(page, block) }
    };
    // The exact count of the thread's frees, in builds that have it.
    let counted = || place.own.shared.exact().map(|exact| exact.frees().0.sum::<u64>());

    let (last, before) = (row[999], counted());
    let span = place.span(last).expect("a span");
    let live = span.live();
    assert!(!goes_home(place.other, last), "it is another thread's");
    let end = span.pages() * PAGE / 512 * 512;
    let fresh: *mut Block = span.base().wrapping_add(end - 512).cast();
    assert!(!span.is_object(fresh), "the span has room");
    assert!(!goes_home(place.own, fresh), "it was never handed out");
    assert!(goes_home(place.own, last));
    assert_eq!(span.live(), live - 1);
    assert_eq!(counted(), before.map(|before| before + 1));
    // SAFETY: an object of the span.
    assert!(unsafe { Block::is_marked(last) });

    let full = place.span(row[500]).expect("a span");
    let of_full = row
        .iter()
        .filter(|&&block| place.span(block).is_some_and(|span| eq(span, full)));
    let (gone, stay): (Vec<*mut Block>, Vec<_>) =
        of_full.partition(|block| block.addr() < full.base().addr() + 2 * PAGE);
    assert!(!goes_home(place.own, gone[0]), "the span is on the full list");
    gone.iter().for_each(|&block| place.free_to_span(place.own, block));
    assert!(place.tiers.mheap.sink(full) > 0);
    assert!(!goes_home(place.own, gone[1]), "a sunk object has no mark");
    assert!(
        !goes_home(place.own, stay[0]),
        "the others of its span take the slow way too"
    );
}

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
    assert!(matches!(unsafe { place.own.push_untyped(row[0]) }, Pushed::Not));
}
