//! The bins: one stack of ready objects per size class. The fast path of the heap is `pop` and
//! `push`.
//!
//! ```text
//!  null │ block │ block │ block │       │       │       the bin of one class: an array of pointers
//!        base                    top             end
//! ```
//!
//! A bin takes back every block of its class that the thread frees, of its own spans or of other
//! threads'. It hands out the youngest block first: most objects die young, and their memory is in
//! the processor's cache. `pop` and `push` read no metadata, and not the block itself.
//!
//! A bin is *closed* until the thread allocates of its class: a thread that only frees sends blocks
//! to their spans at once. A refill *opens* the bin with room for a few blocks, and each further
//! refill doubles it until its first array is full. Beyond that, [`free`](super::free) decides. The
//! first arrays of all bins lie behind the cache's record. A bin that has grown has its array in a
//! block of the heap.
//!
//! - BIN-1. A bin's blocks are this thread's alone, hold at least its class's size and have at
//!   least its alignment. They count as live in their spans. The slot in front of a bin holds
//!   null, so an empty bin gives null; in checked builds it holds a block that is never marked.
//! - BIN-2. In checked builds the slot at the top of a full bin holds null, or the block in front
//!   of the next bin. That of any other bin is one of the bin's own slots. It holds null, or the
//!   block that lay there last and was handed out from there or moved within the bin.
//! - BIN-3. `grown` is the bytes of small blocks that bins may hold beyond their first arrays.
//! - BIN-4. `most` is the bytes of blocks that all bins may hold, for other threads to read.

use super::window::{Window, bit};
use super::{c, check};
use crate::base::addr::align_up;
use crate::base::geometry::{BIN_BYTES, BIN_GROWTH_BYTES, MEDIUM_MIN};
use crate::base::prefetch::prefetch;
use crate::mspan::{Block, CHECKED};
use crate::os::{Os, PageSource};
use crate::size_class::{COUNT, SizeClass};
use crate::sync::tally::AtomicUsize;
use crate::tiers::{Tiers, of_class};
use core::cell::Cell;
use core::ptr::{NonNull, null_mut};

/// A place for a block in a bin.
pub(super) type Slot = *mut Block;

/// The most blocks in a bin.
const MOST: usize = 1024;
/// The most and the fewest blocks in a bin that has not grown.
const FEW: usize = 128;
const LEAST: usize = 4;
/// A bin opens with this part of its first array, and with as many slots at the least.
const BEGIN: usize = 8;
/// Blocks that a flush fetches ahead of the one that it checks.
const AHEAD: usize = 8;
/// Bins of medium objects have one part in so many of the heap for room.
const PART: usize = 4;

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

/// Where each bin's first array begins, in slots, behind its null; and, last, the number of slots.
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

/// The slot in front of bins that have no array; and one more, because C's `free` reads the slot
/// at the top.
struct Nothing([Slot; 2]);

// SAFETY: no thread writes to it: a bin that ends here is full.
unsafe impl Sync for Nothing {}

static NOTHING: Nothing = Nothing([FRONT, null_mut()]);

/// The block in the slot in front of a bin (BIN-1).
const FRONT: *mut Block = if CHECKED { check::unowned() } else { null_mut() };

/// Returns the base, top and end of a bin that has no array.
pub(super) const fn nothing() -> *mut Slot {
    (&raw const NOTHING.0).cast::<Slot>().wrapping_add(1).cast_mut()
}

/// Returns the number of slots from `from` to `to`.
fn slots_between(from: *mut Slot, to: *mut Slot) -> usize {
    (to.addr() - from.addr()) / size_of::<Slot>()
}

/// The bins of one thread.
#[repr(C)]
pub(crate) struct Bins {
    /// In front of the first bin, for pointers into no span: a bin that is always full.
    pub(super) no_top: c::Front,
    // One array per word of a bin: the offset in it is the class times 8, which an address can
    // express without another instruction.
    pub(super) tops: [Cell<*mut Slot>; COUNT],
    pub(super) no_end: c::Front,
    pub(super) ends: [Cell<*mut Slot>; COUNT],
    bases: [Cell<*mut Slot>; COUNT],
    /// Where the first arrays of the bins lie.
    slots: Cell<*mut Slot>,
    /// BIN-3.
    grown: Cell<usize>,
    /// BIN-4.
    pub(super) most: AtomicUsize,
    /// The classes that are in use, and those that are idle.
    pub(super) window: Window,
    /// Classes that were refilled since their bins last grew.
    run_empty: Cell<u128>,
}

