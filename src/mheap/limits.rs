//! The limits: which memory counts, when a request has room, and how it gets room.
//!
//! The *footprint* is an upper bound of the heap's physical memory: pages in use, free pages that
//! may have memory, the page map and the trackers, span records and thread caches.
//!
//! Only new memory counts against the hard limit. A run costs those of its pages that had no memory
//! before. An object that moves by page tables costs its growth alone (`large`).
//!
//! 1. `admits`: if all idle memory together leaves no room for a request, the page heap refuses it,
//!    and gives nothing back.
//! 2. Otherwise the request takes its pages, under the lock.
//! 3. `make_room`: if the footprint is beyond the limit now, other idle pages go back, those that
//!    have been idle for longest first, and no more than the excess.
//!
//! The page heap knows idle pages only. After a refusal `heap` makes more pages idle
//! (`Heap::reclaim`), and asks once more.
//!
//! - LIMIT-1. A run counts from the moment it is taken, before its first touch. So requests of
//!   several threads do not pass the limit together.
//! - LIMIT-2. `afloat` counts pages that are held but have no memory of their own: pages on their
//!   way back to the system, and the target of a move by page tables. They do not count. So a
//!   request is not refused because another thread is giving pages back at that moment.

use super::scavenge::Due;
use super::{Inner, MHeap};
use crate::base::geometry::{PAGE, PAGES_PER_HUGE};
use crate::events::{self, EventKind, PurgeCause};
use crate::sync::atomic::Ordering::Relaxed;

/// The least number of milliseconds between two events of one limit, so that a program at its limit
/// does not fill the ring.
const QUIET: u64 = 100;

/// Stands for a soft limit that is the system's.
const FOLLOWS: usize = usize::MAX - 1;

/// The state behind the events of the limits.
#[derive(Clone, Copy)]
pub(super) struct Told {
    /// The soft limit that the footprint has exceeded since it was last well below.
    over: Option<usize>,
    /// For the soft and the hard limit: bytes given back because of it that no event reports yet,
    /// and the time of the last event, in coarse milliseconds.
    purged: [(usize, u64); 2],
    /// Bytes given back since the start, by cause.
    pub(super) purged_ever: [usize; PurgeCause::COUNT],
    /// Requests refused that no event reports yet, and the time of the last event.
    refused: u64,
    refused_at: u64,
    /// When other threads were last told to give up memory, in coarse milliseconds.
    called_at: u64,
    /// The limit that a line on standard error has named; 0 for none.
    named: usize,
}

