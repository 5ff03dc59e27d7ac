//! Several mutators at full speed, with back-to-back cycles.

use crate::rng::Rng;
use crate::{Node, NodeRoot, quiet};
use greyspan::gc::{Gc, GcCell, GcLock, Heap, Mutator, Root, Rootable, Trace};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// Runs `work` on `threads` threads, with back-to-back cycles until they are done.
fn storm(heap: &Heap, threads: usize, work: impl Fn(usize) + Sync) {
    let left = AtomicU64::new(threads as u64);
    thread::scope(|scope| {
        for number in 0..threads {
            let (work, left) = (&work, &left);
            scope.spawn(move || {
                struct Done<'a>(&'a AtomicU64);
                impl Drop for Done<'_> {
                    fn drop(&mut self) {
                        self.0.fetch_sub(1, SeqCst);
                    }
                }
                let _done = Done(left);
                work(number);
            });
        }
        while left.load(SeqCst) > 0 {
            heap.collect();
        }
    });
    heap.verify().unwrap();
}

const STEPS: usize = if cfg!(debug_assertions) { 60_000 } else { 2_000_000 };

/// An object of the swap storm. Its `check` is a function of its `value`, so a lost object shows.
#[derive(Trace)]
struct Checked<'gc> {
    value: u64,
    check: u64,
    next: GcCell<'gc, Checked<'gc>>,
}

fn check_of(value: u64) -> u64 {
    value.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5EED
}

fn checked<'gc>(m: &'gc Mutator<'gc>, value: u64, next: Option<Gc<'gc, Checked<'gc>>>) -> Gc<'gc, Checked<'gc>> {
    m.alloc(Checked {
        value,
        check: check_of(value),
        next: GcCell::new(next),
    })
}

fn follow<'gc>(mut at: Gc<'gc, Checked<'gc>>, most: usize) {
    for _ in 0..most {
        assert_eq!(
            at.check,
            check_of(at.value),
            "an object was lost and its slot used again"
        );
        match at.next.get() {
            Some(next) => at = next,
            None => return,
        }
    }
}

#[test]
fn pointers_that_are_swapped_between_slots_are_never_lost() {
    let heap = quiet();
    let table: Root<Rootable![[GcCell<'_, Checked<'_>>]]> = heap.enter(|m| {
        Root::new(
            m,
            m.alloc_slice(512, |index| GcCell::new(Some(checked(m, index as u64, None)))),
        )
    });
    storm(&heap, 3, |number| {
        let mut rng = Rng::new(number as u64 + 1);
        let mut steps = 0;
        while steps < STEPS {
            heap.enter(|m| {
                let table = table.get(m);
                // Pins differ in length, and each holds a value in `hand` for its whole length.
                let mut hand = table[rng.below(512)].get();
                for _ in 0..1 + rng.below(200) {
                    steps += 1;
                    let (a, b) = (&table[rng.below(512)], &table[rng.below(512)]);
                    match rng.below(8) {
                        // Moves the value of a slot or the hand to another place. For a moment no
                        // slot holds it.
                        0..=2 => hand = a.swap(m, hand),
                        3 => {
                            let taken = a.take(m);
                            b.set(m, taken);
                        }
                        4 => hand = Some(checked(m, steps as u64, None)),
                        5 => {
                            // Builds chains and cuts some of them.
                            if let (Some(from), to) = (a.get(), hand) {
                                from.next.set(m, to);
                            }
                        }
                        6 => {
                            let current = a.get();
                            let _ = b.compare_exchange(m, current, hand);
                        }
                        _ => {
                            if let Some(at) = a.get() {
                                follow(at, 8);
                                at.next.set(m, None);
                            }
                        }
                    }
                    if let Some(hand) = hand {
                        assert_eq!(hand.check, check_of(hand.value));
                    }
                }
            });
        }
    });
    heap.enter(|m| {
        table
            .get(m)
            .iter()
            .filter_map(GcCell::get)
            .for_each(|at| follow(at, 1 << 20))
    });
    drop(table);
    heap.collect();
    assert_eq!((heap.stats().live_bytes, heap.stats().mapped_bytes), (0, 0));
}

#[derive(Trace)]
struct Shelf<'gc> {
    items: GcLock<Vec<Gc<'gc, Checked<'gc>>>>,
}

#[test]
fn edges_that_move_between_locked_containers_are_never_lost() {
    let heap = quiet();
    let shelves: Root<Rootable![[Shelf<'_>]]> = heap.enter(|m| {
        Root::new(
            m,
            m.alloc_slice(8, |_| Shelf {
                items: GcLock::new((0..16).map(|value| checked(m, value, None)).collect()),
            }),
        )
    });
    storm(&heap, 3, |number| {
        let mut rng = Rng::new(number as u64 + 11);
        for _ in 0..STEPS / 40 {
            heap.enter(|m| {
                for _ in 0..10 {
                    let (from, to) = (&shelves.get(m)[rng.below(8)], &shelves.get(m)[rng.below(8)]);
                    let item = { from.items.write(m).pop() };
                    let item = item.unwrap_or_else(|| checked(m, rng.below(1000) as u64, None));
                    assert_eq!(item.check, check_of(item.value));
                    to.items.write(m).push(item);
                    let read = from.items.read();
                    assert!(read.iter().all(|item| item.check == check_of(item.value)));
                }
            });
        }
    });
}

