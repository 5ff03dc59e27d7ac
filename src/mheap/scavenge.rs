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
//! allocation continues meanwhile.

use super::{Inner, MHeap, non_null};
use crate::base::geometry::PAGE;
use crate::events::{self, EventKind, PurgeCause};
use crate::os::PageSource;
use crate::sync::atomic::Ordering::Relaxed;

/// Free pages of up to this many bytes are not worth a system call unless the program asks.
pub(crate) const IDLE_BYTES: usize = 256 << 10;
/// Refusals after which a round ends, since the system may refuse everything.
const REFUSALS_MAX: usize = 16;
/// The least number of milliseconds between two looks.
const PERIOD: u64 = 10;
/// The least number of milliseconds between two events of one limit, so that a program at its limit
/// does not fill the ring.
const QUIET: u64 = 100;

/// Stands for a soft limit that is the system's.
const FOLLOWS: usize = usize::MAX - 1;

/// The bytes to give back now, and the cause.
#[derive(Clone, Copy)]
pub(super) struct Due {
    bytes: usize,
    cause: PurgeCause,
}

/// The state behind the events of the limits.
#[derive(Clone, Copy)]
pub(super) struct Told {
    /// The soft limit that the footprint has exceeded since it was last well below.
    over: Option<usize>,
    /// For the soft and the hard limit: bytes given back because of it that no event reports yet,
    /// and the time of the last event, in coarse milliseconds.
    purged: [(usize, u64); 2],
    /// Requests refused that no event reports yet, and the time of the last event.
    refused: u64,
    refused_at: u64,
    /// Bytes of the last request that the hard limit refused, and the limit that a line on standard
    /// error has named; 0 for none.
    wanted: usize,
    named: usize,
}

impl Told {
    /// Creates a state in which nothing has happened.
    pub(super) const fn new() -> Self {
        Self {
            over: None,
            purged: [(0, 0); 2],
            refused: 0,
            refused_at: 0,
            wanted: 0,
            named: 0,
        }
    }

    /// Returns whether an event reported a refusal, and how many refusals wait for the next event.
    #[cfg(test)]
    pub(super) fn refusals(&self) -> (bool, u64) {
        (self.refused_at != 0, self.refused)
    }

    /// Returns whether an event is due again after the last one at `at`.
    fn is_time(at: &mut u64) -> bool {
        let now = crate::os::coarse_millis();
        let due = *at == 0 || now.saturating_sub(*at) >= QUIET;
        if due {
            *at = now;
        }
        due
    }
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

    /// Sets the footprint in bytes beyond which the heap gives memory back at once; `None` for no
    /// limit.
    pub(crate) fn set_soft_limit(&self, bytes: Option<usize>) {
        let bytes = bytes.filter(|&bytes| bytes < FOLLOWS);
        self.soft_limit.store(bytes.unwrap_or(usize::MAX), Relaxed);
    }

    /// Makes [`set_system_limit`](Self::set_system_limit) the soft limit, until the next
    /// [`set_soft_limit`](Self::set_soft_limit).
    pub(crate) fn follow_system(&self) {
        self.soft_limit.store(FOLLOWS, Relaxed);
    }

    /// Whether the soft limit is the system's.
    pub(crate) fn follows_system(&self) -> bool {
        self.soft_limit.load(Relaxed) == FOLLOWS
    }

    /// Sets the soft limit that follows from the system's limits; `None` for no limit. It has a
    /// word of its own, so that it never overwrites a limit that the program sets meanwhile.
    pub(crate) fn set_system_limit(&self, bytes: Option<usize>) {
        self.system_limit.store(bytes.unwrap_or(usize::MAX), Relaxed);
    }

    /// Returns the soft limit in force; `usize::MAX` for none.
    fn soft_limit(&self) -> usize {
        match self.soft_limit.load(Relaxed) {
            FOLLOWS => self.system_limit.load(Relaxed),
            own => own,
        }
    }

    /// Sets the footprint in bytes beyond which allocation fails; `None` for no limit.
    pub(crate) fn set_hard_limit(&self, bytes: Option<usize>) {
        self.hard_limit.store(bytes.unwrap_or(usize::MAX), Relaxed);
    }

    /// Returns the soft and the hard limit in bytes ([`set_soft_limit`](Self::set_soft_limit),
    /// [`set_hard_limit`](Self::set_hard_limit)).
    pub(crate) fn limits(&self) -> [Option<usize>; 2] {
        let limits = [self.soft_limit(), self.hard_limit.load(Relaxed)];
        limits.map(|bytes| Some(bytes).filter(|&bytes| bytes != usize::MAX))
    }

    /// Returns whether free pages stay for a while: neither a limit nor the delay asks for their
    /// return at once. The program's own limit asks for it always, the system's from seven eighths
    /// on.
    pub(crate) fn keeps_free_pages(&self) -> bool {
        let soft = self.soft_limit();
        let room = soft == usize::MAX || self.follows_system() && self.grown_bytes() <= soft - soft / 8;
        room && self.purge_delay.load(Relaxed) > 0
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
        self.scavenge(usize::MAX, PurgeCause::Asked)
    }

