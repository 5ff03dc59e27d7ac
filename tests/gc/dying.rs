//! How objects, threads and heaps end.

use crate::{Node, NodeRoot, eventually, quiet};
use greyspan::events::{EventKind, Reader};
use greyspan::gc::{Heap, Root, Rootable, Trace};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

/// Logs the thread and the number of its drops.
#[derive(Trace)]
struct Loud {
    #[trace(skip)]
    log: Arc<Mutex<Vec<String>>>,
    panics: bool,
}

impl Drop for Loud {
    fn drop(&mut self) {
        let name = thread::current().name().unwrap_or("?").to_string();
        self.log.lock().unwrap().push(name);
        assert!(!self.panics, "on purpose");
    }
}

#[test]
fn drops_run_on_the_drop_thread_and_survive_panics() {
    let heap = quiet();
    let log = Arc::new(Mutex::new(Vec::new()));
    heap.enter(|m| {
        for number in 0..1000 {
            m.alloc(Loud {
                log: log.clone(),
                panics: number % 100 == 0,
            });
        }
    });
    heap.collect();
    eventually("all drops", || log.lock().unwrap().len() == 1000);
    assert!(log.lock().unwrap().iter().all(|name| name == "greyspan-drop"));
    eventually("the count", || heap.stats().drops_panicked == 10);
    // Their slots are used again, once each.
    heap.collect();
    assert_eq!(heap.stats().mapped_bytes, 0);
}

#[test]
fn an_object_is_dropped_once_however_many_cycles_pass() {
    let heap = quiet();
    let log = Arc::new(Mutex::new(Vec::new()));
    let kept: Root<Rootable![Loud]> = heap.enter(|m| {
        m.alloc(Loud {
            log: log.clone(),
            panics: false,
        });
        Root::new(
            m,
            m.alloc(Loud {
                log: log.clone(),
                panics: false,
            }),
        )
    });
    for _ in 0..5 {
        heap.collect();
    }
    eventually("the drop", || log.lock().unwrap().len() == 1);
    drop(kept);
    drop(heap);
    eventually("the heap's end", || log.lock().unwrap().len() == 2);
    assert!(log.lock().unwrap().iter().all(|name| name == "greyspan-drop"));
}

#[test]
fn a_heap_without_threads_drops_what_is_left_on_a_thread_of_its_own() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let heap = quiet();
    heap.enter(|m| {
        m.alloc_slice(3, |_| Loud {
            log: log.clone(),
            panics: false,
        })
        .len()
    });
    drop(heap);
    eventually("the drops", || log.lock().unwrap().len() == 3);
    assert!(log.lock().unwrap().iter().all(|name| name == "greyspan-drop"));
}

