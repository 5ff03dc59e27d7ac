//! Large objects: runs of whole pages with one object each. They grow, shrink and move without
//! copying.
//!
//! Only the holder of the object calls with its span; the page heap's lock guards the pages.

use super::page_alloc::{Given, Purpose};
use super::{MHeap, Request, non_null};
use crate::base::geometry::{HUGE, PAGE, PAGES_PER_HUGE, is_servable};
use crate::mspan::MSpan;
use crate::os::PageSource;
use crate::size_class::large_pages;

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
        self.take_for(bytes, self.large(pages, align, headroom))
    }

    /// Returns the request for a large object of `pages` pages at a multiple of `align` bytes.
    fn large(&self, pages: usize, align: usize, headroom: usize) -> Request {
        let (purpose, align) = match headroom {
            0 => (Purpose::Large, align),
            // An address from which `move_pages` can move it.
            _ => (Purpose::Growing, align.max(self.os.page_size())),
        };
        Request {
            align: align.div_ceil(PAGE),
            headroom,
            ..Request::plain(pages, purpose)
        }
    }

    /// Like `take_large` without headroom, but only from free pages that may have memory already.
    pub(crate) fn take_idle(&self, bytes: usize, pages: usize, align: usize) -> Option<&'static MSpan> {
        if pages * PAGE > self.idle_bytes() {
            return None;
        }
        let request = Request {
            align: align.div_ceil(PAGE),
            ..Request::plain(pages, Purpose::Idle)
        };
        self.take_for(bytes, request)
    }

    /// Like `take_idle`, for an object that has begun to grow: takes the start of a run of at least
    /// twice the pages (`search`).
    pub(crate) fn take_begun(&self, bytes: usize, pages: usize) -> Option<&'static MSpan> {
        if 2 * pages * PAGE > self.idle_bytes() {
            return None;
        }
        self.take_for(bytes, Request::plain(pages, Purpose::Begun))
    }

    fn take_for(&self, bytes: usize, request: Request) -> Option<&'static MSpan> {
        if !is_servable(bytes, request.align * PAGE) {
            return None;
        }
        let span = self.take_run(request)?;
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
        let short = self.is_short(&inner);
        if !short {
            self.note_growth(&mut inner);
        }
        let due = self.over_soft_limit(&mut inner);
        drop(inner);
        // SAFETY: the pages behind the run are the span's now, Prepared or Ready.
        if (short && !self.make_room()) || !unsafe { self.make_ready(end, more) } {
            let mut inner = self.inner.lock();
            inner.headroom += from_room;
            if more > headroom {
                inner
                    .pages
                    .give_as(end.wrapping_add(headroom * PAGE), more - headroom, Given::Untouched);
            }
            return None;
        }
        span.set_pages(pages, headroom - from_room);
        self.heed(due);
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

    /// Finds another place for the object of `from`, which grows to `bytes` bytes, with up to
    /// `room` untouched pages behind it. Moves its pages there by page tables if that pays.
    ///
    /// Returns the new span and whether the pages moved. If they moved, the caller gives `from`
    /// back by `give_moved`. Otherwise it copies the object.
    pub(crate) fn relocate(
        &self,
        from: &'static MSpan,
        bytes: usize,
        align: usize,
        room: usize,
    ) -> Option<(&'static MSpan, bool)> {
        let pages = large_pages(bytes);
        let may_move = from.pages() <= pages && self.may_move(from);
        let moves = if may_move { from.pages() } else { 0 };
        let request = Request {
            moves,
            ..self.large(pages, align, room)
        };
        let to = self.take_for(bytes, request)?;
        if moves == 0 || self.move_pages(from, to) {
            return Some((to, moves > 0));
        }
        // A copy needs memory for all of the new pages.
        self.inner.lock().afloat -= moves;
        if !self.make_room() {
            self.give_run(to, Given::Untouched);
            return None;
        }
        Some((to, false))
    }

    /// Returns whether the pages of `from` may move by page tables.
    fn may_move(&self, from: &'static MSpan) -> bool {
        let (bytes, os_page) = (from.pages() * PAGE, self.os.page_size());
        // Only whole system pages move; a part of one would take the memory of other runs with it.
        let whole = |place: usize| place & (os_page - 1) == 0;
        bytes >= HUGE / 2 && whole(from.base().addr()) && whole(bytes) && self.inner.lock().remaps < REMAPS_MAX
    }

    /// Moves all pages of `from`, which may move, to the front of `to`, which is no shorter.
    /// `false`: nothing moved.
    fn move_pages(&self, from: &'static MSpan, to: &'static MSpan) -> bool {
        self.inner.lock().remaps += 1;
        // SAFETY: the caller holds both runs, both are Ready and consist of whole system pages, and
        // no other thread knows their addresses.
        unsafe {
            self.os
                .remap(non_null(from.base()), non_null(to.base()), from.pages() * PAGE)
        }
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
