//! [`GcStats`]: what a heap has done and costs, and the counters behind it.

#![forbid(unsafe_code)]

use crate::stats::stall_bucket;
use crate::sync::tally::{AtomicU64, Ordering::Relaxed};
use core::fmt;
use std::time::Duration;

pub use crate::stats::STALL_BUCKETS;

/// One snapshot of a heap's figures, by [`Heap::stats`](super::Heap::stats).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GcStats {
    /// Cycles completed.
    pub cycles: u64,
    /// Cycles among them that `collect` asked for.
    pub forced_cycles: u64,
    /// Bytes of slots that hold objects or stand ready in mutators' caches.
    pub live_bytes: u64,
    /// Bytes of dead objects and cleanups that wait for the drop thread. They count for the goal
    /// and for the memory limit, and a thread that enters waits for them where they are too many.
    pub waiting_bytes: u64,
    /// Bytes of memory that objects own, as [`Trace::measure`](super::Trace::measure) says, those
    /// that wait for their drop included. They count for the goal and for the memory limit.
    pub owned_bytes: u64,
    /// Bytes of the objects that the last cycle found alive.
    pub marked_bytes: u64,
    /// Bytes that the heap may grow to before the next cycle ends.
    pub goal_bytes: u64,
    /// Bytes of pages that the heap holds.
    pub mapped_bytes: u64,
    /// Nanoseconds of all cycles from their beginning to the end of marking.
    pub mark_ns: u64,
    /// Nanoseconds of all sweeps, as the collector's thread saw them.
    pub sweep_ns: u64,
    /// Objects that all cycles marked and scanned.
    pub marked_objects: u64,
    /// Objects that all cycles freed.
    pub freed_objects: u64,
    /// The longest time that the collector kept a mutator from its own work at once: processor time
    /// of a handshake, an assist, sweeping for a slot, work for locks that are written (all of
    /// that between two handshakes counts as one); or time asleep at `enter`. What the system's
    /// scheduler adds is not in it.
    pub max_stall_ns: u64,
    /// How often it did so, by length; see [`STALL_BUCKETS`].
    pub stall_ns: [u64; STALL_BUCKETS],
    /// The longest time that a cycle waited for a pinned thread.
    pub longest_pin_ns: u64,
    /// Nanoseconds of processor time that all cycles took, on whatever thread.
    pub cpu_ns: u64,
    /// How often mutators helped to mark.
    pub assists: u64,
    /// Cleanups run.
    pub cleanups: u64,
    /// Cleanups that wait for the death of an object and seem to hold a [`Root`](super::Root) of
    /// that very object, which never dies so. A root that lies in the closure itself is seen; one
    /// behind a pointer is not.
    pub cleanups_kept: u64,
    /// Panics in drops and cleanups.
    pub drops_panicked: u64,
    /// Root slots in use.
    pub roots: u64,
    /// Threads that have entered the heap and not ended.
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

/// Counters, raised by whoever has something to count.
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

    /// Counts a stall of work that began at `since`.
    pub(crate) fn stall(&self, since: Stint) {
        self.stall_of(since.nanos());
    }

    /// Counts a stall of so many nanoseconds.
    pub(crate) fn stall_of(&self, ns: u64) {
        self.max_stall_ns.fetch_max(ns, Relaxed);
        #[cfg(not(loom))]
        crate::stats::TOTALS.count_stall(ns);
        let bucket = stall_bucket(ns);
        if let Some(count) = self.stalls.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Counts the end of a stall that came in pieces, each of them counted already: it was so long
    /// in all.
    pub(crate) fn stalls_of(&self, ns: u64) {
        self.max_stall_ns.fetch_max(ns, Relaxed);
    }

    /// What stands here; the rest is the heap's to fill in.
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

/// When a mutator began to work for the collector, in processor time of its thread.
#[derive(Clone, Copy)]
pub(crate) struct Stint(u64);

impl Stint {
    pub(crate) fn begin() -> Self {
        Self(thread_nanos())
    }

    /// Nanoseconds of processor time since.
    pub(crate) fn nanos(self) -> u64 {
        thread_nanos().saturating_sub(self.0)
    }
}

/// Nanoseconds of processor time that the calling thread has used; the models have no clock.
pub(crate) fn thread_nanos() -> u64 {
    #[cfg(not(loom))]
    return crate::os::thread_nanos();
    #[cfg(loom)]
    0
}

/// Whole nanoseconds.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
