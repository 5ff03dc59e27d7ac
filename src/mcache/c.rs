//! The fast path of C's `free`: a block goes to the bin of its class after checks that keep a wrong
//! pointer out. The caller names no size.
//!
//! The page map names the class; the span itself is not read. The offset in the page map entry
//! tells whether an object begins at the address. The mark tells whether that object is free
//! already (FREEMARK-1).
//!
//! A shortcut serves the block that the thread allocated last, which often comes back at once. If
//! the slot at the bin's top still holds this block, it was handed out from that very slot, and
//! nothing was put there since. So an object begins there and the bin has room (BIN-2), and both
//! tests are skipped. The shortcut is not tried for every block: if a few blocks come and go, its
//! answer is a coin toss, and each misprediction costs more than the test of the offset.
//!
//! The shortcut does not read the mark, so it may miss two wrong frees, which later checks find:
//!
//! - Another thread has freed the block meanwhile. The mark is missing when the second of the two
//!   bins hands the block out.
//! - This thread has freed it twice, and the slot above held it too. The mark is missing when the
//!   bin hands the block out the second time.

use super::MCache;
use super::bins::{Bins, Slot, nothing};
use crate::base::arch;
pub(super) use crate::mheap::page_map::tag::Main;
pub(crate) use crate::mheap::page_map::tag::Page;
use crate::mspan::Block;
use crate::size_class::{SizeClass, begins_object};
use crate::sync::atomic::{AtomicU8, Ordering::Relaxed};
use crate::tiers::Tiers;
use core::cell::Cell;
use core::mem::offset_of;
use core::ptr::null_mut;

/// The type of [`Bins::no_top`] and `no_end`.
pub(super) type Front = Cell<*mut Slot>;
/// The type of [`MCache::last`].
pub(super) type Last = Cell<*mut Block>;

// The word in front of each array is for tag 0, which stands for no class.
const _: () = assert!(offset_of!(Bins, tops) == offset_of!(Bins, no_top) + 8);
const _: () = assert!(offset_of!(Bins, ends) == offset_of!(Bins, no_end) + 8);

/// The tags of the classes that serve each number of bytes at a multiple of 16. While a heap
/// profile is taken, all are the tag of the smallest class. No program in C uses that class, so its
/// bin is empty, and all requests take the way on which they are counted. So the profiler costs
/// nothing while it is off.
static BY_BYTES: [AtomicU8; SIZES] = {
    let mut tags = [const { AtomicU8::new(EMPTY_BIN) }; SIZES];
    let mut size = 0;
    while size < SIZES {
        tags[size] = AtomicU8::new(tag_of(size));
        size += 1;
    }
    tags
};

const SIZES: usize = 1025;
const EMPTY_BIN: u8 = 1;

const fn tag_of(size: usize) -> u8 {
    match SizeClass::serving(if size == 0 { 1 } else { size }, 16) {
        Some(class) => class.index() as u8 + 1,
        None => EMPTY_BIN,
    }
}

/// Sends small requests the way on which they are counted (`on`), or lets the bins serve them at
/// once again.
pub(crate) fn count_small(on: bool) {
    for (size, tag) in BY_BYTES.iter().enumerate() {
        tag.store(if on { EMPTY_BIN } else { tag_of(size) }, Relaxed);
    }
}

/// Returns the tag for `size` bytes, for which the table has a row.
#[inline(always)]
fn load_tag(size: usize) -> usize {
    debug_assert!(size < SIZES);
    // SAFETY: reads a byte of the table: `size` is below `SIZES`, as the caller has checked.
    unsafe { arch::byte(&raw const BY_BYTES, size) }
}

/// The result of [`MCache::push_untyped`].
pub(crate) enum Pushed {
    Done,
    /// The bin of this page's class is full, and an object begins at the block; nothing was done.
    Full(Page),
    /// This thread does not know the page, or the pointer is wrong; nothing was done.
    Not,
}

