//! [`GcStats`]: the figures of one heap, and the counters behind them.

#![forbid(unsafe_code)]

use crate::stats::stall_bucket;
use crate::sync::tally::{AtomicU64, Ordering::Relaxed};
use core::fmt;
use std::time::Duration;

pub use crate::stats::STALL_BUCKETS;

/// One snapshot of a heap's figures, made by [`Heap::stats`](super::Heap::stats). All sums begin
/// with the heap. `Display` prints one line per group of figures. Needs the feature `gc`.
///
/// ```
/// use greyspan::gc::Heap;
///
/// let heap = Heap::new();
/// heap.enter(|m| {
///     for number in 0..1000u64 {
///         m.alloc(number);
///     }
/// });
/// heap.collect();
///
/// let stats = heap.stats();
/// println!("{stats}");
/// assert_eq!((stats.forced_cycles, stats.freed_objects, stats.roots), (1, 1000, 0));
/// let long: u64 = stats.stall_ns[20..].iter().sum();
/// println!("{long} stalls of a millisecond or more, the longest {} ns", stats.max_stall_ns);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GcStats {
    /// Number of completed cycles.
    pub cycles: u64,
    /// Number of completed cycles that `collect` asked for.
    pub forced_cycles: u64,
    /// Bytes of slots that hold objects or that mutators' caches keep ready.
    pub live_bytes: u64,
    /// Bytes of dead objects and cleanups that wait for the drop thread. They count for the goal
    /// and for the memory limit. If they are too many, a thread that enters waits for the drop
    /// thread.
    pub waiting_bytes: u64,
    /// Bytes of memory that objects own, as [`Trace::measure`](super::Trace::measure) reports them,
    /// including objects that wait for their drop. They count for the goal and for the memory
    /// limit.
    pub owned_bytes: u64,
    /// Bytes of the objects that the last cycle found alive.
    pub marked_bytes: u64,
    /// Bytes that the heap may grow to before the next cycle ends.
    pub goal_bytes: u64,
    /// Bytes of pages that the heap holds.
    pub mapped_bytes: u64,
    /// Nanoseconds of elapsed time from the beginning of a cycle to the end of marking, summed over
    /// all cycles.
    pub mark_ns: u64,
    /// Nanoseconds of elapsed time of all sweeps, measured on the collector's thread.
    pub sweep_ns: u64,
    /// Number of objects that all cycles have marked and scanned.
    pub marked_objects: u64,
    /// Number of objects that all cycles have freed.
    pub freed_objects: u64,
    /// Nanoseconds of the longest stall: the longest time that the collector kept a mutator from
    /// its own work at once.
    ///
    /// A stall is processor time of a handshake, of an assist, of sweeping for a slot, or of work
    /// for written locks. All work for locks between two handshakes counts as one stall. Time
    /// asleep at `enter` is a stall too. Delays by the system's scheduler are not included.
    pub max_stall_ns: u64,
    /// Number of stalls by length; see [`STALL_BUCKETS`].
    pub stall_ns: [u64; STALL_BUCKETS],
    /// Nanoseconds of the longest wait of a cycle for a pinned thread.
    pub longest_pin_ns: u64,
    /// Nanoseconds of processor time of all cycles, on all threads.
    pub cpu_ns: u64,
    /// Number of assists: calls in which a mutator helped to mark.
    pub assists: u64,
    /// Number of cleanups run.
    pub cleanups: u64,
    /// Number of cleanups that wait for the death of an object and seem to hold a
    /// [`Root`](super::Root) of that same object. Such an object never dies. The heap detects a
    /// root in the closure itself, but not one behind a pointer.
    pub cleanups_kept: u64,
    /// Number of panics in drops and cleanups.
    pub drops_panicked: u64,
    /// Number of root slots in use.
    pub roots: u64,
    /// Number of threads that have entered the heap and have not ended.
    pub mutators: u64,
}

impl Default for GcStats {
    fn default() -> Self {
        Self {
            cycles: 0,
            forced_cycles: 0,
            live_bytes: 0,
            waiting_bytes: 0,
            owned_bytes: 0,
            marked_bytes: 0,
            goal_bytes: 0,
            mapped_bytes: 0,
            mark_ns: 0,
            sweep_ns: 0,
            marked_objects: 0,
            freed_objects: 0,
            max_stall_ns: 0,
            stall_ns: [0; STALL_BUCKETS],
            longest_pin_ns: 0,
            cpu_ns: 0,
            assists: 0,
            cleanups: 0,
            cleanups_kept: 0,
            drops_panicked: 0,
            roots: 0,
            mutators: 0,
        }
    }
}

