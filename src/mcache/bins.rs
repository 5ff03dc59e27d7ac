//! The bins at their limits: what they may hold, how they grow, and where what does not fit goes.
//!
//! A bin is closed until the thread allocates of its class: where a thread only frees, blocks go to their spans at once. So what one thread made
//! and another frees goes home, and two threads do not come to share a cache line for long; and nothing keeps the spans. A refill opens the bin,
//! with room for a few blocks at first and for some KiB soon. Where it runs over though it has run empty a moment ago, the program frees and
//! allocates in batches that are larger than the bin: it doubles, as long as all growth together stays small. Classes that fall idle are closed.
//!
//! The first arrays of all bins lie behind the cache's record; a bin that has grown has its array in a block of the heap's own.

use super::{MCache, Slot, Tiers, check, of_class};
use crate::base::geometry::{BIN_BYTES, BIN_GROWTH_BYTES, MEDIUM_MIN};
use crate::mspan::{Block, CHECKED};
use crate::size_class::{COUNT, SizeClass};
use core::ptr::null_mut;

/// Blocks in a bin at the most; and in one that has not grown, at the most and at the least.
const MOST: usize = 1024;
const FEW: usize = 128;
const LEAST: usize = 4;
/// Bins that run over without a refill of any, after which the program only frees.
const ONLY_FREES: u32 = 64;
/// A bin begins with this part of its first array, and with as many slots at the least.
const BEGIN: usize = 8;

const fn first_cap(index: usize) -> usize {
    let cap = BIN_BYTES / SizeClass::from_number(index).size();
    if cap > FEW {
        FEW
    } else if cap < LEAST {
        LEAST
    } else {
        cap
    }
}

/// Where each bin's first array begins, in slots, behind its null; and, last, how many slots there are in all.
static FIRST: [u16; COUNT + 1] = {
    let mut starts = [1; COUNT + 1];
    let mut index = 0;
    while index < COUNT {
        starts[index + 1] = starts[index] + first_cap(index) as u16 + 1;
        index += 1;
    }
    starts
};

/// Bytes of the bins' first arrays, which the maker of a cache provides, zeroed.
/// One slot more than all bins have: see [`Nothing`].
pub(crate) const SLOT_BYTES: usize = (FIRST[COUNT] as usize + 1) * size_of::<Slot>();

/// The slot in front of bins that have no array; one more, because a C `free` looks into the slot at the top.
struct Nothing([Slot; 2]);

// SAFETY: nobody writes to it: a bin that ends here is full.
unsafe impl Sync for Nothing {}

static NOTHING: Nothing = Nothing([FRONT, null_mut()]);

/// What the slot in front of a bin holds (M1).
const FRONT: *mut Block = if CHECKED { check::nobody() } else { null_mut() };

/// The base, top and end of a bin that has no array.
pub(super) const fn nothing() -> *mut Slot {
    (&raw const NOTHING.0).cast::<Slot>().wrapping_add(1).cast_mut()
}

/// Slots from `from` to `to`.
fn slots_between(from: *mut Slot, to: *mut Slot) -> usize {
    (to.addr() - from.addr()) / size_of::<Slot>()
}

impl MCache {
    /// Exchanges the youngest block of a bin, if it is `block`, with one anywhere in the bin, unless `buried` is true for that: what is freed the
    /// long way is not to come round each time, nor to drive out others like it. In time such blocks lie where the thread seldom reaches.
    #[cfg(any(feature = "profiling", feature = "preload"))]
    #[inline]
    pub(crate) fn bury(&self, class: SizeClass, block: *mut Block, random: u32, buried: impl Fn(*mut Block) -> bool) {
        let (base, held) = (self.base(class), self.held(class));
        let youngest = base.wrapping_add(held.saturating_sub(1));
        // Below `held`; Lemire, "Fast random integer generation in an interval" (2019).
        let place = base.wrapping_add(((u64::from(random) * held as u64) >> 32) as usize);
        // SAFETY: the bin holds a block, whose slot is this cache's.
        if held == 0 || unsafe { *youngest } != block {
            return;
        }
        // SAFETY: likewise.
        let found = unsafe { *place };
        if !buried(found) {
            // SAFETY: likewise, and the two are apart: `buried` is true for `block`.
            unsafe { place.write(block) };
            // SAFETY: likewise.
            unsafe { youngest.write(found) };
        }
    }

