//! Decides when to ask the system for huge pages, and when to stop.
//!
//! If the system has huge pages ready, they halve the cost of first touches. If it must make one,
//! the first touch can cost ten times as much as those of 512 small pages. It then takes memory
//! that a virtual machine had given back to its host, or moves other pages out of the way.
//!
//! So the thread that takes the first run in a huge page times its first touch. After a slow touch
//! the heap grows without huge pages for a while, and twice as long after each further slow one. A
//! single slow touch costs little, and where all are slow the heap makes few.
//!
//! The page heap's lock guards everything here but the touch itself (MHEAP-3).

use super::super::{Inner, MHeap};
use super::{PageAlloc, Purpose, Run};
use crate::base::addr::Addr;
use crate::base::geometry::{HUGE, HUGE_AFTER, PAGE, PAGES_PER_HUGE};
use crate::events::{self, EventKind};
use crate::options::Huge;
use crate::os::Os;
use crate::os::PageSource;
use core::ptr::NonNull;

/// A slow first touch takes longer than this, about twice the cost of the faults of as many small
/// pages.
const SLOW_NANOS: u64 = 1_000_000;

/// Huge pages of growth without asking after one slow first touch, and the most after many.
const REST: usize = 8;
const REST_MAX: usize = 1024;

/// The record of recent first touches of huge pages.
pub(super) struct Pace {
    /// Huge pages of growth until the heap asks for huge pages again.
    rest: usize,
    /// The rest after the next slow touch.
    next: usize,
}

impl Pace {
    /// Creates a record without touches.
    pub(super) const fn new() -> Self {
        Self { rest: 0, next: REST }
    }

    fn note(&mut self, slow: bool) {
        if slow {
            self.rest = self.next;
            self.next = (self.next * 2).min(REST_MAX);
        } else {
            self.next = REST;
        }
    }

    /// Returns the huge pages of growth until the heap asks again; 0 if it asks now.
    pub(super) fn rest(&self) -> usize {
        self.rest
    }

    /// Records that the heap grew by `huge` huge pages.
    pub(super) fn grew(&mut self, huge: usize) {
        self.rest = self.rest.saturating_sub(huge);
    }
}

impl PageAlloc {
    /// Returns whether to ask for huge pages when the heap grows by at least `huge` of them for
    /// this purpose.
    pub(super) fn asks_for_huge(&self, os: &Os, huge: usize, purpose: Purpose) -> bool {
        match self.huge {
            Huge::Always => true,
            Huge::Auto if self.pace.rest > 0 => false,
            Huge::Auto => match purpose {
                Purpose::Small => self.counts.small * PAGE >= HUGE_AFTER,
                Purpose::Large => {
                    self.counts.ready * PAGE >= HUGE_AFTER / 2
                        && self.newest().is_some_and(|region| region.is_touched(os))
                }
                Purpose::SmallIdle | Purpose::Idle | Purpose::Begun => false,
                Purpose::Growing => huge * HUGE >= HUGE_AFTER / 2,
            },
            Huge::Never => false,
        }
    }

    /// Stops asking for huge pages in the region of `run` if only a part of a huge page is about to
    /// be released. Otherwise the system would fill that part again. Later growth asks anew.
    pub(in super::super) fn stop_huge_for(&mut self, os: &Os, run: &Run) {
        if run.pages < PAGES_PER_HUGE {
            self.stop_huge_at(os, run.base);
        }
    }

    /// Stops asking for huge pages in the region of `base`, where a part of a huge page is about to
    /// be released.
    pub(in super::super) fn stop_huge_at(&mut self, os: &Os, base: *mut u8) {
        if self.huge == Huge::Auto && self.is_advised(base) {
            self.stop_huge(os, base);
        }
    }

    /// Stops asking for huge pages in the region of `base`. A huge page that exists stays.
    fn stop_huge(&mut self, os: &Os, base: *mut u8) {
        if let Some(region) = self.region_of(base) {
            let bytes = region.stop_huge(os) as u64;
            events::note(EventKind::HugePagesStopped { bytes });
        }
    }

    /// Records the duration of the first touch of the huge page at `base`.
    fn note_first_touch(&mut self, os: &Os, base: *mut u8, nanos: u64) {
        let slow = nanos > SLOW_NANOS;
        self.pace.note(slow);
        if slow && self.huge == Huge::Auto {
            self.stop_huge(os, base);
        }
    }
}

impl MHeap {
    /// Touches the first huge page of which `run` has the first pages, if there is one. All of that
    /// huge page is clean then. The first `pages` pages of `run` are Ready.
    pub(in super::super) fn touch_first(&self, run: &Run, pages: usize) {
        let Some(touched) = NonNull::new(run.wakes) else {
            return;
        };
        if Addr::of(run.wakes).offset_from(Addr::of(run.base)) >= pages * PAGE {
            return;
        }
        // SAFETY: a page of the run, which is Ready, held by the caller, and reads as zero.
        let nanos = unsafe { self.os.touch(touched) };
        let Inner { pages, .. } = &mut *self.inner.lock();
        pages.note_first_touch(self.os, run.base, nanos);
    }
}
