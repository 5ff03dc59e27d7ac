//! Figures of the whole heap, gathered without stopping anyone.

#![forbid(unsafe_code)]

use super::Heap;
use crate::mheap::HeapFigures;
use crate::mspan::State;
use crate::size_class::{COUNT, SizeClass};
use crate::sync::atomic::Ordering::Relaxed;

/// One row of figures.
#[derive(Clone, Copy, Default)]
pub(crate) struct ClassFigures {
    pub(crate) size: u64,
    pub(crate) mallocs: u64,
    pub(crate) frees: u64,
    pub(crate) spans: u64,
}

/// All figures, in bytes unless named otherwise.
pub(crate) struct Figures {
    pub(crate) heap: HeapFigures,
    pub(crate) cache_in_use: u64,
    pub(crate) cache_sys: u64,
    /// Bytes and count of objects that are not free.
    pub(crate) allocated: u64,
    pub(crate) objects: u64,
    pub(crate) total_alloc: u64,
    pub(crate) large_mallocs: u64,
    pub(crate) large_frees: u64,
    pub(crate) classes: [ClassFigures; COUNT],
}

impl Heap {
    /// One snapshot. Counts of other threads are as of some moment during the call.
    pub(crate) fn figures(&self) -> Figures {
        let caches = self.registry.figures();
        let mut figures = Figures {
            heap: HeapFigures::default(),
            cache_in_use: caches.in_use as u64,
            cache_sys: caches.sys as u64,
            allocated: 0,
            objects: 0,
            total_alloc: 0,
            large_mallocs: 0,
            large_frees: 0,
            classes: [ClassFigures::default(); COUNT],
        };
        for shared in self.shared() {
            let rows = figures.classes.iter_mut().zip(&shared.tallies);
            for ((row, tally), class) in rows.zip(SizeClass::all()) {
                // Frees first: a count read later can only be larger, so frees never exceed mallocs.
                row.frees += tally.frees.load(Relaxed);
                row.mallocs += tally.mallocs.load(Relaxed);
                row.size = class.size() as u64;
            }
            if let Some(large) = shared.tallies.last() {
                figures.large_frees += large.frees.load(Relaxed);
                figures.large_mallocs += large.mallocs.load(Relaxed);
            }
            figures.total_alloc += shared.large_bytes.load(Relaxed);
        }
        for class in SizeClass::all() {
            if let Some(row) = figures.classes.get_mut(class.index()) {
                row.size = class.size() as u64;
                figures.total_alloc += row.mallocs * row.size;
            }
        }
        for span in self.tiers.mheap.all_spans() {
            let size = span.size() as u64;
            match span.state() {
                State::Small => {
                    let live = u64::from(span.live().saturating_sub(span.word.remote_count()));
                    figures.objects += live;
                    figures.allocated += live * size;
                    if let Some(row) = span.class().and_then(|class| figures.classes.get_mut(class.index())) {
                        row.spans += 1;
                    }
                }
                State::Large => {
                    figures.objects += 1;
                    figures.allocated += size;
                }
                State::Free => {}
            }
        }
        // Last, so that spans made meanwhile are in it; and objects cannot outgrow the pages they lie in.
        figures.heap = self.tiers.mheap.figures();
        figures.allocated = figures.allocated.min(figures.heap.inuse as u64);
        figures
    }
}
