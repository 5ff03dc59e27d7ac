//! Chooses the rows of a run: each chosen workload with each chosen number of threads that makes
//! sense for it.

use crate::workload::{IDLE, Threads, WORKLOADS, Workload};

/// One workload with one number of threads.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The workload.
    pub bench: Workload,
    /// The number of threads.
    pub threads: usize,
}

/// Returns the default numbers of threads: one, and the number of cores. The latter is at least
/// two, for workloads that need several threads, and at most 16.
#[must_use]
pub fn default_threads() -> Vec<usize> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    vec![1, cores.clamp(2, 16)]
}

/// Returns the rows, workload by workload.
///
/// # Errors
/// If no chosen pair makes sense.
pub fn rows(benches: &[Workload], threads: &[usize]) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for &bench in benches {
        let sensible = threads.iter().filter(|&&threads| makes_sense(bench.threads, threads));
        rows.extend(sensible.map(|&threads| Row { bench, threads }));
    }
    if rows.is_empty() {
        let what: Vec<String> = benches
            .iter()
            .map(|bench| format!("{} needs {}", bench.name, words(bench.threads)))
            .collect();
        return Err(format!("no bench left for --threads: {}", what.join(", ")));
    }
    Ok(rows)
}

fn makes_sense(kind: Threads, threads: usize) -> bool {
    match kind {
        Threads::Any => true,
        Threads::One => threads == 1,
        Threads::Many => threads >= 2,
    }
}

/// Describes the allowed numbers of threads in words.
#[must_use]
pub fn words(kind: Threads) -> &'static str {
    match kind {
        Threads::Any => "any number",
        Threads::One => "one thread",
        Threads::Many => "two or more",
    }
}

/// Returns the workloads that `--bench` may name: the listed ones, and those that test the runner.
#[must_use]
pub fn known() -> Vec<Workload> {
    let listed = WORKLOADS.iter().chain(IDLE);
    listed.chain(crate::workload::TESTS).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::find;

    #[test]
    fn a_workload_runs_with_those_threads_that_suit_it() {
        let benches = ["box64-lifo", "larson", "xmalloc"].map(|name| *find(name).unwrap());
        let names: Vec<_> = rows(&benches, &[1, 2])
            .unwrap()
            .iter()
            .map(|row| (row.bench.name, row.threads))
            .collect();
        assert_eq!(names, [("box64-lifo", 1), ("larson", 1), ("larson", 2), ("xmalloc", 2)]);
        let message = rows(&benches[..1], &[2]).unwrap_err();
        assert!(message.contains("box64-lifo needs one thread"), "{message}");
    }

    #[test]
    fn by_default_each_workload_has_a_row() {
        let rows = rows(WORKLOADS, &default_threads()).unwrap();
        for bench in WORKLOADS {
            assert!(rows.iter().any(|row| row.bench.name == bench.name), "{}", bench.name);
        }
    }
}
