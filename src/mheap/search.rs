//! Best fit for large objects.
//!
//! - An object normally goes to the shortest free run that holds it. The run may begin anywhere
//!   and cross huge pages.
//! - An object that has begun to grow goes to the start of a long run, where it may grow on
//!   without a copy. Without a run of [`LONG`] pages it takes the longest run. Otherwise it takes
//!   the shortest run that leaves room to grow, and the long one stays for objects that are large
//!   from the first.
//!
//! Small spans are packed by tracker, so that huge pages stay whole. A large object needs no huge
//! page for itself. If large objects began only at huge pages, the pages between them would serve
//! no request.
//!
//! The search walks the trackers in address order and looks at the runs that cross from one to the
//! next. It costs 20 to 30 ns per huge page of the heap, so a request has it only in heaps of up to
//! [`reach`] huge pages. (jemalloc and glibc keep a tree of free runs for the same purpose.) The
//! page heap's lock guards it.

use super::region::Region;
use super::tracker::Tracker;
use crate::base::addr::align_up;
use crate::base::geometry::{HUGE, HUGE_SHIFT, PAGES_PER_HUGE, SMALL_HEAP};

/// Requests of up to this many pages find as good a place by the trackers' bins, unless the heap is
/// small.
const SHORT: usize = 32;

/// Returns the most huge pages that a search for `pages` pages looks at. Longer objects take longer
/// to fill, and have more to gain: beyond one huge page, the other way takes whole huge pages.
pub(super) fn reach(pages: usize) -> usize {
    if pages <= SHORT {
        SMALL_HEAP / HUGE
    } else if pages <= PAGES_PER_HUGE {
        512
    } else {
        4096
    }
}

/// A run of at least this many pages is kept for objects that are large from the first.
const LONG: usize = PAGES_PER_HUGE;
/// A run of at least this many pages leaves an object room to grow, if it also has twice the
/// object's pages.
const ROOMY: usize = PAGES_PER_HUGE / 4;

/// A request to the search.
#[derive(Clone, Copy)]
pub(super) struct Want {
    pub(super) pages: usize,
    /// In pages; a power of two.
    pub(super) align: usize,
    /// Take only pages that may have physical memory.
    pub(super) dirty: bool,
    /// The object has begun to grow.
    begun: bool,
}

impl Want {
    /// Asks for `pages` pages at a multiple of `align`, in the shortest run.
    pub(super) fn of(pages: usize, align: usize, dirty: bool) -> Self {
        Self {
            pages,
            align,
            dirty,
            begun: false,
        }
    }

    /// Asks for `pages` pages for an object that has begun to grow.
    pub(super) fn begun(pages: usize) -> Self {
        Self {
            begun: true,
            ..Self::of(pages, 1, true)
        }
    }

    /// Returns the least length in pages of a run that serves the request.
    fn run(self) -> usize {
        if self.begun { 2 * self.pages } else { self.pages }
    }
}

/// A run, and the place of the wanted pages in it.
#[derive(Clone, Copy)]
struct Place {
    length: usize,
    /// In pages from the region's base.
    start: usize,
}

/// The best runs so far.
#[derive(Default)]
struct Best {
    shortest: Option<Place>,
    /// The shortest run of at least [`ROOMY`] pages.
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

    /// Returns the best run for `want`.
    fn choose(&self, want: Want) -> Option<Place> {
        let has_long = self.longest.is_some_and(|longest| longest.length >= LONG);
        match (want.begun, has_long) {
            (false, _) => self.shortest,
            (true, false) => self.longest,
            // There is one: the longest run is [`ROOMY`] too.
            (true, true) => self.roomy,
        }
    }
}

/// Returns the page, counted from the region's base, at which the wanted pages fit best. Returns
/// `None` if no free run of the region holds them.
pub(super) fn best_run(region: &Region, want: Want) -> Option<usize> {
    let phase = (region.base().addr().get() >> HUGE_SHIFT) * PAGES_PER_HUGE;
    let mut best = Best::default();
    let mut consider = |start: usize, length: usize| {
        let aligned = align_up(start + phase, want.align) - phase;
        if length >= want.run() && aligned + want.pages <= start + length {
            best.consider(Place { length, start: aligned });
        }
    };
    // The number of free pages in a row that end where the next tracker begins.
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

/// The number of free pages in a row at a tracker's start and end.
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
