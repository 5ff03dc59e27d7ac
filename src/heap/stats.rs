//! The snapshot [`Stats`], gathered without stopping anyone.
//!
//! Allocates nothing and needs no thread cache: it may run at any time, also at the end of the process. Takes the registry's lock and the
//! page heap's, one at a time and for moments.

#![forbid(unsafe_code)]

use super::{HEAP, Heap};
use crate::base::geometry::{PAGE, RUN_MAX};
use crate::mspan::State;
use crate::os::report;
use crate::size_class::{COUNT, SizeClass};
use crate::stats::{SizeClassStats, Stats};
use crate::sync::atomic::Ordering::{Acquire, Relaxed};

/// What the spans hold that are the program's: objects and bytes, with what lies in the caches.
#[derive(Clone, Copy, Default)]
struct Held {
    objects: u64,
    bytes: u64,
}

impl Heap {
    /// One snapshot. Counts of other threads are as of some moment during the call.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        let caches = self.registry.figures();
        stats.mcache_inuse = caches.in_use as u64;
        stats.mcache_sys = caches.sys as u64;
        stats.has_served = self.has_served();
        let held = self.add_spans(&mut stats);
        self.add_tallies(&mut stats, held);
        // Last, so that spans made meanwhile are in it; and objects cannot outgrow the pages they lie in.
        let heap = self.tiers.mheap.figures();
        stats.heap_sys = heap.sys as u64;
        stats.heap_inuse = heap.inuse as u64;
        stats.heap_idle = (heap.sys - heap.inuse) as u64;
        stats.heap_released = heap.released as u64;
        stats.mspan_inuse = heap.span_records as u64;
        stats.mspan_sys = heap.span_records_sys as u64;
        stats.gc_sys = heap.tables as u64;
        stats.lookups = heap.lookups as u64;
        stats.allocated = stats.allocated.min(stats.heap_inuse);
        stats.active = stats.heap_inuse;
        stats.metadata = stats.mspan_inuse + stats.mcache_inuse + stats.gc_sys;
        stats.mapped = stats.heap_sys + stats.mspan_sys + stats.mcache_sys + stats.gc_sys;
        stats.retained = stats.heap_released;
        stats.resident = stats.heap_sys - stats.heap_released + stats.metadata;
        crate::stats::add_totals(&mut stats);
        sort(&mut stats.by_size);
        stats
    }

    /// Whether any request ever came to this heap but the collector's: the first one makes a thread
    /// cache, and caches are never freed (G2 of `registry`).
    pub(super) fn has_served(&self) -> bool {
        self.registry.figures().count > 0
    }

    /// What all thread caches counted. The rows of [`Stats::by_size`] are by class number here.
    fn add_tallies(&self, stats: &mut Stats, held: Held) {
        for (row, class) in stats.by_size.iter_mut().zip(SizeClass::all()) {
            row.size = class.size() as u64;
        }
        if Stats::EXACT {
            self.add_exact(stats, held);
        } else {
            self.add_passed(stats, held);
        }
    }

    /// What passed between the caches and the tiers below.
    fn add_passed(&self, stats: &mut Stats, held: Held) {
        stats.heap_objects += held.objects;
        stats.allocated += held.bytes;
        // All frees first, with Acquire for the Release of their writers: the blocks that one thread counts as freed another has counted as
        // handed out before, so frees never exceed mallocs.
        for shared in self.shared() {
            for (row, tally) in stats.by_size.iter_mut().zip(&shared.tallies) {
                row.frees += tally.frees.load(Acquire);
            }
            // The one after the classes counts large objects.
            stats.frees += shared.tallies.last().map_or(0, |large| large.frees.load(Acquire));
        }
        for shared in self.shared() {
            for (row, tally) in stats.by_size.iter_mut().zip(&shared.tallies) {
                row.mallocs += tally.mallocs.load(Relaxed);
            }
            stats.mallocs += shared.tallies.last().map_or(0, |large| large.mallocs.load(Relaxed));
            stats.total_alloc += shared.large_bytes.load(Relaxed);
            // What a thread keeps, or has yet to send home, the program has freed.
            let (objects, bytes) = shared.outbox.gathered();
            let bytes = bytes + shared.run_bytes.load(Relaxed) as u64;
            stats.heap_objects = stats.heap_objects.saturating_sub(objects);
            stats.allocated = stats.allocated.saturating_sub(bytes);
        }
        for row in &stats.by_size {
            stats.mallocs += row.mallocs;
            stats.frees += row.frees;
            stats.total_alloc += row.mallocs * row.size;
        }
    }

    /// What the program allocated and freed, exactly; and so what it holds, which spans know only with what lies in the caches. All that is handed
    /// out between the two sums would count as held, and were this thread to wait in between, that could be anything: no more is held
    /// than lies in the spans.
    fn add_exact(&self, stats: &mut Stats, held: Held) {
        let sets = || {
            let own = self.shared().filter_map(|shared| shared.exact());
            own.chain(&self.strays)
        };
        let mut freed = 0;
        for set in sets() {
            let (classes, large, bytes) = set.frees();
            for (row, frees) in stats.by_size.iter_mut().zip(classes) {
                row.frees += frees;
            }
            stats.frees += large;
            freed += bytes;
        }
        for set in sets() {
            let (classes, large, bytes) = set.mallocs();
            for (row, mallocs) in stats.by_size.iter_mut().zip(classes) {
                row.mallocs += mallocs;
            }
            stats.mallocs += large;
            stats.total_alloc += bytes;
        }
        for row in &stats.by_size {
            stats.mallocs += row.mallocs;
            stats.frees += row.frees;
            stats.total_alloc += row.mallocs * row.size;
            freed += row.frees * row.size;
        }
        stats.heap_objects += stats.mallocs.saturating_sub(stats.frees).min(held.objects);
        stats.allocated += stats.total_alloc.saturating_sub(freed).min(held.bytes);
    }

    /// What lies in all spans. Adds what is the collector's.
    fn add_spans(&self, stats: &mut Stats) -> Held {
        let mut held = Held::default();
        for span in self.tiers.mheap.all_spans() {
            let size = span.size() as u64;
            match span.state() {
                State::Small => {
                    let live = u64::from(span.live().saturating_sub(span.word.remote_count()));
                    held.objects += live;
                    held.bytes += live * size;
                    if let Some(row) = span.class().and_then(|class| stats.by_size.get_mut(class.index())) {
                        row.spans += 1;
                    }
                }
                State::Large => {
                    held.objects += 1;
                    // The runs that threads keep are counted by their lengths; exact counts are of pages.
                    let in_pages = span.pages() * PAGE;
                    held.bytes += if Stats::EXACT || in_pages <= RUN_MAX {
                        in_pages as u64
                    } else {
                        size
                    };
                }
                // What of it is live is the collector's to know.
                State::Managed => {
                    stats.heap_objects += u64::from(span.live());
                    stats.allocated += (span.pages() * PAGE) as u64;
                }
                State::Free => {}
            }
        }
        held
    }
}

/// By size. Nearly in order as they come, and without the standard library's sort, which may panic where an order contradicts itself.
fn sort(rows: &mut [SizeClassStats; COUNT]) {
    for end in 1..=COUNT {
        // The last of the first `end` rows sinks to its place.
        let mut sorted = rows.get_mut(..end).unwrap_or_default();
        while let [rest @ .., below, above] = sorted
            && below.size > above.size
        {
            core::mem::swap(below, above);
            let length = rest.len() + 1;
            sorted = sorted.get_mut(..length).unwrap_or_default();
        }
    }
}

/// The exit hook of `GREYSPAN_SHOW_STATS`: the table to standard error. The thread may have lost its cache, and others may be in the heap.
pub(super) extern "C-unwind" fn show_stats() {
    report::text(&HEAP.stats());
}
