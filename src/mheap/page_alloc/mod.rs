//! The page allocator: takes runs of pages from the regions, and packs them so that whole huge
//! pages stay free.
//!
//! The design follows TCMalloc's Temeraire (Hunter et al., OSDI 2021). Each 2 MiB huge page has a
//! tracker, and the trackers are binned by their longest free run.
//!
//! - A run shorter than a huge page comes from a tracker whose longest free run is the shortest
//!   that holds it. So short requests do not break long runs, and empty huge pages are the last
//!   resort.
//! - A tracker that still has physical memory in free pages goes first. Among equal trackers the
//!   fullest of a few goes first.
//! - A longer run takes whole empty huge pages, best fit, and leaves the rest of its last one to
//!   short runs.
//! - In a small heap, large objects go to the best free run instead (`search`).
//!
//! The trackers, their bins and their counts are here; `take` chooses the run and grows the heap,
//! and `huge` decides when to ask for huge pages.
//!
//! The page heap's lock guards everything here. This module decides nothing about limits or about
//! giving memory back.

mod huge;
mod take;

use super::page_map::REGIONS;
use super::region::Region;
use super::tracker::{ByAge, ByLongest, Tracker};
use crate::base::addr::align_up;
use crate::base::bitmap::Bits;
use crate::base::geometry::{PAGE, PAGES_PER_HUGE, WINDOW_FIRST};
use crate::base::list::List;
use crate::options::Huge;
use core::cell::Cell;
use core::ptr::null_mut;
use huge::Pace;

/// A run of pages that was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) base: *mut u8,
    pub(crate) pages: usize,
    /// Every page reads as zero and had no physical memory.
    pub(crate) clean: bool,
    /// The first page of the run in a huge page that the system was asked for and that no run
    /// touched before; null if there is none.
    wakes: *mut u8,
}

/// Page counts; `Stats` explains their meaning.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    /// Pages in ready huge pages.
    pub(super) ready: usize,
    /// Free pages without physical memory.
    pub(super) clean: usize,
    /// Free pages that may have physical memory.
    pub(super) dirty: usize,
    /// The fewest dirty pages since the scavenger last set this. The program did not need so many
    /// pages since then.
    pub(super) low_dirty: usize,
    /// Pages in spans of small objects.
    pub(super) small: usize,
}

/// The use of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Small objects, which touch all of it in time.
    Small,
    /// Like `Small`, but only in pages that may have memory.
    SmallIdle,
    /// One large object. The program may touch little of it; samples of other objects tell.
    Large,
    /// One large object that grew to this size, and so was touched all over.
    Growing,
    /// One large object, only in pages that may have memory.
    Idle,
    /// Like `Idle`, for an object that has begun to grow: at least as many such pages follow.
    Begun,
}

impl Purpose {
    /// Returns whether the run is for small objects.
    pub(super) fn is_small(self) -> bool {
        matches!(self, Self::Small | Self::SmallIdle)
    }

    /// Returns whether only pages that may have memory serve. The heap does not grow for such a
    /// run.
    pub(super) fn is_idle(self) -> bool {
        matches!(self, Self::SmallIdle | Self::Idle | Self::Begun)
    }
}

/// The state of pages that are given back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Given {
    Clean,
    Dirty,
    /// No code touched the pages: each is as it was when it was taken.
    Untouched,
}

/// All regions and the bins of their trackers.
pub(super) struct PageAlloc {
    regions: [Option<Region>; REGIONS],
    region_count: usize,
    bins: [List<ByLongest>; PAGES_PER_HUGE + 1],
    /// Bit n is set when bin n is not empty.
    filled: [Cell<u64>; PAGES_PER_HUGE / 64 + 1],
    /// Trackers with dirty pages; the tracker that became so last is at the end.
    aged: List<ByAge>,
    pub(super) counts: Counts,
    /// Whether to ask the system for huge pages.
    pub(super) huge: Huge,
    pace: Pace,
    /// The maximum size of the first region's window, in bytes.
    window: usize,
}

