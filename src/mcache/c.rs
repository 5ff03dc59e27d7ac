//! The fast path of C's `free`: a block whose size nobody tells goes to the bin of its class, after the checks that keep a wrong pointer out.
//!
//! The page map names the class; the span itself is not looked at. The offset in it tells whether an object begins there, and the mark whether
//! that is free already (K1 of `mspan::mark`).
//!
//! A pointer that equals what the slot at the bin's top held last was handed out from that very slot, and nothing was put there since: then it
//! is where an object begins, and there is room (M4). That is asked of the block which the thread was handed last, and comes back at once. Asked
//! of every block, the answer would be as good as chance where a few blocks come and go, and each wrong guess of the processor costs more
//! than the test of the offset. Should another thread have freed that block meanwhile, which is wrong, the mark is found missing when the block
//! is handed out from the second bin; and when it is handed out the second time, should this thread have freed it twice where the slot above
//! happened to hold it too.

use super::MCache;
use super::bins::{Bins, Slot};
pub(super) use crate::mheap::page_map::tag::Main;
use crate::mspan::Block;
use crate::size_class::{SizeClass, begins_object};
use crate::sync::atomic::{AtomicU8, Ordering::Relaxed};
use crate::tiers::Tiers;
use core::arch::asm;
use core::cell::Cell;
use core::mem::offset_of;
use core::ptr::null_mut;

/// The type of [`Bins::no_top`] and `no_end`.
pub(super) type Front = Cell<*mut Slot>;
/// The type of [`MCache::last`].
pub(super) type Last = Cell<*mut Block>;

// The word in front of each array is that of tag 0, which stands for no class.
const _: () = assert!(offset_of!(Bins, tops) == offset_of!(Bins, no_top) + 8);
const _: () = assert!(offset_of!(Bins, ends) == offset_of!(Bins, no_end) + 8);

/// The tag of the class that serves so many bytes at a multiple of 16. While a heap profile is taken, that of the smallest class for all, which
/// no program in C uses: its bin is empty, so that all requests come to where they are counted. So the profiler costs nothing while it is off.
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

/// Sends small requests to where they are counted, or lets them be served at once again.
pub(crate) fn count_small(on: bool) {
    for (size, tag) in BY_BYTES.iter().enumerate() {
        tag.store(if on { EMPTY_BIN } else { tag_of(size) }, Relaxed);
    }
}

