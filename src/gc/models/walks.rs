//! A thread walks the table of a weak map while the collector settles the end of a cycle.

use super::super::WeakMap;
use super::super::fault::{forget, when};
use super::setup::behind;
use super::*;
use core::cell::RefCell;
use std::rc::Rc;

#[test]
fn a_walk_gets_no_key_whose_edges_the_collector_has_not_seen() {
    play(|| {
        let mut stage = Stage::new();
        let (one, m) = stage.pinned();
        let map: WeakMap<'static, Node<'static>, Node<'static>> = WeakMap::new(m);
        let (next, value) = (node(m, None), node(m, None));
        let key = node(m, Some(next));
        map.insert(m, key, value);
        stage.heap.roots.take(behind(&map), None);
        one.leave();
        stage.h1();
        stage.h2();
        one.enter();
        stage.scan_roots();
        stage.drain();
        stage.begin_wave();
        one.respond();
        assert!(stage.close(), "no thread marks");
        // A guardian brings the key back. Its edges follow when the walk waits, or after the walk.
        stage.tracer.mark(key.address());
        let stage = Rc::new(RefCell::new(stage));
        let settle = |stage: &RefCell<Stage>| {
            let mut stage = stage.borrow_mut();
            stage.drain();
            stage.tracer.mark_values();
            stage.h3();
        };
        let own = Rc::clone(&stage);
        when("settling", move || settle(&own));
        let found: Vec<N> = map.iter(m).filter_map(|(key, _)| key.next.take(m)).collect();
        // A failed check must not leave the script behind.
        forget();
        settle(&stage);
        assert!(found.len() == 1 && found[0].ptr_eq(next));
        assert!(
            is_marked(next.address()) && is_marked(value.address()),
            "it would be freed"
        );
    });
}
