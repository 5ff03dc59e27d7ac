//! Models of the collector's protocol, over its real code. There are two kinds:
//!
//! - [`scripts`] and [`weak`]: schedules that lose an object if a rule is missing, played step by
//!   step. One thread plays all parts: it drives the records, the handshake machine and the tracer
//!   by hand. `fault::when` inserts a step into the middle of an operation.
//! - [`rings`] and [`maps`]: both, for the rings of a tracer and for walks of weak maps.
//! - [`races`]: small pieces of code with two or three threads. Loom runs every interleaving, and
//!   every order that the memory model allows.
//!
//! Each test fails under the faults that `.ci/loom.sh` names for it.

mod maps;
mod races;
mod rings;
mod scripts;
mod setup;
mod weak;

use super::Trace;
use super::alloc::Mutator;
use super::cell::GcCell;
use super::collector::Collector;
use super::handle::Gc;
use super::mark::{Tracer, is_marked};
use super::mutator::Record;
use super::phase::{State, Word};
use super::roots::RootSlot;
use super::span::Span;
use crate::sync::blocking::Arc;
use core::ptr::NonNull;

/// An object with one edge.
#[derive(Trace)]
struct Node<'gc> {
    next: GcCell<'gc, Node<'gc>>,
}

type M = &'static Mutator<'static>;
/// All brands are one here: each test has one heap, and no value of it outlives the test.
type N = Gc<'static, Node<'static>>;

fn new_heap() -> Arc<Collector> {
    Collector::new(1, None, None, false)
}

fn mutator(record: &'static Record) -> M {
    // SAFETY: the tests use the mutator between `enter` and `leave`, on one thread at a time.
    unsafe { record.as_mutator() }
}

fn node(m: M, next: Option<N>) -> N {
    m.alloc(Node {
        next: GcCell::new(next),
    })
}

fn is_there(address: NonNull<u8>) -> bool {
    Span::find(address).is_some_and(|span| span.is_allocated(span.index(address)))
}

/// Returns all nodes that can be reached from the roots and from `held`, the mutators' nodes.
fn reachable(heap: &Collector, held: &[N]) -> Vec<N> {
    let mut found: Vec<N> = held.to_vec();
    heap.roots.scan(|target| {
        // SAFETY: the models root nodes only.
        found.push(unsafe { Gc::from_pointer(target.cast()) });
    });
    let mut at = 0;
    while let Some(node) = found.get(at).copied() {
        if let Some(next) = node.next.get()
            && !found.iter().any(|known| known.ptr_eq(next))
        {
            found.push(next);
        }
        at += 1;
    }
    found
}

/// A collector driven by hand.
struct Stage {
    heap: Arc<Collector>,
    tracer: Tracer,
    word: Word,
}

impl Stage {
    fn new() -> Self {
        Self {
            heap: new_heap(),
            tracer: Tracer::new(1),
            word: Word::idle(0),
        }
    }

    fn record(&self) -> &'static Record {
        self.heap.take_record()
    }

    /// Makes a pinned mutator.
    fn pinned(&self) -> (&'static Record, M) {
        let record = self.record();
        record.enter();
        (record, mutator(record))
    }

    fn root(&self, node: N) -> &'static RootSlot {
        self.heap.roots.take(node.address(), None)
    }

    fn h1(&mut self) {
        self.heap.protocol.set_state(State::Open);
        self.word = Word::pre(1);
        self.heap.protocol.request(self.word);
    }

    fn h2(&mut self) {
        assert!(self.all_follow(), "T1 comes before H2");
        self.word = Word::mark(1);
        self.heap.protocol.request(self.word);
    }

    fn h3(&mut self) {
        self.word = Word::idle(1);
        self.heap.protocol.request(self.word);
    }

    fn all_follow(&self) -> bool {
        self.heap.protocol.acknowledged(self.word)
    }

    fn scan_roots(&mut self) {
        let tracer = &mut self.tracer;
        self.heap.roots.scan(|target| {
            tracer.mark(target);
        });
    }

    fn drain(&mut self) {
        while self.tracer.step() || self.tracer.take(&self.heap.protocol.queue, 8) {}
    }

    fn begin_wave(&mut self) {
        self.heap.protocol.set_state(State::Terminating);
        self.word = self.word.wave();
        self.heap.protocol.request(self.word);
    }

    /// Tries to close the cycle after a wave that all mutators have acknowledged. Returns whether
    /// marking is over.
    fn close(&mut self) -> bool {
        let closed = !self.tracer.mark_values() && self.heap.protocol.queue.is_empty() && self.heap.protocol.close();
        if !closed {
            self.heap.protocol.set_state(State::Open);
        }
        closed
    }

    /// Marks to the end, while no mutator works, and checks that no object is lost.
    fn finish(&mut self, held: &[N]) {
        self.finish_only();
        self.check_marked(held);
    }

    fn finish_only(&mut self) {
        loop {
            self.drain();
            self.begin_wave();
            if self.close() {
                break;
            }
        }
    }

    fn check_marked(&self, held: &[N]) {
        for node in reachable(&self.heap, held) {
            assert!(
                is_marked(node.address()),
                "an object that can be reached is not marked: it would be freed"
            );
        }
    }
}

/// Runs a script in a fresh world.
fn play(script: impl Fn() + Sync + Send + 'static) {
    loom::model(move || {
        script();
        // Forgets the insertions that the schedule did not reach.
        super::fault::forget();
    });
}
