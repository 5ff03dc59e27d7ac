//! Random graph programs against a shadow graph, on one thread and on several, while cycles follow
//! each other.

use crate::graph::run;
use crate::rng::Rng;
use crate::{Node, NodeRoot, quiet};
use greyspan::gc::{Gc, Mutator, Root};
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

fn program(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    (0..len).map(|_| rng.bits() as u8).collect()
}

fn list<'gc>(m: &'gc Mutator<'gc>, len: u64) -> Gc<'gc, Node<'gc>> {
    (0..len).fold(m.alloc(Node::leaf(0)), |tail, value| {
        let node = m.alloc(Node::leaf(value));
        node.right.set(m, Some(tail));
        node
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_reachable_is_lost_and_nothing_else_stays(program in proptest::collection::vec(any::<u8>(), 0..4000)) {
        let heap = quiet();
        run(&heap, &program);
        heap.verify().unwrap();
    }
}

#[test]
fn programs_of_several_threads_on_one_heap_do_not_see_each_other() {
    let (rounds, len) = if cfg!(debug_assertions) {
        (2, 800_000)
    } else {
        (3, 3_000_000)
    };
    for round in 0..rounds {
        let (heap, stop) = (quiet(), AtomicBool::new(false));
        // Roots made first are scanned first. While this list is marked, the programs run in MARK
        // and their objects are white.
        let ballast: NodeRoot = heap.enter(|m| Root::new(m, list(m, 300_000)));
        thread::scope(|scope| {
            let workers: Vec<_> = (0..2)
                .map(|number| {
                    let heap = &heap;
                    scope.spawn(move || run(heap, &program(round * 31 + number, len)))
                })
                .collect();
            let (there, stop) = (&heap, &stop);
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    there.collect();
                }
            });
            let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            stop.store(true, SeqCst);
            assert!(results.into_iter().all(|result| result.is_ok()));
        });
        heap.verify().unwrap();
        drop(ballast);
        crate::eventually("everything goes", || {
            heap.collect();
            heap.stats().live_bytes == 0
        });
    }
}
