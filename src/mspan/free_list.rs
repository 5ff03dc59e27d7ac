//! Lists of a span's free objects that touch few of them.
//!
//! A list is a chain of trunks. A trunk is a free object in which stands, besides the link to the next trunk, where other free objects of
//! its span lie: its leaves, which are not touched at all. So an object that one thread makes and another frees passes from the one
//! processor's cache to the other's once and not twice, and who takes objects off a list waits for one cache miss a trunk where a list
//! linked through each object costs one after the other. (SQLite's file format keeps free pages so.)
//!
//! ```text
//!  list ──► trunk ─────────────► trunk ─────────► null
//!           next │ n │ leaf × n  next │ n │ leaf × n
//! ```
//!
//! Whoever takes objects off a list has them fetched for writing: stores to memory that another processor's cache has would otherwise wait
//! for each other, where loads along a chain would have fetched it in passing.
//!
//! - F1. A trunk's first word is the pointer to the next trunk, or null. If it is of more than 8 bytes, there follow the number of its
//!   leaves and each leaf's offset in the span in units of 8 bytes, oldest first.
//!   Where the program is in C, trunks have no leaves, and their links are encoded: see `mark`.
//! - F2. Only the first trunk of a list grows. A list's owner knows how many objects, trunks and leaves, it has.

use super::mark::{CHECKED, coded};
use crate::base::addr::Addr;
use crate::base::prefetch::prefetch;

/// A free object. Only trunks are written to, as F1 says.
#[repr(C)]
pub(crate) struct Block {
    next: *mut Block,
}

/// Bytes of a trunk in front of its leaves.
const HEAD: usize = size_of::<usize>() + size_of::<u16>();

/// How a span is cut, as far as its lists have to know.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    base: *mut u8,
    /// Leaves that a trunk holds at the most; 0 when it has no room for their number either.
    leaves: u32,
}

impl Cut {
    /// Objects of `size` bytes from `base` on.
    #[inline(always)]
    pub(crate) fn new(base: *mut u8, size: usize) -> Self {
        Self {
            base,
            leaves: if CHECKED {
                0
            } else {
                (size.saturating_sub(HEAD) / size_of::<u16>()) as u32
            },
        }
    }

    /// The cut of no span.
    pub(crate) const NONE: Self = Self {
        base: core::ptr::null_mut(),
        leaves: 0,
    };

    /// Leaves that a trunk holds at the most.
    pub(crate) fn leaves(self) -> u32 {
        self.leaves
    }

    /// Bytes from the span's first to `block`; of a block of another span, a number above the span's length.
    #[inline(always)]
    pub(crate) fn offset(self, block: *mut Block) -> usize {
        Addr::of(block).offset_from(Addr::of(self.base))
    }

    /// How many leaves a trunk has.
    ///
    /// # Safety
    /// `trunk` is one of the span's, and the caller's.
    #[inline(always)]
    unsafe fn count(self, trunk: *mut Block) -> usize {
        if self.leaves == 0 {
            return 0;
        }
        // SAFETY: the caller's trunk has room for the number (F1).
        usize::from(unsafe { count_of(trunk).read() })
    }

    /// Notes how many leaves a trunk has.
    ///
    /// # Safety
    /// As for `count`.
    #[inline(always)]
    pub(crate) unsafe fn set_count(self, trunk: *mut Block, count: usize) {
        if self.leaves != 0 {
            // SAFETY: the caller's trunk has room for the number (F1).
            unsafe { count_of(trunk).write(count as u16) };
        }
    }
}

#[inline(always)]
fn count_of(trunk: *mut Block) -> *mut u16 {
    trunk.cast::<u16>().wrapping_add(size_of::<usize>() / size_of::<u16>())
}

#[inline(always)]
fn leaf_of(trunk: *mut Block, index: usize) -> *mut u16 {
    trunk.cast::<u16>().wrapping_add(HEAD / size_of::<u16>() + index)
}

impl Block {
    /// The trunk behind this one.
    ///
    /// # Safety
    /// `trunk` is a trunk of a list that is the caller's.
    #[inline(always)]
    pub(crate) unsafe fn next(trunk: *mut Block) -> *mut Block {
        // SAFETY: the caller's trunk is at least a word long and aligned to 8.
        let next = unsafe { (*trunk).next };
        coded(trunk, next)
    }

