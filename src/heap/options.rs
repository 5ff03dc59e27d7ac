//! Options from the environment, put in force once.

use super::Heap;
use crate::options::Options;

/// Reads `GREYSPAN_*` and applies it to the tiers; the exit hook is left to the caller, when the heap can serve.
pub(super) fn apply(heap: &Heap) -> Options {
    let options = Options::from_env();
    let mheap = &heap.tiers.mheap;
    mheap.set_purge_delay(options.purge_delay_ms);
    mheap.set_soft_limit(options.memory_limit);
    mheap.set_hard_limit(options.hard_limit);
    mheap.set_huge(options.huge);
    // Without a delay free pages go back at once, or never.
    if options.background_wanted {
        heap.background.insist();
    }
    if !options.background || options.purge_delay_ms <= 0 {
        heap.background.turn_off();
    }
    options
}

impl Heap {
    /// Sets the bytes beyond which memory is given back at once.
    pub(crate) fn set_soft_limit(&self, bytes: Option<usize>) {
        self.tiers.mheap.set_soft_limit(bytes);
    }

    /// Sets the bytes beyond which allocation fails.
    pub(crate) fn set_hard_limit(&self, bytes: Option<usize>) {
        self.tiers.mheap.set_hard_limit(bytes);
    }

    /// What [`set_soft_limit`](Self::set_soft_limit) and [`set_hard_limit`](Self::set_hard_limit)
    /// have set.
    pub(crate) fn limits(&self) -> [Option<usize>; 2] {
        self.tiers.mheap.limits()
    }
}