#[test]
fn a_slow_drop_holds_up_nobody() {
    struct Slow(mpsc::Receiver<()>);
    impl Drop for Slow {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }
    #[derive(Trace)]
    struct Holds(#[trace(skip)] Mutex<Slow>);
    let heap = quiet();
    let (go, wait) = mpsc::channel();
    heap.enter(|m| m.alloc(Holds(Mutex::new(Slow(wait)))).as_ptr());
    for _ in 0..10 {
        heap.collect();
        heap.enter(|m| m.alloc(Node::leaf(1)).value);
    }
    assert_eq!(heap.stats().cycles, 10);
    go.send(()).unwrap();
    eventually("its span goes back", || {
        heap.collect();
        heap.stats().mapped_bytes == 0
    });
}

#[test]
fn cleanups_run_after_weak_references_are_dead_and_may_be_called_off() {
    let heap = quiet();
    let (ran, called_off) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (root, cancel) = heap.enter(|m| {
        let node = m.alloc(Node::leaf(1));
        let weak = greyspan::gc::WeakRoot::<Rootable![Node<'_>]>::new(m, node);
        let (ran, called_off, heap) = (ran.clone(), called_off.clone(), heap.clone());
        m.on_dead(node, move || {
            heap.enter(|m| assert!(weak.upgrade(m).is_none()));
            ran.fetch_add(1, SeqCst);
        });
        let cancel = m.on_dead(node, move || {
            called_off.fetch_add(1, SeqCst);
        });
        let root: NodeRoot = Root::new(m, node);
        (root, cancel)
    });
    heap.collect();
    assert_eq!(ran.load(SeqCst), 0);
    assert!(cancel.cancel() && !cancel.cancel());
    drop(root);
    heap.collect();
    eventually("the cleanup", || ran.load(SeqCst) == 1);
    heap.collect();
    assert_eq!(
        (ran.load(SeqCst), called_off.load(SeqCst), heap.stats().cleanups),
        (1, 0, 1)
    );
}

#[test]
fn roots_keep_a_heap_whose_handles_are_gone() {
    let root: NodeRoot = {
        let heap = quiet();
        heap.enter(|m| Root::new(m, m.alloc(Node::leaf(5))))
    };
    let again = root.clone();
    assert!(again.ptr_eq(&root));
    drop(root);
    thread::spawn(move || drop(again)).join().unwrap();
}

#[test]
fn a_root_may_be_dropped_by_any_thread_and_in_thread_local_destructors() {
    thread_local! {
        static KEPT: std::cell::RefCell<Option<(Heap, NodeRoot)>> = const { std::cell::RefCell::new(None) };
    }
    let heap = quiet();
    let root: NodeRoot = heap.enter(|m| Root::new(m, m.alloc(Node::leaf(1))));
    let (there, clone) = (heap.clone(), root.clone());
    thread::spawn(move || KEPT.set(Some((there, clone)))).join().unwrap();
    heap.collect();
    assert_eq!(heap.stats().freed_objects, 0);
    let there = heap.clone();
    thread::spawn(move || KEPT.set(Some((there, root)))).join().unwrap();
    heap.collect();
    assert_eq!(heap.stats().freed_objects, 1);
}

#[test]
fn enter_works_in_thread_local_destructors_whatever_their_order() {
    struct Late(Heap, Arc<AtomicUsize>);
    impl Drop for Late {
        fn drop(&mut self) {
            self.0.enter(|m| {
                let value = m.alloc(Node::leaf(3)).value;
                // An inner `enter` of the same heap.
                self.0.enter(|m| m.alloc(Node::leaf(4)).value);
                self.1.fetch_add(value as usize, SeqCst);
            });
        }
    }
    thread_local! {
        static FIRST: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) };
        static LAST: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) };
    }
    let (heap, count) = (quiet(), Arc::new(AtomicUsize::new(0)));
    for enter_between in [true, false] {
        let (heap, count) = (heap.clone(), count.clone());
        let body = move || {
            FIRST.set(Some(Late(heap.clone(), count.clone())));
            if enter_between {
                heap.enter(|m| m.alloc(Node::leaf(0)).value);
            }
            LAST.set(Some(Late(heap, count)));
        };
        thread::spawn(body).join().unwrap();
    }
    assert_eq!(count.load(SeqCst), 12);
    heap.collect();
    heap.verify().unwrap();
    let stats = heap.stats();
    assert_eq!((stats.live_bytes, stats.mutators), (0, 0), "their records went back");
}

#[test]
fn a_forgotten_root_leaks_its_graph_only() {
    let heap = quiet();
    heap.enter(|m| {
        let node = m.alloc(Node::leaf(1));
        node.left.set(m, Some(m.alloc(Node::leaf(2))));
        m.alloc(Node::leaf(3));
        std::mem::forget::<NodeRoot>(Root::new(m, node));
    });
    heap.collect();
    assert_eq!(heap.stats().freed_objects, 1);
    heap.verify().unwrap();
}

#[test]
fn threads_that_end_leave_no_garbage_and_their_records_are_used_again() {
    let heap = quiet();
    for round in 0..200u64 {
        let there = heap.clone();
        thread::spawn(move || there.enter(|m| (0..50).map(|_| m.alloc(Node::leaf(round)).value).sum::<u64>()))
            .join()
            .unwrap();
        assert_eq!(heap.stats().mutators, 0);
    }
    heap.collect();
    assert_eq!((heap.stats().freed_objects, heap.stats().live_bytes), (10_000, 0));
}

