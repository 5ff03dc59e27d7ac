//! The profiler's table of stacks: two threads intern at once, and a thread reads the counts.

use crate::profiler::depot::Depot;
use crate::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Release},
};
use loom::thread;

/// Creates a table of stacks with room for a few.
fn table() -> &'static Depot<1> {
    let depot: &'static Depot<1> = Box::leak(Box::new(Depot::new()));
    let memory: &'static mut [u64] = Box::leak(vec![0u64; 512].into_boxed_slice());
    let base = core::ptr::NonNull::from(memory).cast();
    assert!(depot.nodes.open(base, 512 * 8));
    depot
}

#[test]
fn models_a_stack_that_two_threads_find_at_once_has_one_node() {
    loom::model(|| {
        let depot = table();
        let finders = [1, 2].map(|other| {
            thread::spawn(move || {
                depot.intern(64, &[7, 8]).expect("room").add_allocated();
                // A second stack in the same chain.
                depot.intern(64, &[other]).expect("room").add_allocated();
            })
        });
        for finder in finders {
            finder.join().unwrap();
        }
        let counts: Vec<_> = depot
            .all()
            .map(|node| (node.frames(), node.counted().allocated[0]))
            .collect();
        assert_eq!(counts.len(), 3, "{counts:?}");
        assert!(counts.contains(&(&[7, 8], 2)), "{counts:?}");
    });
}

#[test]
fn models_a_snapshot_never_shows_more_freed_than_allocated() {
    loom::model(|| {
        let depot = table();
        let node = depot.intern(64, &[7]).expect("room");
        // This cell hands the object from one thread to the other.
        let object: &'static AtomicU32 = Box::leak(Box::new(AtomicU32::new(0)));
        let maker = thread::spawn(move || {
            node.add_allocated();
            object.store(1, Release);
        });
        let freer = thread::spawn(move || {
            if object.load(Acquire) == 1 {
                node.add_freed();
            }
        });
        let counted = node.counted();
        assert!(counted.freed[0] <= counted.allocated[0], "{counted:?}");
        maker.join().unwrap();
        freer.join().unwrap();
    });
}
