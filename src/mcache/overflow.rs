//! A bin that runs over: it grows, or its older half goes back to the spans.
//!
//! If a bin ran empty a moment ago and runs over now, the program frees and allocates in batches
//! larger than the bin. Then the bin doubles, while all growth together stays small. Otherwise its
//! older half goes back. If the class was not refilled lately, the bin closes.

use super::bins::Slot;
use super::{MCache, check};
use crate::mspan::{Block, CHECKED};
use crate::size_class::SizeClass;
use crate::tiers::Tiers;
use core::ptr::null_mut;

impl MCache {
    /// Frees a block whose bin is full. The cache is ready.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    #[cold]
    pub(crate) unsafe fn push_over(&self, tiers: &Tiers, class: SizeClass, block: *mut Block) {
        let bins = &self.bins;
        if bins.is_closed(class) {
            // SAFETY: the block is the caller's (contract of this function), and the cache is
            // ready.
            unsafe { self.free(tiers, block) };
            return;
        }
        if bins.is_narrow(class) {
            bins.widen(class, usize::MAX);
        } else if !self.grow_bin(tiers, class) {
            bins.note_overflow();
            if bins.is_refilled(class) {
                self.flush(tiers, class, bins.cap(class) / 2);
            } else {
                // The program only frees: blocks in bins would keep spans.
                self.empty_bin(tiers, class);
            }
        }
        // SAFETY: the block is the caller's (contract of this function).
        if !unsafe { self.push(class, block) } {
            // SAFETY: the block is the caller's (contract of this function), and the cache is
            // ready.
            unsafe { self.free(tiers, block) };
        }
    }

    /// Doubles a bin. `false`: the bin may not grow, or there is no memory.
    fn grow_bin(&self, tiers: &Tiers, class: SizeClass) -> bool {
        let bins = &self.bins;
        let cap = bins.cap(class);
        let Some(slots) = bins.ask_growth(tiers, class) else {
            return false;
        };
        let array = self.take_array(tiers, slots).unwrap_or(null_mut());
        // Taking the array may have changed this very bin.
        let unchanged = bins.cap(class) == cap;
        let unused = if unchanged && !array.is_null() {
            let old = bins.grown_array(class);
            // SAFETY: the array has `slots` slots, and is this call's.
            unsafe { bins.move_to(class, array, cap) };
            old
        } else {
            bins.count_shrunk(tiers, class, cap * class.size());
            array
        };
        // SAFETY: the bin's former array, or the new one that it does not use; or null.
        unsafe { self.free_array(tiers, unused) };
        unchanged && !array.is_null()
    }

    /// Takes a block of the heap with room for `slots` slots.
    pub(super) fn take_array(&self, tiers: &Tiers, slots: usize) -> Option<*mut Slot> {
        let class = SizeClass::serving(slots * size_of::<Slot>(), align_of::<Slot>())?;
        let block = self.take_past_bins(tiers, class);
        (!block.is_null()).then_some(block.cast())
    }

    /// Frees a block of `take_array`; does nothing for null.
    ///
    /// # Safety
    /// `array` is null, or came from `take_array` of this heap and no code uses it any more.
    pub(super) unsafe fn free_array(&self, tiers: &Tiers, array: *mut Slot) {
        // SAFETY: a block of the heap's own, which is given up (contract of this function).
        unsafe { self.free(tiers, array.cast()) };
    }

    /// Gives all blocks of a bin but the youngest `keep` back to their spans.
    fn flush(&self, tiers: &Tiers, class: SizeClass, keep: usize) {
        self.bins.flush(class, keep, |block| {
            if CHECKED {
                check::flush(tiers, class, block);
            }
            // SAFETY: the block is free and this thread's (BIN-1). The cache is ready, so it is
            // taken.
            unsafe { self.free(tiers, block) };
        });
    }

    /// Empties the bin of `class` and closes it.
    pub(super) fn empty_bin(&self, tiers: &Tiers, class: SizeClass) {
        self.flush(tiers, class, 0);
        self.bins.count_shrunk(tiers, class, self.bins.growth(class));
        let array = self.bins.grown_array(class);
        self.bins.close(class);
        // SAFETY: the array of a bin that has grown and that does not use it any more; or null.
        unsafe { self.free_array(tiers, array) };
    }
}
