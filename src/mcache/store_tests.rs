//! The store by itself, over records that describe no memory.

use super::*;

/// An empty span of `class` with as many pages as a whole one has.
fn span(class: SizeClass) -> &'static MSpan {
    let span: &'static MSpan = Box::leak(Box::new(MSpan::new()));
    span.set_run(core::ptr::null_mut(), class.span_pages(), false);
    span.init_small(class);
    span
}

fn class() -> SizeClass {
    SizeClass::holding(1024)
}

fn is(span: &MSpan, found: Option<&'static MSpan>) -> bool {
    found.is_some_and(|found| core::ptr::eq(found, span))
}

/// Puts spans of `class` until one is refused. Returns those that the store keeps.
fn fill(store: &Store, class: SizeClass) -> Vec<&'static MSpan> {
    core::iter::from_fn(|| Some(span(class)).filter(|span| store.put_spare(span))).collect()
}

#[test]
fn a_store_keeps_spans_up_to_its_bound_in_bytes() {
    let store = Store::new();
    let most = SPARE_BYTES / class().span_bytes();
    assert_eq!(SPARE_BYTES % class().span_bytes(), 0, "the bound itself is reached");
    let row = fill(&store, class());
    assert_eq!(row.len(), most);
    // Each span that is taken makes room for one.
    for _ in 0..3 {
        let span = store
            .take_spare(class(), class().span_pages())
            .expect("the store is full");
        assert!(store.put_spare(span) && !store.put_spare(self::span(class())));
    }
    assert_eq!(store.drain().count(), most);
    assert!(store.take_spare(class(), class().span_pages()).is_none());
    assert_eq!(fill(&store, class()).len(), most, "all room is there again");
}

#[test]
fn a_span_of_the_class_comes_first_if_it_is_among_the_last_four() {
    let other = SizeClass::all().find(|&other| other != class() && other.span_pages() == class().span_pages());
    let other = other.expect("two classes with spans of one length");
    for behind in 0..6 {
        let (store, own) = (Store::new(), span(class()));
        assert!(store.put_spare(own));
        let others: Vec<_> = (0..behind).map(|_| span(other)).collect();
        assert!(others.iter().all(|span| store.put_spare(span)));
        let found = store.take_spare(class(), class().span_pages());
        let wanted = if behind < 4 { own } else { others[behind - 1] };
        assert!(is(wanted, found), "{behind} behind it");
    }
}

#[test]
fn a_span_has_the_length_that_was_asked_for() {
    let (store, span) = (Store::new(), span(class()));
    assert!(store.put_spare(span));
    for pages in (0..2 * LONGEST).filter(|&pages| pages != span.pages()) {
        assert!(store.take_spare(class(), pages).is_none(), "{pages} pages");
    }
    assert!(is(span, store.take_spare(class(), span.pages())));
    let long: &'static MSpan = Box::leak(Box::new(MSpan::new()));
    long.set_run(core::ptr::null_mut(), LONGEST + 1, false);
    assert!(!store.put_spare(long), "no span of small objects is so long");
}
