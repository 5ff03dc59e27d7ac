//! Each handle does what its documentation says.

use crate::{Node, NodeRoot, quiet};
use greyspan::gc::{Gc, GcCell, GcLock, GcWeak, Guardian, Heap, Mutator, Root, Rootable, Trace, WeakMap, WeakRoot};
use greyspan::unsize;
use std::collections::{BTreeMap, HashMap, VecDeque};

#[test]
fn a_root_keeps_a_cycle_alive_and_its_drop_lets_it_go() {
    let heap = quiet();
    let root: NodeRoot = heap.enter(|m| {
        let a = m.alloc(Node::leaf(1));
        let b = m.alloc(Node::leaf(2));
        a.right.set(m, Some(b));
        b.left.set(m, Some(a));
        Root::new(m, a)
    });
    heap.collect();
    heap.verify().unwrap();
    heap.enter(|m| {
        let b = root.get(m).right.get().unwrap();
        assert_eq!((b.value, b.left.get().unwrap().value), (2, 1));
    });
    assert_eq!(heap.stats().freed_objects, 0);
    drop(root);
    heap.collect();
    assert_eq!(heap.stats().freed_objects, 2);
    assert_eq!(heap.stats().live_bytes, 0);
}

#[test]
fn what_is_not_rooted_goes_in_one_cycle_and_its_pages_go_back() {
    let heap = quiet();
    heap.enter(|m| {
        for value in 0..100_000 {
            m.alloc(Node::leaf(value));
        }
    });
    let before = heap.stats();
    assert!(before.mapped_bytes > 2_000_000, "{before:?}");
    heap.collect();
    let after = heap.stats();
    assert_eq!(
        (after.freed_objects, after.live_bytes, after.mapped_bytes),
        (100_000, 0, 0),
        "{after}"
    );
}

#[test]
fn cells_swap_exchange_and_take() {
    quiet().enter(|m| {
        let (a, b) = (m.alloc(1u64), m.alloc(2u64));
        let cell = m.cell(Some(a));
        assert!(cell.swap(m, Some(b)).unwrap().ptr_eq(a));
        assert!(cell.compare_exchange(m, Some(a), None).unwrap_err().unwrap().ptr_eq(b));
        assert!(cell.compare_exchange(m, Some(b), Some(a)).unwrap().unwrap().ptr_eq(b));
        assert_eq!(cell.take(m).as_deref(), Some(&1));
        assert!(cell.get().is_none() && GcCell::<u64>::default().get().is_none());
    });
}

#[test]
fn slices_and_strings_are_thin_in_cells_and_may_be_empty() {
    let heap = quiet();
    let root: Root<Rootable![GcCell<'_, [String]>]> = heap.enter(|m| {
        let words = m.alloc_slice(3, |i| format!("word {i}"));
        Root::new(m, m.alloc(GcCell::new(Some(words))))
    });
    let text: Root<Rootable![GcCell<'_, str>]> =
        heap.enter(|m| Root::new(m, m.alloc(GcCell::new(Some(m.alloc_str("grey and black"))))));
    let fat: Root<Rootable![str]> = heap.enter(|m| Root::new(m, m.alloc_str("")));
    heap.collect();
    heap.verify().unwrap();
    heap.enter(|m| {
        let words = root.get(m).get().unwrap();
        assert_eq!((words.len(), &*words[2]), (3, "word 2"));
        assert_eq!(&*text.get(m).get().unwrap(), "grey and black");
        assert_eq!(&*fat.get(m), "");
        assert_eq!(m.alloc_slice(0, |_| -> u64 { unreachable!() }).len(), 0);
    });
}

trait Shape<'gc> {
    fn area(&self) -> u64;
}

#[derive(Trace)]
struct Square<'gc> {
    side: Gc<'gc, u64>,
}

impl<'gc> Shape<'gc> for Square<'gc> {
    fn area(&self) -> u64 {
        *self.side * *self.side
    }
}

#[derive(Trace)]
struct Holder<'gc> {
    shape: Gc<'gc, dyn Shape<'gc> + Send + Sync + 'gc>,
}

#[test]
fn trait_objects_are_edges_like_others() {
    let heap = quiet();
    let root: Root<Rootable![Holder<'_>]> = heap.enter(|m| {
        let square = m.alloc(Square { side: m.alloc(7) });
        Root::new(
            m,
            m.alloc(Holder {
                shape: unsize!(square => dyn Shape<'_> + Send + Sync + '_),
            }),
        )
    });
    heap.collect();
    heap.enter(|m| assert_eq!(root.get(m).shape.area(), 49));
}

