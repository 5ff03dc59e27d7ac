//! The scavenger: returns free pages to the operating system once they have been idle for the purge
//! delay. It returns them at once if a limit is near or the program asks.
//!
//! It measures idle pages by a watermark, not page by page: the fewest free pages with memory at
//! any moment of the last delay. A program that frees and takes in turn keeps the pages that it
//! circulates. After a peak, the pages beyond that go back within two delays. (TCMalloc's
//! skip-subrelease looks at recent demand in the same way.) The background thread checks the
//! watermark; without one, the threads that give pages back do.
//!
//! The scavenger holds the pages that it releases as a span does, without the lock (MHEAP-3), so
//! allocation continues meanwhile. It releases no more than is due.

use super::{Inner, MHeap, non_null};
use crate::base::geometry::PAGE;
use crate::events::PurgeCause;
use crate::os::PageSource;
use crate::sync::atomic::Ordering::Relaxed;

/// Free pages of up to this many bytes are not worth a system call unless the program asks.
pub(crate) const IDLE_BYTES: usize = 256 << 10;
/// Refusals after which a round ends, since the system may refuse everything.
const REFUSALS_MAX: usize = 16;
/// The least number of milliseconds between two looks.
const PERIOD: u64 = 10;

/// The bytes to give back now, and the cause.
#[derive(Clone, Copy)]
pub(super) struct Due {
    pub(super) bytes: usize,
    pub(super) cause: PurgeCause,
}

impl MHeap {
    /// Sets the milliseconds that free pages stay; negative for ever.
    pub(crate) fn set_purge_delay(&self, millis: i64) {
        self.purge_delay
            .store(usize::try_from(millis).unwrap_or(usize::MAX), Relaxed);
    }

    /// Returns the milliseconds that free pages stay; `None` for ever.
    pub(crate) fn purge_delay(&self) -> Option<u64> {
        let delay = self.purge_delay.load(Relaxed);
        (delay != usize::MAX).then_some(delay as u64)
    }

    /// Returns whether free pages stay for a while: neither a limit nor the delay asks for their
    /// return at once. The program's own limit asks for it always, the system's from seven eighths
    /// on.
    pub(crate) fn keeps_free_pages(&self) -> bool {
        let soft = self.soft_limit();
        let room = soft == usize::MAX || self.follows_system() && self.grown_bytes() <= soft - soft / 8;
        room && self.purge_delay.load(Relaxed) > 0 && !self.is_pressed()
    }

    /// Sets whether a background thread looks after free pages, so that the program's threads need
    /// not.
    pub(crate) fn set_attended(&self, attended: bool) {
        // A page that is not written stays shared with the child of a fork.
        if self.attended.load(Relaxed) != attended {
            self.attended.store(attended, Relaxed);
        }
    }

    /// Returns the bytes of free pages that wait to be given back, as of a moment ago.
    pub(crate) fn idle_bytes(&self) -> usize {
        self.idle.load(Relaxed)
    }

    /// Returns the bytes of pages in use, or free with memory, when the heap last handed out pages.
    pub(crate) fn grown_bytes(&self) -> usize {
        self.grown.load(Relaxed)
    }

    /// Gives all free pages back now. Returns the bytes given back.
    pub(crate) fn purge(&self) -> usize {
        let all = Due {
            bytes: usize::MAX,
            cause: PurgeCause::Asked,
        };
        self.scavenge(all).0
    }

    /// Like [`purge`](Self::purge), while the system is short of memory.
    pub(crate) fn purge_for_system(&self) -> usize {
        let all = Due {
            bytes: usize::MAX,
            cause: PurgeCause::Pressure,
        };
        self.scavenge(all).0
    }

    /// Gives back the pages that are due.
    pub(super) fn heed(&self, due: Due) {
        if due.bytes > 0 {
            self.scavenge(due);
        }
    }

