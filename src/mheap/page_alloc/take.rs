//! Takes runs of pages: chooses the free run that serves best, and grows the heap if none does. The
//! page heap calls this under its lock.

use super::super::page_map::PageMap;
use super::super::search::{self, Want};
use super::super::tracker::Tracker;
use super::{PageAlloc, Purpose, Run};
use crate::base::bitmap::Bits;
use crate::base::geometry::{HUGE_SHIFT, PAGE, PAGES_PER_HUGE};
use crate::os::{Claim, Os};
use core::ptr::null_mut;

/// The number of trackers that a search for a short run looks at.
const CANDIDATES: usize = 16;

impl PageAlloc {
    /// Takes `pages` pages whose address is a multiple of `align` pages (a power of two). Grows the
    /// heap if no free run fits. Returns `None` if the system refuses.
    pub(in super::super) fn take(
        &mut self,
        os: &Os,
        map: &PageMap,
        pages: usize,
        align: usize,
        purpose: Purpose,
    ) -> Option<Run> {
        if purpose == Purpose::Begun {
            let want = Want::begun(pages);
            return self.is_searchable().then(|| self.take_best(want)).flatten();
        }
        let run = if matches!(purpose, Purpose::Large | Purpose::Idle) && self.is_searchable() {
            let want = Want::of(pages, align, purpose == Purpose::Idle);
            match self.take_best(want) {
                Some(run) => run,
                None if purpose.is_idle() => return None,
                None => {
                    self.grow(
                        os,
                        map,
                        pages.div_ceil(PAGES_PER_HUGE),
                        align.div_ceil(PAGES_PER_HUGE),
                        purpose,
                    )?;
                    self.take_best(want)?
                }
            }
        } else if pages + align - 1 <= PAGES_PER_HUGE {
            match self.take_short(pages, align, purpose) {
                Some(run) => run,
                None if purpose.is_idle() => return None,
                None => {
                    self.grow(os, map, 1, 1, purpose)?;
                    self.take_short(pages, align, purpose)?
                }
            }
        } else {
            let huge = pages.div_ceil(PAGES_PER_HUGE);
            let align = align.div_ceil(PAGES_PER_HUGE);
            let (region, index) = match self.find_huge(huge, align) {
                Some(found) => found,
                None if purpose.is_idle() => return None,
                None => {
                    self.grow(os, map, huge, align, purpose)?;
                    self.find_huge(huge, align)?
                }
            };
            self.take_at(region, index, 0, pages)?
        };
        if purpose.is_small() {
            self.counts.small += pages;
        }
        Some(run)
    }

    /// Returns whether the heap is small enough to search for the best run.
    fn is_searchable(&self) -> bool {
        self.counts.ready <= search::HUGE_MAX * PAGES_PER_HUGE
    }

    /// Takes the wanted pages from the free run that serves best, across any number of huge pages.
    fn take_best(&mut self, want: Want) -> Option<Run> {
        let found = self
            .regions()
            .enumerate()
            .find_map(|(number, region)| Some((number, search::best_run(region, want)?)));
        let (region, page) = found?;
        self.take_at(region, page / PAGES_PER_HUGE, page % PAGES_PER_HUGE, want.pages)
    }

    /// Takes `pages` pages for an object that grows, at a place where `room` more follow. Takes
    /// these too, if none of them has memory.
    pub(in super::super) fn take_with_room(
        &mut self,
        os: &Os,
        map: &PageMap,
        pages: usize,
        room: usize,
        align: usize,
    ) -> Option<Run> {
        let huge = (pages + room).div_ceil(PAGES_PER_HUGE);
        let align = align.div_ceil(PAGES_PER_HUGE);
        if self.find_huge(huge, align).is_none() {
            self.grow(os, map, huge, align, Purpose::Growing)?;
        }
        let (region, index) = self.find_huge(huge, align)?;
        // Room with memory would keep that memory unused; the object itself may have such pages.
        let (mut page, mut clean) = (pages, true);
        while clean && page < pages + room {
            let start = page % PAGES_PER_HUGE;
            let here = (pages + room - page).min(PAGES_PER_HUGE - start);
            let tracker = self.tracker(region, index + page / PAGES_PER_HUGE)?;
            clean = tracker.is_clean(start, here);
            page += here;
        }
        self.take_at(region, index, 0, if clean { pages + room } else { pages })
    }

