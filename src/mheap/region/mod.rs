//! A region: a window of addresses with its page map, trackers and heap pages. It is mapped and
//! made ready from the front.
//!
//! ```text
//! base                                    first * 2 MiB                ready * 2 MiB end * 2 MiB
//!  | page map | trackers | free huge pages | heap pages, in use or free | nothing yet |
//!    8 B/page   1/huge     1 bit/huge
//! ```
//!
//! The three tables are mapped up to the size that `ready` needs, so a window of 1 TiB costs only
//! as much as its used part. If the system has no windows, a region is reserved as a whole and
//! prepared the same way. The page heap's lock guards a region.
//!
//! - REGION-1. Huge pages `first..ready` have a tracker. Their pages are Ready if a run holds
//!   them, else Prepared or Ready.
//! - REGION-2. The bit of a huge page is set exactly when its tracker is empty (all pages free).
//! - REGION-3. The addresses behind the prepared parts of the tables and of the heap pages belong
//!   to the region only if it is reserved. In a window another mapping may lie there; then the
//!   region ends in front of it.

mod table;

use super::tracker::Tracker;
use crate::base::addr::{Addr, align_up};
use crate::base::bitmap::Bits;
use crate::base::geometry::{HUGE, HUGE_SHIFT, PAGE, PAGES_PER_HUGE, WINDOW_TRIES};
use crate::os::PageSource;
use crate::os::{Claim, Os};
use core::cell::Cell;
use core::ops::Range;
use core::ptr::NonNull;
use table::{Ground, Table};

/// Bytes of the tables for each ready huge page, without the bit of `free`. The tables have entries
/// for the huge pages in front of `first` too, which no code writes.
pub(super) const TABLES_PER_HUGE: usize = PAGES_PER_HUGE * size_of::<usize>() + size_of::<Tracker>();

/// One region.
pub(super) struct Region {
    base: NonNull<u8>,
    ground: Ground,
    map: Table,
    trackers: Table,
    free: Table,
    /// Huge pages: the first that holds heap pages, one past the last ready one, and one past the
    /// last.
    pub(super) first: usize,
    pub(super) ready: usize,
    pub(super) end: usize,
    /// One past the last Prepared huge page. Above `ready` after a call in which a later step
    /// failed, so that the next call does not prepare them again.
    prepared: usize,
    /// Huge pages for which the system was asked for huge pages and was not told to stop.
    advised: Range<usize>,
}

// SAFETY: the pointers lead into memory that the region owns, and the page heap's lock orders all
// access.
unsafe impl Send for Region {}

/// Returns where the three tables of a region of `huge` huge pages begin, and the bytes that they
/// take at its front.
fn layout(huge: usize, os_page: usize) -> ([usize; 3], usize) {
    let map = align_up(huge * PAGES_PER_HUGE * 8, os_page);
    let trackers = align_up(huge * size_of::<Tracker>(), os_page);
    let free = align_up(huge.div_ceil(64) * 8, os_page);
    ([0, map, map + trackers], align_up(map + trackers + free, HUGE))
}

impl Region {
    /// Returns the bytes of a region that can hold a run of `huge` huge pages.
    pub(super) fn bytes_for(huge: usize, os_page: usize) -> usize {
        // The tables take less than one huge page per hundred.
        let total = huge + huge / 100 + 2;
        layout(total, os_page).1 + huge * HUGE
    }

    /// Creates a region over `end` huge pages from `base` on, none of them prepared. Returns `None`
    /// if the tables leave no room.
    fn at(os: &Os, base: NonNull<u8>, end: usize, ground: Ground) -> Option<Self> {
        let ([map, trackers, free], front) = layout(end, os.page_size());
        let first = front >> HUGE_SHIFT;
        if first >= end {
            return None;
        }
        let table = |offset, next| {
            // SAFETY: the tables lie inside the region, in front of `first`.
            let base = unsafe { base.add(offset) };
            Table::new(base, next - offset)
        };
        Some(Self {
            base,
            ground,
            map: table(map, trackers),
            trackers: table(trackers, free),
            free: table(free, front),
            first,
            ready: first,
            end,
            prepared: first,
            advised: first..first,
        })
    }

