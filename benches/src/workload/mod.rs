//! The workloads: typical uses of a heap, reduced to the essence, each with a checksum over the
//! data that it wrote.
//!
//! Each file holds one pattern or a family of them; the cells call it through [`WORKLOADS`]. A
//! checksum depends only on the workload's arguments, never on the allocator, on addresses or on
//! the order of threads, so that the cells of one row can be compared. Set-up that a user of the
//! pattern would not repeat is outside the timed part. Each file says what it times.

mod alloc_test;
mod async_server;
mod binary_trees;
pub(crate) mod block;
mod box64;
mod btree;
mod bursts;
mod cache_lines;
mod churn;
mod exchange;
mod faults;
mod fixed;
mod flat;
mod glibc;
mod hashmap;
mod idle;
mod idle_rows;
mod json;
mod large;
mod larson;
mod latency;
mod lru;
mod many64;
mod medium;
mod mleak;
mod mstress;
pub(crate) mod one_box;
mod rayon_sort;
mod rc_graph;
mod regexes;
mod rptest;
mod string_build;
mod table;
mod thread_spawn;
mod threads;
mod vec_growth;
mod vec_medium;
mod xmalloc;
mod zeroed;

pub use table::{IDLE, TESTS, WORKLOADS};

use crate::measure;
use std::sync::Barrier;
use std::time::Instant;

/// The arguments of a cell.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The number of threads that work at once, at least 1. A workload with a fixed number of
    /// threads ignores it.
    pub threads: usize,
    /// Multiplies the number of operations, but not the size of the live data, except where that
    /// size is the subject.
    pub scale: f64,
    /// Returns the bytes of the allocator's own records, if the allocator reports them.
    pub metadata: Option<fn() -> u64>,
    /// Gives the allocator's free memory back to the system, if the allocator offers that.
    pub purge: Option<fn()>,
}

impl Context {
    /// Returns `count` operations times the scale, at least one.
    #[must_use]
    pub fn scaled(&self, count: usize) -> usize {
        ((count as f64 * self.scale) as usize).max(1)
    }
}

/// The figures that a workload reports.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The length of the timed part.
    pub seconds: f64,
    /// The operations in the timed part. The workload's help defines one operation.
    pub ops: u64,
    /// The sum over the data that was written and read back.
    pub checksum: u64,
    /// Further figures, as name and value, in bytes unless the name says otherwise.
    pub notes: Vec<(&'static str, u64)>,
}

/// The numbers of threads that make sense for a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// One or more.
    Any,
    /// One only: the workload ignores any other number, or its subject is the process.
    One,
    /// Two or more: its subject is what passes between threads.
    Many,
}

/// A kind of rows. The report gives the mean of each group: a mean over all rows would follow the
/// group with the most rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Whole programs, which are commands and no workloads.
    Programs,
    /// Mixed sizes and lifetimes, as programs have them.
    Mixed,
    /// Threads that pass blocks on, or come and go.
    Threads,
    /// Blocks of 256 KiB and more, or that grow so far.
    Large,
    /// Small blocks of one size.
    Fixed,
    /// The slowest of many operations.
    Latency,
    /// Memory of a process that sleeps.
    Rest,
}

/// One row of [`WORKLOADS`].
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// The name on the command line.
    pub name: &'static str,
    /// One line: the work, and the definition of one operation.
    pub help: &'static str,
    /// Runs it once.
    pub run: fn(&Context) -> Outcome,
    /// The numbers of threads that make sense for it.
    pub threads: Threads,
    /// Whether it soon reaches a steady state: the live data does not depend on the number of
    /// operations, and half of them take half the time.
    pub steady: bool,
    /// The group whose mean it is part of.
    pub group: Group,
}

const fn row(name: &'static str, help: &'static str, run: fn(&Context) -> Outcome) -> Workload {
    Workload {
        name,
        help,
        run,
        threads: Threads::Any,
        steady: false,
        group: Group::Mixed,
    }
}

