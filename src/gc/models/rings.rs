//! The rings of a tracer: an edge that is found and not marked yet, and a grey object that is near,
//! are obligations like those on the stack (MARK-1 of `mark`).

use super::*;
use loom::thread;

#[test]
fn marking_goes_on_while_a_ring_holds_something() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        // A scan of the first leaves an edge in the ring, and the stack is empty.
        let first = node(m, Some(node(m, Some(node(m, None)))));
        stage.root(first);
        one.leave();
        stage.h1();
        let heap = Arc::clone(&stage.heap);
        heap.mark(&mut stage.tracer, 1, &mut Default::default());
        stage.check_marked(&[]);
    });
}

#[test]
fn an_assist_that_ends_early_hands_over_its_rings() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let first = node(m, Some(node(m, Some(node(m, None)))));
        let second = node(m, Some(node(m, None)));
        one.leave();
        stage.h1();
        stage.h2();
        let mut assist = Tracer::new(1);
        assist.mark(first.address());
        assist.mark(second.address());
        // Scans the first. An edge and the second object stay in the rings.
        assert!(assist.steps(1));
        assist.give(&stage.heap.protocol.queue);
        assert!(!assist.step(), "an obligation was kept");
        stage.finish(&[first, second]);
    });
}

/// An object with two edges, so that both pass through the ring.
#[derive(Trace)]
struct Pair<'gc>(GcCell<'gc, Node<'gc>>, GcCell<'gc, Node<'gc>>);

#[test]
fn two_tracers_that_mark_neighbours_at_once_make_each_grey_once() {
    loom::model(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let shared = [node(m, None), node(m, None)];
        let pair = || m.alloc(Pair(GcCell::new(Some(shared[0])), GcCell::new(Some(shared[1]))));
        let (first, second) = (pair(), pair());
        one.leave();
        stage.h1();
        stage.h2();
        let trace = |from: Gc<'static, Pair<'static>>| {
            let mut tracer = Tracer::new(1);
            tracer.mark(from.address());
            while tracer.step() {}
            tracer.marked
        };
        let other = thread::spawn(move || trace(first));
        let here = trace(second);
        assert_eq!(
            here + other.join().expect("the other"),
            4,
            "an object was made grey twice"
        );
    });
}
