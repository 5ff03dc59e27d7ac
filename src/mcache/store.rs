//! The empty spans that a thread keeps for reuse, by their length.
//!
//! They keep their records, page map entries and (dirty) pages, so reuse costs a few loads and
//! stores. The store has a bound in bytes. Spans beyond it go to the page heap.

use crate::base::geometry::{PAGE, SPARE_BYTES};
use crate::mspan::{MSpan, SpanList};
use crate::size_class::{COUNT, SizeClass};
use core::cell::Cell;

/// Pages of the longest span of small objects.
const LONGEST: usize = {
    let (mut class, mut longest) = (0, 0);
    while class < COUNT {
        let pages = SizeClass::from_number(class).span_pages();
        longest = if pages > longest { pages } else { longest };
        class += 1;
    }
    longest
};

/// The store of one thread.
pub(super) struct Store {
    /// By pages.
    spares: [SpanList; LONGEST + 1],
    spare_bytes: Cell<usize>,
}

impl Store {
    crate::sync::const_unless_loom! {
        /// Returns a store that keeps nothing.
        pub(super) fn new() -> Self {
            Self {
                spares: [const { SpanList::new() }; LONGEST + 1],
                spare_bytes: Cell::new(0),
            }
        }
    }

    /// Keeps an empty span that no thread owns. `false`: there is no room.
    pub(super) fn put_spare(&self, span: &'static MSpan) -> bool {
        let bytes = self.spare_bytes.get() + span.pages() * PAGE;
        match self.spares.get(span.pages()) {
            Some(list) if bytes <= SPARE_BYTES => {
                list.push(span);
                self.spare_bytes.set(bytes);
                true
            }
            _ => false,
        }
    }

    /// Takes an empty span of `pages` pages for `class`. Prefers one that was of the class before,
    /// if it is among the last few kept.
    pub(super) fn take_spare(&self, class: SizeClass, pages: usize) -> Option<&'static MSpan> {
        let list = self.spares.get(pages)?;
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

    /// Takes everything out, one by one.
    pub(super) fn drain(&self) -> impl Iterator<Item = &'static MSpan> {
        let spares = self.spares.iter();
        spares
            .flat_map(|list| core::iter::from_fn(|| list.pop()))
            .inspect(|span| {
                self.spare_bytes.set(self.spare_bytes.get() - span.pages() * PAGE);
            })
    }
}

#[cfg(all(test, not(greyspan_loom)))]
#[path = "store_tests.rs"]
mod tests;