#[test]
fn cleanups_of_what_lives_to_the_end_of_its_heap_run_then() {
    for collects in [false, true] {
        let heap = quiet();
        let run = Arc::new(AtomicUsize::new(0));
        let kept: NodeRoot = heap.enter(|m| {
            let node = m.alloc(Node::leaf(1));
            let run = Arc::clone(&run);
            m.on_dead(node, move || {
                run.fetch_add(1, SeqCst);
            });
            Root::new(m, node)
        });
        if collects {
            heap.collect();
        }
        assert_eq!(run.load(SeqCst), 0);
        drop(heap);
        drop(kept);
        eventually("the cleanup", || run.load(SeqCst) == 1);
    }
}

#[test]
fn cleanups_are_cancelled_in_any_order_and_between_cycles_in_linear_time() {
    let (done, finished) = mpsc::channel();
    thread::spawn(move || {
        let heap = quiet();
        for order in 0..3 {
            let all: Vec<_> = heap.enter(|m| {
                let object = m.alloc(Node::leaf(1));
                (0..200_000).map(|_| m.on_dead(object, || ())).collect()
            });
            let cancelled = match order {
                // Cancels in the order of making, in the reverse order, and in neither. In the last
                // case a cycle executes the others.
                0 => all.iter().filter(|cleanup| cleanup.cancel()).count(),
                1 => all.iter().rev().filter(|cleanup| cleanup.cancel()).count(),
                _ => {
                    let scattered = (0..all.len()).map(|at| &all[at * 7919 % all.len()]);
                    let count = scattered.take(100_000).filter(|cleanup| cleanup.cancel()).count();
                    heap.collect();
                    assert!(all.iter().all(|cleanup| !cleanup.cancel()), "its object is dead");
                    count
                }
            };
            assert_eq!(cancelled, if order == 2 { 100_000 } else { 200_000 });
        }
        done.send(()).unwrap();
    });
    // A watchdog. If each cancelling took time in proportion to all cleanups, minutes would not
    // suffice.
    let watch = finished.recv_timeout(std::time::Duration::from_secs(60));
    assert!(
        watch.is_ok(),
        "cancelling takes a time that grows with the number of cleanups"
    );
}

#[test]
fn a_cleanup_that_is_a_root_of_its_own_object_is_refused() {
    let heap = quiet();
    let refused = |register: &dyn Fn()| {
        let text = std::panic::catch_unwind(std::panic::AssertUnwindSafe(register)).expect_err("it never runs");
        assert!(
            text.downcast_ref::<&str>()
                .is_some_and(|text| text.contains("holds a Root"))
        );
    };
    heap.enter(|m| {
        let node = m.alloc(Node::leaf(1));
        let root: NodeRoot = Root::new(m, node);
        let again = Root::clone(&root);
        refused(&|| {
            drop(m.on_dead(node, {
                let root = root.clone();
                move || drop(root)
            }))
        });
        refused(&|| {
            drop(m.on_dead(node, {
                let again = again.clone();
                move || assert!(again.ptr_eq(&again))
            }))
        });
        let slice = m.alloc_slice(3, |index| index);
        let fat: Root<Rootable![[usize]]> = Root::new(m, slice);
        refused(&|| {
            drop(m.on_dead(slice, {
                let fat = fat.clone();
                move || drop(fat)
            }))
        });
        assert_eq!(heap.stats().cleanups_kept, 0);
        // A root and one more word are as large as a root of a slice. The closure is more than a
        // root.
        for is_first in [true, false] {
            let (root, more) = (again.clone(), Arc::new(()));
            let held = if is_first {
                let both = (root, more);
                m.on_dead(node, move || drop(both))
            } else {
                let both = [(more, root)];
                m.on_dead(node, move || drop(both))
            };
            assert_eq!(heap.stats().cleanups_kept, 1);
            assert!(held.cancel());
        }
        // A root among other values is counted, and cancelling the cleanup lets the object go.
        let ran = Arc::new(AtomicUsize::new(0));
        let log = (ran.clone(), [1u64; 9], String::from("text"));
        let held = m.on_dead(node, move || {
            let (ran, ..) = &log;
            ran.fetch_add(usize::from(again.ptr_eq(&root)), SeqCst);
        });
        assert_eq!(heap.stats().cleanups_kept, 1);
        assert!(
            heap.stats()
                .to_string()
                .contains("1  cleanups hold a root of their own object")
        );
        assert!(held.cancel());
        assert_eq!((heap.stats().cleanups_kept, ran.load(SeqCst)), (0, 0));
    });
}