    /// Like [`purge`](Self::purge), while the system is short of memory.
    pub(crate) fn purge_for_system(&self) -> usize {
        self.scavenge(usize::MAX, PurgeCause::Pressure)
    }

    /// Like [`purge`](Self::purge), for a request for which the hard limit has no room.
    pub(super) fn purge_for_request(&self) {
        self.scavenge(usize::MAX, PurgeCause::HardLimit);
    }

    /// Records that the hard limit has no room for a request of `bytes` bytes.
    pub(super) fn note_refusal(&self, inner: &mut Inner, bytes: usize) {
        inner.told.refused += 1;
        inner.told.wanted = bytes;
        if Told::is_time(&mut inner.told.refused_at) {
            events::note(EventKind::HardLimit {
                wanted: bytes as u64,
                footprint: Self::footprint(inner) as u64,
                limit: self.hard_limit.load(Relaxed) as u64,
                refused: core::mem::take(&mut inner.told.refused),
            });
        }
    }

    /// Explains a request that found no memory: if the hard limit refused it, names the limit on
    /// standard error, once per limit. The program may end because of the refusal, with a message
    /// that names no limit.
    #[cold]
    pub(crate) fn name_hard_limit(&self) {
        let limit = self.hard_limit.load(Relaxed);
        if limit == usize::MAX {
            return;
        }
        let (wanted, footprint) = {
            let mut inner = self.inner.lock();
            let wanted = core::mem::take(&mut inner.told.wanted);
            if wanted == 0 || inner.told.named == limit || self.admits(&inner, wanted / PAGE) {
                return;
            }
            inner.told.named = limit;
            (wanted, Self::footprint(&inner))
        };
        crate::os::report::limited(limit, wanted, footprint);
    }

    /// Returns the bytes to give back now because of the soft limit.
    pub(super) fn over_soft_limit(&self, inner: &mut Inner) -> Due {
        let soft = self.soft_limit();
        let mut due = Due {
            bytes: 0,
            cause: PurgeCause::SoftLimit,
        };
        if soft == usize::MAX {
            inner.told.over = None;
            return due;
        }
        let footprint = Self::footprint(inner);
        if footprint > soft && inner.told.over != Some(soft) {
            inner.told.over = Some(soft);
            events::note(EventKind::SoftLimit {
                footprint: footprint as u64,
                limit: soft as u64,
            });
        } else if footprint <= soft - soft / 8 {
            inner.told.over = None;
        }
        if inner.pages.counts.dirty > 0 {
            due.bytes = footprint.saturating_sub(soft);
        }
        due
    }

    /// Gives back the pages that are due.
    pub(super) fn heed(&self, due: Due) {
        if due.bytes > 0 {
            self.scavenge(due.bytes, due.cause);
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

    /// Gives back up to about `most` bytes of free pages, those that have been free for longest
    /// first. Returns the bytes given back.
    fn scavenge(&self, most: usize, cause: PurgeCause) -> usize {
        let (mut given, mut refusals) = (0, 0);
        // Only whole system pages can go back.
        let unit = (self.os.page_size() / PAGE).max(1);
        while given < most {
            let run = {
                let mut inner = self.inner.lock();
                let Some(run) = inner.pages.take_dirty(unit) else { break };
                inner.pages.stop_huge_for(self.os, &run);
                run
            };
            let bytes = run.pages * PAGE;
            // SAFETY: the pages are Ready, held by this thread, and hold no object.
            let released = unsafe { self.os.release(non_null(run.base), bytes) };
            let mut inner = self.inner.lock();
            inner.pages.give(run.base, run.pages, released);
            if !released {
                // The system may refuse these pages alone.
                inner.pages.postpone(run.base);
                refusals += 1;
                if refusals == REFUSALS_MAX {
                    break;
                }
                continue;
            }
            given += bytes;
            let counts = &mut inner.pages.counts;
            counts.low_dirty = counts.low_dirty.min(counts.dirty);
            self.idle.store(counts.dirty * PAGE, Relaxed);
        }
        if given > 0 {
            // The footprint may be well below the soft limit now.
            self.over_soft_limit(&mut self.inner.lock());
        }
        self.note_purge(given, cause);
        given
    }

    /// Notes an event for the bytes given back. Pages often go back for a limit in little pieces,
    /// so an event reports their sum now and then.
    fn note_purge(&self, given: usize, cause: PurgeCause) {
        let mut bytes = given;
        if matches!(cause, PurgeCause::SoftLimit | PurgeCause::HardLimit) {
            let [soft, hard] = &mut self.inner.lock().told.purged;
            let (sum, at) = if cause == PurgeCause::SoftLimit { soft } else { hard };
            *sum += given;
            if *sum == 0 || !Told::is_time(at) {
                return;
            }
            bytes = core::mem::take(sum);
        }
        if bytes > 0 {
            events::note(EventKind::Purge {
                bytes: bytes as u64,
                cause,
            });
        }
    }
}
