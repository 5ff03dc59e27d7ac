//! Locks: the cost of a writer while a cycle runs, and a thread that would wait for itself.

use super::{Node, eventually, quiet};
use greyspan::gc::{Gc, GcCell, GcLock, Heap, Mutator, Root, Rootable, Trace, Visitor};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier};

/// A list that counts how often its edges are shown.
struct Counted<'gc> {
    items: Vec<Gc<'gc, u64>>,
    shown: Arc<AtomicUsize>,
}

// SAFETY: `trace` visits every edge, and the type has no `Drop`.
unsafe impl<'gc> Trace<'gc> for Counted<'gc> {
    fn trace(&self, visitor: &mut Visitor<'gc>) {
        self.shown.fetch_add(1, Relaxed);
        self.items.trace(visitor);
    }
}

/// An object with a lock in a field and a lock behind a box.
#[derive(Trace)]
struct Shelf<'gc> {
    lock: GcLock<Counted<'gc>>,
}

type ShelfRoot = Root<Rootable![Shelf<'_>]>;

fn shelf<'gc>(shown: &Arc<AtomicUsize>) -> Shelf<'gc> {
    Shelf {
        lock: GcLock::new(Counted {
            items: Vec::new(),
            shown: Arc::clone(shown),
        }),
    }
}

/// Writes in one `enter`, from before a cycle begins until some thousand writes after it has begun.
/// The cycle cannot end meanwhile. If `others` is true, another thread enters in between. Returns
/// how often the value was shown.
fn shown_in_one_enter(
    heap: &Heap,
    others: bool,
    lock: impl for<'gc> Fn(&'gc Mutator<'gc>) -> &'gc GcLock<Counted<'gc>>,
    shown: &AtomicUsize,
) -> usize {
    const WRITES: usize = 5000;
    let entered = Barrier::new(2);
    let begun: Arc<AtomicUsize> = Arc::default();
    let watch: ShelfRoot = heap.enter(|m| Root::new(m, m.alloc(shelf(&begun))));
    std::thread::scope(|scope| {
        let cycle = scope.spawn(|| {
            entered.wait();
            heap.collect();
        });
        let more = heap.enter(|m| {
            entered.wait();
            let push = || lock(m).write(m).items.push(m.alloc(1));
            // The collector has begun when it scans the shelf that no thread writes.
            eventually("the beginning of the cycle", || {
                push();
                begun.load(Relaxed) > 0
            });
            if others {
                scope.spawn(|| heap.enter(|_| ())).join().expect("no panic");
            }
            (0..WRITES).for_each(|_| push());
            shown.load(Relaxed)
        });
        cycle.join().expect("no panic");
        drop(watch);
        more
    })
}

#[test]
fn a_writer_shows_the_edges_of_a_lock_once_however_often_it_writes() {
    let heap = quiet();
    let shown = Arc::default();
    let root: ShelfRoot = heap.enter(|m| Root::new(m, m.alloc(shelf(&shown))));
    let more = shown_in_one_enter(&heap, true, |m| &root.get(m).as_ref().lock, &shown);
    // Once by the writer and once by the tracer.
    assert!(more <= 3, "a value shown {more} times in 5000 writes");
    heap.collect();
    heap.enter(|m| assert!(root.get(m).lock.read().items.iter().all(|item| **item == 1)));
    heap.verify().expect("all edges lead to objects");
}

#[test]
fn a_writer_that_reads_too_shows_no_more_while_no_other_thread_enters() {
    let heap = quiet();
    let shown = Arc::default();
    let root: ShelfRoot = heap.enter(|m| Root::new(m, m.alloc(shelf(&shown))));
    let more = shown_in_one_enter(
        &heap,
        false,
        |m| {
            let lock = &root.get(m).as_ref().lock;
            assert!(lock.read().items.first().is_none_or(|item| **item == 1));
            lock
        },
        &shown,
    );
    assert!(more <= 3, "a value shown {more} times in 5000 reads and writes");
    heap.verify().expect("all edges lead to objects");
}

#[test]
fn a_lock_far_inside_of_a_large_object_is_one_of_that_object() {
    let heap = quiet();
    let shown = Arc::default();
    let counts = |i: usize| if i == 1500 { Arc::clone(&shown) } else { Arc::default() };
    let root: Root<Rootable![[Shelf<'_>]]> = heap.enter(|m| Root::new(m, m.alloc_slice(2000, |i| shelf(&counts(i)))));
    let more = shown_in_one_enter(&heap, true, |m| &root.get(m).as_ref()[1500].lock, &shown);
    assert!(more <= 3, "a value shown {more} times in 5000 writes");
    heap.collect();
    heap.enter(|m| assert!(root.get(m)[1500].lock.read().items.iter().all(|item| **item == 1)));
    heap.verify().expect("all edges lead to objects");
}

#[test]
fn what_a_helper_reads_for_a_thread_in_mark_stays() {
    let heap = quiet();
    let shown: Arc<AtomicUsize> = Arc::default();
    let (root, other): (ShelfRoot, ShelfRoot) = heap.enter(|m| {
        let new = |shown| Root::new(m, m.alloc(shelf(shown)));
        (new(&shown), new(&Arc::default()))
    });
    let (entered, step) = (Barrier::new(2), Barrier::new(2));
    let kept: Root<Rootable![u64]> = std::thread::scope(|scope| {
        scope.spawn(|| {
            entered.wait();
            heap.collect();
        });
        scope.spawn(|| {
            heap.enter(|m| {
                entered.wait();
                // Stays in this loop into PRE, until the collector has scanned the shelf.
                eventually("the scan", || {
                    drop(other.get(m).lock.write(m));
                    shown.load(Relaxed) > 0
                });
                step.wait();
                // Meanwhile the other thread enters.
                step.wait();
                root.get(m).lock.write(m).items.push(m.alloc(77));
                step.wait();
                // Meanwhile the helper of that thread reads.
                step.wait();
                root.get(m).lock.write(m).items.clear();
                step.wait();
            });
        });
        step.wait();
        heap.enter(|m| {
            step.wait();
            step.wait();
            let lock = &root.get(m).as_ref().lock;
            // The helper has not entered the heap.
            let read = || lock.read().items.first().copied();
            let item = std::thread::scope(|scope| scope.spawn(read).join().expect("no panic"));
            step.wait();
            step.wait();
            Root::new(m, item.expect("pushed above"))
        })
    });
    heap.verify().expect("all edges lead to objects");
    heap.enter(|m| assert_eq!(*kept.get(m), 77));
    heap.collect();
    heap.verify().expect("all edges lead to objects");
    heap.enter(|m| assert_eq!(*kept.get(m), 77));
}

#[test]
fn what_is_written_while_a_cycle_begins_stays() {
    // One thread holds the cycle back with long pins. Others write, read and move items in short
    // pins.
    let heap = quiet();
    let shown = Arc::default();
    let shelves: Vec<ShelfRoot> = heap.enter(|m| (0..3).map(|_| Root::new(m, m.alloc(shelf(&shown)))).collect());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (long, from) in [(true, 0), (false, 1), (false, 2)] {
            let (heap, shelves, over) = (&heap, &shelves, &over);
            scope.spawn(move || {
                for round in 0..if long { 40 } else { 2000 } {
                    heap.enter(|m| {
                        for step in 0..if long { 400 } else { 4 } {
                            let at = |offset: usize| &shelves[(from + step + offset) % 3].get(m).as_ref().lock;
                            let mut items = at(0).write(m);
                            items.items.push(m.alloc((round + step) as u64 | 1 << 40));
                            let moved = if step % 3 == 0 { items.items.pop() } else { None };
                            let len = items.items.len();
                            if len > 200 {
                                items.items.drain(..len / 2);
                            }
                            drop(items);
                            at(1).write(m).items.extend(moved);
                            let found = at(2).read().items.last().copied();
                            assert!(found.is_none_or(|found| *found >> 40 == 1));
                            at(1).write(m).items.extend(found);
                        }
                    });
                }
                if long {
                    over.store(true, Relaxed);
                }
            });
        }
        while !over.load(Relaxed) {
            heap.collect();
        }
    });
    heap.verify().expect("all edges lead to objects");
    heap.enter(|m| {
        for shelf in &shelves {
            assert!(shelf.get(m).lock.read().items.iter().all(|item| **item >> 40 == 1));
        }
    });
}

#[test]
fn locks_behind_boxes_lose_nothing() {
    let heap = quiet();
    type Boxed = Root<Rootable![Vec<GcLock<Vec<Gc<'_, Node<'_>>>>>]>;
    let root: Boxed = heap.enter(|m| Root::new(m, m.alloc((0..4).map(|_| GcLock::default()).collect())));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..100 {
                heap.enter(|m| {
                    for step in 0..100 {
                        let locks = root.get(m).as_ref();
                        let node = m.alloc(Node::leaf(7));
                        node.left.set(m, Some(m.alloc(Node::leaf(8))));
                        locks[step % 4].write(m).push(node);
                        let moved = locks[(step + 1) % 4].write(m).pop();
                        let mut others = locks[(step + 2) % 4].write(m);
                        others.extend(moved);
                        others.truncate(50);
                    }
                });
            }
            over.store(true, Relaxed);
        });
        while !over.load(Relaxed) {
            heap.collect();
        }
    });
    heap.verify().expect("all edges lead to objects");
    heap.enter(|m| {
        for lock in root.get(m).iter() {
            assert!(
                lock.read()
                    .iter()
                    .all(|node| node.value == 7 && node.left.get().is_some_and(|left| left.value == 8))
            );
        }
    });
}

