//! The collector as a program sees it. Greyspan is also the global allocator, so spans of both
//! kinds lie side by side.

#[path = "../support/rng.rs"]
#[allow(dead_code, reason = "shared with other test binaries")]
mod rng;

#[path = "../support/graph.rs"]
mod graph;

mod api;
mod bad_input;
mod bounds;
mod cells;
mod closing;
mod derive;
mod dying;
mod large;
mod lock;
mod macros;
mod shadow;
mod threads;
mod traits;
mod ui;
mod weak;

use greyspan::Greyspan;
use greyspan::gc::{GcCell, Heap, Root, Rootable, Trace};
use std::time::{Duration, Instant};

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

/// A node of any graph.
#[derive(Trace)]
pub(crate) struct Node<'gc> {
    pub(crate) value: u64,
    pub(crate) left: GcCell<'gc, Node<'gc>>,
    pub(crate) right: GcCell<'gc, Node<'gc>>,
}

pub(crate) type NodeRoot = Root<Rootable![Node<'_>]>;

impl Node<'_> {
    pub(crate) fn leaf(value: u64) -> Self {
        Self {
            value,
            left: GcCell::null(),
            right: GcCell::null(),
        }
    }
}

/// Makes a heap that collects only on request.
pub(crate) fn quiet() -> Heap {
    Heap::builder().gc_percent(None).build()
}

/// Waits until `done` returns true. Drops and cleanups run on a thread of the heap.
pub(crate) fn eventually(what: &str, done: impl Fn() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < Duration::from_secs(20), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}
