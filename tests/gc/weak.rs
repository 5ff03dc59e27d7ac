//! Weak references and ephemerons: their answers are exact, and the same for every thread.

use crate::{Node, NodeRoot, quiet};
use greyspan::gc::{Gc, GcCell, GcWeak, Root, Rootable, Trace, WeakMap, WeakRoot};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

type WeakNode = WeakRoot<Rootable![Node<'_>]>;

#[test]
fn a_weak_reference_lives_as_long_as_its_target() {
    let heap = quiet();
    let (root, weak): (NodeRoot, WeakNode) = heap.enter(|m| {
        let node = m.alloc(Node::leaf(1));
        (Root::new(m, node), WeakRoot::new(m, node))
    });
    for _ in 0..3 {
        heap.collect();
        heap.enter(|m| assert!(weak.upgrade(m).unwrap().ptr_eq(root.get(m))));
    }
    drop(root);
    heap.collect();
    heap.enter(|m| assert!(weak.upgrade(m).is_none() && weak.clone().upgrade(m).is_none()));
    drop(weak);
    heap.collect();
    assert_eq!(heap.stats().live_bytes, 0, "the cell goes too");
}

#[derive(Trace)]
struct Observer<'gc> {
    watches: GcWeak<'gc, str>,
}

#[test]
fn weak_references_in_objects_know_unsized_targets() {
    let heap = quiet();
    let text: Root<Rootable![str]> = heap.enter(|m| Root::new(m, m.alloc_str("observed")));
    let observer: Root<Rootable![Observer<'_>]> = heap.enter(|m| {
        let watches = GcWeak::new(m, text.get(m));
        Root::new(m, m.alloc(Observer { watches }))
    });
    heap.collect();
    heap.enter(|m| assert_eq!(&*observer.get(m).watches.upgrade(m).unwrap(), "observed"));
    drop(text);
    heap.collect();
    heap.enter(|m| assert!(observer.get(m).watches.upgrade(m).is_none()));
}

#[derive(Trace)]
struct Maps<'gc> {
    map: WeakMap<'gc, Node<'gc>, Node<'gc>>,
}

#[test]
fn an_entry_goes_with_its_key_even_where_the_value_leads_to_the_key() {
    let heap = quiet();
    let maps: Root<Rootable![Maps<'_>]> = heap.enter(|m| Root::new(m, m.alloc(Maps { map: WeakMap::new(m) })));
    let key: NodeRoot = heap.enter(|m| {
        let (key, value) = (m.alloc(Node::leaf(1)), m.alloc(Node::leaf(2)));
        value.left.set(m, Some(key));
        maps.get(m).map.insert(m, key, value);
        Root::new(m, key)
    });
    heap.collect();
    heap.enter(|m| assert_eq!(maps.get(m).map.get(m, key.get(m)).unwrap().value, 2));
    drop(key);
    heap.collect();
    heap.enter(|m| assert_eq!(maps.get(m).map.len(), 0));
    assert_eq!(heap.stats().freed_objects, 2);
}

#[test]
fn ephemerons_chain_through_several_tables() {
    let heap = quiet();
    let (first, maps) = heap.enter(|m| {
        let maps: Vec<Root<Rootable![Maps<'_>]>> = (0..3)
            .map(|_| Root::new(m, m.alloc(Maps { map: WeakMap::new(m) })))
            .collect();
        let nodes: Vec<_> = (0..100).map(|value| m.alloc(Node::leaf(value))).collect();
        // Inserts against the order in which the collector looks at tables, as far as there is one.
        for at in (1..100).rev() {
            maps[at % 3].get(m).map.insert(m, nodes[at - 1], nodes[at]);
        }
        let first: NodeRoot = Root::new(m, nodes[0]);
        (first, maps)
    });
    heap.collect();
    heap.verify().unwrap();
    heap.enter(|m| {
        let mut at = first.get(m);
        for value in 1..100 {
            at = maps[value % 3].get(m).map.get(m, at).unwrap();
            assert_eq!(at.value, value as u64);
        }
    });
    drop(first);
    heap.collect();
    heap.enter(|m| assert!(maps.iter().all(|maps| maps.get(m).map.is_empty())));
}

#[test]
fn once_none_always_none_while_two_threads_upgrade_at_the_end_of_marking() {
    for round in 0..60 {
        let heap = quiet();
        let (root, weak): (NodeRoot, WeakNode) = heap.enter(|m| {
            let node = m.alloc(Node::leaf(round));
            node.left.set(m, Some(m.alloc(Node::leaf(round + 1))));
            (Root::new(m, node), WeakRoot::new(m, node))
        });
        let dead = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let over = heap.enter(|m| {
                            let was_dead = dead.load(Ordering::SeqCst);
                            match weak.upgrade(m) {
                                Some(node) => {
                                    assert!(!was_dead, "another thread got None before");
                                    assert_eq!((node.value, node.left.get().unwrap().value), (round, round + 1));
                                    false
                                }
                                None => {
                                    dead.store(true, Ordering::SeqCst);
                                    true
                                }
                            }
                        });
                        if over {
                            break;
                        }
                    }
                });
            }
            heap.collect();
            drop(root);
            // An upgrade at the wrong moment keeps the object for one cycle, but not for ever.
            while !dead.load(Ordering::SeqCst) {
                heap.collect();
            }
        });
        heap.verify().unwrap();
    }
}

