//! Freed blocks, empty spans, and the spans that a thread gives up.

use super::*;

/// Live objects by the tallies and by the spans' own counts, per class and of large objects.
fn agree(place: &Place) {
    for _ in 0..2 {
        place.own.trim(place.tiers);
        place.other.trim(place.tiers);
    }
    let mut held = [0u64; COUNT + 1];
    for span in place.tiers.mheap.all_spans() {
        match span.state() {
            State::Small => held[span.class_index()] += u64::from(span.live()),
            State::Large => held[COUNT] += 1,
            _ => {}
        }
    }
    for (index, held) in held.into_iter().enumerate() {
        let tallies = [place.own, place.other].map(|cache| &cache.shared.tallies[index]);
        let mallocs: u64 = tallies.iter().map(|tally| tally.mallocs.load(Relaxed)).sum();
        let frees: u64 = tallies.iter().map(|tally| tally.frees.load(Relaxed)).sum();
        assert_eq!(mallocs - frees, held, "class {index}");
    }
}

/// Takes all objects of `count` spans of `class`.
fn fill_spans(place: &Place, class: SizeClass, count: usize) -> Vec<Vec<*mut Block>> {
    let rows = (0..count).map(|_| {
        let row = exhaust(place, class);
        let span = place.own.spans.active(class).expect("an active span");
        place.own.spans.retire_active(class, span);
        row
    });
    rows.collect()
}

#[test]
fn tallies_count_each_object_that_goes_from_a_span_and_each_that_comes_back() {
    let place = Place::new();
    for size in [8, 100, 1000, 5000, 32 * KIB] {
        let class = SizeClass::holding(size);
        let row = place.take_many(place.own, class, 400);
        agree(&place);
        for (index, &block) in row.iter().enumerate().take(300) {
            let cache = if index % 3 == 0 { place.other } else { place.own };
            place.free(cache, class, block);
        }
        agree(&place);
        // Free objects come first, then untouched ones.
        let mut taken = vec![place.take(place.own, class)];
        taken.append(&mut drain(place.own, class));
        let zeroed = place.own.take_untouched(class);
        agree(&place);
        if !zeroed.is_null() {
            taken.push(zeroed.cast());
        }
        taken.into_iter().for_each(|block| place.free_to_span(place.own, block));
        let again = place.take_many(place.own, class, 500);
        again.iter().for_each(|&block| place.free(place.own, class, block));
        agree(&place);
        row[300..]
            .iter()
            .for_each(|&block| place.free_to_span(place.other, block));
        agree(&place);
    }
    let span = place.own.alloc_large(place.tiers, 100 * KIB, 1).expect("memory");
    agree(&place);
    place.own.free_large(place.tiers, span, span.base());
    agree(&place);
}

#[test]
fn a_trim_tells_the_bytes_that_it_gave_to_the_page_heap() {
    let place = Place::new();
    for size in [100, 3000] {
        let class = SizeClass::holding(size);
        let row = place.take_many(place.own, class, 20);
        row.into_iter().for_each(|block| place.free(place.own, class, block));
    }
    let before = place.inuse();
    assert_eq!(place.own.trim(place.tiers), before);
    assert_eq!((place.inuse(), place.own.trim(place.tiers)), (0, 0));
}

#[cfg(checked)]
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
    assert!(unsafe { place.own.push_untyped(block) });
    place.own.end_idle(place.tiers, class(), 1);
    let block = place.take(place.own, other);
    assert!(eq(place.span(block).expect("a span"), span));
    let held = place.own.bins.held(other);
    // SAFETY: the block is live, and given up.
    assert!(unsafe { place.own.push_untyped(block) });
    assert_eq!(
        (place.own.bins.held(other), place.own.bins.pop(other)),
        (held + 1, block)
    );
}

#[cfg(checked)]
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
    assert!(!unsafe { place.own.push_untyped(row[0]) });
}

#[test]
fn a_span_that_a_thread_has_given_up_is_not_its_own_any_more() {
    let place = Place::new();
    let full = exhaust(&place, class());
    let other = place.take(place.own, SizeClass::holding(64));
    place.own.idle(place.tiers);
    for block in [full[0], other] {
        let span = place.span(block).expect("a span");
        assert!(!place.own.spans.owns_with_room(span) && !place.own.spans.owns_full(span));
        let live = span.live();
        place.free_to_span(place.own, block);
        assert_eq!(span.live(), live, "it waits in the outbox");
    }
    // The chain claims the span.
    place.own.flush_outbox(place.tiers);
    assert!(place.own.spans.owns_with_room(place.span(full[0]).expect("a span")));
}

