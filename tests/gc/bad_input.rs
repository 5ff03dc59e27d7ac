//! Wrong calls are refused with a message, and leave the heap as it was.

use crate::{Node, NodeRoot, quiet};
use greyspan::gc::{Gc, Root, Rootable, Trace, Visitor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Returns the message that `act` panics with.
fn panic_of(act: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(act)).expect_err("it should panic");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => other.downcast::<&str>().expect("a text").to_string(),
    }
}

#[test]
fn collect_and_verify_inside_enter_panic_and_the_heap_goes_on() {
    let (heap, other) = (quiet(), quiet());
    let text = panic_of(|| heap.enter(|_| heap.collect()));
    assert!(text.contains("`collect` inside `enter`"), "{text}");
    let text = panic_of(|| other.enter(|_| heap.collect()));
    assert!(
        text.contains("`collect` inside `enter`"),
        "{text}: two heaps could wait for each other"
    );
    let text = panic_of(|| heap.enter(|_| heap.verify().unwrap()));
    assert!(text.contains("`verify` inside `enter`"), "{text}");
    heap.collect();
    heap.verify().unwrap();
}

#[test]
fn a_root_of_another_heap_is_refused() {
    let (heap, other) = (quiet(), quiet());
    let root: NodeRoot = heap.enter(|m| Root::new(m, m.alloc(Node::leaf(1))));
    let text = panic_of(|| {
        other.enter(|m| root.get(m).value);
    });
    assert!(text.contains("another heap"), "{text}");
    heap.enter(|m| assert_eq!(root.get(m).value, 1));
}

#[test]
fn two_heaps_may_be_entered_one_in_the_other_and_one_heap_twice() {
    let (heap, other) = (quiet(), quiet());
    let (a, b): (NodeRoot, NodeRoot) = heap.enter(|m| {
        let a: NodeRoot = Root::new(m, m.alloc(Node::leaf(1)));
        other.enter(|n| {
            let b = Root::new(n, n.alloc(Node::leaf(2)));
            heap.enter(|again| assert_eq!(a.get(again).value, 1));
            assert_eq!(a.get(m).value, 1);
            (a, b)
        })
    });
    heap.collect();
    other.collect();
    heap.enter(|m| assert_eq!(a.get(m).value, 1));
    other.enter(|m| assert_eq!(b.get(m).value, 2));
}

#[test]
fn a_panic_in_enter_unpins() {
    let heap = quiet();
    let root: NodeRoot = heap.enter(|m| Root::new(m, m.alloc(Node::leaf(1))));
    let text = panic_of(|| {
        heap.enter(|m| {
            heap.enter(|_| ());
            root.get(m).left.set(m, Some(m.alloc(Node::leaf(2))));
            panic!("in the middle")
        })
    });
    assert_eq!(text, "in the middle");
    heap.collect();
    heap.verify().unwrap();
    heap.enter(|m| assert_eq!(root.get(m).left.get().unwrap().value, 2));
}

#[test]
fn a_slice_longer_than_memory_is_refused() {
    let heap = quiet();
    heap.enter(|m| {
        for len in [usize::MAX, usize::MAX / 8, isize::MAX as usize / 8] {
            let full = m.try_alloc_slice(len, |i| i as u64).expect_err("more than there is");
            assert!(full.to_string().contains("no memory for a managed object"), "{full}");
        }
    });
    let text = panic_of(|| {
        heap.enter(|m| m.alloc_slice(usize::MAX / 64, |i| i).len());
    });
    assert!(text.contains("`try_alloc` returns instead"), "{text}");
    heap.collect();
    assert_eq!(heap.stats().mapped_bytes, 0);
}

#[test]
fn a_panic_while_a_slice_is_made_drops_what_was_made() {
    let heap = quiet();
    let held = std::sync::Arc::new(());
    let text = panic_of(|| {
        heap.enter(|m| {
            m.alloc_slice(10, |index| {
                assert!(index < 7, "at the eighth");
                held.clone()
            });
        });
    });
    assert!(text.contains("at the eighth"));
    assert_eq!(std::sync::Arc::strong_count(&held), 8);
    heap.collect();
    crate::eventually("the drops", || std::sync::Arc::strong_count(&held) == 1);
}

/// Shows its edge, except while it lies: for the time of one cycle.
struct Liar<'gc> {
    edge: Gc<'gc, Node<'gc>>,
    lies: AtomicBool,
}

// SAFETY: deliberately unsound: `trace` hides an edge, and the verifier must report it.
unsafe impl<'gc> Trace<'gc> for Liar<'gc> {
    fn trace(&self, visitor: &mut Visitor<'gc>) {
        if !self.lies.load(SeqCst) {
            visitor.visit(self.edge);
        }
    }
}

#[test]
fn the_verifier_says_what_is_broken_and_how_it_is_reached() {
    let heap = quiet();
    let liar: Root<Rootable![Liar<'_>]> = heap.enter(|m| {
        let liar = Liar {
            edge: m.alloc(Node::leaf(1)),
            lies: AtomicBool::new(false),
        };
        Root::new(m, m.alloc(liar))
    });
    // Keeps the span in which the lost object lies.
    let _neighbour: NodeRoot = heap.enter(|m| Root::new(m, m.alloc(Node::leaf(2))));
    heap.verify().unwrap();
    heap.enter(|m| liar.get(m).lies.store(true, SeqCst));
    heap.collect();
    heap.enter(|m| liar.get(m).lies.store(false, SeqCst));
    let error = heap.verify().unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("an edge to a free slot at 0x"), "{text}");
    assert!(
        text.contains("in the span at 0x") && text.contains("slots of 24 bytes"),
        "{text}"
    );
    assert!(error.path().len() == 1 && error.path()[0].contains("Liar"), "{text}");
    // Hides the edge again, so that no cycle follows it.
    heap.enter(|m| liar.get(m).lies.store(true, SeqCst));
}
