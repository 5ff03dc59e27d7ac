//! When to ask the system for huge pages, and when to stop.
//!
//! Huge pages halve what first touches cost where the system has them at hand. Where it has to make one, out of memory that a virtual machine
//! has given back to its host, or by moving other pages out of the way, one can cost ten times what 512 small pages do. So the first touch of
//! each is timed, by whoever takes the first run in it; after a slow one the heap goes without for a while, and for twice as long after each that
//! follows: single ones cost little, and where all are slow few are made.
//!
//! Reached under the page heap's lock, but for the touch itself (H3).

use super::super::{Inner, MHeap};
use super::{PageAlloc, Purpose, Run};
use crate::base::addr::Addr;
use crate::base::geometry::{HUGE, HUGE_AFTER, PAGE, PAGES_PER_HUGE};
use crate::events::{self, EventKind};
use crate::options::Huge;
use crate::os::Os;
#[cfg_attr(any(test, loom), allow(unused_imports, reason = "there `Os` is the trait itself"))]
use crate::os::PageSource;
use core::ptr::NonNull;

/// A first touch that takes longer than this is slow: about twice what the faults of as many small pages cost.
const SLOW_NANOS: u64 = 1_000_000;

/// Huge pages of growth that are not asked for after a slow first touch, and at the most after many.
const REST: usize = 8;
const REST_MAX: usize = 1024;

/// What first touches of huge pages have taken lately.
pub(super) struct Pace {
    /// Huge pages of growth to go before they are asked for again.
    rest: usize,
    /// The rest after the next slow touch.
    next: usize,
}

impl Pace {
    /// Nothing is known yet.
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

    /// Huge pages of growth that are to go without; 0 for none.
    pub(super) fn rest(&self) -> usize {
        self.rest
    }

    /// The heap grew by `huge` huge pages.
    pub(super) fn grew(&mut self, huge: usize) {
        self.rest = self.rest.saturating_sub(huge);
    }
}

impl PageAlloc {
    /// Whether to ask for huge pages where the heap grows by at least `huge` of them for this purpose.
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

    /// Part of a huge page is about to be released: the region's huge pages are asked for no longer, or the system would fill the part
    /// again behind our back. Growth asks anew.
    pub(in super::super) fn stop_huge_for(&mut self, os: &Os, run: &Run) {
        let part_of_huge = run.pages < PAGES_PER_HUGE && self.is_advised(run.base);
        if part_of_huge && self.huge == Huge::Auto {
            self.stop_huge(os, run.base);
        }
    }

    /// Asks for huge pages no longer in the region of `base`. What has one keeps it.
    fn stop_huge(&mut self, os: &Os, base: *mut u8) {
        if let Some(region) = self.region_of(base) {
            let bytes = region.stop_huge(os) as u64;
            events::note(EventKind::HugePagesStopped { bytes });
        }
    }

    /// The first touch of the huge page at `base` took so long.
    fn note_first_touch(&mut self, os: &Os, base: *mut u8, nanos: u64) {
        let slow = nanos > SLOW_NANOS;
        self.pace.note(slow);
        if slow && self.huge == Huge::Auto {
            self.stop_huge(os, base);
        }
    }
}

impl MHeap {
    /// Touches the first huge page that `run`, whose first `pages` pages are Ready, is the first to have pages of; if there is one. All of it is
    /// clean then.
    pub(in super::super) fn touch_first(&self, run: &Run, pages: usize) {
        let Some(touched) = NonNull::new(run.wakes) else {
            return;
        };
        if Addr::of(run.wakes).offset_from(Addr::of(run.base)) >= pages * PAGE {
            return;
        }
        // SAFETY: a page of the run, which is Ready and held by the caller, and reads as zero.
        let nanos = unsafe { self.os.touch(touched) };
        let Inner { pages, .. } = &mut *self.inner.lock();
        pages.note_first_touch(self.os, run.base, nanos);
    }
}