    /// Lets `next` follow a trunk.
    ///
    /// # Safety
    /// As for [`next`](Self::next).
    #[inline(always)]
    pub(crate) unsafe fn set_next(trunk: *mut Block, next: *mut Block) {
        // SAFETY: as in `next`.
        unsafe { (*trunk).next = coded(trunk, next) };
    }

    /// Makes the first word of a block that is on no list any more no link (K2 of `mark`).
    ///
    /// # Safety
    /// As for [`next`](Self::next).
    pub(crate) unsafe fn unlink(trunk: *mut Block) {
        // SAFETY: as in `next`.
        unsafe { (*trunk).next = core::ptr::null_mut() };
    }

    /// Makes `block` the first trunk of the list that began at `head`, without leaves.
    ///
    /// # Safety
    /// `block` is a free object of a span cut as `cut` says, on no list; it and the list are the caller's.
    #[inline(always)]
    pub(crate) unsafe fn push_trunk(head: *mut Block, block: *mut Block, cut: Cut) {
        // SAFETY: the block is the caller's.
        unsafe { Self::set_next(block, head) };
        // SAFETY: as above.
        unsafe { cut.set_count(block, 0) };
    }

    /// Lets the leaf of a trunk with number `index` be the object `offset` bytes from the span's first.
    ///
    /// # Safety
    /// The trunk is the caller's, and has room for so many.
    #[inline(always)]
    pub(crate) unsafe fn set_leaf(trunk: *mut Block, index: usize, offset: usize) {
        // SAFETY: as the caller promised.
        unsafe { leaf_of(trunk, index).write((offset / 8) as u16) };
    }

    /// Adds `block` to the list that begins at `head`. Returns where the list begins now.
    ///
    /// # Safety
    /// As for [`push_trunk`](Self::push_trunk); the list is not empty.
    #[inline(always)]
    pub(crate) unsafe fn push(head: *mut Block, block: *mut Block, cut: Cut) -> *mut Block {
        // SAFETY: the list is the caller's.
        let count = unsafe { cut.count(head) };
        if count < cut.leaves as usize {
            // SAFETY: the trunk has room for one more leaf.
            unsafe { Self::set_leaf(head, count, cut.offset(block)) };
            // SAFETY: the list is the caller's.
            unsafe { cut.set_count(head, count + 1) };
            return head;
        }
        // SAFETY: as the caller promised.
        unsafe { Self::push_trunk(head, block, cut) };
        block
    }

    /// Takes `count` objects off the list that begins at `head`, of the first trunk the youngest first, and gives each to `put`. Returns
    /// where what is left begins.
    ///
    /// # Safety
    /// The list is the caller's, of a span cut as `cut` says, and holds at least `count` objects.
    #[inline(always)]
    pub(crate) unsafe fn take(head: *mut Block, count: u32, cut: Cut, mut put: impl FnMut(*mut Block)) -> *mut Block {
        let (mut trunk, mut wanted) = (head, count as usize);
        while wanted > 0 {
            // SAFETY: the list holds more, so this is one of its trunks.
            let next = unsafe { Self::next(trunk) };
            prefetch(next);
            // SAFETY: as above.
            let leaves = unsafe { cut.count(trunk) };
            let stay = leaves - leaves.min(wanted);
            for index in (stay..leaves).rev() {
                // SAFETY: the trunk has so many leaves.
                let offset = unsafe { leaf_of(trunk, index).read() };
                let block = cut.base.wrapping_add(usize::from(offset) * 8).cast();
                prefetch(block);
                put(block);
            }
            wanted -= leaves - stay;
            if wanted == 0 {
                // SAFETY: the trunk is the caller's.
                unsafe { cut.set_count(trunk, stay) };
                break;
            }
            put(trunk);
            wanted -= 1;
            trunk = next;
        }
        trunk
    }

    /// The last trunk of the list of `count` objects that begins at `head`. The number keeps a list that was written over from sending the
    /// walk astray for ever.
    ///
    /// # Safety
    /// The list is the caller's, of a span cut as `cut` says.
    pub(crate) unsafe fn last(head: *mut Block, count: u32, cut: Cut) -> *mut Block {
        let (mut trunk, mut left) = (head, count as usize);
        loop {
            // SAFETY: the list is the caller's.
            left = left.saturating_sub(unsafe { cut.count(trunk) } + 1);
            if left == 0 {
                return trunk;
            }
            // SAFETY: as above.
            trunk = unsafe { Self::next(trunk) };
        }
    }
}
