//! What a thread keeps for reuse: empty spans, by their length, and runs of freed large objects, by run class.
//!
//! Everything here has its record, its page map entries and its (dirty) pages, so reuse costs a few loads and stores. Both stores are
//! bounded in bytes; what does not fit goes to the page heap.

use crate::base::geometry::{PAGE, RUN_CACHE_BYTES, RUN_CACHE_FIRST, RUN_CACHE_MAX_PAGES, SPARE_BYTES};
use crate::mspan::{MSpan, SpanList};
use crate::size_class::SizeClass;
use core::cell::Cell;

/// Lengths of small spans, in pages.
const SPARE_PAGES: [usize; 4] = [4, 8, 16, 32];

/// Run classes: every length to 16 pages, then eight a doubling.
pub(super) const RUN_CLASSES: usize = run_class(RUN_CACHE_MAX_PAGES) + 1;

const _: () = assert!(RUN_CLASSES <= 64, "the bitmap of filled bins is one word");

/// How many run classes above the wanted one may serve it: a quarter more bytes.
const TOLERANCE: u32 = 2;

/// Runs given up in a row, with none taken, after which few are kept.
const IN_ROW: u32 = 48;

/// The class of runs of `pages` pages.
pub(super) const fn run_class(pages: usize) -> usize {
    if pages <= 16 {
        pages - 1
    } else {
        // Eight steps in each doubling (2^k, 2^(k+1)].
        let doubling = (pages - 1).ilog2() as usize;
        let step = 1 << (doubling - 3);
        16 + (doubling - 4) * 8 + (pages - 1 - (1 << doubling)) / step
    }
}

/// Pages of a run of class `run_class(pages)`: `pages` rounded up.
pub(super) const fn run_pages(pages: usize) -> usize {
    if pages <= 16 {
        pages
    } else {
        pages.next_multiple_of(1 << ((pages - 1).ilog2() - 3))
    }
}

/// The store of one thread.
pub(super) struct Store {
    spares: [SpanList; SPARE_PAGES.len()],
    spare_bytes: Cell<usize>,
    runs: [SpanList; RUN_CLASSES],
    filled: Cell<u64>,
    run_bytes: Cell<usize>,
    /// How many bytes of runs may be kept. Doubles when a run is missed while next to nothing is kept, and halves when one is missed
    /// while plenty of others lie here: then they are of the wrong lengths, and of more use to the page heap.
    run_limit: Cell<usize>,
    /// Runs kept since one was last taken.
    kept_in_row: Cell<u32>,
}

impl Store {
    crate::sync::const_unless_loom! {
        /// Keeps nothing.
        pub(super) fn new() -> Self {
            Self {
                spares: [const { SpanList::new() }; SPARE_PAGES.len()],
                spare_bytes: Cell::new(0),
                runs: [const { SpanList::new() }; RUN_CLASSES],
                filled: Cell::new(0),
                run_bytes: Cell::new(0),
                run_limit: Cell::new(RUN_CACHE_FIRST),
                kept_in_row: Cell::new(0),
            }
        }
    }

    fn spares(&self, pages: usize) -> Option<&SpanList> {
        SPARE_PAGES
            .iter()
            .zip(&self.spares)
            .find_map(|(&length, list)| (length == pages).then_some(list))
    }

    fn runs(&self, class: usize) -> &SpanList {
        #[expect(clippy::indexing_slicing, reason = "the index is clipped to the array's length")]
        &self.runs[class.min(RUN_CLASSES - 1)]
    }

    /// Keeps an empty span that nobody owns. `false`: no room.
    pub(super) fn put_spare(&self, span: &'static MSpan) -> bool {
        let bytes = self.spare_bytes.get() + span.pages() * PAGE;
        match self.spares(span.pages()) {
            Some(list) if bytes <= SPARE_BYTES => {
                list.push(span);
                self.spare_bytes.set(bytes);
                true
            }
            _ => false,
        }
    }

