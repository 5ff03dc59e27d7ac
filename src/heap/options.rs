//! Options from the environment, put in force once.

use super::Heap;
use crate::options::{Options, SoftLimit};
use crate::os::report;

/// Reads `GREYSPAN_*` and applies it to the tiers. The caller registers the exit hook once the heap
/// can serve.
pub(super) fn apply(heap: &Heap) -> Options {
    let options = Options::from_env(|limit| heap.system.find(limit)?);
    let mheap = &heap.tiers.mheap;
    mheap.set_verbose(options.verbose);
    mheap.set_purge_delay(options.purge_delay_ms);
    match options.memory_limit {
        SoftLimit::Bytes(bytes) => mheap.set_soft_limit(Some(bytes)),
        limit if options.follows_system() => heap.follow_system(limit),
        limit => {
            mheap.set_soft_limit(None);
            if let SoftLimit::Percent(percent) = limit {
                report::warn(format_args!(
                    "GREYSPAN_MEMLIMIT={percent}% has no effect without the background thread, which reads the container's limit: set a size"
                ));
            }
        }
    }
    mheap.set_hard_limit(options.hard_limit);
    mheap.set_huge(options.huge);
    // Without a delay, free pages go back at once or never: no thread is needed.
    if options.background_wanted {
        heap.background.insist();
    }
    if !options.background || options.purge_delay_ms <= 0 {
        heap.background.turn_off();
    }
    options
}

impl Heap {
    /// Sets the soft limit: the bytes beyond which memory goes back to the system at once.
    pub(crate) fn set_soft_limit(&self, bytes: Option<usize>) {
        // The set-up would overwrite a limit that is set before it.
        self.set_up();
        self.tiers.mheap.set_soft_limit(bytes);
    }

    /// Sets the hard limit: the bytes beyond which allocations fail.
    pub(crate) fn set_hard_limit(&self, bytes: Option<usize>) {
        self.set_up();
        self.tiers.mheap.set_hard_limit(bytes);
    }

    /// Returns the soft and the hard limit in force.
    pub(crate) fn limits(&self) -> [Option<usize>; 2] {
        self.set_up();
        self.tiers.mheap.limits()
    }
}
