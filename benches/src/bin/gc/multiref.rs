//! Random operations on a graph of references, as dumpster's authors measure it. Objects hold
//! vectors of references to others; vectors that threads share own the objects. A step makes an
//! object, adds a reference, or drops a reference of an owning vector or of an object.
//!
//! Both collectors run the same steps in turns. Timed: the steps. A last collection follows,
//! untimed.

use dumpster::sync::Gc as Counted;
use greyspan::gc::{Gc, GcLock, Heap, Root, Rootable, Trace};
use greyspan_bench::rng::Rng;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

const STEPS: usize = 1_000_000;
/// The number of owning vectors per thread, and of objects in each at the beginning.
const VECTORS: usize = 10;
const FIRST: usize = 50;
const ROUNDS: usize = 5;

/// A collector's handle to an object.
trait Handle: Clone + Send {
    type Heap: Sync;
    fn make(heap: &Self::Heap) -> Self;
    fn add(&self, heap: &Self::Heap, to: &Self);
    /// Removes one reference: number `pick` modulo their count.
    fn remove(&self, heap: &Self::Heap, pick: usize);
}

#[derive(Trace)]
struct Managed<'gc> {
    references: GcLock<Vec<Gc<'gc, Managed<'gc>>>>,
}

type Rooted = Root<Rootable![Managed<'_>]>;

impl Handle for Rooted {
    type Heap = Heap;

    fn make(heap: &Heap) -> Self {
        heap.enter(|m| {
            let references = GcLock::new(Vec::new());
            Root::new(m, m.alloc(Managed { references }))
        })
    }

    fn add(&self, heap: &Heap, to: &Self) {
        heap.enter(|m| self.get(m).references.write(m).push(to.get(m)));
    }

    fn remove(&self, heap: &Heap, pick: usize) {
        heap.enter(|m| {
            let from = self.get(m);
            let mut references = from.references.write(m);
            if !references.is_empty() {
                let at = pick % references.len();
                references.swap_remove(at);
            }
        });
    }
}

#[derive(dumpster::Trace)]
struct Referenced {
    references: Mutex<Vec<Counted<Referenced>>>,
}

impl Handle for Counted<Referenced> {
    type Heap = ();

    fn make((): &()) -> Self {
        let references = Mutex::new(Vec::new());
        Self::new(Referenced { references })
    }

    fn add(&self, (): &(), to: &Self) {
        self.references.lock().expect("no thread panicked").push(to.clone());
    }

    fn remove(&self, (): &(), pick: usize) {
        let mut references = self.references.lock().expect("no thread panicked");
        if !references.is_empty() {
            let at = pick % references.len();
            drop(references.swap_remove(at));
        }
    }
}

/// Runs all steps on `threads` threads.
fn steps<H: Handle>(heap: &H::Heap, threads: usize) -> Duration {
    let vectors: Vec<Mutex<Vec<H>>> = (0..threads * VECTORS)
        .map(|_| Mutex::new((0..FIRST).map(|_| H::make(heap)).collect()))
        .collect();
    let guard = |number: usize| vectors[number].lock().expect("no thread panicked");
    let since = Instant::now();
    thread::scope(|scope| {
        for thread in 0..threads {
            let (vectors, guard) = (&vectors, &guard);
            scope.spawn(move || {
                let mut rng = Rng::new(12_345 + thread as u64);
                for _ in 0..STEPS / threads {
                    let one = rng.below(vectors.len());
                    match rng.below(4) {
                        0 => {
                            let made = H::make(heap);
                            guard(one).push(made);
                        }
                        1 => {
                            let two = rng.below(vectors.len());
                            // Holds one lock at a time: clones the handle of the target first.
                            let to = {
                                let targets = guard(two);
                                if targets.is_empty() {
                                    continue;
                                }
                                targets[rng.below(targets.len())].clone()
                            };
                            let from = guard(one);
                            if !from.is_empty() {
                                from[rng.below(from.len())].add(heap, &to);
                            }
                        }
                        2 => {
                            let mut owned = guard(one);
                            if !owned.is_empty() {
                                let at = rng.below(owned.len());
                                drop(owned.swap_remove(at));
                            }
                        }
                        _ => {
                            let owned = guard(one);
                            if !owned.is_empty() {
                                owned[rng.below(owned.len())].remove(heap, rng.below(1 << 20));
                            }
                        }
                    }
                }
            });
        }
    });
    since.elapsed()
}

pub(crate) fn run(threads: usize) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let heap = Heap::new();
        ours.push(steps::<Rooted>(&heap, threads));
        heap.collect();
        heap.verify().expect("a sound heap");
        theirs.push(steps::<Counted<Referenced>>(&(), threads));
        dumpster::sync::collect();
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64()
    };
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    println!(
        "multiref on {threads} threads, {STEPS} steps: greyspan {:.3} s, dumpster {:.3} s, ratio {:.2}",
        ours,
        theirs,
        ours / theirs
    );
}
