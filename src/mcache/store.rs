//! The empty spans that a thread keeps for reuse, by their length.
//!
//! They have their records, their page map entries and their (dirty) pages, so reuse costs a few loads and stores. The store is bounded in
//! bytes; what does not fit goes to the page heap.

use crate::base::geometry::{PAGE, SPARE_BYTES};
use crate::mspan::{MSpan, SpanList};
use crate::size_class::{COUNT, SizeClass};
use core::cell::Cell;

/// Lengths of small spans, in pages.
const SPARE_PAGES: [usize; 8] = [4, 8, 9, 15, 16, 17, 32, 33];

const _: () = {
    let mut class = 0;
    while class < COUNT {
        let (pages, mut index) = (SizeClass::from_number(class).span_pages(), 0);
        while SPARE_PAGES[index] != pages {
            index += 1;
        }
        class += 1;
    }
};

/// The store of one thread.
pub(super) struct Store {
    spares: [SpanList; SPARE_PAGES.len()],
    spare_bytes: Cell<usize>,
}

impl Store {
    crate::sync::const_unless_loom! {
        /// Keeps nothing.
        pub(super) fn new() -> Self {
            Self {
                spares: [const { SpanList::new() }; SPARE_PAGES.len()],
                spare_bytes: Cell::new(0),
            }
        }
    }

    fn spares(&self, pages: usize) -> Option<&SpanList> {
        SPARE_PAGES
            .iter()
            .zip(&self.spares)
            .find_map(|(&length, list)| (length == pages).then_some(list))
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

    /// Takes everything out, one by one.
    pub(super) fn drain(&self) -> impl Iterator<Item = &'static MSpan> {
        core::iter::from_fn(|| {
            let span = self.spares.iter().find_map(SpanList::pop)?;
            self.spare_bytes.set(self.spare_bytes.get() - span.pages() * PAGE);
            Some(span)
        })
    }
}
