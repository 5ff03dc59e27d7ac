//! The process-wide figures of [`Stats`]: name, unit, meaning and order. The table for people, JSON
//! and Prometheus' format read them.

use super::super::Stats;

/// The unit of a figure, and whether the figure can fall.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes now.
    Bytes,
    /// A number of things now.
    Count,
    /// Bytes since the process began.
    BytesEver,
    /// A number of things since the process began.
    CountEver,
    /// Nanoseconds, and nanoseconds since 1970.
    Nanos,
    Since1970,
    /// Millionths.
    Share,
}

/// One process-wide figure.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) read: fn(&Stats) -> u64,
    /// Begins with the unit, as "bytes ..." or "objects ..."; no full stop.
    pub(super) meaning: &'static str,
}

const fn row(name: &'static str, kind: Kind, read: fn(&Stats) -> u64, meaning: &'static str) -> Row {
    Row {
        name,
        kind,
        read,
        meaning,
    }
}

const TRAFFIC: &str = if Stats::EXACT {
    "allocations and frees (exact: feature stats)"
} else {
    "allocations and frees (mallocs, frees and total_alloc are lower bounds; exact with the feature stats)"
};

const HELD: &str = if Stats::EXACT {
    "objects the program holds"
} else {
    "objects the program holds, and those that thread caches keep ready"
};

/// A heading of the table, and the rows below it.
pub(super) type Section = (&'static str, &'static [Row]);

#[rustfmt::skip]
pub(super) static ROWS: [Section; 6] = [
    ("the process: allocated <= active <= mapped", &[
        row("allocated", Kind::Bytes, |s| s.allocated, "bytes in objects the program holds, rounded up to their size class"),
        row("active", Kind::Bytes, |s| s.active, "bytes in spans: allocated, and the free slots in them"),
        row("metadata", Kind::Bytes, |s| s.metadata, "bytes in the allocator's own records"),
        row("resident", Kind::Bytes, |s| s.resident, "bytes in physical memory, at most"),
        row("mapped", Kind::Bytes, |s| s.mapped, "bytes of readable and writable address space"),
        row("retained", Kind::Bytes, |s| s.retained, "bytes of mapped without physical memory"),
        row("peak_allocated", Kind::Bytes, |s| s.peak_allocated, "bytes allocated at the highest sample so far"),
        row("peak_resident", Kind::Bytes, |s| s.peak_resident, "bytes resident at the peak so far"),
    ]),
    ("the page heap: heap_inuse + heap_idle = heap_sys", &[
        row("heap_inuse", Kind::Bytes, |s| s.heap_inuse, "bytes in pages that spans use"),
        row("heap_idle", Kind::Bytes, |s| s.heap_idle, "bytes in pages that no span uses"),
        row("heap_sys", Kind::Bytes, |s| s.heap_sys, "bytes of pages made ready for spans"),
        row("heap_released", Kind::Bytes, |s| s.heap_released, "bytes of heap_idle without physical memory"),
        row("heap_holes", Kind::Bytes, |s| s.heap_holes, "bytes of heap_inuse without physical memory"),
    ]),
    ("the memory that threads keep, and that went back to the system", &[
        row("mcache_held", Kind::Bytes, |s| s.mcache_held, "bytes free in thread caches, at most"),
        row("mcache_idle", Kind::Bytes, |s| s.mcache_idle, "bytes of mcache_held in the caches of idle threads"),
        row("purged_asked", Kind::BytesEver, |s| s.purged_asked, "bytes given back since the start: the program asked"),
        row("purged_idle", Kind::BytesEver, |s| s.purged_idle, "bytes given back: idle for the purge delay"),
        row("purged_soft", Kind::BytesEver, |s| s.purged_soft, "bytes given back: above the soft limit"),
        row("purged_hard", Kind::BytesEver, |s| s.purged_hard, "bytes given back: near the hard limit"),
        row("purged_pressure", Kind::BytesEver, |s| s.purged_pressure, "bytes given back: the system was short of memory"),
    ]),
    ("the allocator's records: inuse <= sys", &[
        row("mspan_inuse", Kind::Bytes, |s| s.mspan_inuse, "bytes of span records in use"),
        row("mspan_sys", Kind::Bytes, |s| s.mspan_sys, "bytes taken from the system for span records"),
        row("mcache_inuse", Kind::Bytes, |s| s.mcache_inuse, "bytes of thread caches in use"),
        row("mcache_sys", Kind::Bytes, |s| s.mcache_sys, "bytes taken from the system for thread caches"),
        row("gc_sys", Kind::Bytes, |s| s.gc_sys, "bytes of the page map and the huge-page trackers"),
    ]),
    (TRAFFIC, &[
        row("heap_objects", Kind::Count, |s| s.heap_objects, HELD),
        row("mallocs", Kind::CountEver, |s| s.mallocs, "objects handed out since the start"),
        row("frees", Kind::CountEver, |s| s.frees, "objects given back since the start"),
        row("total_alloc", Kind::BytesEver, |s| s.total_alloc, "bytes handed out since the start"),
        row("lookups", Kind::CountEver, |s| s.lookups, "pointer lookups that found no arena"),
    ]),
    ("the collector (feature gc)", &[
        row("next_gc", Kind::Bytes, |s| s.next_gc, "bytes that the last heap to collect may grow to before its next cycle ends"),
        row("last_gc", Kind::Since1970, |s| s.last_gc, "nanoseconds since 1970 at the end of the last cycle"),
        row("num_gc", Kind::CountEver, |s| s.num_gc, "cycles since the start"),
        row("num_forced_gc", Kind::CountEver, |s| s.num_forced_gc, "cycles that the program asked for"),
        row("gc_cpu_fraction", Kind::Share, |s| s.gc_cpu_fraction, "millionths of the processors' time spent on collecting"),
        row("max_stall_ns", Kind::Nanos, |s| s.max_stall_ns, "nanoseconds of the longest stall of a mutator"),
    ]),
];

/// Returns all figures in order.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().flat_map(|(_, rows)| rows.iter())
}