impl Bins {
    crate::sync::const_unless_loom! {
        /// Returns bins without arrays: empty and full.
        pub(super) fn new() -> Self {
            Self {
                no_top: c::Front::new(nothing()),
                tops: [const { Cell::new(nothing()) }; COUNT],
                no_end: c::Front::new(nothing()),
                ends: [const { Cell::new(nothing()) }; COUNT],
                bases: [const { Cell::new(nothing()) }; COUNT],
                slots: Cell::new(null_mut()),
                grown: Cell::new(0),
                most: AtomicUsize::new(0),
                window: Window::new(),
                run_empty: Cell::new(0),
            }
        }
    }

    #[inline(always)]
    pub(super) fn top(&self, class: SizeClass) -> &Cell<*mut Slot> {
        // The offset in bytes, which a smallest class has by one mask of the size: one instruction
        // less than with an index.
        // SAFETY: a class's index is below COUNT, the array's length (SIZE-1).
        let top = unsafe { self.tops.as_ptr().byte_add(class.index() * size_of::<usize>()) };
        // SAFETY: an element of the array; the borrow is of `self`.
        unsafe { &*top }
    }

    #[inline(always)]
    pub(super) fn end(&self, class: SizeClass) -> &Cell<*mut Slot> {
        // SAFETY: a class's index is below COUNT, the array's length (SIZE-1).
        let end = unsafe { self.ends.as_ptr().byte_add(class.index() * size_of::<usize>()) };
        // SAFETY: an element of the array; the borrow is of `self`.
        unsafe { &*end }
    }

    pub(super) fn base(&self, class: SizeClass) -> *mut Slot {
        of_class(&self.bases, class).get()
    }

    /// Takes an object of `class` from its bin. Returns null if the bin is empty.
    #[inline(always)]
    pub(crate) fn pop(&self, class: SizeClass) -> *mut Block {
        let top = self.top(class);
        let below = top.get().wrapping_sub(1);
        // SAFETY: the slot below the top holds the youngest block, or null (BIN-1).
        let block = unsafe { *below };
        if CHECKED && !check::is_free(class, block) {
            return null_mut();
        }
        if !block.is_null() {
            top.set(below);
        }
        if CHECKED {
            check::hand_out(class, block);
        }
        block
    }

    /// Puts a block on the bin of `class`. `false`: the bin is full, nothing was done.
    ///
    /// # Safety
    /// This heap handed `block` out, the program uses it no more, and it holds an object of
    /// `class` (BIN-1).
    #[inline(always)]
    pub(crate) unsafe fn push(&self, class: SizeClass, block: *mut Block) -> bool {
        let top = self.top(class).get();
        if top == self.end(class).get() {
            return false;
        }
        if CHECKED {
            // SAFETY: the block is the caller's, and of the class's size (contract of this
            // function).
            unsafe { check::take_back(class, block) };
        }
        // SAFETY: slots below the end are this cache's.
        unsafe { *top = block };
        self.top(class).set(top.wrapping_add(1));
        true
    }