#[test]
fn a_cleanup_may_hold_roots_of_others_weak_roots_and_addresses_of_its_object() {
    let heap = quiet();
    let ran = Arc::new(AtomicUsize::new(0));
    heap.enter(|m| {
        let (node, other) = (m.alloc(Node::leaf(1)), m.alloc(Node::leaf(2)));
        let (address, ran) = (node.as_ptr() as usize, &ran);
        let (kept, weak): (NodeRoot, _) = (
            Root::new(m, other),
            greyspan::gc::WeakRoot::<Rootable![Node<'_>]>::new(m, node),
        );
        let root: NodeRoot = Root::new(m, node);
        let count = || {
            let ran = ran.clone();
            move || ran.fetch_add(1, SeqCst)
        };
        let (one, two, three) = (count(), count(), count());
        m.on_dead(node, move || {
            drop(kept);
            one();
        });
        m.on_dead(node, move || {
            drop(weak);
            two();
        });
        m.on_dead(node, move || {
            three();
            assert_ne!(address, 0);
        });
        m.on_dead(node, move || assert_ne!(address, 0));
        drop(root);
    });
    assert_eq!(heap.stats().cleanups_kept, 0);
    heap.collect();
    eventually("the cleanups", || ran.load(SeqCst) == 3);
}

/// Drops its roots and counts its drops.
#[derive(Trace)]
struct Keeps {
    #[trace(skip)]
    root: Option<NodeRoot>,
    #[trace(skip)]
    itself: Mutex<Option<KeepsRoot>>,
    #[trace(skip)]
    drops: Arc<AtomicUsize>,
}

type KeepsRoot = Root<Rootable![Keeps]>;

impl Drop for Keeps {
    fn drop(&mut self) {
        drop(self.root.take());
        self.drops.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_dead_object_that_holds_a_root_keeps_no_heap_without_handles() {
    let (drops, cleanups) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let heap = quiet();
    heap.enter(|m| {
        let kept = m.alloc(Node::leaf(1));
        let cleanups = cleanups.clone();
        m.on_dead(kept, move || {
            cleanups.fetch_add(1, SeqCst);
        });
        let (root, itself) = (Some(Root::new(m, kept)), Mutex::new(None));
        m.alloc(Keeps {
            root,
            itself,
            drops: drops.clone(),
        });
    });
    // No cycle has run, and no thread can enter the heap any more to cause one.
    drop(heap);
    eventually("the drop", || drops.load(SeqCst) == 1);
    eventually("the cleanup of the held object", || cleanups.load(SeqCst) == 1);
}

#[test]
fn a_heap_that_only_its_own_objects_keep_is_told_of() {
    let drops = Arc::new(AtomicUsize::new(0));
    let reader = std::cell::RefCell::new(Reader::new());
    let told = || {
        let mut found = false;
        reader.borrow_mut().read(&mut |event| {
            found |= matches!(event.kind, EventKind::GcHeapKept { roots: 1, cleanups: 1, live } if live > 0);
        });
        found
    };
    let heap = quiet();
    let root: KeepsRoot = heap.enter(|m| {
        let keeps = m.alloc(Keeps {
            root: None,
            itself: Mutex::new(None),
            drops: drops.clone(),
        });
        m.on_dead(keeps, || ());
        Root::new(m, keeps)
    });
    let again = heap.enter(|m| {
        let keeps = root.get(m);
        *keeps.itself.lock().unwrap() = Some(root.clone());
        greyspan::gc::WeakRoot::<Rootable![Keeps]>::new(m, keeps)
    });
    drop((root, again));
    heap.collect();
    assert!(!told() && drops.load(SeqCst) == 0);
    drop(heap);
    eventually("the event", told);
}
