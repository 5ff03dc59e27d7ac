//! Where a refill finds objects, and in which order.

use super::*;

/// Lets a span of `class`, of the class's whole length, rest. Returns its bytes.
fn let_rest(place: &Place, class: SizeClass) -> usize {
    let span = place.tiers.mheap.take_small(class, class.span_pages()).expect("memory");
    span.set_state(State::Free);
    place.tiers.mheap.note_use(span);
    place.tiers.rest(class, span);
    span.bytes()
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
    place.own.end_idle(place.tiers, class(), 1);
    assert_eq!((span.state(), place.inuse()), (State::Free, span.bytes()));
    let sys = place.tiers.mheap.sys_bytes();
    let block = place.take(place.own, other);
    assert!(eq(place.span(block).expect("a span"), span) && span.class() == Some(other));
    assert_eq!((place.inuse(), place.tiers.mheap.sys_bytes()), (span.bytes(), sys));
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
    place.own.end_idle(place.tiers, class(), 1);
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

/// Takes blocks of `class` until it has `spans` spans. Returns the blocks, and the bytes that got
/// memory ahead of their use meanwhile.
fn grow_to(place: &Place, class: SizeClass, spans: usize) -> (Vec<*mut Block>, usize) {
    let before = place.sim.populated();
    let mut blocks = Vec::new();
    while place.spans(class) < spans {
        blocks.push(place.take(place.own, class));
    }
    (blocks, place.sim.populated() - before)
}

#[test]
fn new_spans_get_memory_at_once_where_a_class_has_grown_steadily() {
    let place = Place::new();
    let sure = usize::from(SURE_AFTER);
    let (mut blocks, ahead) = grow_to(&place, class(), sure);
    assert_eq!(ahead, 0, "the class may grow no further");
    let (more, ahead) = grow_to(&place, class(), sure + 3);
    assert_eq!(ahead, 3 * class().span_bytes());
    blocks.extend(more);
    let others = [SizeClass::holding(CARVE + 1), SizeClass::holding(64)];
    for (other, spans) in others.into_iter().zip([sure + 3, sure]) {
        assert_eq!(grow_to(&place, other, spans).1, 0, "{other:?}");
    }
    blocks
        .into_iter()
        .for_each(|block| place.free(place.own, class(), block));
    place.own.idle(place.tiers);
    assert_eq!(grow_to(&place, class(), sure - 2).1, 0, "pages with memory serve");
}

#[test]
fn no_span_gets_memory_ahead_of_its_use_where_memory_is_short() {
    let place = Place::new();
    place.tiers.mheap.set_soft_limit(Some(1 << 40));
    assert_eq!(grow_to(&place, class(), usize::from(SURE_AFTER) + 3).1, 0);
}