    fn base(&self, class: SizeClass) -> *mut Slot {
        of_class(&self.bases, class).get()
    }

    /// Blocks that the bin may hold.
    fn cap(&self, class: SizeClass) -> usize {
        slots_between(self.base(class), self.end(class).get())
    }

    /// Blocks that the bin holds.
    fn held(&self, class: SizeClass) -> usize {
        slots_between(self.base(class), self.top(class).get())
    }

    /// Whether the bin of `class` holds blocks.
    pub(super) fn holds_any(&self, class: SizeClass) -> bool {
        self.held(class) > 0
    }

    /// The youngest block of the bin of `class`, which holds some, is not marked.
    pub(super) fn report_youngest(&self, class: SizeClass) -> ! {
        // SAFETY: the slot below the top is the bin's.
        check::report_unmarked(unsafe { *self.top(class).get().wrapping_sub(1) }, class.size())
    }

    /// How many blocks a refill brings: half a bin, so that the next frees find room.
    pub(super) fn batch(&self, class: SizeClass) -> u32 {
        (self.cap(class) / 2).max(1) as u32
    }

    /// Lets the bin, with `held` blocks in it, lie in `cap` slots from `base` on.
    fn set_bin(&self, class: SizeClass, base: *mut Slot, held: usize, cap: usize) {
        of_class(&self.bases, class).set(base);
        self.top(class).set(base.wrapping_add(held));
        self.end(class).set(base.wrapping_add(cap));
    }

    /// Gives a new cache the memory of its bins.
    ///
    /// # Safety
    /// `slots` is [`SLOT_BYTES`] of zeroed memory, aligned for pointers, for this cache and for ever.
    pub(crate) unsafe fn set_slots(&self, slots: *mut u8) {
        self.slots.set(slots.cast());
        for class in SizeClass::all() {
            self.close_bin(class);
        }
    }

    /// Where the first array of the bin of `class` lies.
    fn first_base(&self, class: SizeClass) -> *mut Slot {
        // SAFETY: a class's index is below COUNT, and there is one entry more.
        let first = unsafe { *FIRST.get_unchecked(class.index()) };
        self.slots.get().wrapping_add(usize::from(first))
    }

    /// Lets `fill` put `count` blocks, at most half a bin, on the empty bin, from the one on that is to be handed out first. Hands that out.
    #[inline(always)]
    pub(super) fn fill_bin(
        &self,
        class: SizeClass,
        count: u32,
        fill: impl FnOnce(&mut dyn FnMut(*mut Block)),
    ) -> *mut Block {
        let base = self.base(class);
        let top = base.wrapping_add(count as usize - 1);
        let mut slot = top.wrapping_add(1);
        fill(&mut |block| {
            slot = slot.wrapping_sub(1);
            // SAFETY: `fill` puts `count` blocks, for which the bin's array has room.
            unsafe { *slot = block };
        });
        debug_assert_eq!(slot, base);
        self.top(class).set(top);
        // SAFETY: as above.
        unsafe { *top }
    }

    /// Frees a block whose bin is full. The cache is ready.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    #[cold]
    pub(crate) unsafe fn push_over(&self, tiers: &Tiers, class: SizeClass, block: *mut Block) {
        if self.is_closed(class) {
            // SAFETY: as the caller promised. The cache is ready, so the block is taken.
            unsafe { self.free(tiers, block) };
            return;
        }
        if self.is_narrow(class) {
            self.widen_first(class, usize::MAX);
        } else if !self.grow_bin(tiers, class) {
            // Where the program only frees, whatever is kept would keep spans, here or with their owners.
            self.note_overflow();
            let keep = if self.is_refilled(class) {
                self.cap(class) / 2
            } else {
                0
            };
            self.flush(tiers, class, keep);
            if keep == 0 {
                self.give_array(tiers, class);
                self.close_bin(class);
            }
        }
        // SAFETY: as the caller promised.
        if !unsafe { self.push(class, block) } {
            // SAFETY: as above.
            unsafe { self.free(tiers, block) };
        }
    }