#[test]
fn try_write_does_not_wait() {
    Heap::new().enter(|m| {
        let cell: Gc<'_, GcLock<Vec<Gc<'_, u64>>>> = m.alloc(GcLock::default());
        let reads = cell.read();
        assert!(cell.try_write(m).is_none(), "a reader is there");
        assert!(cell.try_read().is_some());
        drop(reads);
        eventually("a look of the collector ends", || cell.try_write(m).is_some());
        let writes = cell.write(m);
        assert!(cell.try_write(m).is_none() && cell.try_read().is_none());
        drop(writes);
        assert!(cell.read().is_empty());
    });
}

/// Debug builds only. In release builds a thread that waits for itself hangs, as documented.
#[cfg(debug_assertions)]
mod deadlocks {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn message(act: impl FnOnce()) -> String {
        let payload = catch_unwind(AssertUnwindSafe(act)).expect_err("it would wait for itself");
        payload.downcast_ref::<String>().expect("words").clone()
    }

    #[test]
    fn a_thread_that_would_wait_for_itself_says_so() {
        Heap::new().enter(|m| {
            let lock = m.alloc(GcLock::new(GcCell::<u64>::null()));
            let reads = lock.read();
            let text = message(|| drop(lock.write(m)));
            assert!(
                text.contains("deadlock") && text.contains("to write") && text.contains("for reading"),
                "{text}"
            );
            drop(reads);
            let writes = lock.write(m);
            let text = message(|| drop(lock.write(m)));
            assert!(text.contains("to write") && text.contains("for writing"), "{text}");
            let text = message(|| drop(lock.read()));
            assert!(text.contains("to read") && text.contains("for writing"), "{text}");
            drop(writes);
            // The refused attempts leave no entry in the thread's list.
            drop(lock.write(m));
            let other = m.alloc(GcLock::new(GcCell::<u64>::null()));
            let (one, two) = (lock.write(m), other.write(m));
            drop(one);
            drop(lock.read());
            drop(two);
        });
    }

    #[test]
    fn a_leaked_guard_is_not_one_of_the_next_lock_at_that_place() {
        Heap::new().enter(|m| {
            let mut lock = GcLock::new(0);
            std::mem::forget(lock.read());
            lock = GcLock::new(1);
            // The new lock lies at the address of the old one.
            let held = Barrier::new(2);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let guard = lock.read();
                    held.wait();
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    drop(guard);
                });
                held.wait();
                *lock.write(m) += 1;
            });
            assert_eq!(*lock.read(), 2);
        });
    }

    #[test]
    fn a_thread_that_waits_for_another_waits() {
        let heap = Heap::new();
        let root: Root<Rootable![GcLock<u64>]> = heap.enter(|m| Root::new(m, m.alloc(GcLock::new(0))));
        let held = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                heap.enter(|m| {
                    let lock = root.get(m);
                    let guard = lock.read();
                    held.wait();
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    drop(guard);
                });
            });
            held.wait();
            heap.enter(|m| *root.get(m).write(m) += 1);
        });
    }
}
