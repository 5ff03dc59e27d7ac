//! The scavenger: gives free pages back to the operating system once nobody has missed them for the purge delay, or at once when a limit
//! is near or the program asks.
//!
//! What nobody missed is counted, not timed page by page: the fewest free pages with memory that there were at any moment of the last
//! delay. A program that frees and takes in turn keeps what it circulates; after a peak, what is beyond that goes back within two delays.
//! (TCMalloc skips subrelease by the same kind of look at recent demand.) The background thread looks where there is one, else whoever
//! gives pages back.
//!
//! Pages on their way are held like a span's, without the lock (H3), so allocation goes on beside it.

use super::{Inner, MHeap, non_null};
use crate::base::geometry::PAGE;
use crate::events::{self, EventKind, PurgeCause};
#[cfg_attr(any(test, loom), allow(unused_imports, reason = "there `Os` is the trait itself"))]
use crate::os::PageSource;
use crate::sync::atomic::Ordering::Relaxed;

/// Free pages below this many bytes are not worth a system call unless the program asks.
pub(crate) const IDLE_BYTES: usize = 256 << 10;
/// Refusals after which a round ends: the system may refuse everything.
const REFUSALS_MAX: usize = 16;
/// Milliseconds between two looks at the least.
const PERIOD: u64 = 10;
/// Milliseconds between two events of one limit at the least: a program that stays at its limit shall not fill the ring.
const QUIET: u64 = 100;

/// What is to be given back now, and why.
#[derive(Clone, Copy)]
pub(super) struct Due {
    bytes: usize,
    cause: PurgeCause,
}

/// What the events of the limits say next.
#[derive(Clone, Copy)]
pub(super) struct Told {
    /// The soft limit that the footprint has been beyond since it was last well below.
    over: Option<usize>,
    /// Bytes given back because of the soft limit, and of the hard one, that no event tells of yet, and when one last did, in coarse
    /// milliseconds.
    purged: [(usize, u64); 2],
    /// Requests refused likewise.
    refused: u64,
    refused_at: u64,
    /// Bytes of the last request that the hard limit refused, and the limit that a line on standard
    /// error has named; 0: none.
    wanted: usize,
    named: usize,
}

impl Told {
    /// Nothing happened yet.
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

    /// Whether a refusal was told of, and how many were not yet, for tests.
    #[cfg(test)]
    pub(super) fn refusals(&self) -> (bool, u64) {
        (self.refused_at != 0, self.refused)
    }

    /// Whether the time has come to tell again of what was last told `at`.
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

    /// Milliseconds that free pages stay; `None` for ever.
    pub(crate) fn purge_delay(&self) -> Option<u64> {
        let delay = self.purge_delay.load(Relaxed);
        (delay != usize::MAX).then_some(delay as u64)
    }

    /// Sets the bytes beyond which memory is given back at once; `None` for no limit.
    pub(crate) fn set_soft_limit(&self, bytes: Option<usize>) {
        self.soft_limit.store(bytes.unwrap_or(usize::MAX), Relaxed);
    }

    /// Sets the bytes beyond which allocation fails; `None` for no limit.
    pub(crate) fn set_hard_limit(&self, bytes: Option<usize>) {
        self.hard_limit.store(bytes.unwrap_or(usize::MAX), Relaxed);
    }

    /// What [`set_soft_limit`](Self::set_soft_limit) and [`set_hard_limit`](Self::set_hard_limit) have set.
    pub(crate) fn limits(&self) -> [Option<usize>; 2] {
        let limits = [self.soft_limit.load(Relaxed), self.hard_limit.load(Relaxed)];
        limits.map(|bytes| Some(bytes).filter(|&bytes| bytes != usize::MAX))
    }

    /// Whether free pages stay for a while: neither a limit nor the delay asks for their return at once.
    pub(crate) fn keeps_free_pages(&self) -> bool {
        self.purge_delay.load(Relaxed) > 0 && self.soft_limit.load(Relaxed) == usize::MAX
    }

    /// Whether a background thread looks after free pages, so that the program's threads need not.
    pub(crate) fn set_attended(&self, attended: bool) {
        // What is not written stays on a page that a fork's child shares.
        if self.attended.load(Relaxed) != attended {
            self.attended.store(attended, Relaxed);
        }
    }

    /// Bytes of free pages that wait to be given back, as of a moment ago.
    pub(crate) fn idle_bytes(&self) -> usize {
        self.idle.load(Relaxed)
    }

    /// Bytes that the heap had taken from the system when it last handed out pages.
    pub(crate) fn grown_bytes(&self) -> usize {
        self.grown.load(Relaxed)
    }

    /// Gives all free pages back now. Returns the bytes given back.
    pub(crate) fn purge(&self) -> usize {
        self.scavenge(usize::MAX, PurgeCause::Asked)
    }

    /// As [`purge`](Self::purge), for a request that the hard limit has no room for.
    pub(super) fn purge_for_request(&self) {
        self.scavenge(usize::MAX, PurgeCause::HardLimit);
    }

    /// The hard limit has no room for a request of `bytes`.
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

    /// A request found no memory: if the hard limit refuses it, says so on standard error, once for
    /// each limit. The program may end of it, with a message that names no limit.
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

    /// What to give back now because of the soft limit.
    pub(super) fn over_soft_limit(&self, inner: &mut Inner) -> Due {
        let soft = self.soft_limit.load(Relaxed);
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

    /// Gives back what is due.
    pub(super) fn heed(&self, due: Due) {
        if due.bytes > 0 {
            self.scavenge(due.bytes, due.cause);
        }
    }

    /// What to give back now, after pages became free.
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

    /// Bytes that were free for a whole delay; 0 while that is not over.
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

    /// One look of the background thread. Returns the bytes of free pages that are left.
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

    /// Gives back free pages, up to about `most` bytes, those that have been free for longest first. Returns the bytes given back.
    fn scavenge(&self, most: usize, cause: PurgeCause) -> usize {
        let (mut given, mut refusals) = (0, 0);
        // Only whole pages of the system's can go.
        let unit = (self.os.page_size() / PAGE).max(1);
        while given < most {
            let run = {
                let mut inner = self.inner.lock();
                let Some(run) = inner.pages.take_dirty(unit) else { break };
                inner.pages.stop_huge_for(self.os, &run);
                run
            };
            let bytes = run.pages * PAGE;
            // SAFETY: the pages are Ready, held by this thread, and no object is in them.
            let released = unsafe { self.os.release(non_null(run.base), bytes) };
            let mut inner = self.inner.lock();
            inner.pages.give(run.base, run.pages, released);
            if !released {
                // A refusal may be for these pages alone.
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

    /// Notes what was given back; of what goes back for a limit, often in little pieces, the sum now and then.
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
