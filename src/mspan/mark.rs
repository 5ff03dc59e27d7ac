//! The mark of a free object, and the code of its link, where the program is in C ([`CHECKED`]).
//!
//! There lists have trunks only, whose links are encoded, and a free object's second word holds a mark: a value that follows from its
//! address and that no live object holds. So a block that is freed while it is free, and one that was written to after its end, are
//! recognised before two owners hold it. Bins and lists call this; nobody else writes to free blocks.
//!
//! - K1. A free block of more than 8 bytes is marked from the time it is freed, or first put into a bin, to the time it is handed out.
//! - K2. The link of a block on a list decodes to null or to a marked object of the same span. That of a block in a bin does not, except by a
//!   chance of one in 2^45 or so.

use super::Block;

/// Whether free blocks are marked and their links encoded: in builds for programs in C, whose frees name no layout and may be wrong.
pub(crate) const CHECKED: bool = cfg!(feature = "preload");

/// What the mark of a block adds to its address. Odd, so that no pointer to an object looks like it.
const MARK: usize = 0x5bd1_e995;

impl Block {
    /// What the second word of `block` holds while it is free.
    #[inline(always)]
    pub(crate) fn mark(block: *mut Block) -> usize {
        block.addr().wrapping_add(MARK)
    }

    #[inline(always)]
    fn second_word(block: *mut Block) -> *mut usize {
        block.cast::<usize>().wrapping_add(1)
    }

    /// What the second word of `block` holds now.
    ///
    /// # Safety
    /// `block` is an object of more than 8 bytes of a span.
    #[inline(always)]
    pub(crate) unsafe fn second(block: *mut Block) -> usize {
        // SAFETY: the object has a second word. Should its owner write to it meanwhile, the program has freed what it uses.
        unsafe { Self::second_word(block).read() }
    }

    /// Whether the block is marked as free.
    ///
    /// # Safety
    /// As for [`second`](Self::second).
    #[inline(always)]
    pub(crate) unsafe fn is_marked(block: *mut Block) -> bool {
        // SAFETY: as the caller promised.
        unsafe { Self::second(block) == Self::mark(block) }
    }

    /// Marks the block as free.
    ///
    /// # Safety
    /// `block` is an object of more than 8 bytes of a span, and the caller's.
    #[inline(always)]
    pub(crate) unsafe fn set_mark(block: *mut Block) {
        // SAFETY: the object has a second word, and is the caller's.
        unsafe { Self::second_word(block).write(Self::mark(block)) };
    }

    /// Takes the mark away: the block is about to be handed out.
    ///
    /// # Safety
    /// As for [`set_mark`](Self::set_mark).
    #[inline(always)]
    pub(crate) unsafe fn clear_mark(block: *mut Block) {
        // SAFETY: the object has a second word, and is the caller's.
        unsafe { Self::second_word(block).write(0) };
    }
}

/// `link` as it is written into `block`, and back.
#[cfg(not(feature = "preload"))]
#[inline(always)]
pub(super) fn coded(_: *mut Block, link: *mut Block) -> *mut Block {
    link
}

/// `link` as it is written into `block`, and back: mixed with the block's own address and with what only this process knows, so that a
/// written-over link leads nowhere.
///
/// The address is multiplied: a program may copy a link that an earlier block left in its memory to another block. By the addresses alone that
/// would lead from there as far as it did before, to an object perhaps; so mixed it leads anywhere.
#[cfg(feature = "preload")]
#[inline(always)]
pub(super) fn coded(block: *mut Block, link: *mut Block) -> *mut Block {
    block.with_addr(link.addr() ^ block.addr().wrapping_mul(MIX) ^ secret())
}

/// An odd number without a pattern: 2^64 over the golden ratio.
#[cfg(feature = "preload")]
const MIX: usize = 0x9e37_79b9_7f4a_7c15;

/// A number that only this process knows, the same for its whole life and in its fork children.
#[cfg(feature = "preload")]
#[inline]
fn secret() -> usize {
    use crate::sync::atomic::Ordering::Relaxed;
    match SECRET.load(Relaxed) {
        0 => draw_secret(),
        secret => secret,
    }
}

/// Draws the secret now, at the start of the process: a filter may forbid it later.
#[cfg(feature = "preload")]
pub(crate) fn draw_early() {
    secret();
}

#[cfg(feature = "preload")]
static SECRET: crate::sync::atomic::AtomicUsize = crate::sync::atomic::AtomicUsize::new(0);

#[cfg(feature = "preload")]
#[cold]
#[inline(never)]
fn draw_secret() -> usize {
    use crate::sync::atomic::Ordering::Relaxed;
    // Relaxed: one value wins, and it guards no memory.
    let drawn = crate::os::random() | 1;
    match SECRET.compare_exchange(0, drawn, Relaxed, Relaxed) {
        Ok(_) => drawn,
        Err(first) => first,
    }
}