#[derive(Trace)]
struct Generic<'gc, T> {
    held: T,
    again: GcCell<'gc, Generic<'gc, T>>,
    #[trace(skip)]
    _opaque: std::process::ExitCode,
}

#[derive(Trace)]
enum Shapes<'gc> {
    Nothing,
    Tuple(Gc<'gc, u64>, Vec<Gc<'gc, u64>>),
    Named {
        map: BTreeMap<String, Gc<'gc, u64>>,
        boxed: Box<Option<Gc<'gc, u64>>>,
    },
}

#[derive(Trace)]
struct Plain {
    _name: String,
    next: Option<Box<Plain>>,
}

#[test]
fn the_derive_sees_every_field_of_every_variant() {
    let heap = quiet();
    let roots: Vec<Root<Rootable![Shapes<'_>]>> = heap.enter(|m| {
        let tuple = Shapes::Tuple(m.alloc(1), vec![m.alloc(2), m.alloc(3)]);
        let named = Shapes::Named {
            map: [("four".to_string(), m.alloc(4))].into(),
            boxed: Box::new(Some(m.alloc(5))),
        };
        [tuple, named, Shapes::Nothing]
            .into_iter()
            .map(|shape| Root::new(m, m.alloc(shape)))
            .collect()
    });
    let generic: Root<Rootable![Generic<'_, Gc<'_, u64>>]> = heap.enter(|m| {
        Root::new(
            m,
            m.alloc(Generic {
                held: m.alloc(6),
                again: GcCell::null(),
                _opaque: std::process::ExitCode::SUCCESS,
            }),
        )
    });
    for _ in 0..3 {
        heap.collect();
        heap.verify().unwrap();
    }
    assert_eq!(heap.stats().freed_objects, 0);
    heap.enter(|m| {
        let mut sum = *generic.get(m).held;
        assert!(generic.get(m).again.get().is_none());
        for root in &roots {
            match &*root.get(m) {
                Shapes::Nothing => {}
                Shapes::Tuple(one, more) => sum += **one + more.iter().map(|gc| **gc).sum::<u64>(),
                Shapes::Named { map, boxed } => sum += *map["four"] + *boxed.unwrap(),
            }
        }
        assert_eq!(sum, 21);
        let plain = m.alloc(Plain {
            _name: "a".into(),
            next: Some(Box::new(Plain {
                _name: "b".into(),
                next: None,
            })),
        });
        assert!(plain.next.is_some());
    });
    const { assert!(!<Plain as Trace<'static>>::NEEDS_TRACE && <Shapes<'static> as Trace<'static>>::NEEDS_TRACE) }
}

#[derive(Trace)]
struct Bag<'gc> {
    items: GcLock<Vec<Gc<'gc, u64>>>,
    index: GcLock<HashMap<String, Gc<'gc, u64>>>,
    recent: GcLock<VecDeque<Gc<'gc, u64>>>,
}

#[test]
fn locks_hold_containers_of_edges_that_change() {
    let heap = quiet();
    let root: Root<Rootable![Bag<'_>]> = heap.enter(|m| {
        let bag = m.alloc(Bag {
            items: GcLock::default(),
            index: GcLock::default(),
            recent: GcLock::default(),
        });
        Root::new(m, bag)
    });
    for round in 0..10u64 {
        heap.enter(|m| {
            let bag = root.get(m);
            bag.items.write(m).push(m.alloc(round));
            bag.index.write(m).insert(round.to_string(), m.alloc(round * 10));
            let mut recent = bag.recent.write(m);
            recent.push_back(m.alloc(round));
            if recent.len() > 3 {
                recent.pop_front();
            }
        });
        heap.collect();
        heap.verify().unwrap();
    }
    heap.enter(|m| {
        let bag = root.get(m);
        assert!(bag.items.read().iter().enumerate().all(|(at, gc)| **gc == at as u64));
        assert_eq!(**bag.index.read().get("7").unwrap(), 70);
        assert_eq!(bag.recent.read().iter().map(|gc| **gc).collect::<Vec<_>>(), [7, 8, 9]);
    });
    assert_eq!(heap.stats().freed_objects, 7, "the objects that fell out of `recent`");
}

#[test]
fn an_object_made_with_a_weak_reference_to_itself_finds_itself() {
    #[derive(Trace)]
    struct Own<'gc> {
        me: greyspan::gc::GcWeak<'gc, Own<'gc>>,
    }
    let heap = quiet();
    let root: Root<Rootable![Own<'_>]> = heap.enter(|m| {
        let own = m.alloc_cyclic(|me| {
            assert!(me.upgrade(m).is_none(), "it is not made yet");
            Own { me }
        });
        Root::new(m, own)
    });
    heap.collect();
    heap.enter(|m| assert!(root.get(m).me.upgrade(m).unwrap().ptr_eq(root.get(m))));
}