    /// Exchanges the youngest block of a bin, if it is `block`, with one anywhere in the bin,
    /// unless `buried` is true for that. In time such blocks lie where the thread seldom reaches.
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
        // SAFETY: the place lies below the top, so it is a slot of the bin.
        let found = unsafe { *place };
        if !buried(found) {
            // SAFETY: a slot of the bin, and not `youngest`: `buried` is true for `block`.
            unsafe { place.write(block) };
            // SAFETY: a slot of the bin.
            unsafe { youngest.write(found) };
        }
    }

    /// Returns the number of blocks that the bin may hold.
    pub(super) fn cap(&self, class: SizeClass) -> usize {
        slots_between(self.base(class), self.end(class).get())
    }

    /// Returns the number of blocks that the bin holds.
    pub(super) fn held(&self, class: SizeClass) -> usize {
        slots_between(self.base(class), self.top(class).get())
    }

    /// Reports that the youngest block of the bin of `class`, which holds some, is not marked.
    pub(super) fn report_youngest(&self, class: SizeClass) -> ! {
        // SAFETY: the slot below the top is the bin's.
        check::report_unmarked(unsafe { *self.top(class).get().wrapping_sub(1) }, class.size())
    }

    /// Returns the number of blocks that a refill brings: half a bin, so the next frees find room.
    pub(super) fn batch(&self, class: SizeClass) -> u32 {
        (self.cap(class) / 2).max(1) as u32
    }

    /// Lays the bin, with `held` blocks in it, into `cap` slots from `base` on.
    fn set(&self, class: SizeClass, base: *mut Slot, held: usize, cap: usize) {
        let before = self.cap(class);
        of_class(&self.bases, class).set(base);
        self.top(class).set(base.wrapping_add(held));
        self.end(class).set(base.wrapping_add(cap));
        self.note_cap(class, before);
    }

    /// Gives new bins their first arrays.
    ///
    /// # Safety
    /// `slots` is [`SLOT_BYTES`] of zeroed memory, aligned for pointers, for these bins and for
    /// ever.
    pub(crate) unsafe fn set_slots(&self, slots: *mut u8) {
        self.slots.set(slots.cast());
        for class in SizeClass::all() {
            self.close(class);
        }
    }

    /// Gives the memory of the first arrays, and of the outbox's slots behind them, back to the
    /// system: `bytes` bytes. All bins are closed and the outbox is empty. The memory reads as zero
    /// afterwards, as it did at first.
    pub(super) fn give_slots(&self, os: &Os, bytes: usize) {
        let page = os.page_size();
        let start = align_up(self.slots.get().addr(), page);
        let end = (self.slots.get().addr() + bytes) & !(page - 1);
        if start < end
            && let Some(base) = NonNull::new(self.slots.get().cast::<u8>().with_addr(start))
        {
            // SAFETY: whole pages of slots, which are this cache's, and hold no block. Memory for
            // the heap's records is always Ready.
            if !unsafe { os.discard(base, end - start) } {
                // SAFETY: the same pages, whose contents may be gone.
                unsafe { base.write_bytes(0, end - start) };
            }
        }
    }

    /// Returns where the first array of the bin of `class` lies.
    fn first_base(&self, class: SizeClass) -> *mut Slot {
        // SAFETY: a class's index is below COUNT (SIZE-1), and there is one entry more.
        let first = unsafe { *FIRST.get_unchecked(class.index()) };
        self.slots.get().wrapping_add(usize::from(first))
    }

    /// Lets `fill` put `count` blocks, at most half a bin, on the empty bin: the block that is to
    /// be handed out first comes first. Returns that block.
    #[inline(always)]
    pub(super) fn fill(
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
        // SAFETY: the slot was filled above.
        unsafe { *top }
    }

    /// Passes all blocks of a bin but the youngest `keep` to `give`, the oldest first.
    pub(super) fn flush(&self, class: SizeClass, keep: usize, give: impl Fn(*mut Block)) {
        let (base, held) = (self.base(class), self.held(class));
        let goes = held.saturating_sub(keep);
        for index in 0..goes {
            if CHECKED {
                // The check reads the block, which the program left long ago.
                // SAFETY: the slot holds one of the bin's blocks.
                prefetch(unsafe { *base.wrapping_add((index + AHEAD).min(held - 1)) });
            }
            // SAFETY: the slot holds one of the bin's blocks.
            give(unsafe { *base.wrapping_add(index) });
        }
        // SAFETY: both ranges lie in the bin's array.
        unsafe { base.wrapping_add(goes).copy_to(base, held - goes) };
        self.top(class).set(base.wrapping_add(held - goes));
    }

    /// Whether the bin of `class` takes no blocks: the thread has not allocated of the class since
    /// the bin was made, emptied or closed.
    pub(crate) fn is_closed(&self, class: SizeClass) -> bool {
        self.cap(class) == 0
    }

    /// Lets the empty bin of `class` take no blocks.
    pub(super) fn close(&self, class: SizeClass) {
        // In checked builds the first array is not fit for a closed bin: the slot in front holds
        // no block yet, and the slot at the top may hold one (BIN-2).
        let base = if CHECKED { nothing() } else { self.first_base(class) };
        self.set(class, base, 0, 0);
    }

    /// Opens the bin of `class`, which is empty and about to be refilled, or widens it.
    #[inline]
    pub(super) fn open(&self, class: SizeClass) {
        if self.is_closed(class) {
            let base = self.first_base(class);
            if CHECKED {
                // SAFETY: the slot in front of the array is this cache's.
                unsafe { *base.wrapping_sub(1) = FRONT };
            }
            self.set(class, base, 0, 0);
            self.widen(class, (first_cap(class.index()) / BEGIN).max(BEGIN));
        } else if self.is_narrow(class) {
            self.widen(class, self.cap(class) * 2);
        }
    }

    /// Whether the bin has less room than its first array.
    pub(super) fn is_narrow(&self, class: SizeClass) -> bool {
        self.cap(class) < first_cap(class.index()) && !self.is_closed(class)
    }

    /// Lets a bin in its first array have room for `cap` blocks, or for as many as the array has.
    pub(super) fn widen(&self, class: SizeClass, cap: usize) {
        let (base, most, before) = (self.base(class), first_cap(class.index()), self.cap(class));
        if CHECKED && cap < most {
            // BIN-2: the slot may hold a block that lay there before.
            // SAFETY: a slot of the first array, above the blocks that the bin holds.
            unsafe { *base.wrapping_add(cap) = null_mut() };
        }
        self.end(class).set(base.wrapping_add(cap.min(most)));
        self.note_cap(class, before);
    }

    /// Asks for room to double a bin: its class must be refilled too, and growth have bounds.
    /// Returns the slots of the new array, or `None`.
    pub(super) fn ask_growth(&self, tiers: &Tiers, class: SizeClass) -> Option<usize> {
        let cap = self.cap(class);
        if !self.window.is_refilled(class) || cap * 2 > MOST {
            return None;
        }
        let bytes = cap * class.size();
        let granted = if class.size() >= MEDIUM_MIN {
            // Once per time that the bin ran empty. Otherwise one long row of frees would take all
            // room.
            self.has_run_empty(class) && tiers.room.ask(&tiers.mheap, bytes, PART)
        } else {
            let grown = self.grown.get() + bytes;
            if grown <= BIN_GROWTH_BYTES {
                self.grown.set(grown);
            }
            grown <= BIN_GROWTH_BYTES
        };
        // A slot in front, and one behind that C's `free` reads (BIN-2).
        granted.then_some(cap * 2 + 2)
    }

    /// Moves a bin that may hold `cap` blocks to an array of `2 * cap + 2` slots.
    ///
    /// # Safety
    /// `array` is such an array, and the caller's; `cap` is what the bin may hold now.
    pub(super) unsafe fn move_to(&self, class: SizeClass, array: *mut Slot, cap: usize) {
        let (old, held) = (self.base(class), self.held(class));
        // SAFETY: the array has more than one slot.
        unsafe { *array = FRONT };
        let base = array.wrapping_add(1);
        if CHECKED {
            // BIN-2: the array's block may hold pointers that a program left there.
            // SAFETY: as many slots as the array has, less the first.
            unsafe { base.write_bytes(0, cap * 2 + 1) };
        }
        // SAFETY: the blocks lie in the old array and fit the new one, which is apart from it.
        unsafe { old.copy_to_nonoverlapping(base, held) };
        self.set(class, base, held, cap * 2);
        self.run_empty.set(self.run_empty.get() & !bit(class));
    }

    /// Returns the array of a bin that has grown, or null.
    pub(super) fn grown_array(&self, class: SizeClass) -> *mut Slot {
        if self.base(class) == self.first_base(class) || self.is_closed(class) {
            null_mut()
        } else {
            self.base(class).wrapping_sub(1)
        }
    }

    /// Returns the bytes of blocks that the bin may hold beyond its first array.
    pub(super) fn growth(&self, class: SizeClass) -> usize {
        self.cap(class).saturating_sub(first_cap(class.index())) * class.size()
    }

    /// Notes that bins of `class` hold `bytes` less again.
    pub(super) fn count_shrunk(&self, tiers: &Tiers, class: SizeClass, bytes: usize) {
        if class.size() >= MEDIUM_MIN {
            tiers.room.give_back(bytes);
        } else {
            self.grown.set(self.grown.get() - bytes);
        }
    }

    /// Returns the bytes of the shared room ([`Room`](crate::tiers::Room)) that these bins have.
    pub(super) fn room(&self) -> usize {
        let medium = SizeClass::all().filter(|class| class.size() >= MEDIUM_MIN);
        medium.map(|class| self.growth(class)).sum()
    }

    /// Counts a refill. Returns whether a window of refills ends with it.
    #[inline]
    pub(super) fn note_refill(&self, class: SizeClass) -> bool {
        self.run_empty.set(self.run_empty.get() | bit(class));
        self.window.note_refill(class)
    }

    /// Whether the bin of `class` has run empty since it last grew.
    fn has_run_empty(&self, class: SizeClass) -> bool {
        self.run_empty.get() & bit(class) != 0
    }
}

#[cfg(test)]
#[path = "bins_tests.rs"]
mod tests;
