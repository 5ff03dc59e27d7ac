//! Schedules that lose an object if a rule is missing.

use super::super::Rootable;
use super::super::fault::{broken, when};
use super::super::root::Root;
use super::*;
use crate::sync::tally::Ordering::Relaxed;

#[test]
fn new_objects_are_white_until_the_threads_own_h2() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let (two, n) = stage.pinned();
        let o = node(m, None);
        let a = node(m, Some(o));
        stage.root(a);
        stage.h1();
        one.respond();
        let b = node(m, None);
        stage.root(b);
        one.leave();
        // Mutator `two` has not acknowledged H1, so it has no barrier.
        b.next.set(n, a.next.get());
        a.next.set(n, None);
        two.leave();
        stage.h2();
        stage.scan_roots();
        stage.finish(&[]);
    });
}

#[test]
fn nothing_is_traced_before_t1() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let (a, b) = (node(m, None), node(m, Some(node(m, None))));
        stage.root(a);
        stage.root(b);
        stage.h1();
        if broken("trace_before_t1") {
            stage.tracer.mark(a.address());
            stage.drain();
        }
        // The mutator is still IDLE, so it has no barrier.
        a.next.set(m, b.next.get());
        b.next.set(m, None);
        one.leave();
        stage.h2();
        stage.scan_roots();
        stage.finish(&[]);
    });
}

#[test]
fn stores_in_pre_shade_what_they_add() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let (two, n) = stage.pinned();
        let a = node(m, Some(node(m, None)));
        stage.root(a);
        stage.h1();
        one.respond();
        let o = a.next.get();
        a.next.set(n, None);
        two.leave();
        stage.h2();
        two.enter();
        let b = node(n, None);
        stage.root(b);
        two.leave();
        b.next.set(m, o);
        one.leave();
        stage.scan_roots();
        stage.finish(&[]);
    });
}

#[test]
fn one_handshake_is_not_enough() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let (two, n) = stage.pinned();
        let a = node(m, Some(node(m, None)));
        stage.root(a);
        stage.h1();
        if broken("one_handshake") {
            stage.word = Word::mark(1);
            stage.heap.protocol.request(stage.word);
        }
        one.respond();
        let o = a.next.get();
        a.next.set(n, None);
        two.leave();
        let b = node(m, o);
        let root: Root<Rootable![Node<'_>]> = Root::new(m, b);
        core::mem::forget(root);
        one.leave();
        if !broken("one_handshake") {
            stage.h2();
        }
        stage.scan_roots();
        stage.finish(&[]);
    });
}

#[test]
fn h2_is_acknowledged_with_empty_hands() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let (two, n) = stage.pinned();
        let a = node(m, Some(node(m, None)));
        stage.root(a);
        stage.h1();
        one.respond();
        let o = a.next.get();
        a.next.set(n, None);
        two.leave();
        stage.h2();
        one.respond();
        // `one` is still in PRE: the object is white, and rooting shades it.
        let b = node(m, o);
        core::mem::forget::<Root<Rootable![Node<'_>]>>(Root::new(m, b));
        one.leave();
        stage.scan_roots();
        stage.finish(&[]);
    });
}

#[test]
fn a_value_stored_between_load_and_store_of_another_is_shaded_too() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let (two, n) = stage.pinned();
        let a = node(m, Some(node(m, None)));
        stage.root(a);
        let v = node(n, None);
        stage.h1();
        one.respond();
        let heap = Arc::clone(&stage.heap);
        when("shaded", move || {
            a.next.set(n, Some(v));
            two.leave();
            assert!(heap.protocol.acknowledged(Word::pre(1)));
            heap.protocol.request(Word::mark(1));
            two.enter();
            let b = node(n, a.next.get());
            heap.roots.take(b.address(), None);
            two.leave();
        });
        let new = node(m, None);
        a.next.set(m, Some(new));
        one.leave();
        stage.word = Word::mark(1);
        stage.scan_roots();
        stage.finish(&[]);
    });
}

