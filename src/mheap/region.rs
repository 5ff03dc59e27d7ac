//! A region: one reservation of address space, with its page map, trackers and heap pages, made ready from the front on.
//!
//! ```text
//! base                                        first * 2 MiB        ready * 2 MiB           end * 2 MiB
//!  | page map | trackers | free huge pages ..  | heap pages, in use or free | Reserved ...      |
//!    8 B/page   1/huge     1 bit/huge
//! ```
//!
//! The three tables are Prepared up to what `ready` needs, so a reservation of 1 TiB costs address space only. Reached under the page
//! heap's lock.
//!
//! - I1. Huge pages `first..ready` have a tracker; their pages are Ready when a run holds them, else Prepared or Ready.
//! - I2. The bit of a huge page is set exactly when its tracker is empty (all pages free).

use super::tracker::Tracker;
use crate::base::addr::{Addr, align_up};
use crate::base::bitmap::Bits;
use crate::base::geometry::{HUGE, HUGE_SHIFT, PAGE, PAGES_PER_HUGE};
use crate::os::Os;
#[cfg_attr(any(test, loom), allow(unused_imports, reason = "there `Os` is the trait itself"))]
use crate::os::PageSource;
use core::cell::Cell;
use core::ops::Range;
use core::ptr::NonNull;

/// A table at the front of a region that is made ready piece by piece.
#[derive(Clone, Copy)]
struct Table {
    base: NonNull<u8>,
    prepared: usize,
    ready: usize,
}

impl Table {
    /// The byte at `offset`, which is at most the table's length and ends on an OS page.
    fn at(&self, offset: usize) -> NonNull<u8> {
        // SAFETY: inside the part of the reservation set aside for this table, or at its end.
        unsafe { self.base.add(offset) }
    }

    /// Makes at least `bytes` bytes of the table ready.
    fn ensure(&mut self, os: &Os, bytes: usize) -> bool {
        let want = align_up(bytes, os.page_size());
        if want <= self.ready {
            return true;
        }
        // What an earlier call prepared and could not make ready is prepared still.
        if want > self.prepared {
            let (from, more) = (self.at(self.prepared), want - self.prepared);
            // SAFETY: the bytes behind `prepared` are Reserved.
            if !unsafe { os.prepare(from, more) } {
                return false;
            }
            self.prepared = want;
        }
        // SAFETY: the bytes from `ready` to `prepared` are Prepared.
        if !unsafe { os.ready(self.at(self.ready), want - self.ready) } {
            return false;
        }
        self.ready = want;
        true
    }
}

/// One region.
pub(super) struct Region {
    base: NonNull<u8>,
    map: Table,
    trackers: Table,
    free: Table,
    /// Huge pages: the first that holds heap pages, one past the last that is ready, and one past the last.
    pub(super) first: usize,
    pub(super) ready: usize,
    pub(super) end: usize,
    /// Readiness already asked of the system beyond `ready` (kept so that a failed later step is not repeated).
    prepared: usize,
    /// Huge pages for which the system was asked to use huge pages, and was not told to stop.
    advised: Range<usize>,
}

// SAFETY: the pointers lead into memory that the region owns; the page heap's lock orders all access.
unsafe impl Send for Region {}

/// Bytes at the front of a region of `huge` huge pages, and where its three tables begin.
fn layout(huge: usize, os_page: usize) -> ([usize; 3], usize) {
    let map = align_up(huge * PAGES_PER_HUGE * 8, os_page);
    let trackers = align_up(huge * size_of::<Tracker>(), os_page);
    let free = align_up(huge.div_ceil(64) * 8, os_page);
    ([0, map, map + trackers], align_up(map + trackers + free, HUGE))
}

impl Region {
    /// Bytes of a region that can hold a run of `huge` huge pages.
    pub(super) fn bytes_for(huge: usize, os_page: usize) -> usize {
        // The tables take less than a huge page for every hundred.
        let total = huge + huge / 100 + 2;
        layout(total, os_page).1 + huge * HUGE
    }

    /// Reserves `bytes` (rounded down to huge pages) of address space; `small` where the system shall use huge pages only when asked.
    pub(super) fn reserve(os: &Os, bytes: usize, small: bool) -> Option<Self> {
        let end = bytes >> HUGE_SHIFT;
        let ([map, trackers, free], front) = layout(end, os.page_size());
        let first = front >> HUGE_SHIFT;
        if first >= end {
            return None;
        }
        let base = os.reserve(end << HUGE_SHIFT, HUGE)?;
        if small {
            os.advise_huge(base, end << HUGE_SHIFT, false);
        }
        let table = |offset| {
            // SAFETY: the tables lie inside the reservation, in front of `first`.
            let base = unsafe { base.add(offset) };
            Table {
                base,
                prepared: 0,
                ready: 0,
            }
        };
        Some(Self {
            base,
            map: table(map),
            trackers: table(trackers),
            free: table(free),
            first,
            ready: first,
            end,
            prepared: first,
            advised: first..first,
        })
    }

    /// The region's first byte, where the page map begins.
    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The address of huge page `index`.
    pub(super) fn address(&self, index: usize) -> NonNull<u8> {
        // SAFETY: callers name huge pages below `end`.
        unsafe { self.base.add(index << HUGE_SHIFT) }
    }

