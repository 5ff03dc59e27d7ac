//! Growth of the page allocator: makes a region's next huge pages ready, or begins a new region.
//!
//! Only the page allocator calls this, under the page heap's lock.

use super::super::page_map::{PageMap, REGIONS};
use super::super::region::Region;
use super::{PageAlloc, Purpose};
use crate::base::addr::align_up;
use crate::base::bitmap::Bits;
use crate::base::geometry::{
    GROW_ASKED_HUGE, GROW_MAX_HUGE, GROW_MIN_HUGE, HUGE_SHIFT, PAGE, PAGES_PER_HUGE, RESERVE_BYTES, WINDOW_BYTES,
};
use crate::events::{self, EventKind};
use crate::options::Huge;
use crate::os::PageSource;
use crate::os::{Claim, Os};

impl PageAlloc {
    /// Returns the newest region.
    pub(super) fn newest(&self) -> Option<&Region> {
        self.regions.get(self.region_count.checked_sub(1)?)?.as_ref()
    }

    /// Makes room for `huge` huge pages in a row, in an existing region (the newest first) or in a
    /// new one.
    pub(super) fn grow(&mut self, os: &Os, map: &PageMap, huge: usize, align: usize, purpose: Purpose) -> Option<()> {
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

    pub(super) fn grow_region(&mut self, os: &Os, map: &PageMap, number: usize, to: usize, asked: bool) -> Claim {
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
