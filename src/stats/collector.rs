//! Figures of the collector in this process, over all managed heaps. Relaxed counters, which order
//! nothing. A read allocates nothing and waits for no thread.

#![forbid(unsafe_code)]

use super::{STALL_BUCKETS, Stats, stall_bucket};
use crate::sync::tally::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The figures of all managed heaps that this process has had.
pub(crate) static TOTALS: Totals = Totals::new();

/// Counters that the collector raises and [`Stats`] shows.
pub(crate) struct Totals {
    pub(crate) next_gc: AtomicU64,
    /// Nanoseconds since 1970; 0 before the first cycle ended.
    pub(crate) last_gc: AtomicU64,
    pub(crate) num_gc: AtomicU64,
    pub(crate) num_forced_gc: AtomicU64,
    /// The end of the first cycle, in nanoseconds since 1970; 0 before.
    pub(crate) first_ns: AtomicU64,
    pub(crate) cpu_ns: AtomicU64,
    pub(crate) max_stall_ns: AtomicU64,
    /// The number of processors; 0 before the first request for it.
    pub(crate) processors: AtomicUsize,
    pub(crate) stall_ns: [AtomicU64; STALL_BUCKETS],
}

impl Totals {
    const fn new() -> Self {
        Self {
            next_gc: AtomicU64::new(0),
            last_gc: AtomicU64::new(0),
            num_gc: AtomicU64::new(0),
            num_forced_gc: AtomicU64::new(0),
            first_ns: AtomicU64::new(0),
            cpu_ns: AtomicU64::new(0),
            max_stall_ns: AtomicU64::new(0),
            processors: AtomicUsize::new(0),
            stall_ns: [const { AtomicU64::new(0) }; STALL_BUCKETS],
        }
    }

    fn count_cycle_at(&self, now: u64, cpu_ns: u64) {
        // The share leaves out the first cycle and the time before its end.
        if self.first_ns.compare_exchange(0, now, Relaxed, Relaxed).is_err() {
            self.cpu_ns.fetch_add(cpu_ns, Relaxed);
        }
        self.last_gc.store(now, Relaxed);
    }

    pub(crate) fn count_cycle(&self, forced: bool, cpu_ns: u64) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        self.count_cycle_at(
            now.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
            cpu_ns,
        );
        self.num_gc.fetch_add(1, Relaxed);
        self.num_forced_gc.fetch_add(u64::from(forced), Relaxed);
    }

    pub(crate) fn count_stall(&self, ns: u64) {
        self.max_stall_ns.fetch_max(ns, Relaxed);
        if let Some(count) = self.stall_ns.get(stall_bucket(ns)) {
            count.fetch_add(1, Relaxed);
        }
    }
}

/// Fills in the collector's figures of a snapshot. Allocates nothing and waits for no thread.
pub(crate) fn add_totals(stats: &mut Stats) {
    let read = |figure: &AtomicU64| figure.load(Relaxed);
    stats.next_gc = read(&TOTALS.next_gc);
    stats.last_gc = read(&TOTALS.last_gc);
    stats.num_gc = read(&TOTALS.num_gc);
    stats.num_forced_gc = read(&TOTALS.num_forced_gc);
    let wall = stats.last_gc.saturating_sub(read(&TOTALS.first_ns));
    let could = u128::from(wall) * TOTALS.processors.load(Relaxed).max(1) as u128;
    if let Some(share) = (u128::from(read(&TOTALS.cpu_ns)) * 1_000_000).checked_div(could) {
        stats.gc_cpu_fraction = share.min(1_000_000) as u64;
    }
    stats.max_stall_ns = read(&TOTALS.max_stall_ns);
    for (count, figure) in stats.stall_ns.iter_mut().zip(&TOTALS.stall_ns) {
        *count = read(figure);
    }
}
