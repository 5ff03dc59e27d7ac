//! Heaps that no thread can enter any more, because the program has no handle of them, and that
//! roots keep all the same (H4 of [`heap`](super::heap)).
//!
//! The roots may be the program's, for a while. Where they lie in objects of the heap, or in
//! cleanups that wait for those objects, they keep the heap for ever: an event and a line of the
//! trace say so.

use super::heap::Inner;
use crate::os::report;
use crate::sync::tally::{AtomicU8, Ordering::Relaxed};

const USED: u8 = 0;
const ABANDONED: u8 = 1;
const REPORTED: u8 = 2;

/// Whether the program has a handle.
pub(crate) struct Use(AtomicU8);

impl Use {
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(USED))
    }
}

impl Inner {
    /// The program's last handle goes, and roots are left.
    pub(crate) fn abandon(&self) {
        self.used.0.store(ABANDONED, Relaxed);
        // Else no root can lie in an object or a cleanup.
        if self.has_last_work() {
            self.begin_end();
            self.ask_for_cycle();
        }
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.used.0.load(Relaxed) != USED
    }

    /// After a cycle in which nothing was dropped.
    pub(crate) fn report_if_abandoned(&self) {
        if self
            .used
            .0
            .compare_exchange(ABANDONED, REPORTED, Relaxed, Relaxed)
            .is_err()
        {
            return;
        }
        self.end_is_over();
        let (roots, live) = (self.roots.count() as u64, self.counters.marked_bytes.load(Relaxed));
        let cleanups = self.wills.len() as u64;
        crate::events::note(crate::events::EventKind::GcHeapKept { live, roots, cleanups });
        if self.traced {
            report::warn(format_args!(
                "gc: no handle of a heap is left, and {roots} roots keep its {live} bytes; {cleanups} cleanups wait for them"
            ));
        }
    }
}