    /// An empty span of the class's length; one that was of the class before, if that is among the last few kept.
    pub(super) fn take_spare(&self, class: SizeClass) -> Option<&'static MSpan> {
        let list = self.spares(class.span_pages())?;
        let of_class = core::iter::successors(list.first(), |span| list.after(span))
            .take(4)
            .find(|span| span.class() == Some(class));
        let span = match of_class {
            Some(span) => {
                list.remove(span);
                span
            }
            None => list.pop()?,
        };
        self.spare_bytes.set(self.spare_bytes.get() - span.pages() * PAGE);
        Some(span)
    }

    /// Keeps the run of a freed large object. `false`: no room, or not of a run class's length.
    pub(super) fn put_run(&self, span: &'static MSpan) -> bool {
        let pages = span.pages();
        let bytes = self.run_bytes.get() + pages * PAGE;
        self.kept_in_row.set(self.kept_in_row.get() + 1);
        if self.kept_in_row.get() > IN_ROW {
            // The program only frees.
            self.run_limit.set(RUN_CACHE_FIRST);
        }
        if pages > RUN_CACHE_MAX_PAGES || span.headroom() > 0 || bytes > self.run_limit.get() {
            return false;
        }
        let class = run_class(pages);
        if run_pages(pages) != pages {
            return false;
        }
        self.runs(class).push(span);
        self.filled.set(self.filled.get() | 1 << class);
        self.run_bytes.set(bytes);
        true
    }

    /// A run that holds `pages` pages, and not many more.
    pub(super) fn take_run(&self, pages: usize) -> Option<&'static MSpan> {
        self.kept_in_row.set(0);
        let class = run_class(pages);
        let filled = self.filled.get() >> class;
        if filled.trailing_zeros() > TOLERANCE {
            self.missed();
            return None;
        }
        let class = class + filled.trailing_zeros() as usize;
        let list = self.runs(class);
        let span = list.pop()?;
        if list.is_empty() {
            self.filled.set(self.filled.get() & !(1 << class));
        }
        self.run_bytes.set(self.run_bytes.get() - span.pages() * PAGE);
        Some(span)
    }

    /// A run was wanted and none was here that fits.
    fn missed(&self) {
        let limit = self.run_limit.get();
        if self.run_bytes.get() < limit / 4 {
            self.run_limit.set((limit * 2).min(RUN_CACHE_BYTES));
        } else if self.run_bytes.get() > limit / 2 {
            self.run_limit.set((limit / 2).max(RUN_CACHE_FIRST));
        }
    }

    /// A run that is one too many, for the page heap.
    pub(super) fn surplus_run(&self) -> Option<&'static MSpan> {
        if self.run_bytes.get() <= self.run_limit.get() {
            return None;
        }
        // Of the longest.
        let class = (u64::BITS - 1 - self.filled.get().leading_zeros().min(u64::BITS - 1)) as usize;
        let list = self.runs(class);
        let span = list.pop()?;
        if list.is_empty() {
            self.filled.set(self.filled.get() & !(1 << class));
        }
        self.run_bytes.set(self.run_bytes.get() - span.pages() * PAGE);
        Some(span)
    }

    /// Takes everything out, one by one.
    pub(super) fn drain(&self) -> impl Iterator<Item = &'static MSpan> {
        core::iter::from_fn(|| {
            if let Some(span) = self.spares.iter().find_map(SpanList::pop) {
                self.spare_bytes.set(self.spare_bytes.get() - span.pages() * PAGE);
                return Some(span);
            }
            let span = self.runs.iter().find_map(SpanList::pop)?;
            self.run_bytes.set(self.run_bytes.get() - span.pages() * PAGE);
            if self.run_bytes.get() == 0 {
                self.filled.set(0);
            }
            Some(span)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_classes_are_monotone_dense_and_waste_an_eighth_at_the_most() {
        let mut last = 0;
        for pages in 1..=RUN_CACHE_MAX_PAGES {
            let (class, rounded) = (run_class(pages), run_pages(pages));
            assert!(
                class == last || class == last + 1,
                "{pages} pages: class {class} after {last}"
            );
            assert!(
                rounded >= pages && rounded * 8 <= pages * 9 + 7,
                "{pages} pages become {rounded}"
            );
            assert_eq!(run_class(rounded), class);
            last = class;
        }
        assert_eq!(last, RUN_CLASSES - 1);
    }
}