    /// Counts a bin that ran over. After many without a refill the program only frees, and the
    /// window of refills is long over.
    fn note_overflow(&self) {
        let overflows = self.overflows.get() + 1;
        self.overflows.set(overflows % ONLY_FREES);
        if overflows == ONLY_FREES {
            self.refilled.set(0);
        }
    }

    /// Whether the bin of `class` has run empty in this window of refills.
    fn is_refilled(&self, class: SizeClass) -> bool {
        self.refilled.get() >> class.index() & 1 == 1
    }

    /// Whether the bin of `class` takes no blocks: nobody allocated of the class since it was made, emptied or closed.
    fn is_closed(&self, class: SizeClass) -> bool {
        self.cap(class) == 0
    }

    /// Lets the empty bin of `class`, in its first array, take no blocks.
    fn close_bin(&self, class: SizeClass) {
        self.set_bin(class, self.closed_base(class), 0, 0);
    }

    /// Where a bin that takes no blocks lies. In checked builds its first array is not fit for that: the slot in front holds no block yet, and
    /// that at the top may hold one (M4).
    fn closed_base(&self, class: SizeClass) -> *mut Slot {
        if CHECKED { nothing() } else { self.first_base(class) }
    }

    /// The bin of `class`, which is empty, is about to be refilled: one that was closed takes blocks again, a few at first, since the thread may need no
    /// more; and twice as many each time, until its first array is full.
    #[inline]
    pub(super) fn open_bin(&self, class: SizeClass) {
        if self.is_closed(class) {
            let base = self.first_base(class);
            if CHECKED {
                // SAFETY: the slot in front of the array is this cache's.
                unsafe { *base.wrapping_sub(1) = FRONT };
            }
            self.set_bin(class, base, 0, 0);
            self.widen_first(class, (first_cap(class.index()) / BEGIN).max(BEGIN));
        } else if self.is_narrow(class) {
            self.widen_first(class, self.cap(class) * 2);
        }
    }

    /// Whether the bin has less room than its first array.
    fn is_narrow(&self, class: SizeClass) -> bool {
        self.cap(class) < first_cap(class.index()) && !self.is_closed(class)
    }

    /// Lets a bin in its first array have room for `cap` blocks, or for as many as the array has.
    fn widen_first(&self, class: SizeClass, cap: usize) {
        let (base, most) = (self.base(class), first_cap(class.index()));
        if CHECKED && cap < most {
            // M4: what lay there before.
            // SAFETY: a slot of the first array, above what the bin holds.
            unsafe { *base.wrapping_add(cap) = null_mut() };
        }
        self.end(class).set(base.wrapping_add(cap.min(most)));
    }

    /// Lets a bin hold twice as much, if its class is refilled too, and growth is in bounds.
    fn grow_bin(&self, tiers: &Tiers, class: SizeClass) -> bool {
        let cap = self.cap(class);
        let more = cap * class.size();
        if !self.is_refilled(class) || cap * 2 > MOST || !self.may_hold(tiers, class, more) {
            return false;
        }
        let array = self.take_array(tiers, cap * 2 + 2).unwrap_or(null_mut());
        // Taking the array may have changed this very bin.
        if array.is_null() || self.cap(class) != cap {
            self.count_shrunk(tiers, class, more);
            // SAFETY: null, or a block that is not used any more.
            unsafe { self.free(tiers, array.cast()) };
            return false;
        }
        let (old, held) = (self.base(class), self.held(class));
        // SAFETY: the array has more than one slot.
        unsafe { *array = FRONT };
        let base = array.wrapping_add(1);
        if CHECKED {
            // M4: the block may hold pointers that a program left there.
            // SAFETY: as many slots as were taken, less the first.
            unsafe { base.write_bytes(0, cap * 2 + 1) };
        }
        // SAFETY: the blocks lie in the old array and fit the new one, which is apart from it.
        unsafe { old.copy_to_nonoverlapping(base, held) };
        self.free_array(tiers, class);
        self.set_bin(class, base, held, cap * 2);
        self.run_empty.set(self.run_empty.get() & !(1 << class.index()));
        true
    }

