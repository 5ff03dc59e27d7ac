//! Stands in for the heap on targets that it does not support: it allocates nothing.
//!
//! There `Greyspan` forwards to the system's allocator. The calls of the interface work and report
//! empty figures. Limits are remembered and limit nothing. The collector has its own source
//! (`source`).

mod forward;
pub(crate) mod global;
pub(crate) mod source;

use crate::heap_map::HeapMap;
use crate::profiler::Sampler;
use crate::stats::Stats;
use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::alloc::Layout;

/// The process's heap, which remembers limits only.
pub(crate) struct Heap {
    soft_limit: AtomicUsize,
    hard_limit: AtomicUsize,
}

/// The process's heap.
pub(crate) static HEAP: Heap = Heap {
    soft_limit: AtomicUsize::new(usize::MAX),
    hard_limit: AtomicUsize::new(usize::MAX),
};

/// Stands for the cache that the calling thread does not have.
pub(crate) struct NoCache {
    pub(crate) sampler: Sampler,
}

impl NoCache {
    pub(crate) fn is_ready(&self) -> bool {
        false
    }
}

pub(crate) mod thread {
    //! Threads have no caches here.

    /// Returns the calling thread's.
    pub(crate) fn current() -> super::NoCache {
        super::NoCache {
            sampler: super::Sampler::new(),
        }
    }
}

impl Heap {
    pub(crate) fn set_up(&self) {}

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        crate::stats::add_totals(&mut stats);
        stats
    }

    pub(crate) fn map(&self) -> HeapMap {
        HeapMap::default()
    }

    pub(crate) fn usable_size(&self, _: *mut u8, layout: Layout) -> usize {
        layout.size()
    }

    pub(crate) fn holds(&self, _: *mut u8) -> bool {
        false
    }

    pub(crate) fn purge(&self, _: NoCache) -> usize {
        0
    }

    pub(crate) fn thread_idle(&self, _: NoCache) {}

    pub(crate) fn confine(&self, _: bool) {}

    pub(crate) fn set_soft_limit(&self, bytes: Option<usize>) {
        self.soft_limit.store(bytes.unwrap_or(usize::MAX), Relaxed);
    }

    pub(crate) fn set_hard_limit(&self, bytes: Option<usize>) {
        self.hard_limit.store(bytes.unwrap_or(usize::MAX), Relaxed);
    }

    pub(crate) fn limits(&self) -> [Option<usize>; 2] {
        let limits = [self.soft_limit.load(Relaxed), self.hard_limit.load(Relaxed)];
        limits.map(|bytes| Some(bytes).filter(|&bytes| bytes != usize::MAX))
    }
}
