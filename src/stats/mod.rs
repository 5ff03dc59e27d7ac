//! [`Stats`]: one snapshot of the whole allocator, in the words of jemalloc (process totals) and of Go's `MemStats` (tiers).
//!
//! The heap fills it in; its forms for people and machines are in `text`. A copy: it takes no lock and does not change.

#![forbid(unsafe_code)]

#[cfg(all(feature = "gc", not(loom)))]
mod collector;
#[cfg(not(loom))]
mod text;

#[cfg(all(feature = "gc", not(loom)))]
pub(crate) use collector::{TOTALS, add_totals};
#[cfg(not(loom))]
pub(crate) use text::{Human, why_empty};

use crate::size_class::COUNT;
use std::fmt;

/// One row of [`Stats::by_size`]: what one size class holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SizeClassStats {
    /// Bytes of one object of the class. The classes whose size is a multiple of 4096
    /// serve requests aligned to more than a cache line; those 64 bytes longer, the same sizes without, so that not all begin on page
    /// boundaries.
    pub size: u64,
    /// Objects handed out since the process began. Exact or a lower bound, as [`Stats::mallocs`] is.
    pub mallocs: u64,
    /// Objects given back since the process began. Likewise.
    pub frees: u64,
    /// Spans that the class holds now.
    pub spans: u64,
}

/// Buckets of the histograms of stalls: bucket `i` counts stalls of 2^`i` nanoseconds and more, below twice that.
pub const STALL_BUCKETS: usize = 36;

/// The bucket of a stall.
#[cfg(feature = "gc")]
pub(crate) fn stall_bucket(ns: u64) -> usize {
    (ns.max(1).ilog2() as usize).min(STALL_BUCKETS - 1)
}

/// One snapshot of the allocator, made by [`stats()`](crate::stats()). Bytes unless named otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes in objects that the program holds, rounded to their size class (jemalloc's `stats.allocated`).
    /// Without the feature `stats`, objects that a thread keeps ready in its bins count as held.
    pub allocated: u64,
    /// Bytes in spans that hold objects (jemalloc's `stats.active`): `allocated` plus the free slots between them.
    pub active: u64,
    /// Bytes of the allocator's own records: span records, page map, trackers and thread caches.
    pub metadata: u64,
    /// Bytes that the heap keeps in physical memory at the most: `active`, `metadata`, and free pages not yet given back.
    pub resident: u64,
    /// Bytes of address space that are readable and writable for the heap and its metadata.
    pub mapped: u64,
    /// Bytes of `mapped` that were given back to, or never taken from, the operating system.
    pub retained: u64,
    /// Bytes of address space that the page heap made ready for objects: `heap_inuse + heap_idle` (Go's `HeapSys`).
    pub heap_sys: u64,
    /// Bytes in pages that no span uses (Go's `HeapIdle`); at least `heap_released`.
    pub heap_idle: u64,
    /// Bytes in pages that spans use (Go's `HeapInuse`).
    pub heap_inuse: u64,
    /// Bytes of `heap_idle` without physical memory behind them (Go's `HeapReleased`).
    pub heap_released: u64,
    /// Objects that the program holds, a count (Go's `HeapObjects`): exact with the feature `stats`, else up to what the thread caches hold.
    pub heap_objects: u64,
    /// Bytes of span records in use (Go's `MSpanInuse`).
    pub mspan_inuse: u64,
    /// Bytes taken from the operating system for span records (Go's `MSpanSys`).
    pub mspan_sys: u64,
    /// Bytes of thread caches in use (Go's `MCacheInuse`).
    pub mcache_inuse: u64,
    /// Bytes taken from the operating system for thread caches (Go's `MCacheSys`).
    pub mcache_sys: u64,
    /// Bytes of all other metadata: page map and huge-page trackers (Go's `GCSys`).
    pub gc_sys: u64,
    /// Bytes handed out since the process began (Go's `TotalAlloc`); see [`mallocs`](Self::mallocs) for its bound.
    pub total_alloc: u64,
    /// Objects handed out since the process began, a count: exact with the feature `stats`. Without it the fast path counts nothing, so that this
    /// is a lower bound: what passed from the tiers below into the thread caches.
    pub mallocs: u64,
    /// Objects given back since the process began, a count, with the bound of [`mallocs`](Self::mallocs).
    pub frees: u64,
    /// Pointer lookups that found no arena of the heap, a count (Go's `Lookups`).
    pub lookups: u64,
    /// Bytes of the managed heap that collected last at which it means to be before its next cycle ends (Go's `NextGC`). This and what follows
    /// is zero without the feature `gc`.
    pub next_gc: u64,
    /// When the last cycle of any managed heap ended, in nanoseconds since 1970; 0: never (Go's `LastGC`).
    pub last_gc: u64,
    /// Cycles of all managed heaps, a count (Go's `NumGC`).
    pub num_gc: u64,
    /// Cycles among them that `collect` asked for, a count (Go's `NumForcedGC`).
    pub num_forced_gc: u64,
    /// The collector's share of the processor time that the process could have used since the first cycle ended, in millionths (Go's
    /// `GCCPUFraction`).
    pub gc_cpu_fraction: u64,
    /// The longest stall that the collector caused in a mutator, in nanoseconds.
    pub max_stall_ns: u64,
    /// How often it did so: entry `i` counts stalls of 2^`i` nanoseconds and more, below twice that.
    pub stall_ns: [u64; STALL_BUCKETS],
    /// One row a size class, smallest first.
    pub by_size: [SizeClassStats; COUNT],
    /// Whether the program has ever allocated from this heap: as its global allocator, through
    /// another one that wraps it, or by hand. `false` where its global allocator is another one.
    /// What it allocates is in none of these figures then.
    pub has_served: bool,
}

impl Stats {
    /// Whether [`mallocs`](Self::mallocs), [`frees`](Self::frees), [`total_alloc`](Self::total_alloc), [`heap_objects`](Self::heap_objects),
    /// [`allocated`](Self::allocated) and the counts of [`by_size`](Self::by_size) are exact: with the feature `stats`. Without it the hit
    /// path counts nothing. What is held is exact while nobody allocates; a snapshot beside threads that do may count as held what passes through
    /// their hands meanwhile, but no more than lies in spans.
    pub const EXACT: bool = cfg!(feature = "stats");

    /// Whether [`Greyspan`](crate::Greyspan) forwards to the system's allocator: with the feature
    /// `passthrough`, and on targets where the heap is not supported (off Linux, and on 32-bit
    /// machines). The figures, limits, heap map and purges then concern the collector's pages at
    /// the most, and the program's own memory is not in them.
    pub const FORWARDS: bool = cfg!(any(feature = "passthrough", not(greyspan_heap)));
}

impl Default for Stats {
    fn default() -> Self {
        // A test of all-zero statistics must not depend on the heap, so this is written out by value.
        Self {
            allocated: 0,
            active: 0,
            metadata: 0,
            resident: 0,
            mapped: 0,
            retained: 0,
            heap_sys: 0,
            heap_idle: 0,
            heap_inuse: 0,
            heap_released: 0,
            heap_objects: 0,
            mspan_inuse: 0,
            mspan_sys: 0,
            mcache_inuse: 0,
            mcache_sys: 0,
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
            .field("heap_objects", &self.heap_objects)
            .field("has_served", &self.has_served)
            .finish_non_exhaustive()
    }
}
