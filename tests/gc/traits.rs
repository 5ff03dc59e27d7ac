//! The traits of the standard library that handles have, and the types of the standard library that
//! managed objects may hold.

use crate::{Node, NodeRoot, quiet};
use greyspan::gc::{
    ByAddress, Cleanup, Gc, GcCell, GcLock, Guardian, Heap, Mutator, Root, Rootable, Static, Trace, WeakRoot,
};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::{NonZeroU8, Saturating, Wrapping};
use std::ops::{Bound, ControlFlow};
use std::pin::Pin;
use std::sync::atomic::{AtomicI16, AtomicPtr, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Weak};
use std::task::Poll;

#[test]
fn references_compare_as_their_objects_do() {
    quiet().enter(|m| {
        let (a, b, also_b) = (m.alloc_str("a"), m.alloc_str("b"), m.alloc_str("b"));
        assert!(a < b && b >= also_b && b == also_b && a.max(b) == b);
        assert_eq!(m.alloc(f64::NAN).partial_cmp(&m.alloc(1.0)), None);
        let sorted: BTreeSet<_> = [b, a, also_b].into();
        assert!(sorted.iter().map(|text| &**text).eq(["a", "b"]));
        // Borrow: a map of managed strings is searched by plain ones.
        let numbers: HashMap<Gc<'_, str>, u8> = [(a, 1), (b, 2)].into();
        assert_eq!((numbers["a"], numbers.get("b"), numbers.get("c")), (1, Some(&2), None));
        assert_eq!(format!("{a:p}"), format!("{:p}", a.as_ptr().cast::<u8>()));
        let bytes: Gc<'_, [u8]> = a.into();
        let cell = m.alloc(GcCell::from(bytes));
        assert!(bytes.as_ptr().addr() == a.as_ptr().addr() && *cell.get().expect("set") == *b"a");
        assert!(GcCell::from(None::<Gc<'_, u8>>).get().is_none());
    });
}

#[test]
fn references_are_keys_by_address() {
    quiet().enter(|m| {
        let (one, equal) = (m.alloc_str("one"), m.alloc_str("one"));
        let set: HashSet<_> = [one, equal, one].map(ByAddress).into();
        assert!(set.len() == 2 && set.contains(&ByAddress(equal)));
        assert_ne!(ByAddress(one), ByAddress(equal));
        let sorted: BTreeSet<ByAddress<'_, str>> = [equal.into(), one.into(), equal.into()].into();
        let addresses: Vec<_> = sorted.iter().map(|key| key.as_ptr().addr()).collect();
        assert!(addresses.is_sorted() && addresses.len() == 2);
        assert_eq!(format!("{:?}", ByAddress(one)), format!("ByAddress({one:p})"));
        assert_eq!(format!("{:p}", ByAddress(one)), format!("{one:p}"));
    });
}

#[test]
fn a_key_by_address_is_an_edge() {
    let heap = quiet();
    type Names<'gc> = GcLock<HashMap<ByAddress<'gc, Node<'gc>>, Gc<'gc, str>>>;
    let names: Root<Rootable![Names<'_>]> = heap.enter(|m| {
        let names: Gc<'_, Names<'_>> = m.alloc(GcLock::default());
        names
            .write(m)
            .insert(ByAddress(m.alloc(Node::leaf(7))), m.alloc_str("seven"));
        Root::new(m, names)
    });
    heap.collect();
    assert_eq!(heap.stats().freed_objects, 0);
    heap.verify().unwrap();
    heap.enter(|m| {
        let names = names.get(m).as_ref().read();
        let (key, name) = names.iter().next().expect("one");
        assert_eq!((key.value, &**name), (7, "seven"));
    });
}

#[test]
fn guards_print_their_value() {
    quiet().enter(|m| {
        let lock = GcLock::from(5);
        assert_eq!(format!("{:?} {}", lock.read(), lock.read()), "5 5");
        assert_eq!(format!("{:?}", lock.write(m)), "5");
        assert_eq!(format!("{}", lock.write(m)), "5");
    });
}

#[test]
fn roots_are_equal_if_they_keep_one_object() {
    let heap = quiet();
    let (a, same, equal): (NodeRoot, NodeRoot, NodeRoot) = heap.enter(|m| {
        let node = m.alloc(Node::leaf(1));
        (
            Root::new(m, node),
            Root::new(m, node),
            Root::new(m, m.alloc(Node::leaf(1))),
        )
    });
    assert!(a == same && a != equal);
    assert_eq!([a.clone(), same, equal, a].into_iter().collect::<HashSet<_>>().len(), 2);
}

/// Handles as plain fields.
#[derive(Trace)]
struct Handles {
    heap: Heap,
    root: NodeRoot,
    weak: WeakRoot<Rootable![Node<'_>]>,
    guardian: Guardian<Rootable![Node<'_>]>,
    cleanup: Cleanup,
}

#[test]
fn objects_hold_handles_as_values_and_not_as_edges() {
    let (heap, other) = (quiet(), quiet());
    let handles: Root<Rootable![Handles]> = heap.enter(|m| {
        let (heap, guardian) = (other.clone(), Guardian::new());
        let handles = other.enter(|m| {
            let node = m.alloc(Node::leaf(3));
            let (root, weak) = (Root::new(m, node), WeakRoot::new(m, node));
            let cleanup = m.on_dead(node, || ());
            Handles {
                heap,
                root,
                weak,
                guardian,
                cleanup,
            }
        });
        Root::new(m, m.alloc(handles))
    });
    heap.collect();
    other.collect();
    let (node, same, weak) = heap.enter(|m| {
        let handles = handles.get(m);
        assert!(handles.guardian.next().is_none() && handles.cleanup.cancel());
        assert_eq!(handles.heap.stats().roots, 2);
        (handles.root.clone(), handles.heap.clone(), handles.weak.clone())
    });
    same.enter(|m| assert!(weak.upgrade(m).is_some_and(|alive| alive.ptr_eq(node.get(m)))));
    drop((node, handles, same));
    // The drop of the object drops its root on the heap's drop thread.
    heap.collect();
    crate::eventually("the end of the root in a dead object", || {
        other.collect();
        other.enter(|m| weak.upgrade(m).is_none())
    });
}

/// Moves `value` into a managed object that a root keeps, collects, and looks at it again.
fn survives<T: for<'gc> Trace<'gc> + 'static>(value: T, check: impl Fn(&T)) {
    let heap = quiet();
    let root: Root<Rootable![T]> = heap.enter(|m| Root::new(m, m.alloc(value)));
    heap.collect();
    heap.verify().unwrap();
    heap.enter(|m| check(&root.get(m)));
}

#[test]
fn types_of_the_standard_library_without_edges_are_objects() {
    survives((Wrapping(1u8), Saturating(2u16), NonZeroU8::MIN), |v| {
        assert_eq!(v.0.0, 1)
    });
    survives((1..3, ..3, 1.., 1..=3, ..=3, ..), |v| assert_eq!(*v.3.end(), 3));
    survives([Bound::Included(1), Bound::Unbounded], |v| {
        assert_eq!(v[0], Bound::Included(1))
    });
    survives(ControlFlow::<u8, u16>::Break(1), |v| assert!(v.is_break()));
    survives(Poll::Ready(String::from("ready")), |v| assert!(v.is_ready()));
    survives("127.0.0.1:80".parse::<std::net::SocketAddrV4>(), |v| assert!(v.is_ok()));
    survives((AtomicI16::new(-1), AtomicPtr::<u8>::default()), |v| {
        assert_eq!(v.0.load(Relaxed), -1)
    });
    survives(Cow::Borrowed("text"), |v| assert_eq!(*v, "text"));
    survives(LazyLock::<usize>::new(|| 7), |v| assert_eq!(**v, 7));
    survives(Weak::<u8>::new(), |v| assert!(v.upgrade().is_none()));
    survives(str::len as fn(&'static str) -> usize, |v| assert_eq!(v("four"), 4));
    survives((u8::checked_add as fn(u8, u8) -> Option<u8>, 1u8), |v| {
        assert_eq!(v.0(1, 1), Some(2))
    });
    survives(Box::<dyn std::any::Any + Send + Sync>::from(Box::new(7u8)), |v| {
        assert!(v.is::<u8>())
    });
    survives(Box::<dyn std::error::Error + Send + Sync>::from("none"), |v| {
        assert_eq!(v.to_string(), "none")
    });
    survives((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16u8), |v| {
        assert_eq!(v.15, 16)
    });
    survives(std::mem::discriminant(&Some(1u8)), |v| {
        assert_eq!(*v, std::mem::discriminant(&Some(2)))
    });
}

/// An edge in each of the containers that may hold one.
#[derive(Trace)]
#[expect(clippy::type_complexity, reason = "the test is about types inside types")]
struct Everywhere<'gc> {
    pinned: Pin<Box<Gc<'gc, u8>>>,
    flow: ControlFlow<Gc<'gc, u8>, Gc<'gc, u8>>,
    bound: Bound<Gc<'gc, u8>>,
    range: std::ops::RangeInclusive<Gc<'gc, u8>>,
    poll: Poll<Gc<'gc, u8>>,
    kept: std::mem::ManuallyDrop<Gc<'gc, u8>>,
    cow: Cow<'static, [Option<Root<Rootable![u8]>>]>,
    last: (u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, Gc<'gc, u8>),
    /// No edge, though its type names some.
    function: fn(Gc<'gc, u8>) -> Gc<'gc, u8>,
    marker: std::marker::PhantomData<Gc<'gc, u8>>,
}

fn everywhere<'gc>(m: &Mutator<'gc>) -> Gc<'gc, Everywhere<'gc>> {
    m.alloc(Everywhere {
        pinned: Box::pin(m.alloc(1)),
        flow: ControlFlow::Continue(m.alloc(2)),
        bound: Bound::Excluded(m.alloc(3)),
        range: m.alloc(4)..=m.alloc(5),
        poll: Poll::Ready(m.alloc(6)),
        kept: std::mem::ManuallyDrop::new(m.alloc(7)),
        cow: Cow::Owned(vec![Some(Root::new(m, m.alloc(9)))]),
        last: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, m.alloc(8)),
        function: |same| same,
        marker: std::marker::PhantomData,
    })
}

#[test]
fn containers_of_the_standard_library_show_their_edges() {
    let heap = quiet();
    let root: Root<Rootable![Everywhere<'_>]> = heap.enter(|m| Root::new(m, everywhere(m)));
    heap.collect();
    heap.verify().unwrap();
    assert_eq!(heap.stats().freed_objects, 0);
    heap.enter(|m| {
        let all = root.get(m);
        let (ControlFlow::Continue(two), Bound::Excluded(three), Poll::Ready(six)) = (all.flow, all.bound, all.poll)
        else {
            panic!("made so");
        };
        let nine = all.cow[0].as_ref().expect("a root").get(m);
        let seen = [
            **all.pinned,
            *two,
            *three,
            **all.range.start(),
            **all.range.end(),
            *six,
            **all.kept,
            *all.last.15,
            *nine,
        ];
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!((*(all.function)(two), all.marker), (2, std::marker::PhantomData));
    });
}

#[test]
fn a_foreign_value_is_dropped_with_its_object() {
    /// A type that another crate could have.
    struct Foreign(Arc<AtomicUsize>);
    impl Drop for Foreign {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    let (heap, dropped) = (quiet(), Arc::<AtomicUsize>::default());
    heap.enter(|m| {
        let foreign = m.alloc(Static(Foreign(dropped.clone())));
        assert_eq!(foreign.0.0.load(Relaxed), 0);
        let hears = m.alloc(Static::from(|text: &str| text.len()));
        assert_eq!((hears.0)("four"), 4);
    });
    heap.collect();
    crate::eventually("the drop of a foreign value", || dropped.load(Relaxed) == 1);
    assert!(Static(1) < Static(2) && *Static(vec![7]).as_ref() == [7] && format!("{:?}", Static("a")) == "\"a\"");
}

#[test]
fn a_future_that_holds_handles_moves_between_threads() {
    fn sends<F: Future<Output = u64> + Send + 'static>(future: F) -> F {
        future
    }
    async fn add(
        heap: Heap,
        node: NodeRoot,
        weak: WeakRoot<Rootable![Node<'_>]>,
        out: Guardian<Rootable![Node<'_>]>,
    ) -> u64 {
        let one = heap.enter(|m| node.get(m).value);
        std::future::ready(()).await;
        assert!(out.next().is_none());
        one + heap.enter(|m| weak.upgrade(m).expect("a root keeps it").value)
    }
    let heap = quiet();
    let (node, weak): (NodeRoot, _) = heap.enter(|m| {
        let node = m.alloc(Node::leaf(21));
        (Root::new(m, node), WeakRoot::new(m, node))
    });
    let future = sends(add(heap, node, weak, Guardian::new()));
    let answer = std::thread::spawn(|| {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(future).poll(&mut context)
    });
    assert_eq!(answer.join().expect("no panic"), Poll::Ready(42));
}
