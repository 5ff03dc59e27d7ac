//! The cell of a weak reference: a small object that the collector clears when its target dies. The
//! rules are those of [`weak`](super::weak).

use super::desc::Kind;
use super::trace::Trace;
use super::visitor::Visitor;
use crate::sync::atomic::{
    AtomicPtr,
    Ordering::{Acquire, Release},
};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};

/// A weak cell.
pub(crate) struct WeakCell {
    pub(crate) target: AtomicPtr<u8>,
    /// The pointer to the target, with its type's metadata (WEAK-3).
    pub(super) pointer: UnsafeCell<MaybeUninit<[*mut u8; 2]>>,
}

// SAFETY: WEAK-3: `pointer` is written before `target` is published and only read after that.
unsafe impl Sync for WeakCell {}
// SAFETY: the targets are `Send + Sync`.
unsafe impl Send for WeakCell {}

// SAFETY: the target is not an edge: the collector treats cells by their kind.
unsafe impl<'gc> Trace<'gc> for WeakCell {
    const KIND: Kind = Kind::Weak;
    fn trace(&self, _: &mut Visitor<'gc>) {}
}

impl WeakCell {
    pub(super) fn empty() -> Self {
        Self {
            target: AtomicPtr::new(null_mut()),
            pointer: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Sets the target of an empty cell, once.
    pub(super) fn aim<T: ?Sized>(&self, target: NonNull<T>) {
        const { assert!(size_of::<NonNull<T>>() <= size_of::<[*mut u8; 2]>()) };
        // SAFETY: WEAK-3: no thread reads the place before the target is published; the assertion
        // above says that it has room.
        unsafe { self.pointer.get().cast::<NonNull<T>>().write(target) };
        // Release: pairs with the Acquire in `upgrade`.
        self.target.store(target.cast().as_ptr(), Release);
    }

    /// Clears the cell if `dead` holds for its target. For the collector.
    pub(crate) fn clear_if(&self, dead: impl FnOnce(NonNull<u8>) -> bool) {
        // Acquire: pairs with the Release in `aim`.
        if NonNull::new(self.target.load(Acquire)).is_some_and(dead) {
            // Release: pairs with the second load in `upgrade`.
            self.target.store(null_mut(), Release);
        }
    }
}