impl PageAlloc {
    crate::sync::const_unless_loom! {
        /// Creates a page allocator without memory.
        pub(super) fn new() -> Self {
            Self {
                regions: [const { None }; REGIONS],
                region_count: 0,
                bins: [const { List::new() }; PAGES_PER_HUGE + 1],
                filled: [const { Cell::new(0) }; PAGES_PER_HUGE / 64 + 1],
                aged: List::new(),
                counts: Counts { ready: 0, clean: 0, dirty: 0, low_dirty: 0, small: 0 },
                huge: Huge::Auto,
                pace: Pace::new(),
                window: WINDOW_FIRST,
            }
        }
    }

    /// Sets the maximum size of the first region's window in bytes, so that a test needs further
    /// regions.
    #[cfg(test)]
    pub(super) fn set_window(&mut self, bytes: usize) {
        self.window = bytes;
    }

    fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter().flatten()
    }

    /// Returns the region with this number.
    pub(super) fn region(&self, number: usize) -> Option<&Region> {
        self.regions.get(number)?.as_ref()
    }

    /// Returns the ready bytes of the regions' tables.
    pub(super) fn table_bytes(&self) -> usize {
        self.regions().map(Region::table_bytes).sum()
    }

    fn tracker(&self, region: usize, index: usize) -> Option<&'static Tracker> {
        self.regions.get(region)?.as_ref()?.tracker(index)
    }

    fn address(&self, tracker: &Tracker, page: usize) -> *mut u8 {
        let region = self
            .regions
            .get(usize::from(tracker.region.get()))
            .and_then(Option::as_ref);
        region.map_or(null_mut(), |region| {
            region
                .address(tracker.index.get() as usize)
                .as_ptr()
                .wrapping_add(page * PAGE)
        })
    }

    fn bin(&self, longest: usize) -> &List<ByLongest> {
        // `longest` counts pages of one tracker, so it is at most the last bin; `min` spares the
        // check of bounds.
        #[expect(clippy::indexing_slicing, reason = "the index is clipped to the array's length")]
        &self.bins[longest.min(PAGES_PER_HUGE)]
    }

    /// Takes the tracker off its lists, lets `change` alter it, and puts it on the right lists
    /// again.
    fn update<R>(&mut self, tracker: &'static Tracker, change: impl FnOnce(&Tracker) -> R) -> R {
        let (longest, dirty) = (tracker.longest(), tracker.dirty_pages());
        let was_empty = tracker.is_empty();
        let result = change(tracker);
        if longest != tracker.longest() {
            if longest != 0 {
                self.bin(longest).remove(tracker);
                if self.bin(longest).is_empty() {
                    Bits(&self.filled).clear(longest, 1);
                }
            }
            if tracker.longest() != 0 {
                self.bin(tracker.longest()).push(tracker);
                Bits(&self.filled).set(tracker.longest(), 1);
            }
        }
        if was_empty != tracker.is_empty()
            && let Some(Some(region)) = self.regions.get(usize::from(tracker.region.get()))
        {
            region.set_empty(tracker.index.get() as usize, tracker.is_empty());
        }
        match (dirty, tracker.dirty_pages()) {
            (0, 1..) => self.aged.push_back(tracker),
            (1.., 0) => self.aged.remove(tracker),
            _ => {}
        }
        result
    }

    /// Takes free pages of one tracker. Returns whether all were clean, and whether they are the
    /// first touched pages of a huge page that the system was asked for.
    fn take_pages(&mut self, tracker: &'static Tracker, start: usize, pages: usize) -> (bool, bool) {
        let first_touch = tracker.advised.get() && tracker.is_untouched();
        let (taken, soiled) = self.update(tracker, |tracker| {
            let taken = tracker.take(start, pages);
            (taken, if first_touch { tracker.soil() } else { 0 })
        });
        tracker.wakes.set(first_touch);
        self.counts.clean -= taken.clean + soiled;
        self.counts.dirty += soiled;
        self.counts.dirty -= taken.dirty;
        self.counts.low_dirty = self.counts.low_dirty.min(self.counts.dirty);
        (taken.dirty == 0, first_touch)
    }

    fn give_pages(&mut self, tracker: &'static Tracker, start: usize, pages: usize, state: Given) {
        let kinds = || (tracker.free_pages() - tracker.dirty_pages(), tracker.dirty_pages());
        let before = kinds();
        self.update(tracker, |tracker| match state {
            Given::Untouched => tracker.give_untouched(start, pages),
            Given::Clean => tracker.give(start, pages, true),
            Given::Dirty => tracker.give(start, pages, false),
        });
        let after = kinds();
        let counts = &mut self.counts;
        counts.clean = counts.clean + after.0 - before.0;
        counts.dirty = counts.dirty + after.1 - before.1;
        counts.low_dirty = counts.low_dirty.min(counts.dirty);
    }

    fn locate(&self, base: *mut u8) -> Option<(usize, usize, usize)> {
        self.regions()
            .enumerate()
            .find_map(|(number, region)| region.locate(base).map(|(huge, page)| (number, huge, page)))
    }

    /// Returns the region in whose ready part `base` lies.
    fn region_of(&mut self, base: *mut u8) -> Option<&mut Region> {
        let (number, ..) = self.locate(base)?;
        self.regions.get_mut(number)?.as_mut()
    }

    /// Returns whether the system was asked for a huge page at `base`, and not told to stop.
    fn is_advised(&self, base: *mut u8) -> bool {
        let tracker = self
            .locate(base)
            .and_then(|(region, huge, _)| self.tracker(region, huge));
        tracker.is_some_and(|tracker| tracker.advised.get())
    }

    /// Gives back `pages` pages from `base`, clean or dirty.
    pub(super) fn give(&mut self, base: *mut u8, pages: usize, clean: bool) {
        self.give_as(base, pages, if clean { Given::Clean } else { Given::Dirty });
    }

    /// Gives back `pages` pages from `base`, in this state.
    pub(super) fn give_as(&mut self, base: *mut u8, pages: usize, state: Given) {
        let Some((region, mut index, mut start)) = self.locate(base) else {
            crate::os::report::fatal("page heap: a run outside every region was given back", base.addr());
        };
        let mut left = pages;
        while left > 0 {
            let Some(tracker) = self.tracker(region, index) else {
                crate::os::report::fatal("page heap: a run that leaves its region was given back", base.addr());
            };
            let here = left.min(PAGES_PER_HUGE - start);
            self.give_pages(tracker, start, here, state);
            left -= here;
            start = 0;
            index += 1;
        }
    }

    /// Takes one run of at most `most` free pages that may have physical memory, from the huge page
    /// that has had such pages for longest. The run consists of whole system pages, which are
    /// `unit` of ours. The caller gives it back, clean or dirty. The run is longer than `most` only
    /// to be a whole system page, or a whole huge page that the system was asked for.
    ///
    /// If `unit` is 1, the first huge page has a run. Otherwise a call looks at up to 1024 huge
    /// pages, which takes some hundred microseconds, and the next call goes on with the rest.
    pub(super) fn take_dirty(&mut self, unit: usize, most: usize) -> Option<Run> {
        const LOOKS: usize = 1024;
        let (tracker, run) = (0..LOOKS).find_map(|_| {
            let tracker = self.aged.first()?;
            let run = tracker.first_dirty(unit);
            if run.is_none() {
                self.aged.remove(tracker);
                self.aged.push_back(tracker);
            }
            Some((tracker, run?))
        })?;
        let is_huge = tracker.advised.get() && run.len == PAGES_PER_HUGE;
        let pages = if is_huge {
            run.len
        } else {
            run.len.min(align_up(most.min(run.len), unit))
        };
        let base = self.address(tracker, run.start);
        let (low, wakes) = (self.counts.low_dirty, tracker.wakes.get());
        self.take_pages(tracker, run.start, pages);
        // `low_dirty` measures the program's demand, and the scavenger's is none.
        self.counts.low_dirty = low;
        tracker.wakes.set(wakes);
        Some(Run {
            base,
            pages,
            clean: false,
            wakes: null_mut(),
        })
    }

    /// Moves the huge page at `base` to the end of the list after the system refused to release
    /// pages of it.
    pub(super) fn postpone(&mut self, base: *mut u8) {
        let found = self
            .locate(base)
            .and_then(|(region, huge, _)| self.tracker(region, huge));
        if let Some(tracker) = found.filter(|tracker| tracker.dirty_pages() > 0) {
            self.aged.remove(tracker);
            self.aged.push_back(tracker);
        }
    }
}
