//! Schedules of weak references, tables, guardians and locks that go wrong if a rule is missing.

use super::super::fault::when;
use super::super::lock::GcLock;
use super::super::weak::GcWeak;
use super::super::weak_cell::WeakCell;
use super::super::{Rootable, Trace, WeakMap};
use super::setup::{Shelf, behind, stage_of_two, write_in_pre};
use super::*;
use crate::sync::tally::Ordering::Relaxed;

/// An object without edges. It is marked but never grey.
#[derive(Trace)]
struct Leaf(#[allow(dead_code, reason = "an object needs a size")] u64);

#[derive(Trace)]
struct Chain<'gc> {
    leaf: GcCell<'gc, Leaf>,
    next: GcCell<'gc, Chain<'gc>>,
}

#[test]
fn an_upgrade_calls_the_end_of_marking_off() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let x = node(m, Some(node(m, None)));
        let weak = GcWeak::new(m, x);
        one.leave();
        stage.h1();
        stage.h2();
        one.enter();
        stage.scan_roots();
        stage.drain();
        stage.begin_wave();
        one.respond();
        let x = weak.upgrade(m).expect("no thread was told that it is dead");
        if stage.close() {
            stage.check_marked(&[x]);
        }
    });
}

#[test]
fn a_writer_in_mark_shades_what_the_lock_held() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let shelf = m.alloc(Shelf {
            items: GcLock::new(vec![node(m, None)]),
        });
        one.leave();
        stage.h1();
        stage.h2();
        one.enter();
        // The shelf is not scanned yet. Its item moves into a black object.
        let item = shelf.items.write(m).pop();
        stage.root(node(m, item));
        one.leave();
        stage.tracer.mark(shelf.address());
        stage.scan_roots();
        stage.finish(&[]);
    });
}

#[test]
fn an_object_with_a_lock_that_was_written_in_pre_is_scanned_again() {
    let new = || Shelf {
        items: GcLock::new(Vec::new()),
    };
    play(move || write_in_pre(|shelf: &Shelf<'static>| &shelf.items, new));
}

#[test]
fn a_writer_in_pre_shades_what_a_lock_outside_of_an_object_will_hold() {
    let new = || Box::new(GcLock::new(Vec::new()));
    play(move || write_in_pre(|boxed: &Box<GcLock<Vec<N>>>| boxed, new));
}

#[test]
fn the_first_writer_in_pre_shades_what_the_lock_held() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let (two, n) = stage.pinned();
        let shelf = m.alloc(Shelf {
            items: GcLock::new(vec![node(m, None)]),
        });
        stage.heap.roots.take(shelf.address(), None);
        stage.h1();
        one.respond();
        two.leave();
        stage.h2();
        two.enter();
        let item = shelf.items.read()[0];
        shelf.items.write(m).pop();
        one.leave();
        // From here on only a black object leads to the item.
        let black = node(n, Some(item));
        stage.tracer.mark(shelf.address());
        stage.drain();
        stage.begin_wave();
        two.respond();
        if stage.close() {
            assert!(is_marked(item.address()), "{:?} holds a dead object", black.as_ptr());
        }
    });
}

#[test]
fn a_writer_in_pre_shades_anew_when_a_thread_in_mark_has_looked() {
    play(|| {
        let (mut stage, one, m, two, n, shelf, o) = stage_of_two();
        shelf.items.write(m).push(o);
        let item = shelf.items.read()[0];
        shelf.items.write(m).pop();
        one.leave();
        let black = node(n, Some(item));
        stage.tracer.mark(shelf.address());
        stage.drain();
        stage.begin_wave();
        two.respond();
        if stage.close() {
            assert!(is_marked(item.address()), "{:?} holds a dead object", black.as_ptr());
        }
    });
}

#[test]
fn a_writer_in_mark_shades_what_a_writer_in_pre_added_after_the_tracer() {
    play(|| {
        let (mut stage, one, m, two, n, shelf, o) = stage_of_two();
        stage.tracer.mark(shelf.address());
        stage.drain();
        shelf.items.write(m).push(o);
        let item = shelf.items.write(n).pop().expect("pushed above");
        one.leave();
        stage.drain();
        stage.begin_wave();
        two.respond();
        if stage.close() {
            assert!(is_marked(item.address()), "an object in hand would be freed");
        }
    });
}

#[test]
fn an_idle_mutator_never_shades() {
    play(|| {
        let mut stage = Stage::new();
        let (_one, m) = stage.pinned();
        let x = node(m, None);
        let weak = GcWeak::new(m, x);
        // The cycle has begun, and this thread has not noticed it.
        stage.h1();
        assert!(weak.upgrade(m).is_some());
        assert!(!is_marked(x.address()), "grey before T1");
    });
}