    /// The huge page and the page in it that `base` is, if it lies in this region's ready part.
    pub(super) fn locate(&self, base: *mut u8) -> Option<(usize, usize)> {
        let offset = Addr::of(base).offset_from(Addr::of(self.base.as_ptr()));
        let huge = offset >> HUGE_SHIFT;
        (huge >= self.first && huge < self.ready).then_some((huge, offset % HUGE / PAGE))
    }

    /// The tracker of huge page `index`, if that is ready.
    pub(super) fn tracker(&self, index: usize) -> Option<&'static Tracker> {
        if index < self.first || index >= self.ready {
            return None;
        }
        // SAFETY: the table holds a tracker for every huge page below `ready`.
        let tracker = unsafe { self.trackers.base.cast::<Tracker>().add(index) };
        // SAFETY: written by `grow` (I1), and never unmapped.
        Some(unsafe { tracker.as_ref() })
    }

    /// The bits of empty huge pages, for `0..ready`.
    pub(super) fn empty(&self) -> Bits<'_> {
        let words = self.free.base.cast::<Cell<u64>>();
        // A region that could not grow yet has no table.
        let count = if self.ready > self.first {
            self.ready.div_ceil(64)
        } else {
            0
        };
        // SAFETY: `grow` made the words of all huge pages below `ready` readable, zeroed or written.
        Bits(unsafe { core::slice::from_raw_parts(words.as_ptr(), count) })
    }

    /// Notes whether huge page `index` is empty (I2).
    pub(super) fn set_empty(&self, index: usize, empty: bool) {
        if empty {
            self.empty().set(index, 1);
        } else {
            self.empty().clear(index, 1);
        }
    }

    /// Makes huge pages up to `to` ready, asks for real ones where `huge` says so, and calls `each` with their trackers. `false`: the system
    /// refuses, nothing changed.
    pub(super) fn grow(
        &mut self,
        os: &Os,
        number: u16,
        to: usize,
        huge: bool,
        mut each: impl FnMut(&'static Tracker),
    ) -> bool {
        debug_assert!(to <= self.end);
        if !(self.map.ensure(os, to * PAGES_PER_HUGE * 8)
            && self.trackers.ensure(os, to * size_of::<Tracker>())
            && self.free.ensure(os, to.div_ceil(64) * 8))
        {
            return false;
        }
        if to > self.prepared {
            let from = self.address(self.prepared);
            // SAFETY: huge pages from `prepared` on are Reserved.
            if !unsafe { os.prepare(from, (to - self.prepared) << HUGE_SHIFT) } {
                return false;
            }
            self.prepared = to;
        }
        let old = core::mem::replace(&mut self.ready, to);
        // Ready pages that were prepared by a failed call before are asked for here too.
        let huge = huge && os.advise_huge(self.address(old), (to - old) << HUGE_SHIFT, true);
        if huge {
            let from = if self.advised.is_empty() {
                old
            } else {
                self.advised.start
            };
            self.advised = from..to;
        }
        for index in old..to {
            // SAFETY: the table is ready up to `to`.
            let slot = unsafe { self.trackers.base.cast::<Tracker>().add(index) };
            // SAFETY: a slot of the table, used for this tracker only.
            unsafe { slot.write(Tracker::new(number, index as u32)) };
            self.set_empty(index, true);
            if let Some(tracker) = self.tracker(index) {
                tracker.advised.set(huge);
                each(tracker);
            }
        }
        true
    }

    /// Whether the program has written to nearly all of what large objects hold: to go by samples of the last few huge pages that are in use
    /// throughout. Where none shows, because all are backed by huge pages already, what held for them.
    pub(super) fn is_touched(&self, os: &dyn PageSource) -> bool {
        const SAMPLES: usize = 8;
        const SAMPLE_BYTES: usize = HUGE / 4;
        let last = (self.first..self.ready).rev().take(64);
        let full = last.filter(|&index| {
            let tracker = self.tracker(index);
            tracker.is_some_and(|tracker| !tracker.advised.get() && tracker.free_pages() == 0)
        });
        let (mut asked, mut there) = (0, 0);
        for index in full.take(SAMPLES) {
            // From the middle: what was taken last, and may not be used yet, often begins or ends here.
            let middle = self.address(index).as_ptr().wrapping_add(HUGE / 2 - SAMPLE_BYTES / 2);
            asked += SAMPLE_BYTES;
            there += NonNull::new(middle).map_or(0, |middle| os.resident(middle, SAMPLE_BYTES));
        }
        if asked == 0 {
            return !self.advised.is_empty();
        }
        there >= asked / 4 * 3
    }

    /// Whether the system was asked for a huge page for number `index`.
    pub(super) fn advises(&self, index: usize) -> bool {
        self.advised.contains(&index)
    }

    /// Asks for huge pages no longer. What has one keeps it until it is released. Returns the bytes that this concerns.
    pub(super) fn stop_huge(&mut self, os: &Os) -> usize {
        let advised = core::mem::take(&mut self.advised);
        let bytes = advised.len() << HUGE_SHIFT;
        os.advise_huge(self.address(advised.start), advised.len() << HUGE_SHIFT, false);
        for tracker in advised.filter_map(|index| self.tracker(index)) {
            tracker.advised.set(false);
        }
        bytes
    }

    /// Bytes of the tables that are ready.
    pub(super) fn table_bytes(&self) -> usize {
        self.map.ready + self.trackers.ready + self.free.ready
    }
}
