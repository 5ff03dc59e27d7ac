//! The page heap: hands out spans, small and large, and takes them back. The process has one.
//!
//! It owns the regions, the page map, the pool of span records and the limits. Its callers are the
//! central lists and the thread caches; the collector asks through `heap::source`.
//!
//! - MHEAP-1. One lock orders everything here. It is the last in the lock order: code that holds
//!   it calls only the operating system and notes events, which never waits.
//! - MHEAP-2. A span handed out is reachable through the page map. A span given back is not, and
//!   no thread keeps its record.
//! - MHEAP-3. Calls to the system that may take long run without the lock, on pages that the
//!   calling thread holds meanwhile. These calls release memory, or touch a new huge page.

mod growth;
mod holes;
mod large;
mod limits;
mod page_alloc;
pub(crate) mod page_map;
mod region;
mod scavenge;
pub(crate) use scavenge::IDLE_BYTES;
mod search;
pub(crate) mod survey;
mod tracker;

use crate::base::addr::align_up;
use crate::base::geometry::PAGE;
use crate::events::PurgeCause;
use crate::meta::Pool;
use crate::mspan::{ByUse, CHECKED, MSpan, State};
use crate::options::Huge;
use crate::os::Os;
use crate::os::PageSource;
use crate::size_class::SizeClass;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use crate::sync::lock::{Lock, Patience};
use growth::Growth;
use limits::Told;
use page_alloc::{Given, PageAlloc, Purpose, Run};
use page_map::PageMap;

/// Pages in a typical span of small objects.
const SPAN_PAGES: usize = 4;

/// The state that the lock guards.
struct Inner {
    pages: PageAlloc,
    spans: Pool<ByUse>,
    /// Untouched pages that spans hold as room to grow.
    headroom: usize,
    /// Bytes of the holes in spans: in use, and without memory.
    holes: usize,
    /// Held pages without memory of their own (LIMIT-2).
    afloat: usize,
    /// Moves by page table so far; each may cost the process a mapping.
    remaps: usize,
    /// When the scavenger last looked, in coarse milliseconds.
    looked_at: u64,
    told: Told,
    growth: Growth,
}

// SAFETY: only the holder of the lock around this value reaches the cells and records inside.
unsafe impl Send for Inner {}

/// A request for a run of pages.
#[derive(Clone, Copy)]
struct Request {
    pages: usize,
    /// In pages; a power of two.
    align: usize,
    /// The most untouched pages to hold behind the run.
    headroom: usize,
    purpose: Purpose,
    /// Pages of an object that is to move here by page tables, with its memory. They count as
    /// `afloat` until the object's old span is given back.
    moves: usize,
}

impl Request {
    /// Asks for `pages` pages anywhere.
    fn plain(pages: usize, purpose: Purpose) -> Self {
        Self {
            pages,
            align: 1,
            headroom: 0,
            purpose,
            moves: 0,
        }
    }
}

/// The page heap.
pub(crate) struct MHeap {
    os: &'static Os,
    map: PageMap,
    inner: Lock<Inner>,
    /// Footprint in bytes beyond which the heap gives memory back at once, and beyond which
    /// allocation fails; `usize::MAX` for no limit. `FOLLOWS`: the soft limit is `system_limit`.
    soft_limit: AtomicUsize,
    /// The soft limit that follows from the system's limits; `usize::MAX` for none.
    system_limit: AtomicUsize,
    hard_limit: AtomicUsize,
    /// Milliseconds that free pages stay before the heap gives them back; `usize::MAX` for ever.
    purge_delay: AtomicUsize,
    /// Bytes of free pages that may have physical memory, for readers without the lock.
    idle: AtomicUsize,
    /// Bytes of pages that were in use, or free with physical memory, when the heap last handed out
    /// a run; for readers without the lock.
    grown: AtomicUsize,
    /// The hard limit has lately asked for memory back (`limits`).
    pressed: AtomicBool,
    /// Bytes of the thread caches' records.
    cache_bytes: AtomicUsize,
    /// A background thread looks after free pages.
    attended: AtomicBool,
    /// The pages in use have grown since the peak was last sampled (`growth`).
    has_grown: AtomicBool,
    /// Returns of memory are printed.
    verbose: AtomicBool,
}