#[test]
fn roots_are_made_moved_and_dropped_by_all_threads() {
    let heap = quiet();
    let (sender, receiver) = std::sync::mpsc::sync_channel::<NodeRoot>(64);
    let receiver = std::sync::Mutex::new(receiver);
    storm(&heap, 4, |number| {
        if number % 2 == 0 {
            let sender = sender.clone();
            for step in 0..STEPS / 40 {
                let root = heap.enter(|m| {
                    let node = m.alloc(Node::leaf(step as u64));
                    node.left.set(m, Some(m.alloc(Node::leaf(!(step as u64)))));
                    Root::new(m, node)
                });
                let _ = sender.try_send(root);
            }
        } else {
            for _ in 0..STEPS / 40 {
                let Ok(root) = receiver.lock().unwrap().try_recv() else {
                    continue;
                };
                let clone = root.clone();
                drop(root);
                heap.enter(|m| {
                    let node = clone.get(m);
                    assert_eq!(node.left.get().unwrap().value, !node.value);
                });
            }
        }
    });
    drop(receiver);
    heap.collect();
    assert_eq!(heap.stats().live_bytes, 0);
}

#[test]
fn a_pin_holds_up_nobody_but_the_end_of_the_cycle() {
    let heap = Heap::new();
    let (pinned, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            heap.enter(|m| {
                let held = m.alloc(Node::leaf(77));
                pinned.store(true, SeqCst);
                while !stop.load(SeqCst) {
                    thread::sleep(Duration::from_millis(1));
                }
                assert_eq!(held.value, 77);
            });
        });
        while !pinned.load(SeqCst) {
            thread::yield_now();
        }
        let since = Instant::now();
        let mut entered = 0;
        while since.elapsed() < Duration::from_millis(700) {
            heap.enter(|m| (0..1000).map(|value| m.alloc(Node::leaf(value)).value).sum::<u64>());
            entered += 1;
        }
        assert!(entered > 100, "{entered}");
        assert_eq!(
            heap.stats().cycles,
            0,
            "no cycle ends while a thread is pinned and silent"
        );
        stop.store(true, SeqCst);
    });
    heap.collect();
    let stats = heap.stats();
    assert!(stats.live_bytes == 0 && stats.longest_pin_ns > 500_000_000, "{stats}");
}

#[test]
fn a_pinned_thread_that_polls_lets_marking_begin_and_end_and_its_objects_live() {
    let heap = quiet();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                heap.enter(|m| {
                    // Making the slice takes longer than a handshake.
                    let slice = m.alloc_slice(64, |index| {
                        m.poll();
                        thread::sleep(Duration::from_micros(20));
                        m.alloc(Node::leaf(index as u64))
                    });
                    assert!(slice.iter().enumerate().all(|(index, node)| node.value == index as u64));
                });
            }
        });
        for _ in 0..30 {
            heap.collect();
        }
        stop.store(true, SeqCst);
    });
    heap.verify().unwrap();
}

#[test]
fn cycles_begin_by_themselves_and_memory_stays_bounded() {
    let heap = Heap::new();
    let keep: Root<Rootable![[GcCell<'_, Node<'_>>]]> = heap.enter(|m| {
        Root::new(
            m,
            m.alloc_slice(100_000, |index| GcCell::new(Some(m.alloc(Node::leaf(index as u64))))),
        )
    });
    let most = AtomicU64::new(0);
    thread::scope(|scope| {
        for number in 0..2 {
            let (heap, keep, most) = (&heap, &keep, &most);
            scope.spawn(move || {
                let mut rng = Rng::new(number + 1);
                for _ in 0..STEPS / 100 {
                    heap.enter(|m| {
                        for _ in 0..100 {
                            keep.get(m)[rng.below(100_000)].set(m, Some(m.alloc(Node::leaf(1))));
                        }
                    });
                    most.fetch_max(heap.stats().mapped_bytes, SeqCst);
                }
            });
        }
    });
    let live = 100_000 * (size_of::<Node>() as u64 + 8);
    crate::eventually("a cycle", || heap.stats().cycles > 0);
    let stats = heap.stats();
    // A small heap grows to 4 MiB beyond its live bytes. If the collector gets too little processor
    // time, the heap grows further. A benchmark measures how far on a quiet machine.
    let bound = live * 4 + (8 << 20);
    assert!(most.load(SeqCst) < bound, "{stats} most mapped {most:?}, bound {bound}");
    heap.verify().unwrap();
}
