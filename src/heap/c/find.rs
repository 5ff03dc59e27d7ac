//! Finds out whether a pointer of a C program is a block in use, a free block, another allocator's
//! block, or wrong.
//!
//! The span's record and the block's mark tell. Called by the operations of `c` and by `nested`.

use super::free::free;
use super::spare;
use crate::base::addr::Addr;
use crate::heap::Heap;
use crate::mspan::{Block, MSpan, State};
use crate::os;
use crate::os::report::{ALREADY_FREE, NO_BLOCK, misuse};
use crate::size_class::SizeClass;

/// A block in use, as a free must know it.
pub(super) enum Found {
    Small(SizeClass),
    Large,
}

impl Heap {
    /// Returns the span and the kind of the block at `ptr`. `None`: memory of another allocator,
    /// which stays untouched. If `ptr` is neither that nor a block of this heap in use, ends the
    /// process in the name of `call`.
    pub(super) fn find(&self, call: &str, ptr: *mut u8) -> Option<(&'static MSpan, Found)> {
        let address = ptr.addr();
        let Some(span) = self.tiers.mheap.map().span_of(Addr::of(ptr)) else {
            if spare::size(ptr).is_some() || os::foreign::is_others(ptr) {
                return None;
            }
            misuse(call, address, 0, NO_BLOCK);
        };
        match (span.state(), span.class()) {
            (State::Small, Some(class)) => {
                let size = class.size();
                if !span.is_object(ptr) {
                    misuse(
                        call,
                        address,
                        size,
                        "the pointer does not point to the start of a block",
                    );
                }
                // SAFETY: an object of the span, of at least 16 bytes (C-1).
                let marked = size > 8 && unsafe { Block::is_marked(ptr.cast()) };
                // A sunk object has no mark (HOLE-2).
                if marked || self.tiers.mheap.is_sunk(span, ptr) {
                    misuse(call, address, size, ALREADY_FREE);
                }
                Some((span, Found::Small(class)))
            }
            (State::Large, _) => {
                if ptr != span.base() {
                    misuse(
                        call,
                        address,
                        span.size(),
                        "the pointer does not point to the start of the block",
                    );
                }
                if span.kept() {
                    misuse(call, address, span.size(), ALREADY_FREE);
                }
                Some((span, Found::Large))
            }
            _ => misuse(call, address, 0, ALREADY_FREE),
        }
    }

    /// Takes the block at `ptr` from the program, for a call that cannot free it yet: marks it as
    /// free. `false`: it is another allocator's.
    pub(super) fn set_aside(&self, ptr: *mut u8) -> bool {
        match self.find("free", ptr) {
            // SAFETY: an object of the span, of at least 16 bytes (C-1), which the program has
            // given up.
            Some((_, Found::Small(_))) => unsafe { Block::set_mark(ptr.cast()) },
            Some((span, Found::Large)) => {
                if span.keep() {
                    misuse("free", ptr.addr(), span.size(), ALREADY_FREE);
                }
            }
            None => return false,
        }
        true
    }

    /// Ends the process unless a block that was set aside begins at `ptr`. If the program has
    /// overwritten a link, the link may lead anywhere.
    pub(super) fn check_set_aside(&self, ptr: *mut u8) {
        let right = match self.tiers.mheap.map().span_of(Addr::of(ptr)) {
            Some(span) if span.state() == State::Small && span.is_object(ptr) => {
                // SAFETY: an object of the span, of at least 16 bytes (C-1).
                unsafe { Block::is_marked(ptr.cast()) }
            }
            Some(span) => span.state() == State::Large && ptr == span.base() && span.kept(),
            None => false,
        };
        if !right {
            misuse("free", ptr.addr(), 0, "the program wrote to a block after it was freed");
        }
    }

    /// Frees a block that was set aside and unlinked.
    ///
    /// # Safety
    /// [`check_set_aside`](Self::check_set_aside) found the block in order, and no code uses it any
    /// more.
    pub(super) unsafe fn free_set_aside(&self, ptr: *mut u8) {
        match self.tiers.mheap.map().span_of(Addr::of(ptr)) {
            Some(span) if span.state() == State::Large => span.clear_kept(),
            // SAFETY: the object has at least 16 bytes (C-1), and is this call's.
            _ => unsafe { Block::clear_mark(ptr.cast()) },
        }
        // SAFETY: the block is in use again, and no code uses it (contract of this function).
        unsafe { free(ptr) };
    }
}
