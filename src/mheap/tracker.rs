//! The tracker: which pages of one huge page are free, and which of the free ones have no physical memory.
//!
//! Reached only under the page heap's lock, so its fields are plain cells.
//!
//! - I1. A page's `free` bit is set when no run holds it; `clean` may be set for a free page only, and then the page reads as zero.
//! - I2. `free_pages`, `dirty_pages` and `longest` say of the bits what their names say.
//! - I3. A tracker stands on the bin of its `longest` exactly when `longest` is not 0, and on the dirty list exactly when `dirty_pages`
//!   is not 0.

use crate::base::bitmap::{BitRun, Bits};
use crate::base::geometry::PAGES_PER_HUGE;
use crate::base::list::{Linked, Links};
use core::cell::Cell;

/// The record of one huge page.
pub(super) struct Tracker {
    free: [Cell<u64>; 4],
    clean: [Cell<u64>; 4],
    /// Region and index in it.
    pub(super) region: Cell<u16>,
    pub(super) index: Cell<u32>,
    longest: Cell<u16>,
    free_pages: Cell<u16>,
    dirty_pages: Cell<u16>,
    /// The system was asked to back it by one huge page: the first touch brings memory to all of it.
    pub(super) advised: Cell<bool>,
    by_longest: Links<Tracker>,
    by_age: Links<Tracker>,
}

/// Links of the bins by longest free run.
pub(super) struct ByLongest;
/// Links of the dirty list.
pub(super) struct ByAge;

impl Linked for ByLongest {
    type Node = Tracker;
    fn links(node: &Tracker) -> &Links<Tracker> {
        &node.by_longest
    }
}

impl Linked for ByAge {
    type Node = Tracker;
    fn links(node: &Tracker) -> &Links<Tracker> {
        &node.by_age
    }
}

/// How many free pages a change took away (negative) or gave, by kind.
#[derive(Clone, Copy, Default)]
pub(super) struct Taken {
    pub(super) clean: usize,
    pub(super) dirty: usize,
}

impl Tracker {
    /// The record of a huge page that was never touched.
    pub(super) fn new(region: u16, index: u32) -> Self {
        Self {
            free: [const { Cell::new(u64::MAX) }; 4],
            clean: [const { Cell::new(u64::MAX) }; 4],
            region: Cell::new(region),
            index: Cell::new(index),
            longest: Cell::new(PAGES_PER_HUGE as u16),
            free_pages: Cell::new(PAGES_PER_HUGE as u16),
            dirty_pages: Cell::new(0),
            advised: Cell::new(false),
            by_longest: Links::new(),
            by_age: Links::new(),
        }
    }

