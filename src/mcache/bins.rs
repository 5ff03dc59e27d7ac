//! The bins at their limits: what they may hold, how they grow, and where what does not fit goes.
//!
//! A bin begins with room for some KiB. Where it runs over though it has run empty a moment ago, the program frees and allocates in
//! batches that are larger than the bin: it doubles, as long as all growth together stays small. Classes that fall idle start anew.

use super::{MCache, Tiers};
use crate::base::geometry::{BIN_BYTES, BIN_GROWTH_BYTES};
use crate::mspan::Block;
use crate::size_class::{COUNT, SizeClass};
use core::ptr::null_mut;

/// Blocks in a bin at the most, and at the least.
const MOST: u32 = 1024;
const LEAST: u32 = 4;
/// Blocks in a bin that has not grown, at the most.
const FEW: u32 = 128;

const fn first_cap(size: usize) -> u32 {
    let cap = (BIN_BYTES / size) as u32;
    if cap > FEW {
        FEW
    } else if cap < LEAST {
        LEAST
    } else {
        cap
    }
}

const FIRST_CAPS: [u32; COUNT] = {
    let mut caps = [0; COUNT];
    let mut index = 0;
    while index < COUNT {
        caps[index] = first_cap(SizeClass::from_number(index).size());
        index += 1;
    }
    caps
};

impl MCache {
    fn cap(&self, class: SizeClass) -> u32 {
        #[expect(clippy::indexing_slicing, reason = "a class's index is below COUNT")]
        self.caps[class.index()].get()
    }

    fn set_cap(&self, class: SizeClass, cap: u32) {
        #[expect(clippy::indexing_slicing, reason = "a class's index is below COUNT")]
        self.caps[class.index()].set(cap);
    }

    /// How many blocks a refill brings: half a bin, so that the next frees find room.
    pub(super) fn batch(&self, class: SizeClass) -> u32 {
        (self.cap(class) / 2).max(1)
    }

    /// Gives every bin, all of them empty, its first room.
    pub(super) fn open_bins(&self) {
        for class in SizeClass::all() {
            self.reset_cap(class);
        }
        self.grown.set(0);
    }

    /// Gives the empty bin of `class` its first room.
    fn reset_cap(&self, class: SizeClass) {
        #[expect(clippy::indexing_slicing, reason = "a class's index is below COUNT")]
        let first = FIRST_CAPS[class.index()];
        let growth = self.cap(class).saturating_sub(first) as usize * class.size();
        self.grown.set(self.grown.get().saturating_sub(growth));
        self.set_cap(class, first);
        self.room(class).set(first as isize);
    }

    /// Frees a block whose bin is full. The cache is ready.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    #[cold]
    pub(crate) unsafe fn push_over(&self, tiers: &Tiers, class: SizeClass, block: *mut Block) {
        if !self.grow_bin(class) {
            self.flush(tiers, class, self.cap(class) / 2);
        }
        // SAFETY: as the caller promised.
        unsafe { self.push(class, block) };
    }

    /// Lets a bin hold twice as much, if its class is refilled too, and growth is in bounds.
    fn grow_bin(&self, class: SizeClass) -> bool {
        let cap = self.cap(class);
        let grown = self.grown.get() + cap as usize * class.size();
        let refilled = self.refilled.get() >> class.index() & 1 == 1;
        if !refilled || cap * 2 > MOST || grown > BIN_GROWTH_BYTES {
            return false;
        }
        self.grown.set(grown);
        self.set_cap(class, cap * 2);
        let room = self.room(class);
        room.set(room.get() + cap as isize);
        true
    }

    /// Gives all blocks of a bin but the youngest `keep` back to their spans.
    pub(super) fn flush(&self, tiers: &Tiers, class: SizeClass, keep: u32) {
        let (cap, room) = (self.cap(class) as isize, self.room(class));
        if cap - room.get() <= keep as isize {
            return;
        }
        let (mut last, mut rest) = (null_mut(), self.head(class).get());
        for _ in 0..keep {
            last = rest;
            // SAFETY: the bin holds more than `keep` linked blocks (M1).
            rest = unsafe { Block::next(rest) };
        }
        if last.is_null() {
            self.head(class).set(null_mut());
        } else {
            // SAFETY: the block is the bin's.
            unsafe { Block::set_next(last, null_mut()) };
        }
        room.set(cap - keep as isize);
        while !rest.is_null() {
            let block = rest;
            // SAFETY: the list was the bin's and is cut off it.
            rest = unsafe { Block::next(block) };
            // SAFETY: the block is free and this thread's. The cache is ready, so it is taken.
            unsafe { self.free(tiers, block) };
        }
    }

    /// Empties the bin of `class`, and lets it begin small again.
    pub(super) fn empty_bin(&self, tiers: &Tiers, class: SizeClass) {
        self.flush(tiers, class, 0);
        self.reset_cap(class);
    }
}
