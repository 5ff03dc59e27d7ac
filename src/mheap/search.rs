//! Best fit for large objects: the shortest free run that holds them, wherever it begins and whatever huge pages it crosses. An object that has
//! begun to grow goes to the start of a long one instead, where it may go on growing without being copied: of the longest; but where that is
//! of more use to objects that are large from the first, of the shortest that leaves room to grow.
//!
//! Small spans are packed by tracker, so that huge pages stay whole; a large object needs no huge page of its own, and one that began at huge
//! pages only would leave what lies between to nobody. The search walks the trackers in address order and looks at the runs that cross from
//! one to the next; so it costs some nanoseconds for each huge page of the heap, and is made in heaps of up to [`HUGE_MAX`] of them
//! (jemalloc and glibc keep a tree of free runs for the same purpose). Reached under the page heap's lock.

use super::region::Region;
use super::tracker::Tracker;
use crate::base::addr::align_up;
use crate::base::geometry::{HUGE_SHIFT, PAGES_PER_HUGE};

/// Huge pages that a search looks at, at the most.
pub(super) const HUGE_MAX: usize = 512;

/// Pages of a run from which on it is kept for large objects.
const LONG: usize = PAGES_PER_HUGE;
/// Pages of a run that leaves an object room to grow, if it has twice the object's.
const ROOMY: usize = PAGES_PER_HUGE / 4;

/// What is looked for.
#[derive(Clone, Copy)]
pub(super) struct Want {
    pub(super) pages: usize,
    /// In pages; a power of two.
    pub(super) align: usize,
    /// Only pages that may have physical memory.
    pub(super) dirty: bool,
    /// For an object that has begun to grow.
    begun: bool,
}

impl Want {
    /// `pages` pages at a multiple of `align`, in the shortest run.
    pub(super) fn of(pages: usize, align: usize, dirty: bool) -> Self {
        Self {
            pages,
            align,
            dirty,
            begun: false,
        }
    }

    /// `pages` pages for an object that has begun to grow.
    pub(super) fn begun(pages: usize) -> Self {
        Self {
            begun: true,
            ..Self::of(pages, 1, true)
        }
    }

    /// Pages of the run that they are taken from, at the least.
    fn run(self) -> usize {
        if self.begun { 2 * self.pages } else { self.pages }
    }
}

/// A run, and where in it the wanted pages would lie.
#[derive(Clone, Copy)]
struct Place {
    length: usize,
    /// In pages from the region's base on.
    start: usize,
}

/// The best runs so far.
#[derive(Default)]
struct Best {
    shortest: Option<Place>,
    /// The shortest of those that are [`ROOMY`].
    roomy: Option<Place>,
    longest: Option<Place>,
}

impl Best {
    fn consider(&mut self, place: Place) {
        let shorter = |than: Place| place.length < than.length;
        if self.shortest.is_none_or(shorter) {
            self.shortest = Some(place);
        }
        if place.length >= ROOMY && self.roomy.is_none_or(shorter) {
            self.roomy = Some(place);
        }
        if self.longest.is_none_or(|longest| place.length > longest.length) {
            self.longest = Some(place);
        }
    }

    /// The best for `want`.
    fn choose(&self, want: Want) -> Option<Place> {
        let has_long = self.longest.is_some_and(|longest| longest.length >= LONG);
        match (want.begun, has_long) {
            (false, _) => self.shortest,
            (true, false) => self.longest,
            // The longest is one, if no other.
            (true, true) => self.roomy,
        }
    }
}

/// The page, counted from the region's base, at which the wanted pages fit best; `None` where no free run of the region holds them.
pub(super) fn best_run(region: &Region, want: Want) -> Option<usize> {
    let phase = (region.base().addr().get() >> HUGE_SHIFT) * PAGES_PER_HUGE;
    let mut best = Best::default();
    let mut consider = |start: usize, length: usize| {
        let aligned = align_up(start + phase, want.align) - phase;
        if length >= want.run() && aligned + want.pages <= start + length {
            best.consider(Place { length, start: aligned });
        }
    };
    // The free pages in a row that end where the next tracker begins.
    let mut open = 0;
    for index in region.first..region.ready {
        let Some(tracker) = region.tracker(index) else { break };
        let first = index * PAGES_PER_HUGE;
        let runs = Ends::of(tracker, want.dirty);
        if runs.head == PAGES_PER_HUGE {
            open += PAGES_PER_HUGE;
            continue;
        }
        consider(first - open, open + runs.head);
        if tracker.longest() >= want.run() {
            tracker.each_run(want.dirty, |run| {
                if run.start > 0 && run.start + run.len < PAGES_PER_HUGE {
                    consider(first + run.start, run.len);
                }
            });
        }
        open = runs.tail;
    }
    consider(region.ready * PAGES_PER_HUGE - open, open);
    best.choose(want).map(|place| place.start)
}

/// How many of a tracker's first and last pages are free in a row.
struct Ends {
    head: usize,
    tail: usize,
}

impl Ends {
    fn of(tracker: &Tracker, dirty: bool) -> Self {
        let nothing = if dirty {
            tracker.dirty_pages() == 0
        } else {
            tracker.longest() == 0
        };
        if nothing {
            return Self { head: 0, tail: 0 };
        }
        let (head, tail) = tracker.ends(dirty);
        Self { head, tail }
    }
}
