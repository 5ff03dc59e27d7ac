//! Small pieces of code with two or three threads, in every interleaving.

use super::super::fault::broken;
use super::super::weak::GcWeak;
use super::setup::{Watched, behind};
use super::*;
use loom::thread;

/// Returns a reference to a model's heap that its threads can share.
fn shared(heap: &Arc<Collector>) -> &'static Collector {
    let heap = Arc::into_raw(Arc::clone(heap));
    // SAFETY: the count is never given back: a model's heap stays.
    unsafe { &*heap }
}

#[test]
fn after_t1_nobody_is_idle() {
    loom::model(|| {
        let heap = shared(&new_heap());
        let watched = Watched::new();
        let record = heap.take_record();
        let mutator = thread::spawn(move || {
            record.enter();
            if record.phase() == super::super::phase::Phase::Idle {
                watched.0.with(|_| ());
            }
            record.leave();
        });
        heap.protocol.set_state(State::Open);
        heap.protocol.request(Word::pre(1));
        while !heap.protocol.acknowledged(Word::pre(1)) {
            crate::sync::spin_hint();
        }
        watched.0.with_mut(|_| ());
        mutator.join().expect("the mutator");
    });
}

#[test]
fn a_request_reaches_a_pinned_mutator_that_only_polls() {
    loom::model(|| {
        let heap = shared(&new_heap());
        let record = heap.take_record();
        let mutator = thread::spawn(move || {
            record.enter();
            // If the record is not calm, the collector has told it, and it must answer.
            while record.current().cycle() == 0 {
                if !record.is_calm() {
                    record.respond();
                }
                crate::sync::spin_hint();
            }
            record.leave();
        });
        heap.protocol.request(Word::pre(1));
        while !heap.protocol.acknowledged(Word::pre(1)) {
            crate::sync::spin_hint();
        }
        mutator.join().expect("the mutator");
    });
}

#[test]
fn a_live_object_upgrades_while_its_span_is_swept() {
    loom::model(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let x = node(m, None);
        stage.root(x);
        let weak = GcWeak::new(m, x);
        one.leave();
        stage.h1();
        stage.h2();
        stage.scan_roots();
        stage.finish(&[]);
        stage.h3();
        assert!(stage.all_follow());
        let span = Span::find(x.address()).expect("a span");
        one.enter();
        let sweeper = thread::spawn(move || {
            span.sweep(1, false);
        });
        // GCSPAN-2: a thread that sees the mark cleared also sees the epoch raised.
        let (marked, epoch) = (is_marked(x.address()), span.epoch());
        assert!(marked || epoch == 2, "unmarked, and not swept yet: it looks dead");
        assert!(weak.upgrade(m).is_some(), "None for an object that is rooted");
        one.leave();
        sweeper.join().expect("the sweeper");
    });
}

#[test]
fn two_threads_agree_on_what_a_weak_reference_says() {
    loom::model(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let x = node(m, None);
        let weak = GcWeak::new(m, x);
        let cell = stage.heap.roots.take(behind(&weak), None);
        one.leave();
        stage.h1();
        stage.h2();
        stage.scan_roots();
        stage.drain();
        let two = stage.record();
        let other = thread::spawn(move || {
            two.enter();
            let there = weak.upgrade(mutator(two)).is_some();
            let again = weak.upgrade(mutator(two)).is_some();
            assert!(there || !again, "Some after None");
            two.leave();
            there
        });
        stage.begin_wave();
        while !stage.all_follow() {
            crate::sync::spin_hint();
        }
        let closed = stage.close();
        let alive = is_marked(x.address());
        let there = other.join().expect("the other");
        assert!(
            !there || !closed || alive || is_marked(x.address()),
            "Some for a dead object"
        );
        stage.heap.roots.give(cell);
    });
}

#[test]
fn marking_beside_a_mutator_that_moves_an_edge_loses_nothing() {
    loom::model(|| {
        let heap = shared(&new_heap());
        let record = heap.take_record();
        record.enter();
        let m = mutator(record);
        let (a, b) = (node(m, Some(node(m, Some(node(m, None))))), node(m, None));
        heap.roots.take(a.address(), None);
        heap.roots.take(b.address(), None);
        record.leave();
        let worker = thread::spawn(move || {
            record.enter();
            let m = mutator(record);
            // The object stays reachable, because this thread holds it in between.
            let hand = a.next.get();
            a.next.set(m, None);
            b.next.set(m, hand);
            record.leave();
        });
        heap.protocol.set_state(State::Open);
        heap.protocol.request(Word::pre(1));
        while !heap.protocol.acknowledged(Word::pre(1)) {
            crate::sync::spin_hint();
        }
        let mut tracer = Tracer::new(1);
        heap.mark(&mut tracer, 1, &mut Default::default());
        for node in reachable(heap, &[]) {
            assert!(is_marked(node.address()), "an object that can be reached is not marked");
        }
        worker.join().expect("the worker");
        assert_eq!(reachable(heap, &[]).len(), 4);
    });
}