    /// Creates a region in a window of up to `bytes` bytes and prepares its first `huge` huge
    /// pages. With `small`, the system is to use huge pages only when asked.
    ///
    /// # Errors
    /// `Taken` if the system has no windows, or no free one; `Refused` if it refuses the memory.
    pub(super) fn in_window(os: &Os, bytes: usize, huge: usize, small: bool) -> Result<Self, Claim> {
        let least = Self::bytes_for(huge, os.page_size());
        for _ in 0..WINDOW_TRIES {
            let window = os.window(least, bytes.max(least), HUGE);
            let region =
                window.and_then(|(base, bytes)| Self::at(os, base, bytes >> HUGE_SHIFT, Ground::Window { small }));
            let mut region = region.ok_or(Claim::Taken)?;
            match region.prepare(os, region.first + huge) {
                Claim::Done => return Ok(region),
                refused => {
                    region.abandon(os);
                    if refused == Claim::Refused {
                        return Err(refused);
                    }
                }
            }
        }
        Err(Claim::Taken)
    }

    /// Creates a region over a reservation of `bytes` bytes (rounded down to huge pages) and
    /// prepares its first `huge` huge pages. With `small`, the system is to use huge pages only
    /// when asked.
    pub(super) fn reserve(os: &Os, bytes: usize, huge: usize, small: bool) -> Option<Self> {
        let end = bytes >> HUGE_SHIFT;
        if layout(end, os.page_size()).1 >> HUGE_SHIFT >= end {
            return None;
        }
        let base = os.reserve(end << HUGE_SHIFT, HUGE)?;
        if small {
            os.advise_huge(base, end << HUGE_SHIFT, false);
        }
        let mut region = Self::at(os, base, end, Ground::Reserved)?;
        if region.prepare(os, region.first + huge) == Claim::Done {
            return Some(region);
        }
        // SAFETY: reserved above, and no page of it was handed out.
        unsafe { os.free(base, end << HUGE_SHIFT) };
        None
    }

    /// Gives back everything that the region has claimed; no page of it was handed out.
    fn abandon(&self, os: &Os) {
        for table in [self.map, self.trackers, self.free] {
            table.abandon(os);
        }
        let huge = self.prepared - self.first;
        if huge > 0 {
            // SAFETY: claimed by this region, and never handed out.
            unsafe { os.free(self.address(self.first), huge << HUGE_SHIFT) };
        }
    }

    /// Ends the region's growth: another mapping lies behind its prepared part.
    pub(super) fn close(&mut self) {
        self.end = self.prepared;
    }

    /// Returns the region's first byte, where the page map begins.
    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Returns the address of huge page `index`.
    pub(super) fn address(&self, index: usize) -> NonNull<u8> {
        // SAFETY: callers name huge pages up to `end`, the region's end.
        unsafe { self.base.add(index << HUGE_SHIFT) }
    }

    /// Returns the huge page that `base` lies in and the page within it, if `base` lies in the
    /// region's ready part.
    pub(super) fn locate(&self, base: *mut u8) -> Option<(usize, usize)> {
        let offset = Addr::of(base).offset_from(Addr::of(self.base.as_ptr()));
        let huge = offset >> HUGE_SHIFT;
        (huge >= self.first && huge < self.ready).then_some((huge, offset % HUGE / PAGE))
    }