#[derive(Trace)]
struct MapBox<'gc> {
    map: WeakMap<'gc, u64, u64>,
}

#[derive(Trace)]
struct Holder<'gc> {
    map: GcCell<'gc, MapBox<'gc>>,
    key: Gc<'gc, u64>,
}

/// A thread that has not passed the cycle's second handshake inserts into a map. Another thread
/// made the map after that handshake, so no tracer looks at it.
#[test]
fn what_is_inserted_before_the_second_handshake_into_a_map_made_after_it_stays() {
    let heap = quiet();
    let root: Root<Rootable![Holder<'_>]> = heap.enter(|m| {
        let holder = Holder {
            map: GcCell::null(),
            key: m.alloc(17),
        };
        Root::new(m, m.alloc(holder))
    });
    let (pinned, made) = (AtomicBool::new(false), AtomicBool::new(false));
    let wait = |flag: &AtomicBool| {
        while !flag.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
    };
    std::thread::scope(|s| {
        s.spawn(|| {
            heap.enter(|m| {
                pinned.store(true, Ordering::Release);
                while !made.load(Ordering::Acquire) {
                    // This acknowledges the first handshake, but not the second one, which waits
                    // for the thread's unpin.
                    m.poll();
                    std::thread::yield_now();
                }
                let holder = root.get(m);
                holder.map.get().unwrap().map.insert(m, holder.key, m.alloc(0xC0FFEE));
            });
        });
        wait(&pinned);
        s.spawn(|| heap.collect());
        std::thread::sleep(Duration::from_millis(100));
        heap.enter(|m| {
            let map = WeakMap::new(m);
            root.get(m).map.set(m, Some(m.alloc(MapBox { map })));
        });
        made.store(true, Ordering::Release);
    });
    heap.verify().expect("a whole heap");
    heap.collect();
    heap.enter(|m| {
        let holder = root.get(m);
        let value = holder.map.get().unwrap().map.get(m, holder.key);
        assert_eq!(value.map(|value| *value), Some(0xC0FFEE));
    });
}

/// The pinned thread ends only after the thread that it waits for has entered too.
#[test]
fn the_verifier_lets_in_those_that_a_pinned_thread_waits_for() {
    let heap = quiet();
    let pinned = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            heap.enter(|_| {
                pinned.store(true, Ordering::Release);
                std::thread::sleep(Duration::from_millis(100));
                std::thread::scope(|s| {
                    s.spawn(|| heap.enter(|_| ()));
                });
            });
        });
        while !pinned.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        heap.verify().expect("a whole heap");
    });
}
