//! Heaps that roots keep although the program has no handle of them, so no thread can enter them
//! any more (GCHEAP-4 of [`heap`](super::heap)).
//!
//! The program may hold the roots for a while. If the roots lie in objects of the heap, or in
//! cleanups that wait for these objects, they keep the heap forever. An event and a line of the
//! trace report that.

use super::collector::Collector;
use crate::os::report;
use crate::sync::tally::Ordering::Relaxed;

impl Collector {
    /// Reports an abandoned heap, once. Called after a cycle in which nothing was dropped.
    pub(crate) fn report_if_abandoned(&self) {
        if !self.used.report() {
            return;
        }
        self.end_is_over();
        let (roots, live) = (self.roots.count() as u64, self.counters.marked_bytes.load(Relaxed));
        let cleanups = self.wills.len() as u64;
        crate::events::note(crate::events::EventKind::GcHeapKept { live, roots, cleanups });
        if self.traced {
            report::warn(format_args!(
                "gc: no handle of a heap is left, but {roots} roots keep its {live} bytes; {cleanups} cleanups wait for its objects"
            ));
        }
    }
}
