//! `Heap::close`: the work it waits for, the result it returns, and the threads that may call it.

use crate::{Node, NodeRoot, eventually, quiet};
use greyspan::gc::{CloseError, Heap, Leftovers, Root, Rootable, Trace, WeakRoot};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

/// Counts its drops. Every tenth drop panics.
#[derive(Trace)]
struct Counted(#[trace(skip)] Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        assert!(self.0.fetch_add(1, SeqCst) % 10 != 9, "on purpose");
    }
}

/// Its drop waits for a message.
#[derive(Trace)]
struct Slow(#[trace(skip)] Mutex<mpsc::Receiver<()>>);

impl Drop for Slow {
    fn drop(&mut self) {
        let _ = self.0.lock().unwrap().recv();
    }
}

fn left(result: Result<(), CloseError>) -> Leftovers {
    match result {
        Err(CloseError::Left(left)) => left,
        other => panic!("{other:?}"),
    }
}

fn is_refused(heap: &Heap) -> bool {
    let refused = catch_unwind(AssertUnwindSafe(|| heap.enter(|_| ())));
    refused.is_err_and(|text| text.downcast_ref::<&str>().is_some_and(|text| text.contains("closed")))
}

#[test]
fn it_drops_everything_and_runs_every_cleanup_while_clones_of_the_heap_live() {
    let heap = quiet();
    let clone = heap.clone();
    let (drops, cleanups) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    heap.enter(|m| {
        for _ in 0..1000 {
            let object = m.alloc(Counted(drops.clone()));
            let (heap, cleanups) = (heap.clone(), cleanups.clone());
            m.on_dead(object, move || {
                // A cleanup may use the heap and make objects, which are dropped too.
                heap.enter(|m| m.alloc(String::from("made at the end")).len());
                assert!(cleanups.fetch_add(1, SeqCst) % 10 != 9, "on purpose");
            });
        }
    });
    assert_eq!(heap.close(), Ok(()));
    assert_eq!((drops.load(SeqCst), cleanups.load(SeqCst)), (1000, 1000));
    let stats = heap.stats();
    assert_eq!(
        (stats.cleanups, stats.drops_panicked, stats.mapped_bytes),
        (1000, 200, 0)
    );
    assert!(
        clone.is_closed() && is_refused(&clone),
        "another handle of the closed heap"
    );
    assert_eq!((clone.close(), heap.close()), (Ok(()), Ok(())));
    heap.collect();
    heap.verify().unwrap();
}

#[test]
fn an_empty_heap_closes_and_a_thread_that_has_a_record_is_refused_too() {
    let heap = quiet();
    assert_eq!(heap.close(), Ok(()));
    assert!(is_refused(&heap));
    let heap = quiet();
    heap.enter(|m| m.alloc(1u64).as_ptr());
    assert_eq!(heap.close(), Ok(()));
    assert!(is_refused(&heap));
}

#[test]
fn dead_objects_that_hold_roots_are_dropped_link_by_link() {
    type LinkRoot = Root<Rootable![Link]>;
    #[derive(Trace)]
    struct Link {
        #[trace(skip)]
        next: Option<LinkRoot>,
        #[trace(skip)]
        drops: Arc<AtomicUsize>,
    }
    impl Drop for Link {
        fn drop(&mut self) {
            drop(self.next.take());
            self.drops.fetch_add(1, SeqCst);
        }
    }
    let heap = quiet();
    let drops = Arc::new(AtomicUsize::new(0));
    let chain = (0..20).fold(None, |next, _| {
        let drops = drops.clone();
        Some(heap.enter(|m| Root::new(m, m.alloc(Link { next, drops }))))
    });
    drop(chain);
    assert_eq!(heap.close(), Ok(()));
    assert_eq!(drops.load(SeqCst), 20);
}

#[test]
fn it_tells_what_roots_keep_and_goes_on_when_they_are_gone() {
    let heap = quiet();
    let ran = Arc::new(AtomicUsize::new(0));
    let (root, weak): (NodeRoot, _) = heap.enter(|m| {
        let node = m.alloc(Node::leaf(1));
        node.left.set(m, Some(m.alloc(Node::leaf(2))));
        let dead = m.alloc(Node::leaf(3));
        for object in [node, dead] {
            let ran = ran.clone();
            m.on_dead(object, move || {
                ran.fetch_add(1, SeqCst);
            });
        }
        (Root::new(m, node), WeakRoot::<Rootable![Node<'_>]>::new(m, node))
    });
    let again = root.clone();
    let error = heap.close();
    let leftovers = left(error);
    assert_eq!((leftovers.objects, leftovers.roots, leftovers.cleanups), (2, 1, 1));
    assert_eq!((leftovers.pinned, leftovers.unfinished, ran.load(SeqCst)), (0, 0, 1));
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("2 objects and 1 cleanups under 1 roots")
    );
    drop((root, again));
    // A weak root keeps no object.
    assert_eq!((heap.close(), ran.load(SeqCst)), (Ok(()), 2));
    drop(weak);
}

#[test]
fn it_does_not_wait_for_ever_for_a_thread_inside_enter() {
    let heap = quiet();
    let drops = Arc::new(AtomicUsize::new(0));
    let (out, inside) = mpsc::channel();
    let (leave, told) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let (there, drops) = (&heap, drops.clone());
        let pinned = scope.spawn(move || {
            there.enter(|m| {
                m.alloc(Counted(drops));
                out.send(()).unwrap();
                told.recv().unwrap();
                // The inner `enter` belongs to a pin from before the closing.
                there.enter(|m| m.alloc(Node::leaf(1)).value)
            })
        });
        inside.recv().unwrap();
        for limit in [Some(Duration::from_millis(20)), None] {
            let result = limit.map_or_else(|| heap.close(), |limit| heap.close_within(limit));
            assert_eq!(left(result).pinned, 1);
        }
        assert!(is_refused(&heap), "closed all the same");
        leave.send(()).unwrap();
        assert_eq!(pinned.join().unwrap(), 1);
    });
    assert_eq!((heap.close(), drops.load(SeqCst)), (Ok(()), 1));
}

