//! Windows of refills by themselves.

use super::super::window::{ONLY_FREES, WINDOW, Window};
use super::*;

fn classes() -> (Window, SizeClass, SizeClass) {
    (Window::new(), SizeClass::holding(16), SizeClass::holding(200))
}

#[test]
fn a_window_of_refills_leaves_the_other_classes_one_by_one() {
    let (window, one, other) = classes();
    assert!((1..WINDOW - 1).all(|_| !window.note_refill(one)));
    assert!(window.is_refilled(one) && !window.is_refilled(other));
    assert!(!window.note_refill(other) && window.take_idle().is_none());
    assert!(window.note_refill(one) && !window.is_refilled(one));
    let mut idle = SizeClass::all().filter(|&class| class != one && class != other);
    assert_eq!(window.take_idle(), idle.next());
    // A class that is refilled meanwhile is idle no more.
    let missed = idle.next().expect("there are more");
    assert!(!window.note_refill(missed));
    let rest: Vec<_> = core::iter::from_fn(|| window.take_idle()).collect();
    assert_eq!(rest, idle.collect::<Vec<_>>());
    assert!((2..WINDOW).all(|_| !window.note_refill(one)) && window.note_refill(one));
    let idle = core::iter::from_fn(|| window.take_idle());
    assert!(!idle.into_iter().any(|class| class == one || class == missed));
}

#[test]
fn many_overflows_without_a_refill_end_the_window() {
    let (window, class, _) = classes();
    window.note_refill(class);
    (1..ONLY_FREES).for_each(|_| window.note_overflow());
    assert!(window.is_refilled(class));
    window.note_refill(class);
    (1..ONLY_FREES).for_each(|_| window.note_overflow());
    assert!(window.is_refilled(class), "a refill begins the count anew");
    window.note_overflow();
    assert!(!window.is_refilled(class));
}