impl Workload {
    const fn steady(self) -> Self {
        Self { steady: true, ..self }
    }

    const fn of(self, group: Group) -> Self {
        Self { group, ..self }
    }

    const fn one(self) -> Self {
        Self {
            threads: Threads::One,
            ..self
        }
    }

    const fn many(self) -> Self {
        Self {
            threads: Threads::Many,
            ..self
        }
    }
}

/// Returns the workload called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Workload> {
    WORKLOADS
        .iter()
        .chain(IDLE)
        .chain(TESTS)
        .find(|workload| workload.name == name)
}

/// Returns all names, for messages.
#[must_use]
pub fn names() -> String {
    WORKLOADS
        .iter()
        .chain(IDLE)
        .map(|workload| workload.name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Runs `work(thread)` on `threads` threads at once, or on this thread if `threads` is one. Reports
/// the time from before the first start to after the last end, `ops` for all threads together, and
/// the sum of the results as checksum.
fn on_threads(threads: usize, ops: usize, work: impl Fn(usize) -> u64 + Sync) -> Outcome {
    let (checksum, seconds) = measure::timed(|| {
        if threads == 1 {
            return work(0);
        }
        std::thread::scope(|scope| {
            let work = &work;
            let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
            running.into_iter().fold(0u64, |sum, thread| {
                sum.wrapping_add(thread.join().expect("a worker panicked"))
            })
        })
    });
    Outcome {
        seconds,
        ops: ops as u64,
        checksum,
        notes: Vec::new(),
    }
}

/// Runs `work(prepare(thread))` on `threads` threads at once and times only the work. No thread
/// begins the work before all have prepared. The time is from the first begin to the last end.
/// `ops` and the sum are as in [`on_threads`]. Data whose drop should not be timed, `work` forgets.
fn on_ready_threads<S>(
    threads: usize,
    ops: usize,
    prepare: impl Fn(usize) -> S + Sync,
    work: impl Fn(S) -> u64 + Sync,
) -> Outcome {
    let ready = Barrier::new(threads);
    let body = |thread| {
        let state = prepare(thread);
        ready.wait();
        let start = Instant::now();
        let sum = work(state);
        (sum, start, Instant::now())
    };
    let parts: Vec<(u64, Instant, Instant)> = std::thread::scope(|scope| {
        let body = &body;
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || body(thread))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("a worker panicked");
        running.into_iter().map(join).collect()
    });
    let first = parts.iter().map(|part| part.1).min().expect("there is a thread");
    let last = parts.iter().map(|part| part.2).max().expect("there is a thread");
    Outcome {
        seconds: (last - first).as_secs_f64(),
        ops: ops as u64,
        checksum: parts.iter().fold(0, |sum, part| sum.wrapping_add(part.0)),
        notes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let all = || WORKLOADS.iter().chain(IDLE);
        for (index, workload) in all().enumerate() {
            assert!(
                all().take(index).all(|other| other.name != workload.name),
                "{} twice",
                workload.name
            );
        }
    }

    #[test]
    fn each_workload_gives_the_same_checksum_twice() {
        // Leaves out workloads whose subject is a gigabyte or the whole process.
        for workload in WORKLOADS
            .iter()
            .chain(IDLE)
            .filter(|workload| !["many64", "vec-growth"].contains(&workload.name))
        {
            for threads in [1, 2] {
                let context = Context {
                    threads,
                    scale: 0.001,
                    metadata: None,
                    purge: None,
                };
                let (first, second) = ((workload.run)(&context), (workload.run)(&context));
                assert_eq!(
                    first.checksum, second.checksum,
                    "{} on {threads} threads",
                    workload.name
                );
                assert_eq!(first.ops, second.ops, "{} on {threads} threads", workload.name);
                assert!(first.ops > 0 && first.seconds > 0.0, "{} did nothing", workload.name);
            }
        }
    }
}
