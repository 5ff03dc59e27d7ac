//! [`Stats`]: one snapshot of the whole allocator. Process totals have jemalloc's names, tiers
//! those of Go's `MemStats`.
//!
//! The heap fills it in; `text` formats it for people and machines. It is a copy: it takes no lock
//! and does not change.

#![forbid(unsafe_code)]

mod collector;
mod text;

pub(crate) use collector::{TOTALS, add_totals};
pub(crate) use text::{Human, why_empty};

use crate::size_class::COUNT;
use std::fmt;

/// One row of [`Stats::by_size`]: the objects and spans of one size class. Figures are counts
/// unless a field says otherwise. See the example of [`Stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SizeClassStats {
    /// Bytes of one object of the class.
    ///
    /// Sizes that are a multiple of 4096 serve requests aligned to more than a cache line. Sizes 64
    /// bytes longer serve other requests of the same length, so that not all objects begin on page
    /// boundaries.
    pub size: u64,
    /// Objects handed out since the process began. Exact or a lower bound, as [`Stats::mallocs`]
    /// is.
    pub mallocs: u64,
    /// Objects given back since the process began. Exact or a lower bound, as [`Stats::frees`] is.
    pub frees: u64,
    /// Spans that the class holds now.
    pub spans: u64,
}

/// The number of buckets in [`Stats::stall_ns`] and in `GcStats::stall_ns`: 36. Bucket `i` counts
/// stalls of at least 2^`i` and less than 2^(`i` + 1) nanoseconds. The last bucket also counts all
/// longer stalls. See the example of [`Stats`].
pub const STALL_BUCKETS: usize = 36;

/// Returns the bucket of a stall of `ns` nanoseconds.
pub(crate) fn stall_bucket(ns: u64) -> usize {
    (ns.max(1).ilog2() as usize).min(STALL_BUCKETS - 1)
}

