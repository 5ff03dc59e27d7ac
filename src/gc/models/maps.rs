//! Schedules of threads that go through a weak map (EPHEMERON-6 of `ephemeron`).

use super::super::fault::when;
use super::super::{Guardian, Rootable, WeakMap};
use super::setup::behind;
use super::*;
use loom::thread;

/// A map with one entry, whose key no edge keeps and leads to another node.
fn map_with_dead_key(stage: &Stage, m: M) -> (WeakMap<'static, Node<'static>, Node<'static>>, N) {
    let key = node(m, Some(node(m, None)));
    let map = WeakMap::new(m);
    map.insert(m, key, node(m, None));
    stage.heap.roots.take(behind(&map), None);
    (map, key)
}

#[test]
fn a_thread_that_goes_through_a_map_calls_the_end_of_marking_off() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let (map, _) = map_with_dead_key(&stage, m);
        one.leave();
        stage.h1();
        stage.h2();
        one.enter();
        let table = behind(&map);
        stage.tracer.mark(table);
        stage.drain();
        stage.begin_wave();
        one.respond();
        let found: Vec<_> = map.iter(m).collect();
        assert_eq!(found.len(), 1, "no thread was told that the key is dead");
        if stage.close() {
            stage.check_marked(&[found[0].0, found[0].1]);
        }
    });
}

#[test]
fn a_thread_that_goes_through_a_map_waits_while_guardians_bring_keys_back() {
    loom::model(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let (map, key) = map_with_dead_key(&stage, m);
        let guardian = Guardian::<Rootable![Node<'_>]>::new();
        guardian.watch(m, key);
        one.leave();
        stage.h1();
        stage.h2();
        one.enter();
        let table = behind(&map);
        stage.tracer.mark(table);
        stage.drain();
        stage.begin_wave();
        one.respond();
        assert!(stage.close());
        let reader = thread::spawn(move || {
            let m = mutator(one);
            let (key, _) = map.iter(m).next()?;
            // The edge leaves its object, and the thread holds the target.
            let target = key.next.get();
            key.next.set(m, None);
            target
        });
        // The reader goes on when the key is marked and its edge is not scanned yet.
        when("reviving", thread::yield_now);
        let tracer = core::mem::replace(&mut stage.tracer, Tracer::new(1));
        stage.heap.settle_wills(tracer, 1);
        stage.h3();
        if let Some(target) = reader.join().expect("the reader") {
            assert!(is_marked(target.address()), "an object in hand would be freed");
        }
        assert!(guardian.next().is_some());
    });
}