    /// Returns the bytes to give back now, after pages became free.
    pub(super) fn due(&self, inner: &mut Inner) -> Due {
        let idle = inner.pages.counts.dirty * PAGE;
        self.idle.store(idle, Relaxed);
        let over = self.over_soft_limit(inner);
        if over.bytes > 0 {
            return over;
        }
        let bytes = if idle <= IDLE_BYTES || self.attended.load(Relaxed) && self.keeps_free_pages() {
            0
        } else {
            self.unmissed(inner)
        };
        Due {
            bytes,
            cause: PurgeCause::Idle,
        }
    }

    /// Returns the bytes that were free for a whole delay; 0 until the delay is over.
    fn unmissed(&self, inner: &mut Inner) -> usize {
        let Some(delay) = self.purge_delay() else { return 0 };
        if delay == 0 {
            return inner.pages.counts.dirty * PAGE;
        }
        let now = crate::os::coarse_millis();
        if now.saturating_sub(inner.looked_at) < delay.max(PERIOD) {
            return 0;
        }
        inner.looked_at = now;
        let counts = &mut inner.pages.counts;
        let unmissed = counts.low_dirty * PAGE;
        counts.low_dirty = counts.dirty;
        if unmissed > IDLE_BYTES { unmissed } else { 0 }
    }

    /// Makes one look of the background thread. Returns the bytes of free pages that remain.
    pub(crate) fn attend(&self) -> usize {
        let due = {
            let inner = &mut *self.inner.lock();
            let (over, idle) = (self.over_soft_limit(inner), self.unmissed(inner));
            if idle > over.bytes {
                Due {
                    bytes: idle,
                    cause: PurgeCause::Idle,
                }
            } else {
                over
            }
        };
        self.heed(due);
        self.idle_bytes()
    }

    /// Returns the bytes that are still to give back, after `given` bytes went back. A limit asks
    /// for no more than the footprint's present excess, because other threads give back too.
    fn left(&self, inner: &Inner, due: Due, given: usize) -> usize {
        let left = due.bytes.saturating_sub(given);
        match due.cause {
            PurgeCause::Asked | PurgeCause::Pressure | PurgeCause::Idle => left,
            PurgeCause::SoftLimit => left.min(self.over(inner, self.soft_limit())),
            PurgeCause::HardLimit => self.over(inner, self.hard_limit.load(Relaxed)),
        }
    }

    /// Gives back the free pages that are due, those that have been free for longest first. Returns
    /// the bytes given back, and whether all that was due went back.
    pub(super) fn scavenge(&self, due: Due) -> (usize, bool) {
        let (mut given, mut refusals) = (0, 0);
        // Only whole system pages can go back.
        let unit = (self.os.page_size() / PAGE).max(1);
        let mut inner = self.inner.lock();
        let done = loop {
            let left = self.left(&inner, due, given);
            if left == 0 || refusals == REFUSALS_MAX {
                break left == 0;
            }
            let Some(run) = inner.pages.take_dirty(unit, left.div_ceil(PAGE)) else {
                break false;
            };
            inner.pages.stop_huge_for(self.os, &run);
            inner.afloat += run.pages;
            drop(inner);
            let bytes = run.pages * PAGE;
            // SAFETY: the pages are Ready, held by this thread, and hold no object.
            let released = unsafe { self.os.release(non_null(run.base), bytes) };
            inner = self.inner.lock();
            inner.afloat -= run.pages;
            inner.pages.give(run.base, run.pages, released);
            if released {
                given += bytes;
                let counts = &mut inner.pages.counts;
                counts.low_dirty = counts.low_dirty.min(counts.dirty);
                self.idle.store(counts.dirty * PAGE, Relaxed);
            } else {
                // The system may refuse these pages alone.
                inner.pages.postpone(run.base);
                refusals += 1;
            }
        };
        if given > 0 {
            // The footprint may be well below the soft limit now.
            self.over_soft_limit(&mut inner);
        }
        let told = inner.told.note_purge(given, due.cause);
        drop(inner);
        self.tell(told, due.cause);
        (given, done)
    }
}