#[test]
fn a_slot_is_free_only_after_its_object_was_dropped() {
    loom::model(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let dead = node(m, None);
        stage.root(node(m, None));
        one.leave();
        stage.h1();
        stage.h2();
        stage.scan_roots();
        stage.finish(&[]);
        stage.h3();
        let watched = Watched::new();
        let span = Span::find(dead.address()).expect("a span");
        let index = span.index(dead.address());
        let swept = span.sweep(1, true);
        assert!(!swept.empty && swept.dead == 1);
        let dropper = thread::spawn(move || {
            // Stands for the drop glue.
            watched.0.with_mut(|_| ());
            span.buried(0, 1 << index.0);
        });
        if span.free_in(0) & 1 << index.0 != 0 {
            // Uses the slot again.
            watched.0.with_mut(|_| ());
        }
        dropper.join().expect("the drop thread");
        assert!(span.free_in(0) & 1 << index.0 != 0);
    });
}

#[test]
fn a_slot_counts_once_while_its_object_is_dropped() {
    loom::model(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let dead = node(m, None);
        stage.root(node(m, None));
        one.leave();
        stage.h1();
        stage.h2();
        stage.scan_roots();
        stage.finish(&[]);
        stage.h3();
        let span = Span::find(dead.address()).expect("a span");
        let index = span.index(dead.address());
        assert_eq!(span.sweep(1, true).dead, 1);
        // The live object and the dead one.
        let counted = 2;
        let dropper = thread::spawn(move || span.buried(0, 1 << index.0));
        // Stands for a mutator that takes the span.
        let more = span.count_all();
        let fewer = dropper.join().expect("the drop thread");
        let free: u32 = (0..span.words()).map(|word| span.free_in(word).count_ones()).sum();
        assert_eq!(
            counted + more - fewer,
            free + 1,
            "all slots of a span in use count, once"
        );
    });
}

#[test]
fn a_thread_that_comes_during_a_handshake_takes_part_in_it() {
    loom::model(|| {
        let heap = shared(&new_heap());
        let watched = Watched::new();
        let newcomer = thread::spawn(move || {
            let record = heap.take_record();
            record.enter();
            if record.phase() == super::super::phase::Phase::Idle {
                watched.0.with(|_| ());
            }
            record.leave();
            heap.give_record(record);
        });
        heap.protocol.set_state(State::Open);
        heap.protocol.request(Word::pre(1));
        while !heap.protocol.acknowledged(Word::pre(1)) {
            crate::sync::spin_hint();
        }
        watched.0.with_mut(|_| ());
        newcomer.join().expect("the newcomer");
    });
}

#[test]
fn nobody_is_in_a_shift_behind_a_shut_gate() {
    loom::model(|| {
        let heap = shared(&new_heap());
        let watched = Watched::new();
        heap.crew.open();
        let helper = thread::spawn(move || {
            if let Some(shift) = heap.crew.begin() {
                // Stands for a scan.
                watched.0.with_mut(|_| ());
                drop(shift);
            }
        });
        while !heap.crew.shut() {
            crate::sync::spin_hint();
        }
        // Stands for the request of a wave.
        watched.0.with_mut(|_| ());
        helper.join().expect("the helper");
    });
}

#[test]
fn the_sweep_waits_for_everybody_at_h3() {
    loom::model(|| {
        let heap = shared(&new_heap());
        let record = heap.take_record();
        record.enter();
        let m = mutator(record);
        heap.roots.take(node(m, None).address(), None);
        record.leave();
        let worker = thread::spawn(move || {
            record.enter();
            let m = mutator(record);
            let made = node(m, None);
            assert!(is_there(made.address()), "an object in hand was swept");
            record.leave();
        });
        heap.run_cycle();
        worker.join().expect("the worker");
    });
}

#[test]
fn a_root_that_a_foreign_thread_drops_stays_for_the_cycle() {
    loom::model(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let o = node(m, None);
        let slot = stage.root(o);
        one.leave();
        stage.h1();
        stage.h2();
        one.enter();
        let heap = shared(&stage.heap);
        // The foreign thread is neither registered nor pinned. Mutator `one` has the object from
        // the root.
        let foreigner = thread::spawn(move || heap.roots.give(slot));
        stage.root(node(m, Some(o)));
        stage.scan_roots();
        foreigner.join().expect("the foreign thread");
        stage.finish(&[o]);
    });
}