#[test]
fn a_guard_for_writing_delays_the_handshake() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let o = node(m, None);
        let shelf = m.alloc(Shelf {
            items: GcLock::new(vec![o]),
        });
        stage.heap.roots.take(shelf.address(), None);
        let mut items = shelf.items.write(m);
        stage.h1();
        one.respond();
        let acknowledged = stage.all_follow();
        if acknowledged {
            // T1 is reached although the writer has shaded no object. The tracer passes over the
            // lock, and the item leaves it unseen.
            let tracer = &mut stage.tracer;
            tracer.mark(shelf.address());
            stage.drain();
            let item = items.pop();
            drop(items);
            one.leave();
            stage.h2();
            assert!(
                item.is_some_and(|item| is_marked(item.address())),
                "a guard taken in IDLE hides the value that it guarded"
            );
        }
    });
}

#[test]
fn tables_are_looked_at_again_when_nobody_marks_any_more() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let chain = |leaf, next| {
            m.alloc(Chain {
                leaf: GcCell::new(leaf),
                next: GcCell::new(next),
            })
        };
        let key = m.alloc(Leaf(1));
        let (value, map) = (node(m, None), WeakMap::new(m));
        map.insert(m, key, value);
        let last = chain(Some(key), None);
        let first = chain(None, Some(last));
        stage.heap.roots.take(first.address(), None);
        let table = behind(&map);
        stage.heap.roots.take(table, None);
        let (two, _) = stage.pinned();
        one.leave();
        two.leave();
        stage.h1();
        stage.h2();
        one.enter();
        two.enter();
        // The object that leads to the key is grey in a buffer when the collector looks.
        first.next.set(m, None);
        let heap = Arc::clone(&stage.heap);
        let script = Arc::clone(&heap);
        when("looked", move || {
            one.leave();
            // An assist scans that object, marks the key, and leaves no grey object.
            script.bytes.assist_above.store(0, Relaxed);
            script.assist(two);
            two.leave();
        });
        heap.mark(&mut stage.tracer, 1, &mut Default::default());
        assert!(is_marked(key.address()));
        assert!(is_marked(value.address()), "the value of a live key is not marked");
    });
}

#[test]
fn a_value_that_is_removed_from_a_weak_map_is_shaded() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let (key, value) = (node(m, None), node(m, None));
        let map = WeakMap::new(m);
        map.insert(m, key, value);
        stage.root(key);
        let table = behind(&map);
        stage.heap.roots.take(table, None);
        one.leave();
        stage.h1();
        stage.h2();
        one.enter();
        let removed = map.remove(m, key).expect("inserted above");
        stage.tracer.mark(table);
        stage.tracer.mark(key.address());
        stage.finish_only();
        assert!(is_marked(removed.address()), "an object in hand would be freed");
    });
}

#[test]
fn what_is_inserted_in_pre_into_a_table_of_mark_is_shaded() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let (two, n) = stage.pinned();
        let (key, value) = (node(m, None), node(m, None));
        stage.h1();
        one.respond();
        two.leave();
        stage.h2();
        two.enter();
        // The map is black, so no tracer looks at its entries.
        let map = WeakMap::new(n);
        map.insert(m, key, value);
        one.leave();
        stage.scan_roots();
        stage.drain();
        stage.begin_wave();
        two.respond();
        if stage.close() {
            stage.check_marked(&[key, value]);
        }
    });
}

#[test]
fn a_value_that_an_insertion_replaces_is_shaded() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let (key, value) = (node(m, None), node(m, None));
        let map = WeakMap::new(m);
        map.insert(m, key, value);
        stage.root(key);
        let table = behind(&map);
        stage.heap.roots.take(table, None);
        one.leave();
        stage.h1();
        stage.h2();
        one.enter();
        let replaced = map.insert(m, key, node(m, None)).expect("inserted above");
        stage.tracer.mark(table);
        stage.tracer.mark(key.address());
        stage.finish_only();
        assert!(is_marked(replaced.address()), "an object in hand would be freed");
    });
}

/// Lets a thread other than the collector's scan a weak cell and a table whose target and key are
/// dead. `scan` says how that thread reaches them.
fn found_by(scan: impl Fn(&Stage, &'static Record)) {
    let mut stage = Stage::new();
    let (one, m) = stage.pinned();
    let weak = GcWeak::new(m, node(m, None));
    let map = WeakMap::new(m);
    map.insert(m, node(m, None), node(m, None));
    let (cell, table) = (behind(&weak), behind(&map));
    one.leave();
    stage.h1();
    stage.h2();
    one.enter();
    // Makes both grey and hands them over, as the mutator does with a full buffer.
    one.shade(cell.as_ptr());
    one.shade(table.as_ptr());
    one.flush();
    stage.heap.crew.open();
    scan(&stage, one);
    assert!(stage.heap.protocol.queue.is_empty(), "it scanned both");
    stage.begin_wave();
    one.respond();
    assert!(stage.heap.crew.shut() && stage.close());
    let tracer = core::mem::replace(&mut stage.tracer, Tracer::new(1));
    stage.heap.settle_wills(tracer, 1);
    // SAFETY: the address is that of a weak cell, and the cell is marked.
    let target = unsafe { cell.cast::<WeakCell>().as_ref() }.target.load(Relaxed);
    assert!(target.is_null(), "a weak reference to a dead object is not cleared");
    assert!(map.is_empty(), "the entry of a dead key stays");
}

#[test]
fn what_an_assist_finds_of_cells_and_tables_comes_to_the_collector() {
    play(|| {
        found_by(|stage, record| {
            stage.heap.bytes.assist_above.store(0, Relaxed);
            stage.heap.assist(record);
        });
    });
}

#[test]
fn what_a_helper_finds_of_cells_and_tables_comes_to_the_collector() {
    play(|| {
        found_by(|stage, _| {
            let (heap, word) = (Arc::clone(&stage.heap), stage.word);
            // The helper works until the marking is over.
            when("helped", move || heap.protocol.request(Word::idle(1)));
            stage.heap.help(1);
            stage.heap.protocol.request(word);
        });
    });
}

#[derive(Trace)]
struct Selfish<'gc> {
    weak: GcWeak<'gc, Selfish<'gc>>,
}

