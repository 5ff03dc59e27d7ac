//! The workloads: what a program does with its heap, boiled down, each with a checksum over what it wrote.
//!
//! Each file holds one pattern or a family of them and is called by the cells through [`WORKLOADS`]. A workload's
//! checksum depends on its own arguments alone, never on the allocator, on addresses or on the order of threads, so
//! that cells of one row can be held against each other. Set-up that a user of the pattern would not repeat stays
//! outside the timed part; what is timed is written in each file.

pub(crate) mod block;
mod box64;
mod btree;
mod churn;
mod fixed;
mod hashmap;
mod large;
mod larson;
mod many64;
mod mstress;
mod one_box;
mod string_build;
mod threads;
mod vec_growth;
mod xmalloc;
mod zeroed;

use crate::measure;

/// What a cell was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// How many threads work at once, at least 1. A workload that is about a fixed number of threads ignores it.
    pub threads: usize,
    /// Multiplies the number of operations; never the size of what is live, but where that is the subject.
    pub scale: f64,
    /// Bytes that the allocator spends on its own records now, where it tells.
    pub metadata: Option<fn() -> u64>,
}

impl Context {
    /// `count` operations times the scale, at least one.
    #[must_use]
    pub fn scaled(&self, count: usize) -> usize {
        ((count as f64 * self.scale) as usize).max(1)
    }
}

/// What a workload reports.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Length of the timed part.
    pub seconds: f64,
    /// Operations in it; what one operation is stands in the workload's help.
    pub ops: u64,
    /// Sum over what was written and read back.
    pub checksum: u64,
    /// Further figures, name and value; bytes where the name says nothing else.
    pub notes: Vec<(&'static str, u64)>,
}

/// One row of [`WORKLOADS`].
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// The name on the command line.
    pub name: &'static str,
    /// One line: what it does and what counts as one operation.
    pub help: &'static str,
    /// Runs it once.
    pub run: fn(&Context) -> Outcome,
}

const fn row(name: &'static str, help: &'static str, run: fn(&Context) -> Outcome) -> Workload {
    Workload { name, help, run }
}