/// One snapshot of the allocator, made by [`stats()`](crate::stats()).
///
/// Figures are in bytes unless a field says otherwise. `Display` prints a table that explains each
/// figure; [`to_json`](Self::to_json) and [`to_prometheus`](Self::to_prometheus) are for machines.
///
/// ```
/// let stats = greyspan::stats();
/// assert_eq!(stats.heap_sys, stats.heap_inuse + stats.heap_idle);
/// assert!(stats.allocated <= stats.active && stats.active <= stats.mapped);
/// println!("{stats}");
///
/// println!("at its peak the heap had {} bytes of memory", stats.peak_resident);
/// let by_itself = stats.purged_idle;
/// println!("{by_itself} bytes were idle and went back, {} by `purge()`", stats.purged_asked);
/// println!("idle threads keep up to {} bytes", stats.mcache_idle);
///
/// let most = stats.by_size.iter().max_by_key(|class| class.spans).expect("a class");
/// println!("{} spans hold objects of {} bytes", most.spans, most.size);
///
/// // Stalls of at least 2^20 ns, about a millisecond. This program has no managed heap.
/// let long: u64 = stats.stall_ns[20..].iter().sum();
/// assert_eq!(long, 0);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes in objects that the program holds, rounded up to their size class (jemalloc's
    /// `stats.allocated`). Without the feature `stats`, objects that threads keep ready in their
    /// bins count as held.
    pub allocated: u64,
    /// Bytes in spans (jemalloc's `stats.active`): `allocated` plus the free slots in these spans.
    pub active: u64,
    /// Bytes of the allocator's own records: span records, page map, trackers and thread caches.
    pub metadata: u64,
    /// Upper bound of the heap's physical memory: `active`, `metadata`, and free pages not yet
    /// given back to the operating system; less `heap_holes`.
    pub resident: u64,
    /// Bytes of address space that are readable and writable, for the heap and its metadata.
    pub mapped: u64,
    /// Bytes of `mapped` that were given back to the operating system, or never taken from it.
    pub retained: u64,
    /// The largest `allocated` of all samples since the process began, in bytes. Each snapshot is a
    /// sample. So is each moment at which the pages in use have grown by a thirty-second (at least
    /// 256 KiB) beyond all samples before; there, objects in thread caches count as held. Between
    /// samples the program may have held more.
    pub peak_allocated: u64,
    /// The largest value of `resident` since the process began, in bytes. The page heap keeps it
    /// up to date whenever it hands out memory, so no peak is missed. It concerns the heap alone;
    /// the system knows the peak of the whole process (`VmHWM`, `ru_maxrss`).
    pub peak_resident: u64,
    /// Bytes of address space that the page heap has made ready for objects: `heap_inuse +
    /// heap_idle` (Go's `HeapSys`).
    pub heap_sys: u64,
    /// Bytes in pages that no span uses (Go's `HeapIdle`); at least `heap_released`.
    pub heap_idle: u64,
    /// Bytes in pages that spans use (Go's `HeapInuse`).
    pub heap_inuse: u64,
    /// Bytes of `heap_idle` without physical memory (Go's `HeapReleased`).
    pub heap_released: u64,
    /// Bytes of `heap_inuse` without physical memory: pages of spans in which no object is live.
    pub heap_holes: u64,
    /// Objects that the program holds, a count (Go's `HeapObjects`). Exact with the feature
    /// `stats`; without it, objects in thread caches count as held.
    pub heap_objects: u64,
    /// Bytes of span records in use (Go's `MSpanInuse`).
    pub mspan_inuse: u64,
    /// Bytes taken from the operating system for span records (Go's `MSpanSys`).
    pub mspan_sys: u64,
    /// Bytes of thread caches in use (Go's `MCacheInuse`).
    pub mcache_inuse: u64,
    /// Bytes taken from the operating system for thread caches (Go's `MCacheSys`).
    pub mcache_sys: u64,
    /// Upper bound of the free bytes that the threads' caches keep: blocks in bins, freed blocks of
    /// other threads, large objects kept for reuse, and empty spans. Part of `active`. Bins count
    /// by their capacity, because the fast path counts nothing; the other parts are exact.
    pub mcache_held: u64,
    /// Bytes of `mcache_held` in the caches of threads that were idle when the background thread
    /// last looked. It takes the memory of such threads, so this is what it could not take. Zero
    /// without that thread.
    pub mcache_idle: u64,
    /// Bytes given back to the system since the process began because the program called
    /// [`purge`](crate::purge). This figure and the four below have the causes of
    /// [`PurgeCause`](crate::events::PurgeCause), count what a return has given back when it ends,
    /// and leave out the allocator's own records.
    pub purged_asked: u64,
    /// Bytes given back since the process began because they were idle for the purge delay: free
    /// pages, and pages of spans that no thread used.
    pub purged_idle: u64,
    /// Bytes given back since the process began because the footprint was above the soft limit.
    pub purged_soft: u64,
    /// Bytes given back since the process began because a request would have passed the hard limit.
    pub purged_hard: u64,
    /// Bytes given back since the process began because the system was short of memory.
    pub purged_pressure: u64,
    /// Bytes of all other metadata: page map and huge-page trackers (Go's `GCSys`).
    pub gc_sys: u64,
    /// Bytes handed out since the process began (Go's `TotalAlloc`). Exact or a lower bound, as
    /// [`mallocs`](Self::mallocs) is.
    pub total_alloc: u64,
    /// Objects handed out since the process began, a count. Exact with the feature `stats`. Without
    /// it the fast path counts nothing, and this is a lower bound: the objects that passed from the
    /// tiers below into the thread caches.
    pub mallocs: u64,
    /// Objects given back since the process began, a count. Exact or a lower bound, as
    /// [`mallocs`](Self::mallocs) is.
    pub frees: u64,
    /// Pointer look-ups that found no arena of the heap, a count (Go's `Lookups`).
    pub lookups: u64,
    /// Bytes that the managed heap that collected last may reach before its next cycle ends (Go's
    /// `NextGC`). This field and those up to `stall_ns` are zero without the feature `gc`.
    pub next_gc: u64,
    /// The end of the last cycle of any managed heap, in nanoseconds since 1970; 0 if there was
    /// none (Go's `LastGC`).
    pub last_gc: u64,
    /// Cycles of all managed heaps, a count (Go's `NumGC`).
    pub num_gc: u64,
    /// Cycles among them that `collect` asked for, a count (Go's `NumForcedGC`).
    pub num_forced_gc: u64,
    /// The collector's share of the processor time available to the process since the first cycle
    /// ended, in millionths: 0 to 1,000,000 (Go's `GCCPUFraction`).
    pub gc_cpu_fraction: u64,
    /// The longest stall of a mutator caused by the collector, in nanoseconds.
    pub max_stall_ns: u64,
    /// Histogram of these stalls: entry `i` counts stalls of at least 2^`i` and less than 2^(`i` +
    /// 1) nanoseconds. The last entry also counts all longer ones.
    pub stall_ns: [u64; STALL_BUCKETS],
    /// One row per size class, smallest first.
    pub by_size: [SizeClassStats; COUNT],
    /// Whether the program has ever allocated from this heap: as its global allocator, through a
    /// wrapper around it, or by direct calls. If the global allocator is another one, this is
    /// `false`, and the program's memory is in none of these figures.
    pub has_served: bool,
}