/// The tag for so many bytes, for which the table has a row.
#[inline(always)]
fn load_tag(size: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        let tag: usize;
        // The compiler makes two instructions of an atomic load of a byte and its extension to a word.
        // SAFETY: a byte of the table.
        unsafe {
            asm!(
                "movzx {tag:e}, byte ptr [{table} + {size}]",
                tag = lateout(reg) tag,
                table = in(reg) &raw const BY_BYTES,
                size = in(reg) size,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        tag
    }
    #[cfg(not(target_arch = "x86_64"))]
    BY_BYTES
        .get(size)
        .map_or(usize::from(EMPTY_BIN), |tag| usize::from(tag.load(Relaxed)))
}

impl Bins {
    /// The top of the bin of the class with number `tag - 1`, or of the always full bin for tag 0.
    #[inline(always)]
    fn top_at(&self, tag: usize) -> &Cell<*mut Slot> {
        let none = core::ptr::from_ref(self).cast::<Cell<*mut Slot>>();
        let place = none.wrapping_byte_add(offset_of!(Bins, no_top)).wrapping_add(tag);
        // SAFETY: a tag is a class number plus one or 0, and the array lies behind the word of tag 0.
        unsafe { &*place }
    }

    #[inline(always)]
    fn end_at(&self, tag: usize) -> &Cell<*mut Slot> {
        let none = core::ptr::from_ref(self).cast::<Cell<*mut Slot>>();
        let place = none.wrapping_byte_add(offset_of!(Bins, no_end)).wrapping_add(tag);
        // SAFETY: a tag is a class number plus one or 0, and the array lies behind the word of tag 0.
        unsafe { &*place }
    }
}

impl MCache {
    /// An object for `size` bytes, 1024 at the most, at a multiple of 16 from its bin. Null for larger sizes and where the bin is empty; and where
    /// something is wrong with the block, which then the slow path finds out.
    #[inline(always)]
    pub(crate) fn pop_untyped(&self, size: usize) -> *mut Block {
        // A table by bytes: one by units of 16 costs two instructions more, and a branch on the size mispredicts where sizes mix.
        if size < SIZES {
            self.pop_marked(self.bins.top_at(load_tag(size)))
        } else {
            null_mut()
        }
    }

    /// As [`pop_untyped`](Self::pop_untyped), for larger sizes.
    #[inline]
    pub(crate) fn pop_medium(&self, size: usize) -> *mut Block {
        match SizeClass::serving(size, 16) {
            Some(class) => self.pop_marked(self.bins.top(class)),
            None => null_mut(),
        }
    }

    /// Takes the youngest block of the bin with this top, which is not the smallest's or is empty; null where it is empty or something is wrong.
    #[inline(always)]
    fn pop_marked(&self, top: &Cell<*mut Slot>) -> *mut Block {
        // SAFETY: the slot below the top holds the youngest block, or what is in front of the bin (M1).
        let block = unsafe { *top.get().wrapping_sub(1) };
        let mark = Block::mark(block);
        // SAFETY: both have a second word.
        if unsafe { Block::second(block) } != mark {
            return null_mut();
        }
        // First the bin, then the block: a signal handler between the two that allocates gets another one.
        top.set(step_over::<-1>(mark, top.get()));
        // SAFETY: likewise, and a marked block is the bin's.
        unsafe { Block::clear_mark(block) };
        self.last.set(block);
        block
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
        let top = self.bins.top_at(tag).get();
        // SAFETY: there is a slot at the top, and it holds no block where the bin is full (M4).
        if self.last.get() != block || unsafe { *top } != block {
            if !begins_object(tag, page.offset(block.addr())) || top == self.bins.end_at(tag).get() {
                return false;
            }
            // SAFETY: an object begins here; of more than 8 bytes, since C's `malloc` uses no other and nobody else's pointers come here.
            if unsafe { Block::second(block) } == Block::mark(block) {
                return false;
            }
            // SAFETY: slots below the end are this cache's.
            unsafe { *top = block };
        }
        if let Some(exact) = self.shared.exact() {
            exact.free_small(tag - 1);
        }
        // SAFETY: an object as above, which the caller gives up.
        unsafe { Block::set_mark(block) };
        self.bins.top_at(tag).set(step_over::<1>(Block::mark(block), top));
        true
    }

    /// Learns of the pages that were made ready since the thread last looked.
    pub(crate) fn learn_map(&self, tiers: &Tiers) {
        if self.is_ready() {
            self.main.set(&tiers.mheap.map().main());
        }
    }
}

/// `slot` and `BY` slots on, worked out in the register that holds `mark`. Programs may write to a block what their registers happen to hold,
/// where a value has bytes that do not matter; should that be the block's own mark, in its second word, the block would look free.
#[inline(always)]
fn step_over<const BY: isize>(mark: usize, slot: *mut Slot) -> *mut Slot {
    let moved: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: an addition, which touches no memory.
    unsafe {
        asm!(
            "lea {mark}, [{slot} + {by}]",
            mark = inlateout(reg) mark => moved,
            slot = in(reg) slot.addr(),
            by = const BY * size_of::<Slot>() as isize,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: an addition, which touches no memory.
    unsafe {
        asm!(
            "add {mark}, {slot}, {by}",
            mark = inlateout(reg) mark => moved,
            slot = in(reg) slot.addr(),
            by = const BY * size_of::<Slot>() as isize,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = core::hint::black_box(mark);
        moved = slot.wrapping_offset(BY).addr();
    }
    slot.with_addr(moved)
}

/// At the end of a slow call of the program's: no register keeps a mark, as in `step_over`.
#[inline(always)]
pub(crate) fn clear_registers() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: registers that a call may change anyway.
    unsafe {
        asm!(
            "xor ecx, ecx", "xor edx, edx", "xor esi, esi", "xor edi, edi", "xor r8d, r8d", "xor r9d, r9d", "xor r10d, r10d", "xor r11d, r11d",
            out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            options(nomem, nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: registers that a call may change anyway.
    unsafe {
        asm!(
            ".irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17",
            "mov x\\n, xzr",
            ".endr",
            out("x1") _, out("x2") _, out("x3") _, out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _,
            out("x10") _, out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _,
            options(nomem, nostack),
        );
    }
}