/// All workloads.
pub const WORKLOADS: &[Workload] = &[
    row(
        "box64-lifo",
        "make a Box of 64 bytes, write one word, drop it; an op is one box",
        box64::run,
    ),
    row(
        "lifo-8",
        "batches of 100 boxes of 8 bytes, dropped last made first; an op is one box",
        fixed::lifo::<1>,
    ),
    row(
        "lifo-16",
        "batches of 100 boxes of 16 bytes, dropped last made first; an op is one box",
        fixed::lifo::<2>,
    ),
    row(
        "lifo-64",
        "batches of 100 boxes of 64 bytes, dropped last made first; an op is one box",
        fixed::lifo::<8>,
    ),
    row(
        "lifo-256",
        "batches of 100 boxes of 256 bytes, dropped last made first; an op is one box",
        fixed::lifo::<32>,
    ),
    row(
        "lifo-1k",
        "batches of 100 boxes of 1 KiB, dropped last made first; an op is one box",
        fixed::lifo::<128>,
    ),
    row(
        "lifo-8k",
        "batches of 100 boxes of 8 KiB, dropped last made first; an op is one box",
        fixed::lifo::<1024>,
    ),
    row(
        "lifo-32k",
        "batches of 100 boxes of 32 KiB, dropped last made first; an op is one box",
        fixed::lifo::<4096>,
    ),
    row(
        "lifo-256k",
        "batches of 100 boxes of 256 KiB, dropped last made first; an op is one box",
        fixed::lifo::<32_768>,
    ),
    row(
        "lifo-4m",
        "batches of 100 boxes of 4 MiB, dropped last made first; an op is one box",
        fixed::lifo::<524_288>,
    ),
    row(
        "fifo-8",
        "batches of 100 boxes of 8 bytes, dropped first made first; an op is one box",
        fixed::fifo::<1>,
    ),
    row(
        "fifo-16",
        "batches of 100 boxes of 16 bytes, dropped first made first; an op is one box",
        fixed::fifo::<2>,
    ),
    row(
        "fifo-64",
        "batches of 100 boxes of 64 bytes, dropped first made first; an op is one box",
        fixed::fifo::<8>,
    ),
    row(
        "fifo-256",
        "batches of 100 boxes of 256 bytes, dropped first made first; an op is one box",
        fixed::fifo::<32>,
    ),
    row(
        "fifo-1k",
        "batches of 100 boxes of 1 KiB, dropped first made first; an op is one box",
        fixed::fifo::<128>,
    ),
    row(
        "fifo-8k",
        "batches of 100 boxes of 8 KiB, dropped first made first; an op is one box",
        fixed::fifo::<1024>,
    ),
    row(
        "fifo-32k",
        "batches of 100 boxes of 32 KiB, dropped first made first; an op is one box",
        fixed::fifo::<4096>,
    ),
    row(
        "fifo-256k",
        "batches of 100 boxes of 256 KiB, dropped first made first; an op is one box",
        fixed::fifo::<32_768>,
    ),
    row(
        "fifo-4m",
        "batches of 100 boxes of 4 MiB, dropped first made first; an op is one box",
        fixed::fifo::<524_288>,
    ),
    row(
        "churn",
        "100k live objects of 16 B to 1 KiB, replaced at random; an op is one replacement",
        churn::run,
    ),
    row(
        "xmalloc",
        "one thread makes 64-byte boxes, another drops them (a pair for each 2 threads)",
        xmalloc::run,
    ),
    row(
        "threads",
        "threads come and go one by one, each makes 100 mixed objects; an op is a thread",
        threads::run,
    ),
    row(
        "one-box",
        "one small box, then the process's memory is read",
        one_box::run,
    ),
    row(
        "many64",
        "1 GiB of linked 64-byte boxes, resident and metadata bytes at the peak",
        many64::run,
    ),
    row(
        "vec-growth",
        "a Vec<u64> pushed up to 1 GiB; an op is a push",
        vec_growth::run,
    ),
    row(
        "large",
        "64 blocks of 64 KiB to 2 MiB, replaced at random, each page written",
        large::run,
    ),
    row(
        "zeroed-64",
        "zeroed blocks of 64 bytes, one word read; an op is one block",
        zeroed::run::<64>,
    ),
    row(
        "zeroed-4k",
        "zeroed blocks of 4 KiB, one word read; an op is one block",
        zeroed::run::<4096>,
    ),
    row(
        "zeroed-1m",
        "zeroed blocks of 1 MiB, each page written; an op is one block",
        zeroed::run::<1_048_576>,
    ),
    row(
        "hashmap",
        "a HashMap from strings to vectors: insert, grow, remove; an op is one step",
        hashmap::run,
    ),
    row(
        "btree",
        "a BTreeMap of boxes: insert, find, remove; an op is one step",
        btree::run,
    ),
    row(
        "larson",
        "slots of 10 to 500 bytes replaced at random, handed on to a new thread each round",
        larson::run,
    ),
    row(
        "mstress",
        "mixed sizes and lifetimes, some objects swapped between threads, threads that exit",
        mstress::run,
    ),
    row(
        "string-build",
        "lines built from words and numbers, the last 1000 kept; an op is one line",
        string_build::run,
    ),
];

/// The workload called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name)
}

/// All names, for messages.
#[must_use]
pub fn names() -> String {
    WORKLOADS
        .iter()
        .map(|workload| workload.name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Runs `work(thread)` on `threads` threads at once, or here if there is but one, and reports the time from before the
/// first start to after the last end, with `ops` for all threads together and the sum of the results as checksum.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (index, workload) in WORKLOADS.iter().enumerate() {
            assert!(
                WORKLOADS[..index].iter().all(|other| other.name != workload.name),
                "{} twice",
                workload.name
            );
        }
    }

    #[test]
    fn each_workload_gives_the_same_checksum_twice() {
        // Left out: those whose subject is a gigabyte or the whole process.
        for workload in WORKLOADS
            .iter()
            .filter(|workload| !["many64", "vec-growth"].contains(&workload.name))
        {
            for threads in [1, 2] {
                let context = Context {
                    threads,
                    scale: 0.001,
                    metadata: None,
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
