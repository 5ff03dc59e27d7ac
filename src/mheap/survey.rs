//! Copies the page heap's books of each region and huge page, for the heap map.
//!
//! Called by `heap::map`. Takes the page heap's lock for one region's figures or a few huge pages
//! at a time, and allocates nothing.

use super::MHeap;

/// The place of a region, and its ready part.
#[derive(Clone, Copy)]
pub(crate) struct RegionFigures {
    pub(crate) base: *mut u8,
    /// Huge pages: the first that holds heap pages, and one past the last ready one.
    pub(crate) first: usize,
    pub(crate) ready: usize,
    /// Bytes of address space, and of the tables at its front.
    pub(crate) reserved: usize,
    pub(crate) tables: usize,
}

/// The books of one huge page: a bit per page.
#[derive(Clone, Copy, Default)]
pub(crate) struct HugeBooks {
    free: [u64; 4],
    clean: [u64; 4],
    /// The system was asked to back it by one huge page.
    pub(crate) advised: bool,
}

/// The state of one page in the books.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageBooks {
    /// A run holds it.
    Held,
    /// Free, and may have memory.
    Dirty,
    /// Free, without memory.
    Clean,
}

impl HugeBooks {
    /// Books that know nothing.
    pub(crate) const UNKNOWN: Self = Self {
        free: [0; 4],
        clean: [0; 4],
        advised: false,
    };

    /// Returns the state of page `page`, which is below `PAGES_PER_HUGE`.
    pub(crate) fn page(&self, page: usize) -> PageBooks {
        let bit = |words: &[u64; 4]| words.get(page / 64).is_some_and(|word| word >> (page % 64) & 1 == 1);
        match (bit(&self.free), bit(&self.clean)) {
            (false, _) => PageBooks::Held,
            (true, false) => PageBooks::Dirty,
            (true, true) => PageBooks::Clean,
        }
    }
}

impl MHeap {
    /// Returns the figures of region `number`, or `None` if there is no such region.
    pub(crate) fn region_figures(&self, number: usize) -> Option<RegionFigures> {
        let inner = self.inner.lock();
        let region = inner.pages.region(number)?;
        Some(RegionFigures {
            base: region.base().as_ptr(),
            first: region.first,
            ready: region.ready,
            reserved: region.mapped_bytes(),
            tables: region.table_bytes(),
        })
    }

    /// Copies the books of region `number`'s huge pages from `from` on, as of one moment. Returns
    /// the number of entries written to `out`.
    pub(crate) fn huge_books(&self, number: usize, from: usize, out: &mut [HugeBooks]) -> usize {
        let inner = self.inner.lock();
        let Some(region) = inner.pages.region(number) else {
            return 0;
        };
        let mut count = 0;
        for (place, index) in out.iter_mut().zip(from..) {
            let Some(tracker) = region.tracker(index) else { break };
            let (free, clean) = tracker.bits();
            *place = HugeBooks {
                free,
                clean,
                advised: tracker.advised.get(),
            };
            count += 1;
        }
        count
    }
}