#[test]
fn a_removed_value_is_shaded_before_it_is_removed() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let second = node(m, Some(node(m, None)));
        let first = node(m, Some(second));
        stage.root(first);
        one.leave();
        stage.h1();
        stage.h2();
        one.enter();
        let (two, n) = stage.pinned();
        let stage = std::rc::Rc::new(std::cell::RefCell::new(stage));
        let script = stage.clone();
        // In the middle of the second thread's store, the collector asks for a wave. The first
        // thread answers it and takes the value out once more.
        let point = if broken("swap_then_shade") { "removed" } else { "shaded" };
        when(point, move || {
            let mut stage = script.borrow_mut();
            stage.scan_roots();
            stage.drain();
            stage.begin_wave();
            one.respond();
            first.next.set(m, Some(second));
            first.next.set(m, None);
        });
        first.next.set(n, None);
        let mut stage = stage.borrow_mut();
        two.respond();
        if stage.close() {
            stage.check_marked(&[second]);
        }
    });
}

#[test]
fn a_wave_takes_what_mutators_have_shaded() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let b = node(m, Some(node(m, None)));
        let a = node(m, Some(b));
        stage.root(a);
        one.leave();
        stage.h1();
        stage.h2();
        one.enter();
        a.next.set(m, None);
        stage.scan_roots();
        stage.drain();
        stage.begin_wave();
        one.respond();
        if stage.close() {
            stage.check_marked(&[b]);
        }
    });
}

#[test]
fn dropping_a_root_keeps_its_slot_for_the_cycle() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let o = node(m, None);
        let slot = stage.root(o);
        one.leave();
        stage.h1();
        stage.h2();
        one.enter();
        let b = node(m, Some(o));
        stage.heap.roots.give(slot);
        stage.root(b);
        one.leave();
        stage.scan_roots();
        stage.finish(&[]);
    });
}

#[test]
fn a_root_slot_that_is_used_again_within_a_cycle_keeps_its_old_object_for_the_cycle() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let o = node(m, Some(node(m, None)));
        let slot = stage.root(o);
        one.leave();
        stage.h1();
        stage.h2();
        one.enter();
        let b = node(m, Some(o));
        stage.root(b);
        stage.heap.roots.give(slot);
        // No slot is free, so the table frees the returned one.
        core::mem::forget::<Root<Rootable![Node<'_>]>>(Root::new(m, b));
        assert_eq!(stage.heap.roots.count(), 2, "the slot is used again");
        one.leave();
        stage.scan_roots();
        stage.finish(&[]);
    });
}

#[test]
fn a_root_made_in_pre_shades() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let (two, n) = stage.pinned();
        let a = node(m, Some(node(m, None)));
        stage.root(a);
        stage.h1();
        one.respond();
        let o = a.next.get().expect("set above");
        a.next.set(n, None);
        two.leave();
        stage.h2();
        stage.scan_roots();
        stage.drain();
        core::mem::forget::<Root<Rootable![Node<'_>]>>(Root::new(m, o));
        one.leave();
        stage.finish(&[]);
    });
}

#[test]
fn an_assist_hides_nothing_from_the_end_of_marking() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let (two, n) = stage.pinned();
        let w = node(m, Some(node(m, None)));
        let g = node(m, Some(w));
        let a = node(m, Some(g));
        stage.root(a);
        one.leave();
        two.leave();
        stage.h1();
        stage.h2();
        one.enter();
        two.enter();
        // The object is grey in the second thread's buffer, and no edge leads to it any more.
        a.next.set(n, None);
        stage.scan_roots();
        stage.drain();
        stage.begin_wave();
        one.respond();
        two.respond();
        stage.heap.bytes.assist_above.store(0, Relaxed);
        let stage = std::rc::Rc::new(std::cell::RefCell::new(stage));
        let script = stage.clone();
        when("assisting", move || {
            let mut stage = script.borrow_mut();
            if stage.close() {
                stage.check_marked(&[g]);
            }
        });
        let heap = Arc::clone(&stage.borrow().heap);
        heap.assist(one);
    });
}