#[test]
fn a_weak_reference_that_comes_back_with_its_target_is_dead() {
    play(|| {
        let stage = Stage::new();
        let (one, m) = stage.pinned();
        let watched = m.alloc_cyclic(|weak| Selfish { weak });
        let guardian = super::super::Guardian::<Rootable![Selfish<'_>]>::new();
        guardian.watch(m, watched);
        one.leave();
        stage.heap.run_cycle();
        one.enter();
        assert!(is_there(watched.address()), "brought back");
        assert!(watched.weak.upgrade(m).is_none(), "Some for an object that was dead");
        assert!(guardian.next().is_some());
    });
}

#[derive(Trace)]
struct Maps<'gc> {
    map: WeakMap<'gc, Leaf, Node<'gc>>,
}

#[derive(Trace)]
struct First<'gc> {
    maps: GcCell<'gc, Maps<'gc>>,
}

#[test]
fn the_values_of_a_table_that_an_assist_found_are_marked() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let (key, value, map) = (m.alloc(Leaf(1)), node(m, None), WeakMap::new(m));
        map.insert(m, key, value);
        let maps = m.alloc(Maps { map });
        let first = m.alloc(First {
            maps: GcCell::new(Some(maps)),
        });
        stage.heap.roots.take(key.address(), None);
        stage.heap.roots.take(first.address(), None);
        let (two, _) = stage.pinned();
        one.leave();
        two.leave();
        stage.h1();
        stage.h2();
        one.enter();
        two.enter();
        // The object that leads to the table is grey in a buffer when the collector looks at its
        // tables.
        first.maps.set(m, None);
        let heap = Arc::clone(&stage.heap);
        let script = Arc::clone(&heap);
        when("looked", move || {
            one.leave();
            script.bytes.assist_above.store(0, Relaxed);
            script.assist(two);
            two.leave();
        });
        heap.mark(&mut stage.tracer, 1, &mut Default::default());
        assert!(is_marked(behind(&map)), "the assist came to it");
        assert!(is_marked(value.address()), "the value of a live key is not marked");
    });
}

#[test]
fn what_comes_back_brings_the_values_of_its_tables_and_theirs() {
    play(|| {
        let stage = Stage::new();
        let (one, m) = stage.pinned();
        let (key, next) = (node(m, None), node(m, None));
        // The value of the first entry leads to the key of the second.
        let (value, last) = (node(m, Some(next)), node(m, None));
        let map = WeakMap::new(m);
        map.insert(m, key, value);
        map.insert(m, next, last);
        stage.heap.roots.take(behind(&map), None);
        let guardian = super::super::Guardian::<Rootable![Node<'_>]>::new();
        guardian.watch(m, key);
        one.leave();
        stage.heap.run_cycle();
        for object in [key, value, next, last] {
            assert!(
                is_there(object.address()),
                "the object that leads to it was brought back"
            );
        }
        assert!(guardian.next().is_some());
    });
}

#[test]
fn weak_cells_are_cleared_before_a_slot_is_used_again() {
    play(|| {
        let stage = Stage::new();
        let (one, m) = stage.pinned();
        let weak = GcWeak::new(m, node(m, None));
        let cell = behind(&weak);
        stage.heap.roots.take(cell, None);
        stage.root(node(m, None));
        one.leave();
        stage.heap.run_cycle();
        one.enter();
        // An object of the same type that may take the dead one's slot.
        let new = node(m, None);
        let found = weak.upgrade(m);
        assert!(
            found.is_none(),
            "the dead object comes back as {:?}, new is {:?}",
            found.map(Gc::as_ptr),
            new.as_ptr()
        );
    });
}

#[test]
fn a_weak_reference_to_what_a_guardian_brings_back_stays_dead() {
    play(|| {
        let stage = Stage::new();
        let (one, m) = stage.pinned();
        let watched = node(m, None);
        let weak = GcWeak::new(m, watched);
        let cell = behind(&weak);
        stage.heap.roots.take(cell, None);
        let guardian = super::super::Guardian::<Rootable![Node<'_>]>::new();
        guardian.watch(m, watched);
        one.leave();
        stage.heap.run_cycle();
        one.enter();
        assert!(is_there(watched.address()), "brought back");
        assert!(weak.upgrade(m).is_none(), "Some for an object that was dead");
        assert!(guardian.next().is_some());
    });
}