#[test]
fn guardians_bring_objects_back_with_all_they_lead_to_while_weak_references_stay_dead() {
    let heap = quiet();
    let guardian = Guardian::<Rootable![Node<'_>]>::new();
    let weak = heap.enter(|m| {
        let node = m.alloc(Node::leaf(1));
        node.left.set(m, Some(m.alloc(Node::leaf(2))));
        guardian.watch(m, node);
        greyspan::gc::WeakRoot::<Rootable![Node<'_>]>::new(m, node)
    });
    assert!(guardian.next().is_none());
    heap.collect();
    let back = guardian.next().expect("it was dead, and came back");
    assert!(guardian.next().is_none());
    heap.enter(|m| {
        assert_eq!(back.get(m).left.get().unwrap().value, 2);
        assert!(weak.upgrade(m).is_none());
    });
    heap.collect();
    heap.verify().unwrap();
    heap.enter(|m| assert_eq!(back.get(m).left.get().unwrap().value, 2));
    drop(back);
    heap.collect();
    assert_eq!(heap.stats().freed_objects, 2);
}

#[test]
fn a_weak_map_is_a_map() {
    quiet().enter(|m| {
        let map = WeakMap::new(m);
        let (a, b) = (m.alloc(Node::leaf(1)), m.alloc(Node::leaf(2)));
        assert!(map.is_empty() && map.insert(m, a, b).is_none());
        assert!(map.insert(m, a, a).unwrap().ptr_eq(b));
        assert!(map.get(m, a).unwrap().ptr_eq(a) && map.get(m, b).is_none());
        assert!(map.remove(m, a).unwrap().ptr_eq(a) && map.remove(m, a).is_none() && map.is_empty());
    });
}

#[test]
fn figures_explain_themselves() {
    let heap = Heap::new();
    let _root: NodeRoot = heap.enter(|m| Root::new(m, m.alloc(Node::leaf(1))));
    heap.collect();
    let stats = heap.stats();
    assert_eq!(
        (stats.cycles, stats.forced_cycles, stats.roots, stats.mutators),
        (1, 1, 1, 1)
    );
    assert_eq!(
        (stats.marked_bytes, stats.marked_objects),
        (size_of::<Node>() as u64, 1)
    );
    assert!(stats.goal_bytes >= stats.live_bytes && stats.mark_ns > 0);
    assert!(stats.to_string().contains("cycles completed"));
}

/// Each function that takes a mutator, through a reference shorter than `'gc`.
fn with_a_short_borrow<'gc>(m: &Mutator<'gc>) -> (Gc<'gc, Node<'gc>>, &'gc str) {
    let node = m.alloc(Node::leaf(1));
    node.left.set(m, m.try_alloc(Node::leaf(2)).ok());
    node.left.swap(m, Some(m.alloc_cyclic(|_| Node::leaf(3))));
    let weak = GcWeak::new(m, node);
    assert!(weak.upgrade(m).is_some_and(|same| same.ptr_eq(node)));
    let map: WeakMap<'gc, Node<'gc>, Node<'gc>> = WeakMap::new(m);
    assert!(map.insert(m, node, node).is_none() && map.get(m, node).is_some());
    let lock = m.alloc(GcLock::new(vec![map.remove(m, node)]));
    assert!(lock.write(m).pop().is_some() && lock.try_write(m).is_some());
    let (root, out): (NodeRoot, WeakRoot<Rootable![Node<'_>]>) = (Root::new(m, node), WeakRoot::new(m, node));
    assert!(root.get(m).ptr_eq(out.upgrade(m).expect("a root keeps it")));
    Guardian::<Rootable![Node<'_>]>::new().watch(m, node);
    assert!(m.on_dead(node, || ()).cancel());
    let cells = m.alloc_slice(2, |_| m.cell(Some(node)));
    assert!(
        m.try_alloc_slice(1, |_| cells)
            .is_ok_and(|one| one[0][1].get().is_some())
    );
    (node, m.alloc_str("text").as_ref())
}

#[test]
fn a_helper_function_needs_no_long_borrow_of_the_mutator() {
    quiet().enter(|m| {
        fn twice<'gc>(m: &Mutator<'gc>) -> [&'gc str; 2] {
            let short = |m: &Mutator<'gc>| with_a_short_borrow(m).1;
            [short(m), short(m)]
        }
        assert_eq!(twice(m), ["text"; 2]);
        assert_eq!(with_a_short_borrow(m).0.left.get().expect("set").value, 3);
    });
}