#[test]
fn a_root_slot_that_is_used_again_beside_a_cycle_loses_nothing() {
    loom::model(|| {
        let heap = shared(&new_heap());
        let record = heap.take_record();
        record.enter();
        let m = mutator(record);
        let (a, o) = (node(m, None), node(m, Some(node(m, None))));
        heap.roots.take(a.address(), None);
        let slot = heap.roots.take(o.address(), None);
        record.leave();
        let worker = thread::spawn(move || {
            record.enter();
            let m = mutator(record);
            // Only this thread holds `o`, from here until the store in `a`.
            heap.roots.give(slot);
            core::mem::forget::<super::super::Root<super::super::Rootable![Node<'_>]>>(super::super::Root::new(m, a));
            a.next.set(m, Some(o));
            record.leave();
        });
        heap.protocol.set_state(State::Open);
        heap.protocol.request(Word::pre(1));
        while !heap.protocol.acknowledged(Word::pre(1)) {
            crate::sync::spin_hint();
        }
        let mut tracer = Tracer::new(1);
        heap.mark(&mut tracer, 1, &mut Default::default());
        worker.join().expect("the worker");
        for node in reachable(heap, &[]) {
            assert!(is_marked(node.address()), "an object that can be reached is not marked");
        }
    });
}

#[test]
fn an_edge_that_two_mutators_exchange_is_not_lost() {
    loom::model(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let two = stage.record();
        let o = node(m, None);
        let (a, b) = (node(m, Some(o)), node(m, None));
        stage.root(a);
        stage.root(b);
        one.leave();
        stage.h1();
        stage.h2();
        // The tracer has scanned `b` already and scans `a` at the end.
        stage.tracer.mark(b.address());
        stage.drain();
        let other = thread::spawn(move || {
            two.enter();
            let n = mutator(two);
            let taken = a.next.swap(n, None);
            if taken.is_some() {
                b.next.set(n, taken);
            }
            two.leave();
        });
        one.enter();
        if a.next.compare_exchange(m, Some(o), None).is_ok() {
            b.next.set(m, Some(o));
        }
        one.leave();
        other.join().expect("the other");
        stage.scan_roots();
        stage.finish(&[]);
        assert!(b.next.get().is_some_and(|at| at.ptr_eq(o)));
    });
}

#[test]
fn behind_a_shut_door_nobody_works() {
    loom::model(|| {
        let heap = shared(&new_heap());
        let watched = Watched::new();
        let record = heap.take_record();
        let mutator = thread::spawn(move || {
            // Does the same as `Heap::enter`.
            let early = broken("looks_before_the_pin") && !heap.protocol.is_shut();
            record.enter();
            if early || !(broken("looks_before_the_pin") || record.is_shut_out()) {
                watched.0.with_mut(|_| ());
            }
            record.leave();
        });
        heap.protocol.shut();
        while !heap.protocol.quiet() {
            crate::sync::spin_hint();
        }
        watched.0.with_mut(|_| ());
        mutator.join().expect("the mutator");
    });
}

#[test]
fn the_world_is_held_although_a_thread_is_about_to_pin() {
    loom::model(|| {
        let heap = shared(&new_heap());
        let watched = Watched::new();
        let record = heap.take_record();
        let mutator = thread::spawn(move || {
            record.enter();
            watched.0.with_mut(|_| ());
            record.leave();
        });
        // Stands for the verifier, which looks while no thread is pinned.
        heap.hold(|| watched.0.with_mut(|_| ()));
        mutator.join().expect("the mutator");
    });
}

/// An object with a lock.
#[derive(Trace)]
struct Shelf<'gc> {
    items: super::super::GcLock<Vec<Gc<'gc, Node<'gc>>>>,
}

#[test]
fn what_a_writer_in_pre_adds_is_found_by_one_of_two_scans() {
    loom::model(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let shelf = m.alloc(Shelf {
            items: super::super::GcLock::new(Vec::new()),
        });
        let o = node(m, None);
        stage.h1();
        one.respond();
        let writer = thread::spawn(move || {
            shelf.items.write(mutator(one)).push(o);
            one.leave();
        });
        // The tracer may pass over the lock while the writer holds it. But then the writer finds
        // the mark at its unpin.
        stage.tracer.mark(shelf.address());
        while stage.tracer.step() {}
        writer.join().expect("the writer");
        stage.drain();
        assert!(is_marked(o.address()), "the added object is in neither scan");
    });
}

#[test]
fn what_a_reader_without_a_phase_reads_for_a_thread_in_mark_stays() {
    loom::model(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let two = stage.record();
        let shelf = m.alloc(Shelf {
            items: super::super::GcLock::new(Vec::new()),
        });
        let o = node(m, None);
        stage.h1();
        one.respond();
        stage.h2();
        // The lock is empty when it is scanned.
        stage.tracer.mark(shelf.address());
        stage.drain();
        let writer = thread::spawn(move || {
            shelf.items.write(mutator(one)).push(o);
            shelf.items.write(mutator(one)).pop();
            one.leave();
        });
        two.enter();
        let helper = thread::spawn(move || shelf.items.read().first().copied());
        let found = helper.join().expect("the helper");
        // The collector has scanned all roots already.
        let black = node(mutator(two), found);
        writer.join().expect("the writer");
        stage.drain();
        stage.begin_wave();
        two.respond();
        if stage.close() && found.is_some() {
            assert!(is_marked(o.address()), "{:?} holds a dead object", black.as_ptr());
        }
    });
}