    fn free(&self) -> Bits<'_> {
        Bits(&self.free)
    }

    fn clean(&self) -> Bits<'_> {
        Bits(&self.clean)
    }

    /// Which pages are free, and which of them have no memory.
    pub(super) fn bits(&self) -> ([u64; 4], [u64; 4]) {
        (
            self.free.each_ref().map(Cell::get),
            self.clean.each_ref().map(Cell::get),
        )
    }

    /// Longest run of free pages.
    pub(super) fn longest(&self) -> usize {
        self.longest.get() as usize
    }

    /// Free pages.
    pub(super) fn free_pages(&self) -> usize {
        self.free_pages.get() as usize
    }

    /// Free pages that may have physical memory.
    pub(super) fn dirty_pages(&self) -> usize {
        self.dirty_pages.get() as usize
    }

    /// Whether no run holds any page.
    pub(super) fn is_empty(&self) -> bool {
        self.free_pages() == PAGES_PER_HUGE
    }

    /// The first page of the best place for `n` pages aligned to `align` pages.
    pub(super) fn best_fit(&self, n: usize, align: usize) -> Option<usize> {
        self.free().best_fit(n, align, 0, PAGES_PER_HUGE)
    }

    /// Like [`best_fit`](Self::best_fit), among the pages that may have physical memory.
    pub(super) fn best_fit_dirty(&self, n: usize, align: usize) -> Option<usize> {
        if self.dirty_pages() < n {
            return None;
        }
        Bits(&self.dirty()).best_fit(n, align, 0, PAGES_PER_HUGE)
    }

    fn dirty(&self) -> [Cell<u64>; 4] {
        let mut words = [const { Cell::new(0) }; 4];
        for ((word, free), clean) in words.iter_mut().zip(&self.free).zip(&self.clean) {
            word.set(free.get() & !clean.get());
        }
        words
    }

    /// Calls `f` with the runs of free pages, or of those that may have physical memory.
    pub(super) fn each_run(&self, dirty: bool, f: impl FnMut(BitRun)) {
        if dirty {
            Bits(&self.dirty()).runs().for_each(f);
        } else {
            self.free().runs().for_each(f);
        }
    }

    /// How many of the first and of the last pages in a row are free, or may have physical memory besides.
    pub(super) fn ends(&self, dirty: bool) -> (usize, usize) {
        if dirty {
            let words = self.dirty();
            (Bits(&words).run_at(0), Bits(&words).run_at_end())
        } else {
            (self.free().run_at(0), self.free().run_at_end())
        }
    }

    /// Whether `n` pages from `start` are free and without memory.
    pub(super) fn is_clean(&self, start: usize, n: usize) -> bool {
        self.clean().count(start, n) == n
    }

    /// Free pages from `start` on without a gap.
    pub(super) fn free_at(&self, start: usize) -> usize {
        self.free().run_at(start)
    }

    /// The whole huge page has memory now: no free page is clean. Returns how many were.
    pub(super) fn soil(&self) -> usize {
        let clean = self.clean().count(0, PAGES_PER_HUGE);
        self.clean().clear(0, PAGES_PER_HUGE);
        self.dirty_pages.set(self.dirty_pages.get() + clean as u16);
        clean
    }

    /// Whether no page has memory, as far as free ones tell: all are free and clean.
    pub(super) fn is_untouched(&self) -> bool {
        self.is_empty() && self.dirty_pages() == 0
    }

    /// Takes `n` free pages from `start`. Tells how many of them were clean.
    pub(super) fn take(&self, start: usize, n: usize) -> Taken {
        let clean = self.clean().count(start, n);
        self.free().clear(start, n);
        self.clean().clear(start, n);
        self.free_pages.set(self.free_pages.get() - n as u16);
        self.dirty_pages.set(self.dirty_pages.get() - (n - clean) as u16);
        self.longest.set(self.free().longest() as u16);
        Taken {
            clean,
            dirty: n - clean,
        }
    }

    /// Gives back `n` pages from `start`, clean or dirty.
    pub(super) fn give(&self, start: usize, n: usize, clean: bool) {
        self.free().set(start, n);
        if clean {
            self.clean().set(start, n);
        } else {
            self.dirty_pages.set(self.dirty_pages.get() + n as u16);
        }
        self.free_pages.set(self.free_pages.get() + n as u16);
        self.longest.set(self.free().longest() as u16);
    }

    /// The first run of free pages that may have physical memory; where the system's pages are `unit` of ours, the first of whole ones that are
    /// free and may have memory in part.
    pub(super) fn first_dirty(&self, unit: usize) -> Option<BitRun> {
        let dirty = self.dirty();
        if unit == 1 {
            return Bits(&dirty).runs().next();
        }
        let fits = |&start: &usize| self.free().count(start, unit) == unit && Bits(&dirty).count(start, unit) > 0;
        let mut units = (0..PAGES_PER_HUGE).step_by(unit);
        let start = units.by_ref().find(fits)?;
        let end = units.find(|start| !fits(start)).unwrap_or(PAGES_PER_HUGE);
        Some(BitRun {
            start,
            len: end - start,
        })
    }
}
