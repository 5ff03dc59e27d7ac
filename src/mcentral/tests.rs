//! The central lists of one class by themselves, over records that describe memory of the test's.

use super::*;
use crate::mspan::{Block, CHECKED, Sent, State};
use crate::size_class::SizeClass;

const OWNER: OwnerId = 1;
const OTHER: OwnerId = 2;

fn class() -> SizeClass {
    SizeClass::holding(1024)
}

/// Makes a span that `OWNER` owns and of which `live` objects are in use, and these objects.
fn span(live: u32) -> (&'static MSpan, Vec<*mut Block>) {
    let (class, pages) = (class(), class().span_pages());
    let memory = Box::leak(vec![0u128; pages * PAGE / 16].into_boxed_slice());
    let span: &'static MSpan = Box::leak(Box::new(MSpan::new()));
    span.set_run(memory.as_mut_ptr().cast(), pages, false);
    span.init_small(class);
    span.word.adopt_new(OWNER);
    let (first, count) = if live > 0 {
        span.carve(live)
    } else {
        (core::ptr::null_mut(), 0)
    };
    assert_eq!(count, live);
    let object = |index| first.wrapping_add(index as usize * class.size()).cast();
    (span, (0..count).map(object).collect())
}

/// Another thread frees `block` of `span`.
fn send(span: &MSpan, me: OwnerId, block: *mut Block) -> Sent {
    if CHECKED {
        // SAFETY: the block is the test's, and of more than 8 bytes.
        unsafe { Block::set_mark(block) };
    }
    // SAFETY: the block is the test's, which gives it up.
    unsafe { Block::push_trunk(core::ptr::null_mut(), block, span.cut()) };
    let link = |head| {
        // SAFETY: the block is the test's until the exchange succeeds.
        unsafe { Block::set_next(block, span.block(head)) };
    };
    span.word.send(me, span.block_ref(block), 1, link)
}

fn is(span: &MSpan, found: Option<(&'static MSpan, Taken)>) -> bool {
    found.is_some_and(|(found, _)| core::ptr::eq(found, span))
}

#[test]
fn a_listed_span_is_unowned_and_the_thread_that_takes_it_owns_it() {
    let (central, (span, _)) = (MCentral::new(), span(3));
    assert!(central.take(OTHER).is_none());
    assert!(central.put(span, OWNER));
    assert_eq!(span.word.owner(), 0);
    let (found, taken) = central.take(OTHER).expect("a span is listed");
    assert!(core::ptr::eq(found, span) && span.word.owner() == OTHER);
    assert!(taken.count == 0 && taken.listed && span.shelf() == MSpan::NO_SHELF);
    assert!(central.take(OTHER).is_none(), "it is off its list");
}

#[test]
fn fuller_spans_are_given_out_first() {
    let central = MCentral::new();
    let all = span(0).0.objects();
    let row = [all / 2, all - 1, 1, all * 2 / 3 + 2].map(|live| span(live).0);
    for span in row {
        assert!(central.put(span, OWNER));
    }
    let mut live = Vec::new();
    while let Some((span, _)) = central.take(OTHER) {
        live.push(span.live() * 4 / (all + 1));
    }
    assert_eq!(live, [3, 2, 1, 0], "by quarters of fullness");
}

#[test]
fn a_span_to_which_blocks_have_come_stays_with_its_owner() {
    let (central, (span, blocks)) = (MCentral::new(), span(3));
    assert!(matches!(send(span, OTHER, blocks[0]), Sent::Notify));
    assert!(!central.put(span, OWNER));
    assert!(span.word.owner() == OWNER && span.shelf() == MSpan::NO_SHELF);
    assert!(central.take(OTHER).is_none());
    span.absorb(span.word.take());
    assert!(central.put(span, OWNER), "its owner has taken them");
    assert!(is(span, central.take(OTHER)));
}

#[test]
fn a_thread_that_frees_into_a_listed_span_claims_it_and_takes_it_off_its_list() {
    let (central, (span, blocks)) = (MCentral::new(), span(3));
    assert!(central.put(span, OWNER));
    let Sent::Claimed(taken) = send(span, OTHER, blocks[0]) else {
        panic!("the span is unowned")
    };
    assert!(taken.listed && taken.count == 1);
    central.remove(span);
    assert!(span.shelf() == MSpan::NO_SHELF && central.take(3).is_none());
    assert!(
        central.put(span, OTHER) && is(span, central.take(3)),
        "it may be listed again"
    );
}

#[test]
fn a_span_that_a_thread_has_claimed_is_passed_over_and_comes_off_its_list_once() {
    let central = MCentral::new();
    let ((claimed, blocks), (free, _)) = (span(3), span(3));
    assert!(central.put(free, OWNER) && central.put(claimed, OWNER));
    assert!(matches!(send(claimed, OTHER, blocks[0]), Sent::Claimed(_)));
    assert!(is(free, central.take(3)));
    assert_eq!((claimed.word.owner(), claimed.shelf()), (OTHER, MSpan::NO_SHELF));
    assert!(central.put(free, 3));
    central.remove(claimed);
    assert!(is(free, central.take(3)), "the other span is still listed");
    assert!(central.take(3).is_none());
}

/// An empty span as it rests.
fn retired() -> &'static MSpan {
    let (span, _) = span(0);
    assert!(span.word.retire(OWNER));
    span.set_state(State::Free);
    span
}

#[test]
fn resting_spans_have_a_bound_and_come_back_youngest_first() {
    let central = MCentral::new();
    assert!(central.take_resting().is_none());
    let spans: Vec<_> = (0..REST_BYTES / PAGE + 1).map(|_| retired()).collect();
    let rested = spans.iter().take_while(|span| central.rest(span)).count();
    assert_eq!(rested, REST_BYTES.div_ceil(spans[0].bytes()));
    assert!(!central.rest(spans[rested]));
    // Each span that goes makes room for another.
    for _ in 0..3 {
        let span = central.take_resting().expect("spans rest");
        assert!(core::ptr::eq(span, spans[rested - 1]));
        assert!(central.rest(span) && !central.rest(spans[rested]));
    }
    for span in spans[..rested].iter().rev() {
        assert!(central.take_resting().is_some_and(|found| core::ptr::eq(found, *span)));
    }
    assert!(central.take_resting().is_none() && central.take(OTHER).is_none());
}

#[test]
fn a_span_that_the_keeper_emptied_is_new_when_it_is_used_again() {
    let (central, (span, _)) = (MCentral::new(), span(1));
    assert!(central.put(span, OWNER));
    assert!(is(span, central.take_cold(OTHER, false)));
    assert_eq!(span.age(), DONE);
    assert!(central.rest(span));
    assert_eq!(central.take_resting().map(MSpan::age), Some(NEW));
}
