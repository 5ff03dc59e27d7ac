//! Windows of refills: which size classes a thread uses, and which it has left behind.
//!
//! A class without a refill in a whole window is idle. The thread leaves idle classes one by one
//! ([`refill`](super::refill)), so that no refill takes long.

#![forbid(unsafe_code)]

use crate::size_class::{COUNT, SizeClass};
use core::cell::Cell;

/// Refills, of any class, in a window.
pub(super) const WINDOW: u32 = 160;
/// Bins that run over without a refill, after which the program only frees.
pub(super) const ONLY_FREES: u32 = 64;
/// The bits of all classes.
const EVERY: u128 = (1 << COUNT) - 1;

const _: () = assert!((COUNT as u32) < WINDOW, "a window has a refill for each class");

/// Returns the bit of `class` in a set of classes.
pub(super) const fn bit(class: SizeClass) -> u128 {
    1 << class.index()
}

/// The window of refills of one thread.
pub(super) struct Window {
    /// Refills in the window so far, and their classes.
    refills: Cell<u32>,
    refilled: Cell<u128>,
    /// The classes that the last window found idle, and that the thread is yet to leave.
    idle: Cell<u128>,
    /// Bins that ran over since the last refill.
    overflows: Cell<u32>,
}

impl Window {
    /// Returns a window without refills.
    pub(super) const fn new() -> Self {
        Self {
            refills: Cell::new(0),
            refilled: Cell::new(0),
            idle: Cell::new(0),
            overflows: Cell::new(0),
        }
    }

    /// Counts a refill. Returns whether the window ends with it: the classes that were not refilled
    /// in the window are idle then.
    #[inline]
    pub(super) fn note_refill(&self, class: SizeClass) -> bool {
        self.refilled.set(self.refilled.get() | bit(class));
        self.overflows.set(0);
        let refills = self.refills.get() + 1;
        self.refills.set(refills % WINDOW);
        if refills == WINDOW {
            self.idle.set(EVERY & !self.refilled.replace(0));
        }
        refills == WINDOW
    }

    /// Takes an idle class that was not refilled since it was found idle. One call per refill
    /// leaves none over at the end of the window.
    #[inline]
    pub(super) fn take_idle(&self) -> Option<SizeClass> {
        let idle = self.idle.get() & !self.refilled.get();
        if idle == 0 {
            return None;
        }
        self.idle.set(idle & (idle - 1));
        SizeClass::from_index(idle.trailing_zeros() as usize)
    }

    /// Counts a bin that ran over. After many without a refill the program only frees, and the
    /// window is long over.
    pub(super) fn note_overflow(&self) {
        let overflows = self.overflows.get() + 1;
        self.overflows.set(overflows % ONLY_FREES);
        if overflows == ONLY_FREES {
            self.refilled.set(0);
        }
    }

    /// Whether the class was refilled in this window.
    pub(super) fn is_refilled(&self, class: SizeClass) -> bool {
        self.refilled.get() & bit(class) != 0
    }
}