/// Figures of the page heap, in bytes.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct HeapFigures {
    pub(crate) sys: usize,
    pub(crate) inuse: usize,
    pub(crate) released: usize,
    /// Bytes of the holes in spans.
    pub(crate) holes: usize,
    pub(crate) tables: usize,
    pub(crate) span_records: usize,
    pub(crate) span_records_sys: usize,
    pub(crate) lookups: usize,
    /// Bytes given back since the start, by cause.
    pub(crate) purged: [usize; PurgeCause::COUNT],
}

impl MHeap {
    crate::sync::const_unless_loom! {
        /// Creates a heap over `os` that owns nothing yet.
        pub(crate) fn new(os: &'static Os) -> Self {
            Self {
                os,
                map: PageMap::new(),
                inner: Lock::new(Inner {
                    pages: PageAlloc::new(),
                    spans: Pool::new(),
                    headroom: 0,
                    holes: 0,
                    afloat: 0,
                    remaps: 0,
                    looked_at: 0,
                    told: Told::new(),
                    growth: Growth::new(),
                }),
                soft_limit: AtomicUsize::new(usize::MAX),
                system_limit: AtomicUsize::new(usize::MAX),
                hard_limit: AtomicUsize::new(usize::MAX),
                purge_delay: AtomicUsize::new(1000),
                idle: AtomicUsize::new(0),
                grown: AtomicUsize::new(0),
                pressed: AtomicBool::new(false),
                cache_bytes: AtomicUsize::new(0),
                attended: AtomicBool::new(false),
                has_grown: AtomicBool::new(false),
                verbose: AtomicBool::new(false),
            }
        }
    }

