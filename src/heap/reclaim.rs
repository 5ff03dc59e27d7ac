//! Reclaim: makes as much memory idle as a thread can reach, before a request is refused.

use super::park::Whom;
use super::thread::{current_or, has_own};
use super::{HEAP, Heap};
use crate::events::PurgeCause;
use crate::mcache::MCache;
use crate::sync::atomic::Ordering::Relaxed;

impl Heap {
    /// Makes memory idle for a request of `wanted` bytes that found none; the caller then asks once
    /// more. The page heap itself gives idle pages back, and no more of them than the request
    /// needs.
    ///
    /// This is the one place that names all that can be reclaimed. The steps stand in lock order.
    #[cold]
    #[inline(never)]
    pub(super) fn reclaim(&self, cache: &MCache, wanted: usize) {
        // Threads that are in a slow operation now give up what they keep at their next refill, too
        // late for this request. The others are parked.
        let calls = self.tiers.mheap.calls_for_memory(wanted);
        if calls {
            // Relaxed: a count that guards no memory.
            self.tiers.purges.fetch_add(1, Relaxed);
        }
        let own = current_or(cache);
        if has_own(own) {
            self.with_cache(own, |own| match calls {
                true => own.heed_purge(&self.tiers),
                false => _ = own.trim(&self.tiers),
            });
        }
        if calls && self.can_park() {
            self.registry.park(&self.tiers, Whom::All, PurgeCause::HardLimit);
        }
        self.registry.trim_late(&self.tiers);
        self.registry.end_rest(&self.tiers);
    }

    /// Records that a request of `wanted` bytes is refused.
    #[cold]
    #[inline(never)]
    pub(super) fn note_refusal(&self, wanted: usize) {
        let aloud = core::ptr::eq(self, &raw const HEAP);
        self.tiers.mheap.note_refusal(wanted, aloud);
    }
}
