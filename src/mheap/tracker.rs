//! The tracker: records which pages of one huge page are free, and which free pages have no
//! physical memory.
//!
//! The page heap's lock guards it, so its fields are plain cells.
//!
//! - TRACKER-1. A page's `free` bit is set exactly when no run holds it. `clean` may be set only
//!   for a free page, and then the page reads as zero.
//! - TRACKER-2. `free_pages` and `dirty_pages` count the free and the free but not clean pages of
//!   the bits; `longest` is their longest free run.
//! - TRACKER-3. A tracker is in the bin of its `longest` exactly when `longest` is not 0. It is
//!   on the dirty list exactly when `dirty_pages` is not 0.

use crate::base::bitmap::{BitRun, Bits};
use crate::base::geometry::PAGES_PER_HUGE;
use crate::base::list::{Linked, Links};
use core::cell::Cell;

/// The record of one huge page.
pub(super) struct Tracker {
    free: [Cell<u64>; 4],
    clean: [Cell<u64>; 4],
    /// Of the pages that a run holds: those that were clean when it was taken.
    taken_clean: [Cell<u64>; 4],
    /// The region's number, and the index in it.
    pub(super) region: Cell<u16>,
    pub(super) index: Cell<u32>,
    longest: Cell<u16>,
    free_pages: Cell<u16>,
    dirty_pages: Cell<u16>,
    /// The system was asked to back it by one huge page: the first touch brings memory to all of
    /// it.
    pub(super) advised: Cell<bool>,
    /// The run that was taken last brings memory to all of it by its first touch.
    pub(super) wakes: Cell<bool>,
    by_longest: Links<Tracker>,
    by_age: Links<Tracker>,
}

/// Links of the bins, by longest free run.
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

/// The number of pages that a call took, by kind.
#[derive(Clone, Copy, Default)]
pub(super) struct Taken {
    pub(super) clean: usize,
    pub(super) dirty: usize,
}

impl Tracker {
    /// Creates the record of a huge page that was never touched.
    pub(super) fn new(region: u16, index: u32) -> Self {
        Self {
            free: [const { Cell::new(u64::MAX) }; 4],
            clean: [const { Cell::new(u64::MAX) }; 4],
            taken_clean: [const { Cell::new(0) }; 4],
            region: Cell::new(region),
            index: Cell::new(index),
            longest: Cell::new(PAGES_PER_HUGE as u16),
            free_pages: Cell::new(PAGES_PER_HUGE as u16),
            dirty_pages: Cell::new(0),
            advised: Cell::new(false),
            wakes: Cell::new(false),
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

    /// Returns the bits of the free pages, and of the free pages without memory.
    pub(super) fn bits(&self) -> ([u64; 4], [u64; 4]) {
        (
            self.free.each_ref().map(Cell::get),
            self.clean.each_ref().map(Cell::get),
        )
    }

    /// Returns the length of the longest run of free pages.
    pub(super) fn longest(&self) -> usize {
        self.longest.get() as usize
    }

    /// Returns the number of free pages.
    pub(super) fn free_pages(&self) -> usize {
        self.free_pages.get() as usize
    }

    /// Returns the number of free pages that may have physical memory.
    pub(super) fn dirty_pages(&self) -> usize {
        self.dirty_pages.get() as usize
    }

    /// Returns whether no run holds any page.
    pub(super) fn is_empty(&self) -> bool {
        self.free_pages() == PAGES_PER_HUGE
    }

    /// Returns the first page of the best place for `n` pages aligned to `align` pages.
    pub(super) fn best_fit(&self, n: usize, align: usize) -> Option<usize> {
        self.free().best_fit(n, align, 0, PAGES_PER_HUGE)
    }

    /// Like [`best_fit`](Self::best_fit), among the free pages that may have physical memory.
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

    /// Calls `f` with each run of free pages; with `dirty`, of those that may have physical memory.
    pub(super) fn each_run(&self, dirty: bool, f: impl FnMut(BitRun)) {
        if dirty {
            Bits(&self.dirty()).runs().for_each(f);
        } else {
            self.free().runs().for_each(f);
        }
    }

    /// Returns how many pages are free in a row at the start and at the end; with `dirty`, how many
    /// of those that may have physical memory.
    pub(super) fn ends(&self, dirty: bool) -> (usize, usize) {
        if dirty {
            let words = self.dirty();
            (Bits(&words).run_at(0), Bits(&words).run_at_end())
        } else {
            (self.free().run_at(0), self.free().run_at_end())
        }
    }

    /// Returns whether `n` pages from `start` are free and without memory.
    pub(super) fn is_clean(&self, start: usize, n: usize) -> bool {
        self.clean().count(start, n) == n
    }

    /// Returns the number of free pages in a row from `start`.
    pub(super) fn free_at(&self, start: usize) -> usize {
        self.free().run_at(start)
    }

    /// Records that the whole huge page has memory now: no free page is clean. Returns how many
    /// were.
    pub(super) fn soil(&self) -> usize {
        let clean = self.clean().count(0, PAGES_PER_HUGE);
        self.clean().clear(0, PAGES_PER_HUGE);
        self.dirty_pages.set(self.dirty_pages.get() + clean as u16);
        clean
    }

    /// Returns whether all pages are free and clean.
    pub(super) fn is_untouched(&self) -> bool {
        self.is_empty() && self.dirty_pages() == 0
    }

    /// Takes `n` free pages from `start`. Returns how many of them were clean and dirty.
    pub(super) fn take(&self, start: usize, n: usize) -> Taken {
        let clean = self.clean().count(start, n);
        let (free_before, clean_before) = self.bits();
        self.free().clear(start, n);
        self.clean().clear(start, n);
        let before = free_before.into_iter().zip(clean_before);
        for ((kept, free), (was_free, was_clean)) in self.taken_clean.iter().zip(&self.free).zip(before) {
            let taken = was_free & !free.get();
            kept.set(kept.get() & !taken | was_clean & taken);
        }
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

    /// Gives back `n` untouched pages from `start`, which one run holds: clean if they were clean
    /// before. If the run was to bring memory to the whole huge page, all of it is clean again.
    pub(super) fn give_untouched(&self, start: usize, n: usize) {
        let clean = Bits(&self.taken_clean).count(start, n);
        let (free_before, _) = self.bits();
        self.give(start, n, false);
        for ((word, kept), (free, was_free)) in self
            .clean
            .iter()
            .zip(&self.taken_clean)
            .zip(self.free.iter().zip(free_before))
        {
            word.set(word.get() | kept.get() & free.get() & !was_free);
        }
        self.dirty_pages.set(self.dirty_pages.get() - clean as u16);
        if self.wakes.get() && self.is_empty() {
            self.clean().set(0, PAGES_PER_HUGE);
            self.dirty_pages.set(0);
        }
    }

    /// Returns the first run of free pages that may have physical memory. If a system page is
    /// `unit` of ours, returns the first run of whole system pages that are free and have memory in
    /// part.
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