    /// Whether the bin of `class` has run empty since it last grew.
    fn has_run_empty(&self, class: SizeClass) -> bool {
        self.run_empty.get() >> class.index() & 1 == 1
    }

    /// Whether bins of `class` may hold `bytes` more, which counts as done.
    fn may_hold(&self, tiers: &Tiers, class: SizeClass, bytes: usize) -> bool {
        if class.size() >= MEDIUM_MIN {
            // Once for each time that the bin ran empty: one long row of frees would else fill all room.
            return self.has_run_empty(class) && tiers.room.ask(&tiers.mheap, bytes);
        }
        let grown = self.grown.get() + bytes;
        if grown <= BIN_GROWTH_BYTES {
            self.grown.set(grown);
        }
        grown <= BIN_GROWTH_BYTES
    }

    /// Bins of `class` hold `bytes` less again.
    fn count_shrunk(&self, tiers: &Tiers, class: SizeClass, bytes: usize) {
        if class.size() >= MEDIUM_MIN {
            tiers.room.give_back(bytes);
        } else {
            self.grown.set(self.grown.get() - bytes);
        }
    }

    /// A block of the heap with room for `slots` slots.
    pub(super) fn take_array(&self, tiers: &Tiers, slots: usize) -> Option<*mut Slot> {
        let class = SizeClass::serving(slots * size_of::<Slot>(), align_of::<Slot>())?;
        let block = self.take_past_bins(tiers, class);
        (!block.is_null()).then_some(block.cast())
    }

    /// Bytes of blocks that the bin may hold beyond what it first could.
    fn growth(&self, class: SizeClass) -> usize {
        self.cap(class).saturating_sub(first_cap(class.index())) * class.size()
    }

    /// Bytes of the room for all threads that this one's bins and runs have.
    pub(crate) fn room(&self) -> usize {
        let medium = SizeClass::all().filter(|class| class.size() >= MEDIUM_MIN);
        medium.map(|class| self.growth(class)).sum::<usize>() + self.run_room()
    }

    /// Gives the array and the room of a bin back, if it has grown.
    fn give_array(&self, tiers: &Tiers, class: SizeClass) {
        self.count_shrunk(tiers, class, self.growth(class));
        self.free_array(tiers, class);
    }

    /// Frees the array of a bin, if it is not the first.
    fn free_array(&self, tiers: &Tiers, class: SizeClass) {
        if self.base(class) != self.first_base(class) && !self.is_closed(class) {
            // SAFETY: the block came from `take_array`, and its slot 0 is in front of the base.
            unsafe { self.free(tiers, self.base(class).wrapping_sub(1).cast()) };
        }
    }

    /// Gives all blocks of a bin but the youngest `keep` back to their spans.
    pub(super) fn flush(&self, tiers: &Tiers, class: SizeClass, keep: usize) {
        let (base, held) = (self.base(class), self.held(class));
        let goes = held.saturating_sub(keep);
        for index in 0..goes {
            // SAFETY: the slot holds one of the bin's blocks.
            let block = unsafe { *base.wrapping_add(index) };
            if CHECKED {
                check::flush(tiers, class, block);
            }
            // SAFETY: the block is free and this thread's. The cache is ready, so it is taken.
            unsafe { self.free(tiers, block) };
        }
        // SAFETY: both ranges lie in the bin's array.
        unsafe { base.wrapping_add(goes).copy_to(base, held - goes) };
        self.top(class).set(base.wrapping_add(held - goes));
    }

    /// Empties the bin of `class` and closes it.
    pub(super) fn empty_bin(&self, tiers: &Tiers, class: SizeClass) {
        self.flush(tiers, class, 0);
        self.give_array(tiers, class);
        self.close_bin(class);
    }
}