#[test]
fn a_limit_holds_for_slow_destructors_too() {
    let heap = quiet();
    let (go, wait) = mpsc::channel();
    heap.enter(|m| m.alloc(Slow(Mutex::new(wait))).0.is_poisoned());
    assert!(left(heap.close_within(Duration::from_millis(20))).unfinished >= 1);
    go.send(()).unwrap();
    assert_eq!(heap.close(), Ok(()));
}

/// Its drop takes longer than `close` waits for threads inside `enter`. It sends a message at the
/// end.
#[derive(Trace)]
struct Long(#[trace(skip)] Mutex<mpsc::Sender<()>>);

impl Drop for Long {
    fn drop(&mut self) {
        thread::sleep(Duration::from_millis(1200));
        let _ = self.0.lock().unwrap().send(());
    }
}

#[test]
fn the_time_of_destructors_is_not_taken_from_threads_inside_enter() {
    let heap = quiet();
    let (over, told) = mpsc::channel();
    heap.enter(|m| m.alloc(Long(Mutex::new(over))).as_ptr());
    heap.collect();
    let (out, inside) = mpsc::channel();
    thread::scope(|scope| {
        let there = &heap;
        scope.spawn(move || {
            there.enter(|_| {
                out.send(()).unwrap();
                told.recv().unwrap();
                thread::sleep(Duration::from_millis(100));
            });
        });
        inside.recv().unwrap();
        assert_eq!(heap.close(), Ok(()));
    });
}

#[test]
fn threads_that_are_refused_again_and_again_do_not_hold_it_up() {
    let heap = quiet();
    let (over, _told) = mpsc::channel();
    heap.enter(|m| m.alloc(Long(Mutex::new(over))).as_ptr());
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while done.load(SeqCst) == 0 {
                    let _ = catch_unwind(AssertUnwindSafe(|| heap.enter(|_| ())));
                    thread::yield_now();
                }
            });
        }
        let result = heap.close();
        done.store(1, SeqCst);
        assert_eq!(result, Ok(()));
    });
}

#[test]
fn callers_that_would_wait_for_themselves_get_an_error_and_the_heap_stays_open() {
    let (heap, other) = (quiet(), quiet());
    assert_eq!(
        heap.enter(|_| (heap.close(), other.close())),
        (Err(CloseError::InsideEnter), Err(CloseError::InsideEnter))
    );
    let (out, answers) = mpsc::channel();
    heap.enter(|m| {
        let (heap, other) = (heap.clone(), other.clone());
        m.on_dead(m.alloc(1u64), move || out.send((heap.close(), other.close())).unwrap());
    });
    heap.collect();
    let answers = answers.recv().unwrap();
    assert_eq!(answers, (Err(CloseError::InDrop), Err(CloseError::InDrop)));
    assert!(!heap.is_closed() && !other.is_closed());
    assert_eq!(heap.enter(|m| m.alloc(Node::leaf(4)).value), 4);
    // A panic that leaves `enter` also ends the pin.
    let _ = catch_unwind(AssertUnwindSafe(|| heap.enter(|_| panic!("on purpose"))));
    assert_eq!((heap.close(), other.close()), (Ok(()), Ok(())));
}

