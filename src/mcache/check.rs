//! What bins check where the program is in C: that a block which passes between the program, a bin and its span is what it is held for.
//!
//! Called by the bins, in checked builds only. The rules are K1 and K2 of `mspan::mark`. Where a rule is broken the process ends with one
//! line, before the block has two owners; no link is followed that was not recognised.

use crate::base::addr::Addr;
use crate::mspan::{Block, MSpan, State};
use crate::os::report::misuse;
use crate::size_class::SizeClass;
use crate::tiers::Tiers;

/// Objects of the smallest class have no second word, and no mark. C's `malloc` does not use it.
#[inline]
const fn has_marks(class: SizeClass) -> bool {
    class.index() > 0
}

/// The block in front of every bin.
#[repr(align(16))]
struct Unowned(#[expect(dead_code, reason = "read as a block")] [usize; 2]);

static UNOWNED: Unowned = Unowned([0; 2]);

/// A block that is nobody's: it is never marked, so that a bin that holds nothing else gives nothing.
pub(super) const fn unowned() -> *mut Block {
    (&raw const UNOWNED).cast::<Block>().cast_mut()
}

/// Whether `block`, the youngest of a bin, may be handed out. If not, the bin is empty, or something is wrong.
#[inline]
pub(super) fn is_free(class: SizeClass, block: *mut Block) -> bool {
    if !has_marks(class) {
        return block != unowned();
    }
    // SAFETY: a block of a bin is an object of its class at least.
    unsafe { Block::is_marked(block) }
}

/// `block` is about to be handed out.
#[inline]
pub(super) fn hand_out(class: SizeClass, block: *mut Block) {
    if has_marks(class) && !block.is_null() {
        // SAFETY: an object of the class that is the caller's.
        unsafe { Block::clear_mark(block) };
    }
}

/// A bin of `class` takes `block` back from the program.
///
/// # Safety
/// The block is at least of the class's size, and the caller's.
#[inline]
pub(super) unsafe fn take_back(class: SizeClass, block: *mut Block) {
    if has_marks(class) {
        // SAFETY: as the caller promised.
        unsafe { Block::set_mark(block) };
    }
}

/// `block` goes back to its span, from a bin or from the program.
///
/// # Safety
/// The block is an object of `span`, and the caller's.
#[inline]
pub(super) unsafe fn leave(span: &MSpan, block: *mut Block) {
    if span.state() == State::Small && span.size() > 8 {
        // SAFETY: as the caller promised.
        unsafe { Block::set_mark(block) };
    }
}

/// `block` is about to leave a bin of `class` for its span.
pub(super) fn flush(tiers: &Tiers, class: SizeClass, block: *mut Block) {
    let Some(span) = tiers.mheap.map().span_of(Addr::of(block)) else {
        misuse(
            "free",
            block.addr(),
            class.size(),
            "no block of this heap, or freed twice",
        );
    };
    if span.state() == State::Large {
        // By way of Rust's sized deallocation a large object may have got here, where its alignment made it one.
        return;
    }
    if span.state() == State::Free {
        misuse(
            "free",
            block.addr(),
            class.size(),
            "its span has ended: it was freed twice",
        );
    }
    if span.size() <= 8 || !has_marks(class) {
        return;
    }
    if !span.is_free_object(block) {
        report_unmarked(block, class.size());
    }
    // SAFETY: an object of the span whose mark says that it is free, and this thread's as far as it knows.
    let next = unsafe { Block::next(block) };
    if next.is_null() || span.is_object(next) {
        misuse("free", block.addr(), class.size(), "freed twice, by two threads");
    }
}

/// `block` is an object of `span` that was carved just now.
pub(super) fn fresh(span: &MSpan, block: *mut Block) {
    if span.size() <= 8 {
        return;
    }
    // SAFETY: an object of the span.
    if span.zeroed() && unsafe { Block::second(block) } != 0 {
        misuse(
            "malloc",
            block.addr(),
            span.size(),
            "a block that was never handed out was freed or written to",
        );
    }
    // SAFETY: as above, and the caller's.
    unsafe { Block::set_mark(block) };
    if !span.zeroed() {
        // An earlier span may have left a link here (K2).
        // SAFETY: likewise.
        unsafe { Block::unlink(block) };
    }
}

/// A block of a bin or of a list is not marked as free.
#[cold]
#[inline(never)]
pub(super) fn report_unmarked(block: *mut Block, size: usize) -> ! {
    misuse(
        "malloc",
        block.addr(),
        size,
        "a free block was written to, or it was freed twice",
    )
}
