//! The fast path of C's `free`: a block whose size nobody tells goes to the bin of its class, after the checks that keep a wrong pointer out.
//!
//! The page map names the class; the span itself is not looked at. A pointer that equals what the slot at the bin's top held last was
//! handed out from that very slot, and nothing was put there since: then it is where an object begins, and there is room. So the last block
//! that was handed out is recognised when it comes back first, which is what most frees are. For all others the offset in the span tells. The
//! mark tells whether the block is free already (K1 of `mspan::block`).

use super::{MCache, Slot, Tiers};
use crate::mspan::Block;
use crate::size_class::{EVERY_8, SizeClass, begins_object};
use core::cell::Cell;
use core::mem::offset_of;
use core::ptr::null_mut;

// The word in front of each array is that of tag 0, which stands for no class.
const _: () = assert!(offset_of!(MCache, tops) == offset_of!(MCache, no_top) + 8);
const _: () = assert!(offset_of!(MCache, ends) == offset_of!(MCache, no_end) + 8);

impl MCache {
    /// The top of the bin of the class with number `tag - 1`; of the bin that is always full for tag 0.
    #[inline(always)]
    fn top_at(&self, tag: usize) -> &Cell<*mut Slot> {
        let none = core::ptr::from_ref(self).cast::<Cell<*mut Slot>>();
        let place = none.wrapping_byte_add(offset_of!(MCache, no_top)).wrapping_add(tag);
        // SAFETY: tags are class numbers plus one or 0, and the arrays lie behind the word of tag 0.
        unsafe { &*place }
    }

    #[inline(always)]
    fn end_at(&self, tag: usize) -> &Cell<*mut Slot> {
        let none = core::ptr::from_ref(self).cast::<Cell<*mut Slot>>();
        let place = none.wrapping_byte_add(offset_of!(MCache, no_end)).wrapping_add(tag);
        // SAFETY: as in `top_at`.
        unsafe { &*place }
    }

    /// An object for `size` bytes at a multiple of 16, from its bin. Null where the bin is empty or no bin serves such a size; and where
    /// something is wrong with the block, which then the slow path finds out.
    #[inline(always)]
    pub(crate) fn pop_untyped(&self, size: usize) -> *mut Block {
        let last = size.wrapping_sub(1);
        if last < EVERY_8 {
            // The class is the second of two that share 16 bytes; its top lies this many bytes behind the array's first.
            let place = (last & !15) + 8;
            // SAFETY: the offset is that of a class's top.
            let top = unsafe { self.tops.as_ptr().byte_add(place) };
            // SAFETY: as above; the borrow is of `self`.
            return pop_marked(unsafe { &*top });
        }
        match SizeClass::serving(size, 16) {
            Some(class) => pop_marked(self.top(class)),
            None => null_mut(),
        }
    }

    /// Puts `block` on the bin of its class. `false`: the bin is full, its page is not known to this thread, or something is wrong; nothing
    /// was done.
    ///
    /// # Safety
    /// If `block` is an object of this heap and not free, nobody uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn push_untyped(&self, block: *mut Block) -> bool {
        let Some(page) = self.main.page(block.addr()) else {
            return false;
        };
        let tag = page.tag();
        let top = self.top_at(tag).get();
        // SAFETY: a bin has a slot at its top: its own, or where it is full the next bin's null or one more.
        if unsafe { *top } != block {
            if !begins_object(tag, page.offset(block.addr())) || top == self.end_at(tag).get() {
                return false;
            }
            // SAFETY: slots below the end are this cache's.
            unsafe { *top = block };
        }
        // SAFETY: an object begins here; of more than 8 bytes, since C's `malloc` uses no other and nobody else's pointers come here.
        if unsafe { Block::is_marked(block) } {
            return false;
        }
        // SAFETY: likewise, and the caller gives it up.
        unsafe { Block::set_mark(block) };
        self.top_at(tag).set(top.wrapping_add(1));
        true
    }

    /// Learns of the pages that were made ready since the thread last looked.
    pub(crate) fn learn_map(&self, tiers: &Tiers) {
        if self.is_ready() {
            self.main.set(&tiers.mheap.map().main());
        }
    }
}

/// Takes the youngest block of the bin with this top; null where there is none, or where it is not marked.
#[inline(always)]
fn pop_marked(top: &Cell<*mut Slot>) -> *mut Block {
    let below = top.get().wrapping_sub(1);
    // SAFETY: the slot below the top holds the youngest block, or null (M1).
    let block = unsafe { *below };
    // SAFETY: a block of a bin is an object of its class, of more than 8 bytes.
    if block.is_null() || !unsafe { Block::is_marked(block) } {
        return null_mut();
    }
    // SAFETY: likewise, and the block is the bin's.
    unsafe { Block::clear_mark(block) };
    top.set(below);
    block
}