#[test]
fn threads_that_close_at_once_all_wait_for_the_end_and_threads_that_enter_are_refused() {
    for _ in 0..20 {
        let heap = quiet();
        let (made, dropped) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let start = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    start.wait();
                    let work = || {
                        heap.enter(|m| {
                            made.fetch_add(1, SeqCst);
                            let dropped = dropped.clone();
                            m.on_dead(m.alloc(Node::leaf(1)), move || {
                                dropped.fetch_add(1, SeqCst);
                            });
                        })
                    };
                    while catch_unwind(AssertUnwindSafe(work)).is_ok() {}
                });
                scope.spawn(|| {
                    start.wait();
                    assert_eq!(heap.close(), Ok(()));
                    // No object is made after the last cycle.
                    assert_eq!(made.load(SeqCst), dropped.load(SeqCst));
                });
            }
        });
    }
}

#[test]
fn threads_that_close_at_once_meet_cleanups_that_make_objects_of_all_kinds() {
    fn arrange(heap: &Heap, left: u64) {
        heap.enter(|m| {
            for step in 0..400 {
                m.alloc_slice(1 + step % 60, |_| Some(left));
                m.alloc_str("made in a cleanup");
            }
            m.alloc_slice(12 << 10, |_| left);
            let heap = heap.clone();
            m.on_dead(m.alloc(left), move || {
                if left > 0 {
                    arrange(&heap, left - 1);
                }
            });
        });
    }
    for _ in 0..30 {
        let heap = quiet();
        (0..4).for_each(|_| arrange(&heap, 20));
        let start = Barrier::new(3);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    start.wait();
                    assert_eq!(heap.close(), Ok(()));
                });
            }
        });
        let stats = heap.stats();
        assert_eq!((stats.cleanups, stats.mapped_bytes), (4 * 21, 0));
    }
}

#[test]
fn a_cleanup_that_arranges_the_next_one_for_ever_does_not_hold_it_up_for_ever() {
    fn arrange(heap: &Heap, count: Arc<AtomicUsize>) {
        heap.enter(|m| {
            let heap = heap.clone();
            m.on_dead(m.alloc(1u64), move || {
                count.fetch_add(1, SeqCst);
                arrange(&heap, count);
            });
        });
    }
    let heap = quiet();
    let count = Arc::new(AtomicUsize::new(0));
    arrange(&heap, count.clone());
    let left = left(heap.close());
    assert!(left.cleanups == 1 && count.load(SeqCst) > 50, "{left:?}");
}

#[test]
fn a_guardian_that_is_there_keeps_what_it_brings_back_and_one_that_is_gone_keeps_nothing() {
    let heap = quiet();
    let guardian = greyspan::gc::Guardian::<Rootable![Node<'_>]>::new();
    let gone = greyspan::gc::Guardian::<Rootable![Node<'_>]>::new();
    heap.enter(|m| {
        guardian.watch(m, m.alloc(Node::leaf(1)));
        gone.watch(m, m.alloc(Node::leaf(2)));
    });
    drop(gone);
    let leftovers = left(heap.close());
    assert_eq!((leftovers.objects, leftovers.roots), (1, 1));
    assert!(guardian.next().is_some());
    assert_eq!(heap.close(), Ok(()));
}

#[test]
fn a_heap_that_closes_while_its_cycles_run_ends_as_one_that_rests() {
    let heap = Heap::builder().gc_percent(Some(10)).build();
    let drops = Arc::new(AtomicUsize::new(0));
    for _ in 0..50 {
        heap.enter(|m| {
            (0..1000).for_each(|_| {
                m.alloc(Counted(drops.clone()));
            })
        });
    }
    assert_eq!((heap.close(), drops.load(SeqCst)), (Ok(()), 50_000));
    drop(heap);
    eventually("nothing more", || drops.load(SeqCst) == 50_000);
}