impl fmt::Display for GcStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |ns: u64| ns as f64 / 1e6;
        writeln!(
            f,
            "{:>12}  cycles completed, {} of them asked for",
            self.cycles, self.forced_cycles
        )?;
        writeln!(
            f,
            "{:>12}  bytes live, of {} mapped; goal {}",
            self.live_bytes, self.mapped_bytes, self.goal_bytes
        )?;
        writeln!(f, "{:>12}  bytes wait for their drop", self.waiting_bytes)?;
        writeln!(f, "{:>12}  bytes owned by objects", self.owned_bytes)?;
        writeln!(f, "{:>12}  bytes found alive by the last cycle", self.marked_bytes)?;
        writeln!(
            f,
            "{:>12.3}  ms marking, {:.3} ms sweeping",
            ms(self.mark_ns),
            ms(self.sweep_ns)
        )?;
        writeln!(
            f,
            "{:>12}  objects marked, {} freed",
            self.marked_objects, self.freed_objects
        )?;
        writeln!(f, "{:>12.3}  ms longest stall of a mutator", ms(self.max_stall_ns))?;
        writeln!(
            f,
            "{:>12.3}  ms longest wait for a pinned thread",
            ms(self.longest_pin_ns)
        )?;
        writeln!(
            f,
            "{:>12}  assists, {} cleanups, {} panics in drops",
            self.assists, self.cleanups, self.drops_panicked
        )?;
        if self.cleanups_kept > 0 {
            writeln!(
                f,
                "{:>12}  cleanups hold a root of their own object and never run",
                self.cleanups_kept
            )?;
        }
        Ok(())
    }
}

/// The counters of a heap. Any thread may raise them.
pub(crate) struct Counters {
    pub(crate) cycles: AtomicU64,
    pub(crate) forced: AtomicU64,
    pub(crate) mark_ns: AtomicU64,
    pub(crate) sweep_ns: AtomicU64,
    pub(crate) marked_bytes: AtomicU64,
    pub(crate) marked_objects: AtomicU64,
    pub(crate) freed_objects: AtomicU64,
    pub(crate) assists: AtomicU64,
    pub(crate) longest_pin_ns: AtomicU64,
    pub(crate) assists_ns: AtomicU64,
    pub(crate) helpers_ns: AtomicU64,
    pub(crate) cpu_ns: AtomicU64,
    max_stall_ns: AtomicU64,
    stalls: [AtomicU64; STALL_BUCKETS],
}

impl Counters {
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            cycles: zero(),
            forced: zero(),
            mark_ns: zero(),
            sweep_ns: zero(),
            marked_bytes: zero(),
            marked_objects: zero(),
            freed_objects: zero(),
            assists: zero(),
            longest_pin_ns: zero(),
            assists_ns: zero(),
            helpers_ns: zero(),
            cpu_ns: zero(),
            max_stall_ns: zero(),
            stalls: core::array::from_fn(|_| zero()),
        }
    }

    /// Counts a stall by work that began at `since`.
    pub(crate) fn stall(&self, since: Stint) {
        self.stall_of(since.nanos());
    }

    /// Counts a stall of `ns` nanoseconds.
    pub(crate) fn stall_of(&self, ns: u64) {
        self.max_stall_ns.fetch_max(ns, Relaxed);
        #[cfg(not(greyspan_loom))]
        crate::stats::TOTALS.count_stall(ns);
        let bucket = stall_bucket(ns);
        if let Some(count) = self.stalls.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Notes the total length of a stall that came in pieces. Each piece is already counted.
    pub(crate) fn stalls_of(&self, ns: u64) {
        self.max_stall_ns.fetch_max(ns, Relaxed);
    }

    /// Returns the figures kept here. The heap fills in the others.
    pub(crate) fn snapshot(&self) -> GcStats {
        GcStats {
            cycles: self.cycles.load(Relaxed),
            forced_cycles: self.forced.load(Relaxed),
            marked_bytes: self.marked_bytes.load(Relaxed),
            mark_ns: self.mark_ns.load(Relaxed),
            sweep_ns: self.sweep_ns.load(Relaxed),
            marked_objects: self.marked_objects.load(Relaxed),
            freed_objects: self.freed_objects.load(Relaxed),
            max_stall_ns: self.max_stall_ns.load(Relaxed),
            stall_ns: core::array::from_fn(|bucket| self.stalls.get(bucket).map_or(0, |count| count.load(Relaxed))),
            longest_pin_ns: self.longest_pin_ns.load(Relaxed),
            cpu_ns: self.cpu_ns.load(Relaxed),
            assists: self.assists.load(Relaxed),
            ..GcStats::default()
        }
    }
}

/// The moment when a mutator began to work for the collector, in processor time of its thread.
#[derive(Clone, Copy)]
pub(crate) struct Stint(u64);

impl Stint {
    pub(crate) fn begin() -> Self {
        Self(thread_nanos())
    }

    /// Returns the nanoseconds of processor time since the beginning.
    pub(crate) fn nanos(self) -> u64 {
        thread_nanos().saturating_sub(self.0)
    }
}

/// Returns the nanoseconds of processor time that the calling thread has used. Returns 0 in the
/// models, which have no clock.
pub(crate) fn thread_nanos() -> u64 {
    #[cfg(not(greyspan_loom))]
    return crate::os::thread_nanos();
    #[cfg(greyspan_loom)]
    0
}

/// Returns the whole nanoseconds of `duration`, at most `u64::MAX`.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
