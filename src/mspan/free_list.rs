//! Lists of a span's free objects that touch few of them.
//!
//! A free list is a chain of *trunk* objects. Besides its link, a trunk stores the positions of
//! other free objects of its span: its *leaves*. Leaves are never touched.
//!
//! ```text
//!  list ──► trunk ─────────────► trunk ─────────► null
//!           next │ n │ leaf × n  next │ n │ leaf × n
//! ```
//!
//! Two gains over a list that links through each object:
//!
//! - An object that one thread makes and another frees moves between the two processors' caches
//!   once, not twice.
//! - A thread that takes objects off a list waits for one cache miss per trunk, not one per object.
//!
//! (SQLite's file format keeps its free pages this way.)
//!
//! A thread that takes objects off a list prefetches them for writing. Without that, the program's
//! first stores to them would wait for one another.
//!
//! - FREELIST-1. A trunk's first word is the pointer to the next trunk, or null. If the trunk has
//!   more than 8 bytes, the number of its leaves follows, then each leaf's offset in the span in
//!   units of 8 bytes, oldest first. In checked builds the number stands in the link's top bits,
//!   the trunk's mark follows, and all but the mark is encoded: see `mark`. So a trunk of 16 bytes
//!   has no leaves.
//! - FREELIST-2. Only the first trunk of a list grows. A list's owner knows the number of its
//!   objects, trunks and leaves together.

use super::mark::{CHECKED, coded, coded_leaf, decoded, with_leaves, with_one_more};
use crate::base::addr::Addr;
use crate::base::prefetch::prefetch;

/// A free object. Only trunks are written to (FREELIST-1).
#[repr(C)]
pub(crate) struct Block {
    next: *mut Block,
}

/// Bytes of a trunk in front of its leaves: the link, and the number of the leaves or the mark.
const HEAD: usize = size_of::<usize>() + if CHECKED { size_of::<usize>() } else { size_of::<u16>() };

/// The layout of a span, as far as its lists need it.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    base: *mut u8,
    /// Most leaves that a trunk holds; 0 also if it has no room for their number.
    leaves: u32,
}

impl Cut {
    /// Describes objects of `size` bytes from `base` on.
    #[inline(always)]
    pub(crate) fn new(base: *mut u8, size: usize) -> Self {
        Self {
            base,
            leaves: (size.saturating_sub(HEAD) / size_of::<u16>()) as u32,
        }
    }

    /// Describes no span.
    pub(crate) const NONE: Self = Self {
        base: core::ptr::null_mut(),
        leaves: 0,
    };

    /// Returns the most leaves that a trunk holds.
    pub(crate) fn leaves(self) -> u32 {
        self.leaves
    }

    /// Returns the bytes from the span's start to `block`. For a block of another span, the result
    /// is above the span's length.
    #[inline(always)]
    pub(crate) fn offset(self, block: *mut Block) -> usize {
        Addr::of(block).offset_from(Addr::of(self.base))
    }

    /// Returns the number of a trunk's leaves.
    ///
    /// # Safety
    /// `trunk` is a trunk of the span, and the caller's.
    #[inline(always)]
    pub(super) unsafe fn count(self, trunk: *mut Block) -> usize {
        if CHECKED {
            // SAFETY: `trunk` is a trunk, and the caller's (contract of this function).
            return unsafe { Block::head(trunk) }.1;
        }
        if self.leaves == 0 {
            return 0;
        }
        // SAFETY: the caller's trunk has room for the number (FREELIST-1).
        usize::from(unsafe { count_of(trunk).read() })
    }

    /// Notes the number of leaves of a trunk that has noted none yet.
    ///
    /// # Safety
    /// `trunk` is a trunk of the span, and the caller's.
    #[inline(always)]
    pub(crate) unsafe fn note_count(self, trunk: *mut Block, count: usize) {
        if CHECKED {
            // SAFETY: the trunk is at least a word long and aligned to 8.
            let word = unsafe { (*trunk).next };
            // SAFETY: the trunk is at least a word long and aligned to 8.
            unsafe { (*trunk).next = with_leaves(word, count) };
        } else {
            // SAFETY: `trunk` is a trunk, and the caller's (contract of this function).
            unsafe { self.set_count(trunk, count) };
        }
    }

