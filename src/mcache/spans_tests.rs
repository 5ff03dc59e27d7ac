//! The lists of a thread's spans by themselves, over records that describe memory of the test's.

use super::*;
use crate::base::geometry::PAGE;
use crate::mspan::State;
use std::cell::RefCell;

fn span(class: SizeClass) -> &'static MSpan {
    let pages = class.lengths()[0];
    let memory = Box::leak(vec![0u128; pages * PAGE / 16].into_boxed_slice());
    let span: &MSpan = Box::leak(Box::new(MSpan::new()));
    span.set_run(memory.as_mut_ptr().cast(), pages, true);
    span.init_small(class);
    span
}

fn class() -> SizeClass {
    SizeClass::holding(1024)
}

/// Takes all objects of `span`.
fn exhaust(span: &MSpan) -> Vec<*mut Block> {
    let take = || Some(take_one(span)).filter(|object| !object.is_null());
    std::iter::from_fn(take).collect()
}

#[test]
fn an_active_span_is_owned_and_stands_on_no_list() {
    let (spans, class, span) = (Spans::new(), class(), span(class()));
    assert!(!spans.owns_with_room(span) && !spans.owns_full(span));
    spans.activate(class, span);
    assert!(spans.owns_with_room(span) && spans.is_active(class, span));
    assert!(spans.pop_any(class).is_none());
    assert!(!Spans::new().owns_with_room(span), "another thread's");
}

#[test]
fn a_span_is_full_by_its_tag_exactly_while_it_stands_on_the_full_list() {
    let (spans, class, span) = (Spans::new(), class(), span(class()));
    spans.activate(class, span);
    let objects = exhaust(span);
    spans.retire_active(class, span);
    assert!(spans.owns_full(span) && !spans.owns_with_room(span));
    assert!(spans.active(class).is_none() && spans.pop_partial(class).is_none());
    spans.unfull(class, span);
    // SAFETY: an object of the span, which this thread owns.
    unsafe { span.push_local(objects[0]) };
    assert!(spans.owns_with_room(span));
    assert!(spans.pop_partial(class).is_some_and(|found| std::ptr::eq(found, span)));
}

#[test]
fn an_active_span_is_put_where_its_room_says() {
    let (spans, class) = (Spans::new(), class());
    let (empty, exhausted) = (span(class), span(class));
    exhaust(exhausted);
    spans.activate(class, empty);
    spans.deactivate(class);
    spans.activate(class, exhausted);
    spans.deactivate(class);
    spans.deactivate(class);
    assert!(spans.owns_with_room(empty) && spans.is_only_partial(class, empty));
    assert!(spans.owns_full(exhausted));
    spans.detach(class, empty);
    assert!(!spans.owns_with_room(empty));
    assert!(spans.pop_any(class).is_some_and(|found| std::ptr::eq(found, exhausted)));
    assert!(spans.pop_any(class).is_none());
}

#[test]
fn used_memory_comes_before_untouched_memory() {
    let (spans, class) = (Spans::new(), class());
    let (fresh, used) = (span(class), span(class));
    spans.activate(class, used);
    let object = take_one(used);
    // SAFETY: an object of the span, which this thread owns.
    unsafe { used.push_local(object) };
    spans.deactivate(class);
    spans.activate(class, fresh);
    assert!(!spans.take_untouched(class).is_null());
    spans.prefer_used(class);
    assert!(spans.is_active(class, used) && spans.is_only_partial(class, fresh));
    assert!(spans.take_untouched(class).is_null(), "a free object comes first");
    spans.prefer_used(class);
    assert!(spans.is_active(class, used), "it has free objects itself");
}

#[test]
fn empty_spans_are_found_and_may_be_detached_meanwhile() {
    let (spans, class) = (Spans::new(), class());
    let row = [span(class), span(class), span(class)];
    for span in row {
        spans.activate(class, span);
        spans.deactivate(class);
    }
    let held = take_one(row[1]);
    let ended = RefCell::new(Vec::new());
    spans.for_each_empty(class, usize::MAX, |span| {
        spans.detach(class, span);
        span.set_state(State::Free);
        ended.borrow_mut().push(span.base());
    });
    let ended = ended.into_inner();
    assert!(ended.len() == 2 && ended.contains(&row[0].base()) && ended.contains(&row[2].base()));
    assert!(spans.is_only_partial(class, row[1]) && !held.is_null());
}

#[test]
fn a_thread_that_leaves_a_class_begins_anew_with_short_spans() {
    let (spans, class) = (Spans::new(), class());
    (0..1000).for_each(|_| spans.note_taken(class));
    assert_eq!(spans.taken(class), u8::MAX);
    spans.forget_taken(class);
    assert_eq!(spans.taken(class), 0);
}

/// A span with one free object and untouched ones.
fn used(class: SizeClass) -> &'static MSpan {
    let span = span(class);
    let object = take_one(span);
    // SAFETY: an object of the span, which the test gives up.
    unsafe { span.push_local(mark(object)) };
    span
}

/// Marks a block as a cache does before it returns to its span.
fn mark(block: *mut Block) -> *mut Block {
    if crate::mspan::CHECKED {
        // SAFETY: the block is the test's, and of more than 8 bytes.
        unsafe { Block::set_mark(block) };
    }
    block
}

fn is(span: &MSpan, found: Option<&'static MSpan>) -> bool {
    found.is_some_and(|found| std::ptr::eq(found, span))
}

#[test]
fn the_partial_span_that_was_longest_out_of_use_comes_first() {
    let (spans, class) = (Spans::new(), class());
    let row = [used(class), used(class), used(class)];
    row.iter().for_each(|span| spans.adopt(class, span));
    for span in row {
        assert!(is(span, spans.pop_partial(class)));
    }
    assert!(spans.pop_partial(class).is_none());
}

#[test]
fn an_untouched_span_that_gives_way_is_the_last_one_to_be_used() {
    let (spans, class) = (Spans::new(), class());
    let (fresh, first, second) = (span(class), used(class), used(class));
    [first, second].iter().for_each(|span| spans.adopt(class, span));
    spans.activate(class, fresh);
    spans.prefer_used(class);
    assert!(spans.is_active(class, first));
    assert!(is(second, spans.pop_partial(class)) && is(fresh, spans.pop_partial(class)));
}

#[test]
fn an_active_span_with_free_objects_of_its_own_stays_active() {
    let (spans, class) = (Spans::new(), class());
    let (active, other) = (used(class), used(class));
    spans.adopt(class, other);
    spans.activate(class, active);
    spans.prefer_used(class);
    assert!(spans.is_active(class, active) && spans.is_only_partial(class, other));
}

#[test]
fn blocks_that_other_threads_sent_are_taken_before_untouched_objects() {
    let span = span(class());
    let (first, _) = (take_one(span), take_one(span));
    span.word.adopt_new(1);
    // SAFETY: an object of the span, which the test gives up.
    unsafe { Block::push_trunk(null_mut(), mark(first), span.cut()) };
    span.word.send(2, span.block_ref(first), 1, |_| ());
    assert_eq!(take_one(span), first);
    assert_ne!(take_one(span), first);
}