impl Told {
    /// Creates a state in which nothing has happened.
    pub(super) const fn new() -> Self {
        Self {
            over: None,
            purged: [(0, 0); 2],
            purged_ever: [0; PurgeCause::COUNT],
            refused: 0,
            refused_at: 0,
            called_at: 0,
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

    /// Counts the bytes given back, and notes an event for them. Pages often go back for a limit in
    /// little pieces, so an event reports their sum now and then. Returns the bytes that an event
    /// reports.
    #[inline(never)]
    pub(super) fn note_purge(&mut self, given: usize, cause: PurgeCause) -> usize {
        if given == 0 {
            return 0;
        }
        let mut bytes = given;
        if let Some(ever) = self.purged_ever.get_mut(cause as usize) {
            *ever += given;
        }
        if matches!(cause, PurgeCause::SoftLimit | PurgeCause::HardLimit) {
            let [soft, hard] = &mut self.purged;
            let (sum, at) = if cause == PurgeCause::SoftLimit { soft } else { hard };
            *sum += given;
            if !Self::is_time(at) {
                return 0;
            }
            bytes = core::mem::take(sum);
        }
        events::note(EventKind::Purge {
            bytes: bytes as u64,
            cause,
        });
        bytes
    }
}

impl MHeap {
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
    pub(super) fn soft_limit(&self) -> usize {
        match self.soft_limit.load(Relaxed) {
            FOLLOWS => self.system_limit.load(Relaxed),
            own => own,
        }
    }

    /// Sets the footprint in bytes beyond which allocation fails; `None` for no limit.
    pub(crate) fn set_hard_limit(&self, bytes: Option<usize>) {
        self.hard_limit.store(bytes.unwrap_or(usize::MAX), Relaxed);
        self.set_pressed(false);
    }

    /// Returns the soft and the hard limit in bytes ([`set_soft_limit`](Self::set_soft_limit),
    /// [`set_hard_limit`](Self::set_hard_limit)).
    pub(crate) fn limits(&self) -> [Option<usize>; 2] {
        let limits = [self.soft_limit(), self.hard_limit.load(Relaxed)];
        limits.map(|bytes| Some(bytes).filter(|&bytes| bytes != usize::MAX))
    }

    /// Sets the bytes of the thread caches' records, which count for the limits.
    pub(crate) fn set_cache_bytes(&self, bytes: usize) {
        self.cache_bytes.store(bytes, Relaxed);
    }

    /// Returns an upper bound of the physical memory of the heap and its records, in bytes.
    pub(super) fn footprint(&self, inner: &Inner) -> usize {
        let counts = inner.pages.counts;
        let pages = counts.ready - counts.clean - inner.headroom - inner.afloat;
        let tables = counts.ready / PAGES_PER_HUGE * super::region::TABLES_PER_HUGE;
        pages * PAGE - inner.holes + tables + inner.spans.touched() + self.cache_bytes.load(Relaxed)
    }

    /// Returns the bytes by which the footprint is beyond the limit.
    pub(super) fn over(&self, inner: &Inner, limit: usize) -> usize {
        match limit {
            usize::MAX => 0,
            limit => self.footprint(inner).saturating_sub(limit),
        }
    }

    /// Returns whether the hard limit leaves room for `pages` more pages once all idle pages went
    /// back or are used again.
    pub(super) fn admits(&self, inner: &Inner, pages: usize) -> bool {
        let limit = self.hard_limit.load(Relaxed);
        if limit == usize::MAX {
            return true;
        }
        let held = self.footprint(inner) - inner.pages.counts.dirty * PAGE;
        let admits = held.saturating_add(pages * PAGE) <= limit;
        if !admits {
            self.set_pressed(true);
        }
        admits
    }

    /// Returns whether the footprint is beyond the hard limit, after pages were taken.
    pub(super) fn is_short(&self, inner: &Inner) -> bool {
        let limit = self.hard_limit.load(Relaxed);
        if limit == usize::MAX {
            self.set_pressed(false);
            return false;
        }
        let footprint = self.footprint(inner);
        if footprint > limit {
            self.set_pressed(true);
        } else if footprint < limit - limit / 8 {
            self.set_pressed(false);
        }
        footprint > limit
    }

    fn set_pressed(&self, pressed: bool) {
        // A page that is not written stays shared with the child of a fork.
        if self.pressed.load(Relaxed) != pressed {
            self.pressed.store(pressed, Relaxed);
        }
    }

    /// Returns whether the hard limit has lately asked for memory back. Then threads keep no runs:
    /// other threads can use idle pages of the page heap alone.
    pub(crate) fn is_pressed(&self) -> bool {
        self.pressed.load(Relaxed)
    }

    /// Returns whether the hard limit refuses `pages` more pages, whatever idle pages go back.
    pub(crate) fn refuses(&self, pages: usize) -> bool {
        self.has_hard_limit() && !self.admits(&self.inner.lock(), pages)
    }

    fn has_hard_limit(&self) -> bool {
        self.hard_limit.load(Relaxed) != usize::MAX
    }

    /// Gives back as many idle pages as the hard limit asks for. `false`: there are not enough.
    pub(super) fn make_room(&self) -> bool {
        let due = Due {
            bytes: usize::MAX,
            cause: PurgeCause::HardLimit,
        };
        let done = self.scavenge(due).1;
        if done {
            self.note_growth(&mut self.inner.lock());
        }
        done
    }

    /// Counts bytes that went back out of spans, and notes an event for them.
    #[inline(never)]
    pub(crate) fn note_purge(&self, bytes: usize, cause: PurgeCause) {
        let told = self.inner.lock().told.note_purge(bytes, cause);
        self.tell(told, cause);
    }

    /// Prints a return of memory if the user wants that (`GREYSPAN_VERBOSE`). The caller holds no
    /// lock of the page heap: the write may wait.
    pub(super) fn tell(&self, bytes: usize, cause: PurgeCause) {
        if bytes > 0 && self.verbose.load(Relaxed) {
            crate::os::report::returned(bytes, cause.text());
        }
    }

    /// Sets whether returns of memory are printed.
    pub(crate) fn set_verbose(&self, verbose: bool) {
        self.verbose.store(verbose, Relaxed);
    }

    /// Returns whether to tell other threads that memory is short: the hard limit may refuse a
    /// request for `bytes` bytes, and they were not told a moment ago.
    pub(crate) fn calls_for_memory(&self, bytes: usize) -> bool {
        if !self.has_hard_limit() {
            return false;
        }
        let inner = &mut *self.inner.lock();
        self.passes_hard_limit(inner, bytes) && Told::is_time(&mut inner.told.called_at)
    }

    /// Returns whether `bytes` more bytes of new memory would pass the hard limit.
    fn passes_hard_limit(&self, inner: &Inner, bytes: usize) -> bool {
        let limit = self.hard_limit.load(Relaxed);
        limit != usize::MAX && self.footprint(inner).saturating_add(bytes) > limit
    }

    /// Records that a request for `bytes` bytes found no memory, if the hard limit is the reason.
    /// With `aloud`, also names the limit on standard error, once per limit: the program may end
    /// because of the refusal, with a message that names no limit.
    #[cold]
    pub(crate) fn note_refusal(&self, bytes: usize, aloud: bool) {
        if !self.has_hard_limit() {
            return;
        }
        let limit = self.hard_limit.load(Relaxed);
        let footprint = {
            let inner = &mut *self.inner.lock();
            if !self.passes_hard_limit(inner, bytes) {
                return;
            }
            let footprint = self.footprint(inner);
            let told = &mut inner.told;
            told.refused += 1;
            if Told::is_time(&mut told.refused_at) {
                events::note(EventKind::HardLimit {
                    wanted: bytes as u64,
                    footprint: footprint as u64,
                    limit: limit as u64,
                    refused: core::mem::take(&mut told.refused),
                });
            }
            if !aloud || told.named == limit {
                return;
            }
            told.named = limit;
            footprint
        };
        crate::os::report::limited(limit, bytes, footprint);
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
        let footprint = self.footprint(inner);
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
}
