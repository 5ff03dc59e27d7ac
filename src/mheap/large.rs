//! Large objects: runs of whole pages with one object each. They grow, shrink and move without
//! copying.
//!
//! Only the holder of the object calls with its span; the page heap's lock guards the pages.

use super::page_alloc::Purpose;
use super::{MHeap, non_null};
use crate::base::geometry::{HUGE, PAGE, PAGES_PER_HUGE, is_servable};
use crate::mspan::MSpan;
use crate::os::PageSource;

/// Moves by page table before the heap copies objects instead, so that the process keeps its
/// mappings for itself.
const REMAPS_MAX: usize = 16 << 10;

impl MHeap {
    /// Takes a span of `pages` pages at a multiple of `align` bytes, with one object of `bytes`
    /// bytes. The span also holds up to `headroom` pages behind it, into which it may grow.
    pub(crate) fn take_large(
        &self,
        bytes: usize,
        pages: usize,
        align: usize,
        headroom: usize,
    ) -> Option<&'static MSpan> {
        if !is_servable(bytes, align) {
            return None;
        }
        let purpose = if headroom > 0 { Purpose::Growing } else { Purpose::Large };
        // An address from which `move_pages` can move it.
        let align = if headroom > 0 {
            align.max(self.os.page_size())
        } else {
            align
        };
        self.take_for(bytes, pages, align, headroom, purpose)
    }

    /// Like `take_large` without headroom, but only from free pages that may have memory already.
    pub(crate) fn take_idle(&self, bytes: usize, pages: usize, align: usize) -> Option<&'static MSpan> {
        if pages * PAGE > self.idle_bytes() {
            return None;
        }
        self.take_for(bytes, pages, align, 0, Purpose::Idle)
    }

    /// Like `take_idle`, for an object that has begun to grow: takes the start of a run of at least
    /// twice the pages (`search`).
    pub(crate) fn take_begun(&self, bytes: usize, pages: usize) -> Option<&'static MSpan> {
        if 2 * pages * PAGE > self.idle_bytes() {
            return None;
        }
        self.take_for(bytes, pages, 1, 0, Purpose::Begun)
    }

    fn take_for(
        &self,
        bytes: usize,
        pages: usize,
        align: usize,
        headroom: usize,
        purpose: Purpose,
    ) -> Option<&'static MSpan> {
        let span = self.take_run(pages, align.div_ceil(PAGE), headroom, purpose)?;
        span.init_large(bytes);
        self.map.set(span.base(), 1, Some(span));
        Some(span)
    }

    /// Makes the run `pages` pages long without moving it: first into its headroom, then into the
    /// free pages behind. The new pages keep their contents; `Some(true)` says that they read as
    /// zero.
    pub(crate) fn grow_in_place(&self, span: &'static MSpan, pages: usize) -> Option<bool> {
        let (old, headroom) = (span.pages(), span.headroom());
        let more = pages.checked_sub(old)?;
        let end = span.base().wrapping_add(old * PAGE);
        let from_room = more.min(headroom);
        let mut clean = true;
        let mut inner = self.inner.lock();
        if !self.admits(&inner, more) {
            // The caller then asks for another place, and that request reports the limit.
            return None;
        }
        if more > headroom {
            let behind = end.wrapping_add(headroom * PAGE);
            let missing = more - headroom;
            let run = inner
                .pages
                .take_behind(self.os, &self.map, behind, old + headroom, missing, missing)?;
            clean = run.clean;
        }
        inner.headroom -= from_room;
        drop(inner);
        // SAFETY: the pages behind the run are the span's now, Prepared or Ready.
        if !unsafe { self.make_ready(end, more) } {
            let mut inner = self.inner.lock();
            inner.headroom += from_room;
            if more > headroom {
                inner
                    .pages
                    .give(end.wrapping_add(headroom * PAGE), more - headroom, clean);
            }
            return None;
        }
        span.set_pages(pages, headroom - from_room);
        Some(clean)
    }

    /// Gives back all pages behind the first `pages`.
    pub(crate) fn shrink_in_place(&self, span: &'static MSpan, pages: usize) {
        let (old, headroom) = (span.pages(), span.headroom());
        if pages >= old {
            return;
        }
        span.set_pages(pages, 0);
        let tail = span.base().wrapping_add(pages * PAGE);
        let due = {
            let mut inner = self.inner.lock();
            inner.pages.give(tail, old - pages, false);
            if headroom > 0 {
                inner.headroom -= headroom;
                inner.pages.give(span.base().wrapping_add(old * PAGE), headroom, true);
            }
            self.due(&mut inner)
        };
        self.heed(due);
    }

    /// Moves all pages of `from` to the front of `to` by page tables. `false`: nothing moved, and
    /// the caller copies instead.
    pub(crate) fn move_pages(&self, from: &'static MSpan, to: &'static MSpan) -> bool {
        let (pages, os_page) = (from.pages(), self.os.page_size());
        if pages * PAGE < HUGE / 2 || to.pages() < pages {
            return false;
        }
        // Only whole system pages move; a part of one would take the memory of other runs with it.
        let whole = |place: usize| place & (os_page - 1) == 0;
        if !(whole(from.base().addr()) && whole(to.base().addr()) && whole(pages * PAGE)) {
            return false;
        }
        {
            let mut inner = self.inner.lock();
            if inner.remaps >= REMAPS_MAX {
                return false;
            }
            inner.remaps += 1;
        }
        // SAFETY: the caller holds both runs, both are Ready, and no other thread knows their
        // addresses.
        unsafe { self.os.remap(non_null(from.base()), non_null(to.base()), pages * PAGE) }
    }

    /// Returns how many pages of room to leave behind an object of `pages` pages that has begun to
    /// grow. Address space costs nothing, and with three times its size as room an object can
    /// double twice in place.
    pub(crate) fn growth_room(pages: usize) -> usize {
        if pages < PAGES_PER_HUGE / 2 {
            0
        } else {
            (pages * 3).next_multiple_of(PAGES_PER_HUGE)
        }
    }
}