    /// Notes the number of a trunk's leaves.
    ///
    /// # Safety
    /// `trunk` is a trunk of the span, and the caller's.
    #[inline(always)]
    pub(crate) unsafe fn set_count(self, trunk: *mut Block, count: usize) {
        if CHECKED {
            // SAFETY: `trunk` is a trunk, and the caller's (contract of this function).
            let next = unsafe { Block::next(trunk) };
            // SAFETY: the trunk is at least a word long and aligned to 8.
            unsafe { (*trunk).next = coded(trunk, next, count) };
        } else if self.leaves != 0 {
            // SAFETY: the caller's trunk has room for the number (FREELIST-1).
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
    /// Returns the trunk behind this one.
    ///
    /// # Safety
    /// `trunk` is a trunk of a list that is the caller's.
    #[inline(always)]
    pub(crate) unsafe fn next(trunk: *mut Block) -> *mut Block {
        // SAFETY: `trunk` is a trunk of the caller's list (contract of this function).
        unsafe { Self::head(trunk) }.0
    }

    /// Returns the trunk behind this one and, in checked builds, the number of this one's leaves.
    ///
    /// # Safety
    /// The contract of [`next`](Self::next).
    #[inline(always)]
    pub(super) unsafe fn head(trunk: *mut Block) -> (*mut Block, usize) {
        // SAFETY: the caller's trunk is at least a word long and aligned to 8.
        let word = unsafe { (*trunk).next };
        decoded(trunk, word)
    }

    /// Makes `next` the successor of `trunk`, which keeps its leaves.
    ///
    /// # Safety
    /// The contract of [`next`](Self::next).
    #[inline(always)]
    pub(crate) unsafe fn set_next(trunk: *mut Block, next: *mut Block) {
        // SAFETY: `trunk` is a trunk of the caller's list (contract of this function).
        let leaves = unsafe { Self::head(trunk) }.1;
        // SAFETY: the caller's trunk is at least a word long and aligned to 8.
        unsafe { (*trunk).next = coded(trunk, next, leaves) };
    }

    /// Makes `next` the successor of `block`, whose first word held no link.
    ///
    /// # Safety
    /// The block is at least a word long and aligned to 8, and the caller's.
    #[inline(always)]
    pub(crate) unsafe fn link(block: *mut Block, next: *mut Block) {
        // SAFETY: the block has a first word and is the caller's (contract of this function).
        unsafe { (*block).next = coded(block, next, 0) };
    }

    /// Clears the link of a block that has left its list (FREEMARK-2).
    ///
    /// # Safety
    /// The contract of [`next`](Self::next).
    pub(crate) unsafe fn unlink(trunk: *mut Block) {
        // SAFETY: the caller's trunk is at least a word long and aligned to 8.
        unsafe { (*trunk).next = core::ptr::null_mut() };
    }

    /// Makes `block` the first trunk, without leaves, of the list that began at `head`.
    ///
    /// # Safety
    /// `block` is a free object of a span cut as `cut` says, and on no list. The block and the list
    /// are the caller's.
    #[inline(always)]
    pub(crate) unsafe fn push_trunk(head: *mut Block, block: *mut Block, cut: Cut) {
        // SAFETY: the block is the caller's (contract of this function).
        unsafe { Self::link(block, head) };
        if !CHECKED {
            // SAFETY: the block is the caller's, and a trunk now.
            unsafe { cut.set_count(block, 0) };
        }
    }

    /// Makes the object `offset` bytes from the span's start the leaf with number `index` of a
    /// trunk.
    ///
    /// # Safety
    /// The trunk is the caller's and has room for `index + 1` leaves.
    #[inline(always)]
    pub(crate) unsafe fn set_leaf(trunk: *mut Block, index: usize, offset: usize) {
        // SAFETY: the trunk is the caller's and has room (contract of this function).
        unsafe { leaf_of(trunk, index).write(coded_leaf(trunk, (offset / 8) as u16)) };
    }

    /// Returns the leaf with number `index` of a trunk.
    ///
    /// # Safety
    /// The trunk is the caller's, of a span cut as `cut` says, and has room for that leaf.
    #[inline(always)]
    pub(super) unsafe fn leaf(trunk: *mut Block, index: usize, cut: Cut) -> *mut Block {
        // SAFETY: the trunk is the caller's and has room (contract of this function).
        let place = unsafe { leaf_of(trunk, index).read() };
        cut.base.wrapping_add(usize::from(coded_leaf(trunk, place)) * 8).cast()
    }

    /// Adds `block` to the list that begins at `head`. Returns the list's new first trunk.
    ///
    /// # Safety
    /// The contract of [`push_trunk`](Self::push_trunk); also, the list is not empty.
    #[inline(always)]
    pub(crate) unsafe fn push(head: *mut Block, block: *mut Block, cut: Cut) -> *mut Block {
        // SAFETY: `head` is the first trunk of the caller's list.
        let word = unsafe { (*head).next };
        // SAFETY: `head` is the first trunk of the caller's list.
        let count = unsafe { cut.count(head) };
        if count < cut.leaves as usize {
            // SAFETY: the trunk has room for one more leaf.
            unsafe { Self::set_leaf(head, count, cut.offset(block)) };
            if CHECKED {
                // SAFETY: `head` is the first trunk of the caller's list.
                unsafe { (*head).next = with_one_more(head, word) };
            } else {
                // SAFETY: `head` is the first trunk of the caller's list.
                unsafe { cut.set_count(head, count + 1) };
            }
            return head;
        }
        // SAFETY: the block and the list are the caller's (contract of this function).
        unsafe { Self::push_trunk(head, block, cut) };
        block
    }

    /// Takes `count` objects off the list that begins at `head` and gives each to `put`; from a
    /// trunk, the youngest leaf first. Returns the first trunk of the rest.
    ///
    /// # Safety
    /// The list is the caller's, of a span cut as `cut` says, and holds at least `count` objects.
    #[inline(always)]
    pub(crate) unsafe fn take(head: *mut Block, count: u32, cut: Cut, mut put: impl FnMut(*mut Block)) -> *mut Block {
        let (mut trunk, mut wanted) = (head, count as usize);
        while wanted > 0 {
            // SAFETY: the list holds more objects, so `trunk` is one of its trunks.
            let next = unsafe { Self::next(trunk) };
            prefetch(next);
            // SAFETY: the list holds more objects, so `trunk` is one of its trunks.
            let leaves = unsafe { cut.count(trunk) };
            let stay = leaves - leaves.min(wanted);
            for index in (stay..leaves).rev() {
                // SAFETY: the index is below the number of the trunk's leaves.
                let block = unsafe { Self::leaf(trunk, index, cut) };
                prefetch(block);
                put(block);
            }
            wanted -= leaves - stay;
            if wanted == 0 {
                // SAFETY: the trunk is the caller's and had at least `stay` leaves.
                unsafe { cut.set_count(trunk, stay) };
                break;
            }
            put(trunk);
            wanted -= 1;
            trunk = next;
        }
        trunk
    }

    /// Returns the last trunk of the list of `count` objects that begins at `head`. The number
    /// bounds the walk, so an overwritten list cannot make it endless.
    ///
    /// # Safety
    /// The list is the caller's, of a span cut as `cut` says.
    pub(crate) unsafe fn last(head: *mut Block, count: u32, cut: Cut) -> *mut Block {
        let (mut trunk, mut left) = (head, count as usize);
        loop {
            // SAFETY: `trunk` is a trunk of the caller's list.
            left = left.saturating_sub(unsafe { cut.count(trunk) } + 1);
            if left == 0 {
                return trunk;
            }
            // SAFETY: `trunk` is a trunk of the caller's list.
            trunk = unsafe { Self::next(trunk) };
        }
    }
}
