//! The mark of a free object and the encoding of its link, in checked builds ([`CHECKED`]).
//!
//! In a checked build, the second word of a free object holds a mark: a value computed from its
//! address that no live object holds. The links of lists are encoded. So the heap recognises a
//! block that is freed twice, or written to after its free, before two callers hold it. Only bins
//! and lists write to free blocks, through this module.
//!
//! A trunk's mark and link are checked when objects leave its list. A leaf's place is checked then,
//! and its mark when its bin hands it out, so a refill waits for no leaf.
//!
//! - FREEMARK-1. A free block of more than 8 bytes is marked from its free (or its first entry into
//!   a bin) until it is handed out. Exception: a sunk object has no mark, and its first two words
//!   are zero (HOLE-2).
//! - FREEMARK-2. The first word of a trunk decodes to null or a marked object of the same span, and
//!   to a number of leaves for which the trunk has room. The first word of a block in a bin does
//!   not, except with a chance of about one in 2^45.

use super::Block;
use crate::sync::tally::{AtomicUsize, Ordering::Relaxed};

/// Whether free blocks are marked and their links encoded. True in builds for C programs, whose
/// frees name no layout and may be wrong.
pub(crate) const CHECKED: bool = cfg!(checked);

/// The difference between a block's address and its mark. Odd, so no pointer to an object equals a
/// mark.
const MARK: usize = 0x5bd1_e995;

impl Block {
    /// Returns the value of `block`'s second word while the block is free.
    #[inline(always)]
    pub(crate) fn mark(block: *mut Block) -> usize {
        block.addr().wrapping_add(MARK)
    }

    #[inline(always)]
    fn second_word(block: *mut Block) -> *mut usize {
        block.cast::<usize>().wrapping_add(1)
    }

    /// Reads the second word of `block`.
    ///
    /// # Safety
    /// `block` is an object of more than 8 bytes of a span.
    #[inline(always)]
    pub(crate) unsafe fn second(block: *mut Block) -> usize {
        // SAFETY: the object has a second word. If its owner writes to it meanwhile, the program
        // has freed a block that it still uses.
        unsafe { Self::second_word(block).read() }
    }

    /// Returns whether the block is marked as free.
    ///
    /// # Safety
    /// The contract of [`second`](Self::second).
    #[inline(always)]
    pub(crate) unsafe fn is_marked(block: *mut Block) -> bool {
        // SAFETY: `block` is an object of more than 8 bytes of a span (contract of this function).
        unsafe { Self::second(block) == Self::mark(block) }
    }

    /// Marks the block as free.
    ///
    /// # Safety
    /// `block` is an object of more than 8 bytes of a span, and the caller's.
    #[inline(always)]
    pub(crate) unsafe fn set_mark(block: *mut Block) {
        // SAFETY: the object has a second word and is the caller's.
        unsafe { Self::second_word(block).write(Self::mark(block)) };
    }

    /// Marks the block as free and returns what its second word held before.
    ///
    /// One access reads and writes. If the page was never touched, that costs one page fault. A
    /// read would map the system's page of zeros first, and the write then fault once more.
    ///
    /// # Safety
    /// The contract of [`set_mark`](Self::set_mark).
    #[inline(always)]
    pub(crate) unsafe fn exchange_mark(block: *mut Block) -> usize {
        // SAFETY: the object has a second word, which is aligned to 8, and is the caller's.
        let word = unsafe { AtomicUsize::from_ptr(Self::second_word(block)) };
        word.swap(Self::mark(block), Relaxed)
    }

    /// Removes the mark of a block that is about to be handed out.
    ///
    /// # Safety
    /// The contract of [`set_mark`](Self::set_mark).
    #[inline(always)]
    pub(crate) unsafe fn clear_mark(block: *mut Block) {
        // SAFETY: the object has a second word and is the caller's.
        unsafe { Self::second_word(block).write(0) };
    }
}

/// The bits of a link that hold an address; the bits above hold a trunk's number of leaves. Memory
/// of the heap lies below 2^48: Linux places a mapping higher only on request.
const LINK: usize = (1 << 48) - 1;

/// Encodes the first word of the trunk `block`, from its link and the number of its leaves. The
/// code mixes in the block's address and a secret of this process, so an overwritten word leads
/// nowhere. Unchecked builds encode nothing and keep the number elsewhere.
#[inline(always)]
pub(super) fn coded(block: *mut Block, link: *mut Block, leaves: usize) -> *mut Block {
    if CHECKED {
        block.with_addr((link.addr() | leaves << 48) ^ key(block))
    } else {
        link
    }
}

/// Returns the link and the number of leaves that `word`, the first of the trunk `block`, encodes.
#[inline(always)]
pub(super) fn decoded(block: *mut Block, word: *mut Block) -> (*mut Block, usize) {
    if CHECKED {
        let plain = word.addr() ^ key(block);
        (block.with_addr(plain & LINK), plain >> 48)
    } else {
        (word, 0)
    }
}

/// Returns `word`, the first of a trunk without leaves, as the word of a trunk with so many.
#[inline(always)]
pub(super) fn with_leaves(word: *mut Block, leaves: usize) -> *mut Block {
    word.map_addr(|word| word ^ leaves << 48)
}

/// Returns `word`, the first of the trunk `block`, as the word of that trunk with one more leaf.
#[inline(always)]
pub(super) fn with_one_more(block: *mut Block, word: *mut Block) -> *mut Block {
    word.map_addr(|word| (word ^ key(block)).wrapping_add(1 << 48) ^ key(block))
}

/// Encodes the place of a leaf of `trunk`, or decodes it. If the program writes over a trunk, the
/// places that stand there then mostly name no object.
#[inline(always)]
pub(super) fn coded_leaf(trunk: *mut Block, place: u16) -> u16 {
    if CHECKED {
        place ^ (key(trunk) >> 32) as u16
    } else {
        place
    }
}

/// Returns the number that encodes the words of `block`.
///
/// The address is multiplied by a constant. Otherwise a program that copies a stale link from one
/// block to another would keep the distance it leads, perhaps to an object.
#[inline(always)]
fn key(block: *mut Block) -> usize {
    // Relaxed: the secret was drawn before the first span was cut, and a thread that passes a block
    // of a span on orders this too.
    block.addr().wrapping_mul(MIX) ^ SECRET.load(Relaxed)
}

/// An odd number without a pattern: 2^64 over the golden ratio.
const MIX: usize = 0x9e37_79b9_7f4a_7c15;

/// Draws the secret, unless that was done. The start of the process calls it, because later a
/// seccomp filter may forbid it, and so does the first span.
#[inline(always)]
pub(crate) fn draw_early() {
    if CHECKED && SECRET.load(Relaxed) == 0 {
        draw_secret();
    }
}

/// A number that only this process knows. It is the same for the whole life of the process and in
/// its fork children. 0: not drawn yet.
static SECRET: AtomicUsize = AtomicUsize::new(0);

#[cold]
#[inline(never)]
fn draw_secret() {
    // Relaxed: one value wins, and it guards no memory.
    let _ = SECRET.compare_exchange(0, crate::os::random() | 1, Relaxed, Relaxed);
}