    /// Returns the system underneath.
    pub(crate) fn os(&self) -> &'static Os {
        self.os
    }

    /// Returns the page map.
    #[inline(always)]
    pub(crate) fn map(&self) -> &PageMap {
        &self.map
    }

    /// Sets the maximum size of the first region's window, in bytes. Has no effect once that region
    /// exists.
    #[cfg(test)]
    pub(crate) fn set_window(&self, bytes: usize) {
        self.inner.lock().pages.set_window(bytes);
    }

    /// Sets whether the heap asks for huge pages. Applies to growth from here on.
    pub(crate) fn set_huge(&self, huge: Huge) {
        self.inner.lock().pages.huge = huge;
    }

    /// Takes a free span of `class`, `pages` pages long; no cache owns it yet.
    pub(crate) fn take_small(&self, class: SizeClass, pages: usize) -> Option<&'static MSpan> {
        self.take_small_for(class, pages, Purpose::Small)
    }

    /// Brings memory to all of a new span that its thread will soon have written all over. One call
    /// costs less than a fault for each page. Does nothing if its pages may have memory, or if
    /// memory is short.
    pub(crate) fn populate(&self, span: &MSpan) {
        if span.zeroed() && self.os.page_size() <= PAGE && self.keeps_free_pages() {
            // SAFETY: the caller holds the span, whose pages are Ready and whole system pages.
            unsafe { self.os.populate(non_null(span.base()), span.pages() * PAGE) };
        }
    }

    /// Like `take_small`, but only from free pages that may have memory already.
    pub(crate) fn take_small_idle(&self, class: SizeClass, pages: usize) -> Option<&'static MSpan> {
        if pages * PAGE > self.idle_bytes() {
            return None;
        }
        self.take_small_for(class, pages, Purpose::SmallIdle)
    }

    fn take_small_for(&self, class: SizeClass, pages: usize, purpose: Purpose) -> Option<&'static MSpan> {
        let span = self.take_run(Request::plain(pages, purpose))?;
        span.init_small(class);
        self.map.set(span.base(), span.pages(), Some(span));
        Some(span)
    }

    /// Takes a span of `pages` pages for the collector, which cuts it into `objects` objects of
    /// `size` bytes. The page map leads from each of its pages to the span.
    pub(crate) fn take_managed(&self, pages: usize, objects: u32, size: usize) -> Option<&'static MSpan> {
        let purpose = if objects > 1 { Purpose::Small } else { Purpose::Large };
        let span = self.take_run(Request::plain(pages, purpose))?;
        span.init_managed(objects, size);
        self.count_managed(span, true);
        self.map.set(span.base(), span.mapped_pages(), Some(span));
        Some(span)
    }

    /// Records a change of the small span's state or class in the page map, whose entries hold them
    /// too (PAGEMAP-4).
    #[inline]
    pub(crate) fn note_use(&self, span: &'static MSpan) {
        if CHECKED {
            self.map.set(span.base(), span.pages(), Some(span));
        }
    }

    /// Takes a run of pages for the request, and describes it in a record. The record is not in the
    /// page map yet.
    fn take_run(&self, request: Request) -> Option<&'static MSpan> {
        let Request { pages, moves, .. } = request;
        let (span, run, short, due) = {
            let inner = &mut *self.inner.lock();
            if !self.admits(inner, pages.saturating_sub(moves)) {
                return None;
            }
            let ready = inner.pages.counts.ready;
            let span = inner.spans.take(self.os, MSpan::new)?;
            let Some(run) = Self::find_run(self.os, &self.map, inner, request) else {
                inner.spans.give(span);
                return None;
            };
            let counts = inner.pages.counts;
            if counts.ready > ready {
                inner.spans.make_room(self.os, counts.ready / SPAN_PAGES);
            }
            inner.afloat += moves;
            self.idle.store(counts.dirty * PAGE, Relaxed);
            self.grown.store((counts.ready - counts.clean) * PAGE, Relaxed);
            let short = self.is_short(inner);
            if !short {
                self.note_growth(inner);
            }
            (span, run, short, self.over_soft_limit(inner))
        };
        // SAFETY: the run is held, and its pages are Prepared or Ready.
        if (short && !self.make_room()) || !unsafe { self.make_ready(run.base, pages) } {
            self.untake(span, &run, request);
            return None;
        }
        // A move by page tables replaces the memory of a first touch.
        if moves == 0 {
            self.touch_first(&run, pages);
        }
        span.set_run(run.base, pages, run.clean);
        span.set_pages(pages, run.pages - pages);
        self.heed(due);
        Some(span)
    }

    /// Takes back a run that cannot serve the request, and its record. No page of it was touched.
    fn untake(&self, span: &'static MSpan, run: &Run, request: Request) {
        let mut inner = self.inner.lock();
        inner.afloat -= request.moves;
        inner.headroom -= run.pages - request.pages;
        inner.pages.give_as(run.base, run.pages, Given::Untouched);
        if request.purpose.is_small() {
            inner.pages.counts.small -= run.pages;
        }
        inner.spans.give(span);
        self.idle.store(inner.pages.counts.dirty * PAGE, Relaxed);
    }

    /// Makes the pages ready, and with them everything that shares a page of the system with them.
    ///
    /// # Safety
    /// The pages are Prepared or Ready, and the caller holds them.
    unsafe fn make_ready(&self, base: *mut u8, pages: usize) -> bool {
        let os_page = self.os.page_size();
        let before = base.addr() & (os_page - 1);
        let bytes = align_up(before + pages * PAGE, os_page);
        // SAFETY: the caller holds the pages. Regions consist of whole system pages, and `ready`
        // accepts the free pages in them, which are Prepared or Ready.
        unsafe { self.os.ready(non_null(base.wrapping_sub(before)), bytes) }
    }

    /// Takes the request's pages, and up to its headroom more if untouched pages follow.
    fn find_run(os: &Os, map: &PageMap, inner: &mut Inner, request: Request) -> Option<Run> {
        let Request {
            pages,
            align,
            headroom,
            purpose,
            ..
        } = request;
        // The heap does not grow for headroom while idle pages with memory can serve the request.
        if headroom > 0
            && inner.pages.counts.dirty < pages
            && let Some(run) = inner.pages.take_with_room(os, map, pages, headroom, align)
        {
            inner.headroom += run.pages - pages;
            return Some(run);
        }
        inner.pages.take(os, map, pages, align, purpose)
    }

    /// Returns the bytes of ready memory, in spans or free.
    pub(crate) fn sys_bytes(&self) -> usize {
        self.inner.lock().pages.counts.ready * PAGE
    }

    /// Takes back a span that no cache owns and that holds no live object.
    pub(crate) fn give(&self, span: &'static MSpan) {
        self.give_run(span, Given::Dirty);
    }

    /// Takes back a large span whose pages `relocate` has moved elsewhere: they have no memory and
    /// read as zero.
    pub(crate) fn give_moved(&self, span: &'static MSpan) {
        self.give_run(span, Given::Clean);
    }

    /// Takes back a span in this state. `Clean`: its pages were moved elsewhere by page tables.
    fn give_run(&self, span: &'static MSpan, state: Given) {
        let small = span.objects() > 1;
        if span.state() == State::Managed {
            self.count_managed(span, false);
        }
        self.map.set(span.base(), span.mapped_pages(), None);
        span.set_state(State::Free);
        let due = {
            let mut inner = self.inner.lock();
            let (base, pages, headroom) = (span.base(), span.pages(), span.headroom());
            if small {
                inner.pages.counts.small -= pages;
            }
            inner.holes -= span.forget_holes() * self.os.page_size();
            inner.headroom -= headroom;
            // Untouched pages go back in one piece, so that all huge pages are as they were before.
            let first = if state == Given::Untouched {
                pages + headroom
            } else {
                pages
            };
            inner.pages.give_as(base, first, state);
            if first < pages + headroom {
                inner.pages.give(base.wrapping_add(first * PAGE), headroom, true);
            }
            if state == Given::Clean {
                inner.afloat -= pages;
            }
            inner.spans.give(span);
            self.due(&mut inner)
        };
        self.heed(due);
    }

    /// Returns the figures as of one moment.
    pub(crate) fn figures(&self) -> HeapFigures {
        let inner = self.inner.lock();
        let counts = inner.pages.counts;
        HeapFigures {
            sys: counts.ready * PAGE,
            inuse: inner.inuse(),
            released: (counts.clean + inner.headroom) * PAGE,
            holes: inner.holes,
            tables: inner.pages.table_bytes(),
            span_records: inner.spans.in_use_bytes(),
            span_records_sys: inner.spans.mapped(),
            lookups: self.map.misses(),
            purged: inner.told.purged_ever,
        }
    }

    /// Returns every span record, in use or not. Fields of records in use may change during the
    /// read.
    pub(crate) fn all_spans(&self) -> impl Iterator<Item = &'static MSpan> {
        self.inner.lock().spans.all()
    }

    /// Takes the lock before `fork`, so that the child finds the heap at rest.
    pub(crate) fn before_fork(&self, patience: &mut Patience) {
        self.inner.hold_for_fork(patience);
    }

    /// Gives the lock back after `fork`: in the parent, or in a child that ends a fork around its
    /// own.
    ///
    /// # Safety
    /// The caller is the thread that forks, and has the turn to fork.
    pub(crate) unsafe fn after_fork_in_parent(&self) {
        // SAFETY: this thread forks and has the turn (contract of this function), and uses nothing
        // of the value.
        unsafe { self.inner.release_after_fork() };
    }

    /// Resets the lock after `fork`, in the child. With `keep` the thread keeps the lock for a fork
    /// around this one; otherwise the lock is free.
    ///
    /// # Safety
    /// The caller is the child's only thread, and its parent called `before_fork`.
    pub(crate) unsafe fn after_fork_in_child(&self, keep: bool) {
        // SAFETY: this is the child's only thread, and the parent held the lock (contract of this
        // function).
        unsafe { self.inner.reset_in_child(keep) };
    }
}

/// Returns the run's base as `NonNull`. A run lies in a region, which is never at null.
fn non_null(base: *mut u8) -> core::ptr::NonNull<u8> {
    core::ptr::NonNull::new(base).unwrap_or(core::ptr::NonNull::dangling())
}

#[cfg(test)]
mod tests;