#[test]
fn nobody_allocates_in_a_span_that_waits_for_its_sweep() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let kept = node(m, None);
        stage.root(kept);
        one.leave();
        stage.h1();
        stage.h2();
        one.enter();
        let (two, n) = stage.pinned();
        stage.scan_roots();
        stage.finish(&[]);
        stage.h3();
        two.respond();
        // `one` has not reached H3 yet, and gives back a span of the cycle.
        let span = Span::find(kept.address()).expect("a span");
        span.put_back();
        let new = node(n, None);
        one.leave();
        assert!(stage.all_follow());
        for space in stage.heap.spaces.all() {
            space.begin_sweep(1);
            while space.sweep_one(&stage.heap, 1) {}
        }
        assert!(is_there(new.address()), "a new object was swept");
        assert!(is_there(kept.address()));
    });
}

#[test]
fn a_thread_forgets_the_spans_that_it_had_before_the_last_h3() {
    play(|| {
        let stage = Stage::new();
        let (one, m) = stage.pinned();
        let kept = node(m, None);
        stage.root(kept);
        one.leave();
        stage.heap.run_cycle();
        let (_, n) = stage.pinned();
        let theirs = node(n, None);
        one.enter();
        let mine = node(m, None);
        assert!(!mine.ptr_eq(theirs), "one slot was handed out twice");
    });
}

#[test]
fn an_object_reserved_before_a_closure_survives_the_sweep_in_it() {
    play(|| {
        let mut stage = Stage::new();
        stage.h1();
        stage.h2();
        let (one, m) = stage.pinned();
        let stage = std::cell::RefCell::new(stage);
        let slice = m.alloc_slice(2, |index| {
            if index == 1 {
                let mut stage = stage.borrow_mut();
                stage.begin_wave();
                one.respond();
                assert!(stage.close());
                stage.h3();
                one.respond();
                assert!(stage.all_follow());
                for space in stage.heap.spaces.all() {
                    space.begin_sweep(1);
                    while space.sweep_one(&stage.heap, 1) {}
                }
            }
            index as u64
        });
        assert!(is_there(slice.address()), "the slot was swept while it was filled");
        assert_eq!(*slice, [0, 1]);
    });
}

#[test]
fn an_exchange_shades_what_it_may_remove() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let o = node(m, None);
        let a = node(m, Some(o));
        stage.root(a);
        one.leave();
        stage.h1();
        stage.h2();
        one.enter();
        // The only edge to the object is exchanged for null, and the object hides in a black
        // object.
        stage.root(node(m, Some(o)));
        assert!(a.next.compare_exchange(m, Some(o), None).is_ok());
        stage.scan_roots();
        stage.finish(&[o]);
    });
}

#[test]
fn an_exchange_in_pre_shades_what_it_adds() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let (two, n) = stage.pinned();
        let a = node(m, Some(node(m, None)));
        stage.root(a);
        stage.h1();
        one.respond();
        let o = a.next.get();
        // Mutator `two` has not acknowledged H1, so it has no barrier.
        a.next.set(n, None);
        two.leave();
        stage.h2();
        two.enter();
        let b = node(n, None);
        stage.root(b);
        two.leave();
        // Stores into a black object, from a thread that is still in PRE.
        assert!(b.next.compare_exchange(m, None, o).is_ok());
        one.leave();
        stage.scan_roots();
        stage.finish(&[]);
    });
}

#[test]
fn after_the_end_of_marking_nothing_is_marked() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let dead = node(m, None);
        one.leave();
        stage.h1();
        stage.h2();
        one.enter();
        stage.scan_roots();
        stage.drain();
        stage.begin_wave();
        one.respond();
        let stage = std::rc::Rc::new(std::cell::RefCell::new(stage));
        let script = stage.clone();
        // Closes the cycle after the barrier has read the state and before it acts on it.
        when("shading", move || assert!(script.borrow_mut().close()));
        one.shade(dead.address().as_ptr());
        assert!(
            !is_marked(dead.address()),
            "marked after the end: the next cycle finds a mark and a grey object"
        );
        one.leave();
        assert!(stage.borrow().heap.protocol.queue.is_empty());
    });
}

#[test]
fn an_inner_enter_is_the_same_pin() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let held = node(m, None);
        one.enter();
        one.leave();
        stage.h1();
        assert!(
            !stage.all_follow(),
            "T1 while an idle mutator has {:?} in hand",
            held.as_ptr()
        );
        one.respond();
        stage.h2();
        assert!(!stage.all_follow(), "H2 while {:?} is in hand", held.as_ptr());
    });
}