impl Bins {
    /// Returns the top of the bin of class number `tag - 1`, or of the always full bin for tag 0.
    #[inline(always)]
    fn top_at(&self, tag: usize) -> &Cell<*mut Slot> {
        let none = core::ptr::from_ref(self).cast::<Cell<*mut Slot>>();
        let place = none.wrapping_byte_add(offset_of!(Bins, no_top)).wrapping_add(tag);
        // SAFETY: a tag is 0 or a class number plus one; the array lies behind the word of tag 0.
        unsafe { &*place }
    }

    /// Returns the end of the same bin.
    #[inline(always)]
    fn end_at(&self, tag: usize) -> &Cell<*mut Slot> {
        let none = core::ptr::from_ref(self).cast::<Cell<*mut Slot>>();
        let place = none.wrapping_byte_add(offset_of!(Bins, no_end)).wrapping_add(tag);
        // SAFETY: a tag is 0 or a class number plus one; the array lies behind the word of tag 0.
        unsafe { &*place }
    }
}

impl MCache {
    /// Takes an object for `size` bytes, at most 1024, at a multiple of 16 from its bin. Returns
    /// null if the size is larger, the bin is empty, or the block is not marked as free. The slow
    /// path then finds out which.
    #[inline(always)]
    pub(crate) fn pop_untyped(&self, size: usize) -> *mut Block {
        // A table with one row per byte: one row per 16 bytes costs two instructions more, and a
        // branch on the size mispredicts if sizes mix.
        if size < SIZES {
            self.pop_marked(self.bins.top_at(load_tag(size)))
        } else {
            null_mut()
        }
    }

    /// Takes an object as [`pop_untyped`](Self::pop_untyped) does, for larger sizes.
    #[inline]
    pub(crate) fn pop_medium(&self, size: usize) -> *mut Block {
        match SizeClass::serving(size, 16) {
            Some(class) => self.pop_marked(self.bins.top(class)),
            None => null_mut(),
        }
    }

    /// Takes the youngest block of the bin with this top. The bin is not that of the smallest
    /// class, or is empty. Returns null if the bin is empty or the block is not marked as free.
    #[inline(always)]
    fn pop_marked(&self, top: &Cell<*mut Slot>) -> *mut Block {
        // SAFETY: BIN-1: the slot below the top holds the youngest block, or the block in front of
        // the bin.
        let block = unsafe { *top.get().wrapping_sub(1) };
        let mark = Block::mark(block);
        // SAFETY: both have a second word: the smallest class's blocks never come here.
        if unsafe { Block::second(block) } != mark {
            return null_mut();
        }
        // First the bin, then the block: a signal handler that allocates between the two gets
        // another block.
        top.set(step_over::<-1>(mark, top.get()));
        // SAFETY: the block has a second word, and a marked block is the bin's.
        unsafe { Block::clear_mark(block) };
        self.last.set(block);
        block
    }