impl Stats {
    /// Whether the counts are exact, which needs the feature `stats`. It concerns
    /// [`mallocs`](Self::mallocs), [`frees`](Self::frees), [`total_alloc`](Self::total_alloc),
    /// [`heap_objects`](Self::heap_objects), [`allocated`](Self::allocated) and the counts of
    /// [`by_size`](Self::by_size). Without the feature the fast path counts nothing.
    ///
    /// The figures of held objects are exact while no thread allocates. While threads do, a
    /// snapshot may also count objects that are handed out and freed during the call, but never
    /// more than the spans hold.
    pub const EXACT: bool = cfg!(feature = "stats");

    /// Whether [`Greyspan`](crate::Greyspan) forwards to the system's allocator. It does with the
    /// feature `passthrough`, and on targets where the heap is not supported (systems other than
    /// Linux, and 32-bit machines). Figures, limits, heap map and purges then concern at most the
    /// collector's pages, and not the program's own memory.
    pub const FORWARDS: bool = cfg!(any(feature = "passthrough", not(greyspan_heap)));
}

impl Default for Stats {
    fn default() -> Self {
        // Written out by value: a test of all-zero statistics must not depend on the heap.
        Self {
            allocated: 0,
            active: 0,
            metadata: 0,
            resident: 0,
            mapped: 0,
            retained: 0,
            peak_allocated: 0,
            peak_resident: 0,
            heap_sys: 0,
            heap_idle: 0,
            heap_inuse: 0,
            heap_released: 0,
            heap_holes: 0,
            heap_objects: 0,
            mspan_inuse: 0,
            mspan_sys: 0,
            mcache_inuse: 0,
            mcache_sys: 0,
            mcache_held: 0,
            mcache_idle: 0,
            purged_asked: 0,
            purged_idle: 0,
            purged_soft: 0,
            purged_hard: 0,
            purged_pressure: 0,
            gc_sys: 0,
            total_alloc: 0,
            mallocs: 0,
            frees: 0,
            lookups: 0,
            next_gc: 0,
            last_gc: 0,
            num_gc: 0,
            num_forced_gc: 0,
            gc_cpu_fraction: 0,
            max_stall_ns: 0,
            stall_ns: [0; STALL_BUCKETS],
            by_size: [SizeClassStats::default(); COUNT],
            has_served: false,
        }
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stats")
            .field("allocated", &self.allocated)
            .field("active", &self.active)
            .field("metadata", &self.metadata)
            .field("resident", &self.resident)
            .field("mapped", &self.mapped)
            .field("heap_sys", &self.heap_sys)
            .field("heap_inuse", &self.heap_inuse)
            .field("heap_released", &self.heap_released)
            .field("heap_holes", &self.heap_holes)
            .field("heap_objects", &self.heap_objects)
            .field("has_served", &self.has_served)
            .finish_non_exhaustive()
    }
}
