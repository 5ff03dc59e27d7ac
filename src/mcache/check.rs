//! The checks of the bins in programs written in C: each block that passes between the program, a
//! bin and its span is in the state that the receiver expects.
//!
//! The bins call these functions, in checked builds only. The rules are FREEMARK-1 and FREEMARK-2
//! of `mspan::mark`. If a rule is broken, the process ends with one line before two owners hold the
//! block. No link is followed that was not recognised.

use crate::mspan::{Block, MSpan, State};
use crate::os::report::{ALREADY_FREE, misuse};
use crate::size_class::SizeClass;

/// Whether objects of `class` have marks. Objects of the smallest class have no second word for
/// one, and C's `malloc` does not use that class.
#[inline]
const fn has_marks(class: SizeClass) -> bool {
    class.index() > 0
}

/// The block in front of every bin.
#[repr(align(16))]
struct Unowned(#[expect(dead_code, reason = "read as a block")] [usize; 2]);

static UNOWNED: Unowned = Unowned([0; 2]);

/// Returns the block in front of every bin, which no caller owns. It is never marked, so a bin that
/// holds nothing else hands nothing out.
pub(super) const fn unowned() -> *mut Block {
    (&raw const UNOWNED).cast::<Block>().cast_mut()
}

/// Whether `block`, the youngest of a bin, may be handed out. If not, the bin is empty, or the
/// block was misused.
#[inline]
pub(super) fn is_free(class: SizeClass, block: *mut Block) -> bool {
    if !has_marks(class) {
        return block != unowned();
    }
    // SAFETY: a block of a bin is an object of its class at least (BIN-1), so it has a second word.
    unsafe { Block::is_marked(block) }
}

/// Clears the mark of `block`, which is about to be handed out.
#[inline]
pub(super) fn hand_out(class: SizeClass, block: *mut Block) {
    if has_marks(class) && !block.is_null() {
        // SAFETY: an object of the class that is the caller's.
        unsafe { Block::clear_mark(block) };
    }
}

/// Marks `block`, which a bin of `class` takes back from the program.
///
/// # Safety
/// The block is at least of the class's size, and the caller's.
#[inline]
pub(super) unsafe fn take_back(class: SizeClass, block: *mut Block) {
    if has_marks(class) {
        // SAFETY: the block is the caller's, and of the class's size (contract of this function).
        unsafe { Block::set_mark(block) };
    }
}

/// Marks `block`, which goes back to its span from a bin or from the program.
///
/// # Safety
/// The block is an object of `span`, and the caller's.
#[inline]
pub(super) unsafe fn leave(span: &MSpan, block: *mut Block) {
    if span.state() == State::Small && span.size() > 8 {
        // SAFETY: the block is the caller's, and an object of the span (contract of this function).
        unsafe { Block::set_mark(block) };
    }
}

/// Checks `block`, which is about to leave a bin of `class` for `span`.
#[inline]
pub(super) fn flush(span: &MSpan, class: SizeClass, block: *mut Block) {
    if span.state() == State::Large {
        // Rust's sized deallocation may put an object here that is large for its alignment.
        return;
    }
    if span.state() == State::Free {
        misuse("free", block.addr(), class.size(), ALREADY_FREE);
    }
    if span.size() <= 8 || !has_marks(class) {
        return;
    }
    if !span.is_free_object(block) {
        report_unmarked(block, class.size());
    }
    // SAFETY: a free object of the span: its mark says so. It is this thread's unless two threads
    // freed it, which the next test finds if it is a trunk. A bin finds the mark of a leaf missing.
    if unsafe { span.seems_linked(block) } {
        misuse("free", block.addr(), class.size(), "freed twice, by two threads");
    }
}

/// Checks and marks `block`, an object of `span` that was carved just now.
pub(super) fn fresh(span: &MSpan, block: *mut Block) {
    if span.size() <= 8 {
        return;
    }
    if !span.zeroed() {
        // SAFETY: the object has a second word, and is the caller's.
        unsafe { Block::set_mark(block) };
        // An earlier span may have left a link here, which FREEMARK-2 forbids.
        // SAFETY: the object is the caller's.
        unsafe { Block::unlink(block) };
        return;
    }
    // SAFETY: the object has a second word, and is the caller's.
    if unsafe { Block::exchange_mark(block) } != 0 {
        misuse(
            "malloc",
            block.addr(),
            span.size(),
            "a block that was never handed out was freed or written to before this call",
        );
    }
}

/// Ends the process: a block of a bin or of a free list is not marked as free.
#[cold]
#[inline(never)]
pub(super) fn report_unmarked(block: *mut Block, size: usize) -> ! {
    misuse(
        "malloc",
        block.addr(),
        size,
        "a free block was written to or freed twice before this call",
    )
}
