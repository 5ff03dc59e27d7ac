//! The page map: leads from any address to the span that holds it, or to nothing.
//!
//! Each region begins with a flat array of entries, one per page. The fast path reads only the two
//! words that describe the main region. A look-up that misses the main region searches the others.
//! Another region begins if another mapping lies in the way of the last one, or if that one is
//! full.
//!
//! - PAGEMAP-1. Every page of a small or managed span, and the first page of a large one, has the
//!   span in its entry. All other entries are null. So a pointer that the program may free always
//!   finds its span, and null, foreign and stale pointers find nothing.
//! - PAGEMAP-2. The thread that holds the pages writes their entries, after it takes the pages
//!   from the page heap and before it gives them back. A thread that was handed a pointer into a
//!   span sees the span's entry, because that handover orders the two. So relaxed loads are enough.
//! - PAGEMAP-3. `limit` only grows, and only after the entries below it are readable.
//! - PAGEMAP-4. In builds for programs in C, entries hold more for a small span in use: the
//!   span's class, and the page's number in the span ([`tag`]). So a free need not read the span.

use crate::base::addr::Addr;
use crate::base::geometry::{PAGE, PAGE_SHIFT};
use crate::mspan::MSpan;
use crate::sync::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use core::ptr::null_mut;

pub(crate) mod tag;

/// The maximum number of regions.
pub(crate) const REGIONS: usize = 64;

type Entry = AtomicPtr<MSpan>;

/// The place of one region, for readers without a lock.
pub(crate) struct RegionMap {
    /// The region's first byte, which is also its first entry.
    entries: AtomicPtr<Entry>,
    /// Pages from the region's first byte on that have a readable entry.
    limit: AtomicUsize,
}

impl RegionMap {
    const fn new() -> Self {
        Self {
            entries: AtomicPtr::new(null_mut()),
            limit: AtomicUsize::new(0),
        }
    }

    #[inline(always)]
    fn entry(&self, addr: Addr) -> Option<&'static Entry> {
        let entries = self.entries.load(Relaxed);
        let page = addr.offset_from(Addr::of(entries)) >> PAGE_SHIFT;
        if page >= self.limit.load(Relaxed) {
            return None;
        }
        let entry = entries.wrapping_add(page);
        // SAFETY: PAGEMAP-3: an entry below the limit is mapped, zeroed or written, and never
        // unmapped.
        Some(unsafe { &*entry })
    }
}

/// The map over all regions.
pub(crate) struct PageMap {
    main: RegionMap,
    more: [RegionMap; REGIONS - 1],
    count: AtomicUsize,
    misses: AtomicUsize,
}

impl PageMap {
    /// Creates a map that knows no region.
    pub(crate) const fn new() -> Self {
        Self {
            main: RegionMap::new(),
            more: [const { RegionMap::new() }; REGIONS - 1],
            count: AtomicUsize::new(0),
            misses: AtomicUsize::new(0),
        }
    }

    /// Returns the span that holds `addr`.
    #[inline(always)]
    pub(crate) fn span_of(&self, addr: Addr) -> Option<&'static MSpan> {
        let entry = match self.main.entry(addr) {
            Some(entry) => entry,
            None => self.entry_elsewhere(addr)?,
        };
        // SAFETY: an entry is null or a record, which is never freed.
        unsafe { tag::bare(entry.load(Relaxed)).as_ref() }
    }

    /// Returns the main region as it is now.
    pub(crate) fn main(&self) -> tag::Main {
        tag::Main::new(self.main.entries.load(Relaxed), self.main.limit.load(Relaxed))
    }

    #[cold]
    #[inline(never)]
    fn entry_elsewhere(&self, addr: Addr) -> Option<&'static Entry> {
        // Acquire: pairs with the Release in `publish`, so that the words of a counted region are
        // visible.
        let count = self.count.load(Acquire).saturating_sub(1);
        let found = self.more.iter().take(count).find_map(|region| region.entry(addr));
        if found.is_none() {
            self.misses.fetch_add(1, Relaxed);
        }
        found
    }

    fn region(&self, index: usize) -> Option<&RegionMap> {
        if index == 0 {
            Some(&self.main)
        } else {
            self.more.get(index - 1)
        }
    }

    /// Adds the region with the next number to the map. The caller holds the page heap's lock.
    pub(crate) fn publish(&self, index: usize, entries: *mut Entry) {
        if let Some(region) = self.region(index) {
            region.entries.store(entries, Relaxed);
            // Release: pairs with the Acquire in `entry_elsewhere`.
            self.count.store(index + 1, Release);
        }
    }

    /// Raises the number of pages of a region that have an entry. The caller holds the page heap's
    /// lock and has prepared the entries.
    pub(crate) fn raise_limit(&self, index: usize, pages: usize) {
        if let Some(region) = self.region(index) {
            region.limit.store(pages, Relaxed);
        }
    }

    /// Writes the entries of `pages` pages from `base`, which the caller holds (PAGEMAP-2).
    pub(crate) fn set(&self, base: *mut u8, pages: usize, span: Option<&'static MSpan>) {
        let first = Addr::of(base);
        for page in 0..pages {
            let value = span.map_or(null_mut(), |span| tag::tagged(span, page));
            let addr = Addr(first.0 + page * PAGE);
            let entry = self.main.entry(addr).or_else(|| self.entry_elsewhere(addr));
            if let Some(entry) = entry {
                entry.store(value, Relaxed);
            }
        }
    }

    /// Returns the span that the page at `addr` of region `index` leads to. Does not count as a
    /// look-up.
    pub(crate) fn span_in(&self, index: usize, addr: Addr) -> Option<&'static MSpan> {
        let entry = self.region(index)?.entry(addr)?;
        // SAFETY: an entry is null or a record, which is never freed.
        unsafe { tag::bare(entry.load(Relaxed)).as_ref() }
    }

    /// Returns the number of look-ups of addresses that lie in no region.
    pub(crate) fn misses(&self) -> usize {
        self.misses.load(Relaxed)
    }
}