    /// Returns the tracker of huge page `index`, if that huge page is ready.
    pub(super) fn tracker(&self, index: usize) -> Option<&'static Tracker> {
        if index < self.first || index >= self.ready {
            return None;
        }
        // SAFETY: the table holds a tracker for every huge page below `ready`.
        let tracker = unsafe { self.trackers.base.cast::<Tracker>().add(index) };
        // SAFETY: REGION-1: `grow` wrote the tracker, and it is never unmapped.
        Some(unsafe { tracker.as_ref() })
    }

    /// Returns the bits of empty huge pages, for `0..ready`.
    pub(super) fn empty(&self) -> Bits<'_> {
        let words = self.free.base.cast::<Cell<u64>>();
        // A region that has not grown yet has no table.
        let count = if self.ready > self.first {
            self.ready.div_ceil(64)
        } else {
            0
        };
        // SAFETY: `grow` made the words of all huge pages below `ready` readable, zeroed or
        // written.
        Bits(unsafe { core::slice::from_raw_parts(words.as_ptr(), count) })
    }

    /// Records whether huge page `index` is empty (REGION-2).
    pub(super) fn set_empty(&self, index: usize, empty: bool) {
        if empty {
            self.empty().set(index, 1);
        } else {
            self.empty().clear(index, 1);
        }
    }

    /// Makes the tables ready for huge pages up to `to`, and these huge pages Prepared. Keeps the
    /// parts that an earlier call prepared.
    fn prepare(&mut self, os: &Os, to: usize) -> Claim {
        let ground = self.ground;
        for (table, bytes) in [
            (&mut self.map, to * PAGES_PER_HUGE * size_of::<usize>()),
            (&mut self.trackers, to * size_of::<Tracker>()),
            (&mut self.free, to.div_ceil(64) * 8),
        ] {
            let claim = table.ensure(os, ground, bytes);
            if claim != Claim::Done {
                return claim;
            }
        }
        if to > self.prepared {
            let from = self.address(self.prepared);
            // SAFETY: huge pages from `prepared` on are the region's, and not prepared yet.
            let claim = unsafe { ground.prepare(os, from, (to - self.prepared) << HUGE_SHIFT) };
            if claim != Claim::Done {
                return claim;
            }
            self.prepared = to;
        }
        Claim::Done
    }

    /// Makes huge pages up to `to` ready and calls `each` with their trackers. With `huge`, asks
    /// the system to back them by huge pages. If the result is not `Done`, no huge page became
    /// ready.
    pub(super) fn grow(
        &mut self,
        os: &Os,
        number: u16,
        to: usize,
        huge: bool,
        mut each: impl FnMut(&'static Tracker),
    ) -> Claim {
        debug_assert!(to <= self.end);
        let claim = self.prepare(os, to);
        if claim != Claim::Done {
            return claim;
        }
        let old = core::mem::replace(&mut self.ready, to);
        // The range includes huge pages that an earlier, failed call prepared.
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
            // SAFETY: a slot of the table, used only for this tracker.
            unsafe { slot.write(Tracker::new(number, index as u32)) };
            self.set_empty(index, true);
            if let Some(tracker) = self.tracker(index) {
                tracker.advised.set(huge);
                each(tracker);
            }
        }
        Claim::Done
    }

    /// Estimates whether the program has written to nearly all of its large objects.
    ///
    /// Samples a few of the last huge pages that are wholly in use and were not asked for as huge
    /// pages. If there is none, the answer is whether the region asks for huge pages already.
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
            // The middle: the run taken last, which may be untouched yet, often begins or ends
            // here.
            let middle = self.address(index).as_ptr().wrapping_add(HUGE / 2 - SAMPLE_BYTES / 2);
            let Some(found) = NonNull::new(middle).and_then(|middle| os.resident(middle, SAMPLE_BYTES)) else {
                // The system cannot tell. The heap asks for huge pages only where they are known to
                // pay.
                return false;
            };
            asked += SAMPLE_BYTES;
            there += found;
        }
        if asked == 0 {
            return !self.advised.is_empty();
        }
        there >= asked / 4 * 3
    }

    /// Returns whether the system was asked to back number `index` by a huge page.
    pub(super) fn advises(&self, index: usize) -> bool {
        self.advised.contains(&index)
    }

    /// Stops asking for huge pages. A huge page that exists stays until it is released. Returns the
    /// bytes concerned.
    pub(super) fn stop_huge(&mut self, os: &Os) -> usize {
        let advised = core::mem::take(&mut self.advised);
        let bytes = advised.len() << HUGE_SHIFT;
        os.advise_huge(self.address(advised.start), advised.len() << HUGE_SHIFT, false);
        for tracker in advised.filter_map(|index| self.tracker(index)) {
            tracker.advised.set(false);
        }
        bytes
    }

    /// Returns the ready bytes of the tables.
    pub(super) fn table_bytes(&self) -> usize {
        self.map.ready + self.trackers.ready + self.free.ready
    }

    /// Returns the bytes of address space that the region owns now.
    pub(super) fn mapped_bytes(&self) -> usize {
        match self.ground {
            Ground::Window { .. } => {
                let tables = self.map.prepared + self.trackers.prepared + self.free.prepared;
                tables + ((self.prepared - self.first) << HUGE_SHIFT)
            }
            Ground::Reserved => self.end << HUGE_SHIFT,
        }
    }
}