    /// Puts `block` on the bin of its class.
    ///
    /// # Safety
    /// If `block` is an object of this heap and not free, no code uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn push_untyped(&self, block: *mut Block) -> Pushed {
        let Some(page) = self.main.page(block.addr()) else {
            return Pushed::Not;
        };
        let tag = page.tag();
        let top = self.bins.top_at(tag).get();
        // SAFETY: BIN-2: there is a slot at the top, and in a full bin it holds null.
        if self.last.get() != block || unsafe { *top } != block {
            if !begins_object(tag, page.offset(block.addr())) {
                return Pushed::Not;
            }
            if top == self.bins.end_at(tag).get() {
                return Pushed::Full(page);
            }
            // SAFETY: an object begins here. It has at least 16 bytes (C-1), and only C's pointers
            // come here.
            if unsafe { Block::second(block) } == Block::mark(block) {
                return Pushed::Not;
            }
            // SAFETY: the slot lies below the bin's end, so it is this cache's.
            unsafe { *top = block };
        }
        if let Some(exact) = self.shared.exact() {
            exact.free_small(tag - 1);
        }
        // SAFETY: an object begins here, and the caller gives it up.
        unsafe { Block::set_mark(block) };
        self.bins.top_at(tag).set(step_over::<1>(Block::mark(block), top));
        Pushed::Done
    }

    /// Returns whether `block`, whose bin on `page` is full, is in use and its bin closed: the
    /// thread only frees blocks of this class.
    #[inline(always)]
    pub(crate) fn is_closed(&self, page: Page, block: *mut Block) -> bool {
        // SAFETY: an object begins here. It has at least 16 bytes (C-1), and only C's pointers come
        // here.
        self.bins.end_at(page.tag()).get() == nothing() && !unsafe { Block::is_marked(block) }
    }

    /// Adds `block` to the chain of its span. `false`: there is none, or it is full; nothing was
    /// done.
    ///
    /// # Safety
    /// [`is_closed`](Self::is_closed) is true for the block, and no code uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn gather_untyped(&self, page: Page, block: *mut Block) -> bool {
        // SAFETY: a live object of the page's span, which is the caller's.
        if !unsafe { self.shared.outbox.add(page.record(), block) } {
            return false;
        }
        if let Some(exact) = self.shared.exact() {
            exact.free_small(page.tag() - 1);
        }
        // SAFETY: an object of more than 8 bytes begins here, and the caller gives it up.
        unsafe { Block::set_mark(block) };
        true
    }

    /// Puts `block` back on its span, as [`free_home`](Self::free_home) does. `false`: that is not
    /// possible, or another way is to find out more about the block; nothing was done.
    ///
    /// # Safety
    /// As for [`gather_untyped`](Self::gather_untyped). The cache is ready.
    #[inline(always)]
    pub(crate) unsafe fn free_home_untyped(&self, page: Page, block: *mut Block) -> bool {
        // SAFETY: a record, which is never freed; an object in use begins on the page.
        let span = unsafe { &*page.record() };
        // A sunk object has no mark (HOLE-2), and neither has one that was never handed out.
        if span.sunk() > 0 || !span.has_carved(page.offset(block.addr())) {
            return false;
        }
        // SAFETY: the block is a live object of the span, and the caller's (contract of this
        // function).
        let done = unsafe { self.free_home(span, block) };
        if done && let Some(exact) = self.shared.exact() {
            exact.free_small(page.tag() - 1);
        }
        done
    }

    /// Begins a chain with `block`, if another thread has its span, or no thread. `false`: another
    /// way is to find out more about the block; nothing was done.
    ///
    /// # Safety
    /// As for [`gather_untyped`](Self::gather_untyped). The cache is ready.
    #[inline(always)]
    pub(crate) unsafe fn begin_untyped(&self, tiers: &Tiers, page: Page, block: *mut Block) -> bool {
        // SAFETY: a record, which is never freed; an object in use begins on the page.
        let span = unsafe { &*page.record() };
        // A sunk object has no mark (HOLE-2).
        let is_clear = span.is_object(block) && span.sunk() == 0;
        if !is_clear || self.spans.owns_with_room(span) || self.spans.owns_full(span) {
            return false;
        }
        if let Some(exact) = self.shared.exact() {
            exact.free_small(page.tag() - 1);
        }
        // SAFETY: an object of more than 8 bytes begins here, and the caller gives it up.
        unsafe { Block::set_mark(block) };
        // SAFETY: a live object of the span, which the caller gives up; the cache is ready.
        unsafe { self.free_remote(tiers, span, block) };
        true
    }

    /// Learns about the pages that were made ready since the thread last looked.
    pub(crate) fn learn_map(&self, tiers: &Tiers) {
        if self.is_ready() {
            self.main.set(&tiers.mheap.map().main());
        }
    }
}

/// Returns `slot` moved by `BY` slots, computed in the register that holds `mark`.
///
/// A program may write the leftover contents of a register to a block, if some bytes of a value do
/// not matter. If those were the block's own mark, in its second word, the block would look free.
#[inline(always)]
fn step_over<const BY: isize>(mark: usize, slot: *mut Slot) -> *mut Slot {
    const { assert!(size_of::<Slot>() == 8) };
    slot.with_addr(if BY > 0 {
        arch::add_over::<8>(mark, slot.addr())
    } else {
        arch::add_over::<-8>(mark, slot.addr())
    })
}

/// Clears the registers that a call may change, at the end of a slow call. None keeps a mark: see
/// [`step_over`].
pub(crate) use arch::clear_registers;
