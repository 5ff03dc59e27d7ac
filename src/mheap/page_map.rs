//! The page map: from any address to the span that holds it, or to nothing.
//!
//! Each region begins with a flat array of one entry for each of its pages. The main region's two
//! words are all that the fast path reads. Further regions are searched behind it; they begin when
//! another mapping lies in the way of the main one, or when it is full.
//!
//! - I1. Every page of a small or managed span, and the first page of a large one, has the span in
//!   its entry; all other entries are null. A pointer that the program may free therefore always
//!   finds its span, and null, foreign and stale ones find nothing.
//! - I2. Entries are written by whoever holds the pages, between taking them from the page heap and returning them. A thread that was
//!   handed a pointer into a span sees its entry, because the pointer itself was handed over in order; so relaxed loads do.
//! - I3. `limit` only grows, after the entries below it are readable.
//! - I4. In builds for programs in C an entry of a small span in use also tells its class and which of the span's pages it is for ([`tag`]),
//!   so that a free needs no look at the span.

use crate::base::addr::Addr;
use crate::base::geometry::{PAGE, PAGE_SHIFT};
use crate::mspan::MSpan;
use crate::sync::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use core::ptr::null_mut;

pub(crate) mod tag;

/// How many regions there can be.
pub(crate) const REGIONS: usize = 64;

type Entry = AtomicPtr<MSpan>;

/// Where one region lies, for readers without a lock.
pub(crate) struct RegionMap {
    /// The region's first byte, and its first entry.
    entries: AtomicPtr<Entry>,
    /// Pages from the region's first byte that have a readable entry.
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
        // SAFETY: entries below the limit are mapped, zeroed or written, and never unmapped (I3).
        Some(unsafe { &*entry })
    }
}

/// All regions.
pub(crate) struct PageMap {
    main: RegionMap,
    more: [RegionMap; REGIONS - 1],
    count: AtomicUsize,
    misses: AtomicUsize,
}

impl PageMap {
    /// Knows no region.
    pub(crate) const fn new() -> Self {
        Self {
            main: RegionMap::new(),
            more: [const { RegionMap::new() }; REGIONS - 1],
            count: AtomicUsize::new(0),
            misses: AtomicUsize::new(0),
        }
    }

    /// The span that holds `addr`.
    #[inline(always)]
    pub(crate) fn span_of(&self, addr: Addr) -> Option<&'static MSpan> {
        let entry = match self.main.entry(addr) {
            Some(entry) => entry,
            None => self.entry_elsewhere(addr)?,
        };
        // SAFETY: an entry is null or a record, which is never freed.
        unsafe { tag::bare(entry.load(Relaxed)).as_ref() }
    }

    /// The main region as it is now.
    #[cfg(feature = "preload")]
    pub(crate) fn main(&self) -> tag::Main {
        tag::Main::new(self.main.entries.load(Relaxed), self.main.limit.load(Relaxed))
    }

    #[cold]
    #[inline(never)]
    fn entry_elsewhere(&self, addr: Addr) -> Option<&'static Entry> {
        // Acquire: pairs with the Release in `publish`, so that a counted region's words are seen.
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

    /// Makes the region with the next number known. The caller holds the page heap's lock.
    pub(crate) fn publish(&self, index: usize, entries: *mut Entry) {
        if let Some(region) = self.region(index) {
            region.entries.store(entries, Relaxed);
            // Release: pairs with the Acquire in `entry_elsewhere`.
            self.count.store(index + 1, Release);
        }
    }

    /// Raises the number of pages of a region that have an entry. The caller holds the page heap's lock and has prepared them.
    pub(crate) fn raise_limit(&self, index: usize, pages: usize) {
        if let Some(region) = self.region(index) {
            region.limit.store(pages, Relaxed);
        }
    }

    /// Writes the entries of `pages` pages from `base`, which the caller holds (I2).
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

    /// The span that the page at `addr` of region `index` leads to. Not counted among the look-ups.
    pub(crate) fn span_in(&self, index: usize, addr: Addr) -> Option<&'static MSpan> {
        let entry = self.region(index)?.entry(addr)?;
        // SAFETY: an entry is null or a record, which is never freed.
        unsafe { tag::bare(entry.load(Relaxed)).as_ref() }
    }

    /// Look-ups of addresses that lie in no region, a count.
    pub(crate) fn misses(&self) -> usize {
        self.misses.load(Relaxed)
    }
}
