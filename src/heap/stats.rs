//! The snapshot [`Stats`], taken without stopping any thread.
//!
//! It allocates nothing and needs no thread cache, so it may run at any time, even at the end of
//! the process. It takes the registry's lock and the page heap's, one at a time and for moments.

#![forbid(unsafe_code)]

use super::{HEAP, Heap};
use crate::base::geometry::{PAGE, RUN_MAX};
use crate::mspan::State;
use crate::os::report;
use crate::size_class::{COUNT, SizeClass};
use crate::stats::{SizeClassStats, Stats};
use crate::sync::atomic::Ordering::{Acquire, Relaxed};

/// Objects and bytes that are live in the spans of the program. Blocks in thread caches count as
/// live here.
#[derive(Clone, Copy, Default)]
struct Held {
    objects: u64,
    bytes: u64,
}

impl Heap {
    /// Takes a snapshot. The counts of other threads are as of some moment during the call.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        let caches = self.registry.figures();
        stats.mcache_inuse = caches.in_use as u64;
        stats.mcache_sys = caches.sys as u64;
        stats.has_served = self.has_served();
        let [kept, idle] = self.registry.held_bytes();
        let held = self.add_spans(&mut stats);
        self.add_tallies(&mut stats, held);
        // Last, so the figures include spans made meanwhile, and objects never exceed the pages
        // they lie in.
        let heap = self.tiers.mheap.figures();
        stats.heap_sys = heap.sys as u64;
        stats.heap_inuse = heap.inuse as u64;
        stats.heap_idle = (heap.sys - heap.inuse) as u64;
        stats.heap_released = heap.released as u64;
        stats.heap_holes = heap.holes as u64;
        stats.mspan_inuse = heap.span_records as u64;
        stats.mspan_sys = heap.span_records_sys as u64;
        stats.gc_sys = heap.tables as u64;
        stats.lookups = heap.lookups as u64;
        stats.allocated = stats.allocated.min(stats.heap_inuse);
        stats.active = stats.heap_inuse;
        stats.metadata = stats.mspan_inuse + stats.mcache_inuse + stats.gc_sys;
        stats.mapped = stats.heap_sys + stats.mspan_sys + stats.mcache_sys + stats.gc_sys;
        stats.retained = stats.heap_released + stats.heap_holes;
        stats.resident = stats.heap_sys - stats.retained + stats.metadata;
        stats.mcache_held = stats.active.min(kept as u64);
        stats.mcache_idle = stats.mcache_held.min(idle as u64);
        // In the order of `PurgeCause`.
        let purged = heap.purged.map(|bytes| bytes as u64);
        [
            stats.purged_asked,
            stats.purged_idle,
            stats.purged_soft,
            stats.purged_hard,
            stats.purged_pressure,
        ] = purged;
        stats.peak_allocated = self.raise_peak(stats.allocated);
        stats.peak_resident = self.tiers.mheap.peak(stats.resident as usize) as u64;
        crate::stats::add_totals(&mut stats);
        sort(&mut stats.by_size);
        stats
    }

    /// Samples the bytes that the program holds, because the pages in use have grown. It visits no
    /// span, and all threads' counts. Blocks in thread caches count as held.
    #[cold]
    #[inline(never)]
    pub(super) fn sample_peak(&self) {
        let (inuse, whole) = self.tiers.mheap.begin_sample();
        // One thread may count a block as freed that another is yet to count as allocated.
        let mut held = whole as i64;
        for shared in self.registry.shared(&self.tiers) {
            for (class, tally) in SizeClass::all().zip(&shared.tallies) {
                let count = tally.mallocs.load(Relaxed).wrapping_sub(tally.frees.load(Relaxed));
                held += count as i64 * class.size() as i64;
            }
            let (_, gathered) = shared.outbox.gathered();
            held -= gathered as i64 + shared.run_bytes.load(Relaxed) as i64;
        }
        // Without `clamp`, which may panic.
        self.raise_peak(held.max(0).min(inuse as i64) as u64);
    }

    /// Raises the peak to `now`, unless it is higher. Returns the peak.
    fn raise_peak(&self, now: u64) -> u64 {
        let before = self.peak_allocated.load(Relaxed);
        // A page that is not written stays shared with the child of a fork.
        if now > before {
            self.peak_allocated.fetch_max(now, Relaxed);
        }
        now.max(before)
    }

    /// Whether any request but the collector's ever came to this heap. The first one makes a thread
    /// cache, and caches are never freed (REGISTRY-2).
    pub(super) fn has_served(&self) -> bool {
        self.registry.figures().count > 0
    }

    /// Adds the counts of all thread caches. Fills the rows of [`Stats::by_size`] by class number.
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

    /// Adds the blocks that passed between the caches and the tiers below.
    fn add_passed(&self, stats: &mut Stats, held: Held) {
        stats.heap_objects += held.objects;
        stats.allocated += held.bytes;
        // All frees first. Acquire: pairs with the Release of their writers. One thread may count a
        // block as freed that another counted as allocated before, so frees never exceed mallocs.
        for shared in self.registry.shared(&self.tiers) {
            for (row, tally) in stats.by_size.iter_mut().zip(&shared.tallies) {
                row.frees += tally.frees.load(Acquire);
            }
            // The tally after those of the classes counts large objects.
            stats.frees += shared.tallies.last().map_or(0, |large| large.frees.load(Acquire));
        }
        for shared in self.registry.shared(&self.tiers) {
            for (row, tally) in stats.by_size.iter_mut().zip(&shared.tallies) {
                row.mallocs += tally.mallocs.load(Relaxed);
            }
            stats.mallocs += shared.tallies.last().map_or(0, |large| large.mallocs.load(Relaxed));
            stats.total_alloc += shared.large_bytes.load(Relaxed);
            // The program has freed the runs that a thread keeps and the blocks that it has yet to
            // send.
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

    /// Adds the exact counts of allocations and frees, and their difference: the blocks that the
    /// program holds. The spans know that only with the blocks in the caches.
    ///
    /// Blocks handed out between the two sums would count as held. Because this thread may wait in
    /// between, the blocks that are live in the spans are the bound.
    fn add_exact(&self, stats: &mut Stats, held: Held) {
        let sets = || {
            let own = self.registry.shared(&self.tiers).filter_map(|shared| shared.exact());
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

    /// Returns the live objects of all spans. Adds the collector's spans to `stats`.
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
                    // The caches count the runs they keep by length, so spans count by pages there.
                    // Exact counts count pages too.
                    let in_pages = span.pages() * PAGE;
                    held.bytes += if Stats::EXACT || in_pages <= RUN_MAX {
                        in_pages as u64
                    } else {
                        size
                    };
                }
                // Only the collector knows how much of it is live.
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

/// Sorts the rows by size. They come nearly in order. The standard library's sort may panic if an
/// order contradicts itself, so it is not used.
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

/// The exit hook of `GREYSPAN_SHOW_STATS`: writes the table to standard error. The thread may have
/// lost its cache, and other threads may be in the heap.
pub(super) extern "C-unwind" fn show_stats() {
    report::text(&HEAP.stats());
}
