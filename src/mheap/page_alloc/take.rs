//! Takes runs of pages: chooses the free run that serves best. If none does, the heap grows: the
//! next huge pages of a region are made ready, or a new region begins.
//!
//! The page heap calls this under its lock.

use super::super::page_map::{PageMap, REGIONS};
use super::super::region::Region;
use super::super::search::{self, Want};
use super::super::tracker::Tracker;
use super::{PageAlloc, Purpose, Run};
use crate::base::addr::align_up;
use crate::base::bitmap::Bits;
use crate::base::geometry::{
    GROW_ASKED_HUGE, GROW_MAX_HUGE, GROW_MIN_HUGE, HUGE_SHIFT, PAGE, PAGES_PER_HUGE, RESERVE_BYTES, WINDOW_BYTES,
};
use crate::events::{self, EventKind};
use crate::options::Huge;
use crate::os::PageSource;
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
            // The object is copied there, so a longer search pays.
            return self
                .is_searchable(PAGES_PER_HUGE)
                .then(|| self.take_best(want))
                .flatten();
        }
        let run = if matches!(purpose, Purpose::Large | Purpose::Idle) && self.is_searchable(pages) {
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

    /// Returns whether the heap is small enough to search for the best run of `pages` pages.
    fn is_searchable(&self, pages: usize) -> bool {
        self.counts.ready <= search::reach(pages) * PAGES_PER_HUGE
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

impl PageAlloc {
    /// Returns the newest region.
    pub(super) fn newest(&self) -> Option<&Region> {
        self.regions.get(self.region_count.checked_sub(1)?)?.as_ref()
    }

    /// Makes room for `huge` huge pages in a row, in an existing region (the newest first) or in a
    /// new one.
    fn grow(&mut self, os: &Os, map: &PageMap, huge: usize, align: usize, purpose: Purpose) -> Option<()> {
        let asked = self.asks_for_huge(os, huge, purpose);
        // A first touch fills a huge page that was asked for, so such growth is small. While the
        // heap rests from huge pages, it grows by no more than the rest.
        let limit = match self.pace.rest() {
            _ if asked => GROW_ASKED_HUGE,
            0 => GROW_MAX_HUGE,
            rest => rest.clamp(GROW_MIN_HUGE, GROW_MAX_HUGE),
        };
        let generous = match self.counts.ready {
            // One huge page is enough for many programs.
            0 => 1,
            ready => (ready / PAGES_PER_HUGE / 4).clamp(GROW_MIN_HUGE, limit),
        };
        for number in (0..self.region_count).rev() {
            let (need, end) = {
                let region = self.regions.get(number)?.as_ref()?;
                let empty = region.empty();
                let mut start = region.ready;
                while start > region.first && empty.count(start - 1, 1) == 1 {
                    start -= 1;
                }
                let phase = region.base().addr().get() >> HUGE_SHIFT;
                (align_up(start + phase, align) - phase + huge, region.end)
            };
            if need > end {
                continue;
            }
            // If the system refuses generous growth, the needed size may still succeed.
            let most = need.max((need - huge).saturating_add(generous)).min(end);
            match self.grow_up_to(os, map, number, need, most, asked) {
                Claim::Done => return Some(()),
                Claim::Taken => {}
                Claim::Refused => return None,
            }
        }
        let number = self.new_region(os, map, huge + align - 1)?;
        let region = self.regions.get(number)?.as_ref()?;
        let phase = region.base().addr().get() >> HUGE_SHIFT;
        let need = align_up(region.first + phase, align) - phase + huge;
        let most = need.max((need - huge).saturating_add(generous)).min(region.end);
        (self.grow_up_to(os, map, number, need, most, asked) == Claim::Done).then_some(())
    }

    /// Grows region `number` to `most` huge pages, or to `need` if the system refuses that. If
    /// another mapping is in the way, the region ends there.
    fn grow_up_to(&mut self, os: &Os, map: &PageMap, number: usize, need: usize, most: usize, asked: bool) -> Claim {
        let mut claim = self.grow_region(os, map, number, most, asked);
        if claim != Claim::Done && most > need {
            claim = self.grow_region(os, map, number, need, asked);
        }
        if claim == Claim::Taken
            && let Some(Some(region)) = self.regions.get_mut(number)
        {
            region.close();
        }
        claim
    }

    fn grow_region(&mut self, os: &Os, map: &PageMap, number: usize, to: usize, asked: bool) -> Claim {
        let Some(Some(region)) = self.regions.get_mut(number) else {
            return Claim::Refused;
        };
        if to > region.end {
            return Claim::Taken;
        }
        let bin = self.bins.last();
        let mut new = 0;
        let grown = region.grow(os, number as u16, to, asked || self.huge == Huge::Always, |tracker| {
            if let Some(bin) = bin {
                bin.push(tracker);
            }
            new += PAGES_PER_HUGE;
        });
        if new > 0 {
            map.raise_limit(number, to * PAGES_PER_HUGE);
            Bits(&self.filled).set(PAGES_PER_HUGE, 1);
            self.counts.ready += new;
            self.counts.clean += new;
            self.pace.grew(new / PAGES_PER_HUGE);
            events::note(EventKind::ArenaGrew {
                bytes: (new * PAGE) as u64,
                heap_sys: (self.counts.ready * PAGE) as u64,
                huge: region.advises(to - 1),
            });
        }
        grown
    }

    /// Begins a region in which `huge` huge pages in a row fit.
    fn new_region(&mut self, os: &Os, map: &PageMap, huge: usize) -> Option<usize> {
        let number = self.region_count;
        if number >= REGIONS {
            return None;
        }
        let small = self.huge != Huge::Always;
        let most = if number == 0 { self.window } else { WINDOW_BYTES };
        let region = match Region::in_window(os, most, huge, small) {
            Ok(region) => region,
            Err(Claim::Refused) => return None,
            Err(_) => Self::reserve_region(os, number, huge, small)?,
        };
        map.publish(number, region.base().cast().as_ptr());
        events::note(EventKind::ArenaReserved {
            bytes: (region.end << HUGE_SHIFT) as u64,
            number: number as u64,
        });
        if let Some(slot) = self.regions.get_mut(number) {
            *slot = Some(region);
            self.region_count += 1;
        }
        Some(number)
    }

    /// Reserves region `number` if the system has no windows. Each reservation is twice as large as
    /// the last, so that the number of regions is no limit.
    fn reserve_region(os: &Os, number: usize, huge: usize, small: bool) -> Option<Region> {
        let need = Region::bytes_for(huge, os.page_size());
        let mut want = WINDOW_BYTES.min(RESERVE_BYTES << number.min(24));
        // Most of a limited address space stays for the rest of the program: stacks, libraries,
        // files.
        if let Some(left) = os.address_space_left() {
            want = want.min(left / 4);
        }
        want = want.max(need);
        loop {
            match Region::reserve(os, want, huge, small) {
                Some(region) => return Some(region),
                None if want > need => want = (want / 2).max(need),
                None => return None,
            }
        }
    }
}