#[test]
fn of_small_objects_one_empty_span_stays_beside_the_active_one() {
    let place = Place::new();
    let class = SizeClass::holding(512);
    assert!(class.size() < crate::base::geometry::PINNING);
    let rows = fill_spans(&place, class, 2);
    for (row, state) in rows.iter().zip([State::Small, State::Free]) {
        let span = place.span(row[0]).expect("a span");
        row.iter().for_each(|&block| place.free_to_span(place.own, block));
        // The second one is empty beside the first.
        assert_eq!((span.live(), span.state()), (0, state));
    }
    let place = Place::new();
    let row = exhaust(&place, class);
    let span = place.span(row[0]).expect("a span");
    row.iter().for_each(|&block| place.free_to_span(place.own, block));
    assert!(span.state() == State::Small && place.own.spans.is_active(class, span));
}

#[test]
fn a_span_of_larger_objects_ends_with_its_last_object() {
    let place = Place::new();
    let class = SizeClass::holding(1024);
    assert_eq!(class.size(), crate::base::geometry::PINNING, "the smallest such class");
    let row = exhaust(&place, class);
    let span = place.span(row[0]).expect("a span");
    row.iter().for_each(|&block| place.free_to_span(place.own, block));
    assert_eq!(span.state(), State::Free);
    assert!(place.own.spans.active(class).is_none());
}

#[test]
fn an_empty_span_whose_token_is_out_stays_until_the_token_is_back() {
    let place = Place::new();
    let class = SizeClass::holding(2 * KIB);
    let row = exhaust(&place, class);
    let span = place.span(row[0]).expect("a span");
    if CHECKED {
        // SAFETY: the block is this test's, and of more than 8 bytes.
        unsafe { Block::set_mark(row[0]) };
    }
    // SAFETY: the block is this test's, which gives it up.
    unsafe { Block::push_trunk(null_mut(), row[0], span.cut()) };
    // This test plays the thread that holds the token.
    span.word.send(2, span.block_ref(row[0]), 1, |_| ());
    span.absorb(span.word.take());
    row[1..].iter().for_each(|&block| place.free_to_span(place.own, block));
    assert_eq!((span.live(), span.state()), (0, State::Small));
    place.own.shared.mailbox.post_in_child(span);
    place.own.collect_mail(place.tiers);
    assert_eq!(span.state(), State::Free);
}

#[test]
fn a_thread_that_frees_into_a_listed_span_has_it_off_the_list() {
    let place = Place::new();
    let row = place.take_many(place.other, class(), 3);
    let span = place.span(row[0]).expect("a span");
    place.other.idle(place.tiers);
    assert_ne!(span.shelf(), MSpan::NO_SHELF);
    place.free_to_span(place.own, row[0]);
    place.own.flush_outbox(place.tiers);
    assert!(place.own.spans.owns_with_room(span));
    assert_eq!(span.shelf(), MSpan::NO_SHELF);
}

#[test]
fn a_span_whose_last_object_a_thread_frees_ends_though_it_has_no_owner() {
    let place = Place::new();
    let class = SizeClass::holding(2 * KIB);
    let block = place.take(place.other, class);
    let span = place.span(block).expect("a span");
    place.other.idle(place.tiers);
    assert_eq!((span.live(), span.state()), (1, State::Small));
    place.free_to_span(place.own, block);
    place.own.flush_outbox(place.tiers);
    assert_eq!((span.live(), span.state()), (0, State::Free));
}

#[test]
fn a_zeroed_object_of_untouched_memory_is_counted() {
    let place = Place::new();
    place.take(place.own, class());
    drain(place.own, class());
    assert!(!place.own.take_untouched(class()).is_null());
    agree(&place);
}

#[test]
fn an_idle_thread_reads_its_mail_and_holds_no_empty_span() {
    let place = Place::new();
    let row = exhaust(&place, class());
    row.iter().for_each(|&block| place.free_to_span(place.other, block));
    place.other.idle(place.tiers);
    place.own.idle(place.tiers);
    place.tiers.end_rest();
    assert_eq!(place.inuse(), 0);
}

#[test]
fn a_cache_whose_thread_has_ended_serves_no_more_and_takes_no_mail() {
    let place = Place::new();
    let row = place.take_many(place.own, class(), 5);
    place.own.leave(place.tiers);
    assert!(!place.own.is_ready());
    assert!(place.own.bins.is_closed(class()) && place.own.spans.pop_any(class()).is_none());
    // SAFETY: the block is live, and stays so where the free is refused.
    assert!(!unsafe { place.own.free(place.tiers, row[0]) }, "nothing was done");
    row.iter().for_each(|&block| place.free_to_span(place.other, block));
    place.other.leave(place.tiers);
    assert!(place.own.shared.mailbox.is_empty());
    place.tiers.end_rest();
    assert_eq!(place.inuse(), 0);
}
