//! The free bytes that a cache keeps, as other threads read them.

use super::*;

/// Returns the bytes of blocks that the bins can hold, each bin asked by itself.
fn room_of_bins(place: &Place) -> usize {
    SizeClass::all()
        .map(|class| bins(place).cap(class) * class.size())
        .sum()
}

#[test]
fn all_that_a_cache_keeps_is_counted_until_it_is_given_up() {
    let place = Place::new();
    let (own, class) = (place.own, class());
    assert_eq!(own.held_bytes(), 0);

    let row = place.take_many(own, class, 600);
    let first = room_of_bins(&place);
    assert_eq!((own.held_bytes(), own.spans.store.bytes()), (first, 0));
    row.into_iter().for_each(|block| place.free(own, class, block));
    let (bins, spares) = (room_of_bins(&place), own.spans.store.bytes());
    assert!(bins > first, "the bin has grown");
    assert!(spares > 0, "empty spans are kept");
    assert_eq!(own.held_bytes(), bins + spares);

    let foreign = place.take(place.other, class);
    place.free_to_span(own, foreign);
    let before = bins + spares + class.size();
    assert_eq!(own.held_bytes(), before, "the block is yet to be sent");

    let long = run_class(40);
    place.free_run(long, place.take_run(long));
    assert_eq!(place.kept(), long.size());
    let bins = room_of_bins(&place);
    let spares = own.spans.store.bytes();
    assert_eq!(own.held_bytes(), bins + spares + class.size() + long.size());

    own.idle(place.tiers);
    assert_eq!(own.held_bytes(), 0);
}