    fn take_short(&mut self, pages: usize, align: usize, purpose: Purpose) -> Option<Run> {
        let want = pages + align - 1;
        // Pages with memory come first: an untouched page would grow the footprint while those lie
        // free.
        let mut best: Option<&'static Tracker> = None;
        let mut choice = None;
        for tracker in self.trackers_from(want).take(CANDIDATES) {
            if let Some(start) = tracker.best_fit_dirty(pages, align) {
                choice = Some((tracker, start));
                break;
            }
            let fuller =
                |best: &Tracker| best.longest() == tracker.longest() && tracker.free_pages() < best.free_pages();
            if best.is_none_or(fuller) {
                best = Some(tracker);
            }
        }
        let (best, start) = match choice {
            Some(choice) => choice,
            None if purpose.is_idle() => return None,
            None => (best?, best?.best_fit(pages, align)?),
        };
        let base = self.address(best, start);
        let (clean, first_touch) = self.take_pages(best, start, pages);
        let wakes = if first_touch { base } else { null_mut() };
        Some(Run {
            base,
            pages,
            clean,
            wakes,
        })
    }

    /// Returns the trackers whose longest free run is at least `want`, in the order of that length,
    /// shortest first.
    fn trackers_from(&self, want: usize) -> impl Iterator<Item = &'static Tracker> {
        Bits(&self.filled)
            .runs()
            .flat_map(|run| run.start..run.start + run.len)
            .skip_while(move |&longest| longest < want)
            .flat_map(move |longest| {
                core::iter::successors(self.bin(longest).first(), move |tracker| {
                    self.bin(longest).after(tracker)
                })
            })
    }

    /// Returns the region and first index of `huge` empty huge pages in a row.
    fn find_huge(&self, huge: usize, align: usize) -> Option<(usize, usize)> {
        self.regions().enumerate().find_map(|(number, region)| {
            let phase = region.base().addr().get() >> HUGE_SHIFT;
            region
                .empty()
                // `align` is a power of two, so the mask is the remainder.
                .best_fit(huge, align, phase & align.wrapping_sub(1), region.ready)
                .map(|index| (number, index))
        })
    }

    /// Takes `pages` free pages from page `start` of huge page `index` on.
    fn take_at(&mut self, region: usize, index: usize, start: usize, pages: usize) -> Option<Run> {
        let base = self.address(self.tracker(region, index)?, start);
        let (mut clean, mut wakes) = (true, null_mut::<u8>());
        let (mut left, mut index, mut start) = (pages, index, start);
        while left > 0 {
            let tracker = self.tracker(region, index)?;
            let here = left.min(PAGES_PER_HUGE - start);
            let (all_clean, first_touch) = self.take_pages(tracker, start, here);
            clean &= all_clean;
            if first_touch && wakes.is_null() {
                wakes = self.address(tracker, start);
            }
            left -= here;
            start = 0;
            index += 1;
        }
        Some(Run {
            base,
            pages,
            clean,
            wakes,
        })
    }

    /// Takes up to `pages` free pages that directly follow `end`, the end of an object of `held`
    /// pages. Returns `None` if there are fewer than `least`.
    pub(in super::super) fn take_behind(
        &mut self,
        os: &Os,
        map: &PageMap,
        end: *mut u8,
        held: usize,
        least: usize,
        pages: usize,
    ) -> Option<Run> {
        // The page in front of `end` belongs to the caller. It names the region even if `end` is
        // the end of the ready part.
        let (region, mut index, mut start) = self.locate(end.wrapping_sub(PAGE))?;
        start += 1;
        if start == PAGES_PER_HUGE {
            (index, start) = (index + 1, 0);
        }
        let (first, first_start, mut found) = (index, start, 0);
        while found < pages {
            let ready = self.regions.get(region)?.as_ref()?.ready;
            if index == ready {
                // The heap does not grow while idle pages with memory may hold the whole object: it
                // moves there.
                if self.counts.dirty > held + pages {
                    break;
                }
                let more = (pages - found).div_ceil(PAGES_PER_HUGE);
                let asked = self.asks_for_huge(os, held / PAGES_PER_HUGE, Purpose::Growing);
                if self.grow_region(os, map, region, ready + more, asked) != Claim::Done {
                    break;
                }
            }
            let tracker = self.tracker(region, index)?;
            let here = tracker.free_at(start);
            found += here;
            if start + here < PAGES_PER_HUGE {
                break;
            }
            (index, start) = (index + 1, 0);
        }
        if found < least {
            None
        } else {
            self.take_at(region, first, first_start, found.min(pages))
        }
    }
}
