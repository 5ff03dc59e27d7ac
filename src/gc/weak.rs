//! Weak references: [`GcWeak`] in the heap, [`WeakRoot`] outside. Both go through a weak cell, a small object that the collector clears when
//! the target dies.
//!
//! - W1. Cells are cleared after the cycle closed and before H3, so before any object of that cycle is swept.
//! - W2. A cell that was cleared stays so. `upgrade` is one linearisation point for all threads: the exchange that closes the cycle.
//! - W3. `pointer` is written before the target is published, and not changed after.

use super::alloc::Mutator;
use super::barrier::Slot;
use super::desc::Kind;
use super::handle::{Gc, Invariant};
use super::root::Root;
use super::rootable::{OfLifetime, Rootable, rebrand};
use super::trace::{Trace, Visitor};
use crate::sync::atomic::Ordering::{Acquire, Release};
use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};

/// A weak cell.
pub(crate) struct WeakCell {
    pub(crate) target: Slot,
    /// The pointer to the target, with its type's metadata (W3).
    pointer: UnsafeCell<MaybeUninit<[*mut u8; 2]>>,
}

// SAFETY: `pointer` is written before `target` is published, and only read after that (W3).
unsafe impl Sync for WeakCell {}
// SAFETY: targets are `Send + Sync`.
unsafe impl Send for WeakCell {}

// SAFETY: the target is not an edge; the collector treats cells by their kind.
unsafe impl<'gc> Trace<'gc> for WeakCell {
    const KIND: Kind = Kind::Weak;
    fn trace(&self, _: &mut Visitor<'gc>) {}
}

impl WeakCell {
    fn empty() -> Self {
        Self {
            target: Slot::new(null_mut()),
            pointer: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Sets the target of an empty cell, once.
    fn aim<T: ?Sized>(&self, target: NonNull<T>) {
        const { assert!(size_of::<NonNull<T>>() <= size_of::<[*mut u8; 2]>()) };
        // SAFETY: nobody reads the place before the target is published (W3), and it has room.
        unsafe { self.pointer.get().cast::<NonNull<T>>().write(target) };
        // Release: pairs with the Acquire in `upgrade`.
        self.target.store(target.cast().as_ptr(), Release);
    }

    /// The target, if it is alive.
    fn upgrade<T: ?Sized>(&self, m: &Mutator<'_>) -> Option<NonNull<T>> {
        // Acquire: pairs with the Release in `aim`.
        let target = NonNull::new(self.target.load(Acquire))?;
        if !m.record.revives(target) {
            return None;
        }
        // Acquire: the cell is cleared before a slot is used again, so a target that died meanwhile shows here.
        if self.target.load(Acquire) != target.as_ptr() {
            return None;
        }
        // SAFETY: written before the target was (W3), for this type.
        Some(unsafe { self.pointer.get().cast::<NonNull<T>>().read() })
    }

    /// Clears the cell if `dead` says so of its target. For the collector.
    pub(crate) fn clear_if(&self, dead: impl FnOnce(NonNull<u8>) -> bool) {
        // Acquire: pairs with the Release in `aim`.
        if NonNull::new(self.target.load(Acquire)).is_some_and(dead) {
            // Release: pairs with the second look in `upgrade`.
            self.target.store(null_mut(), Release);
        }
    }
}

/// A weak reference in the heap: does not keep its target alive. As a field of a traced type it is an edge to its cell only.
///
/// # Variance
/// Invariant in `'gc`; covariant in `T`, as [`Gc`] is, whose like it gives.
pub struct GcWeak<'gc, T: ?Sized> {
    cell: Gc<'gc, WeakCell>,
    kind: PhantomData<Gc<'gc, T>>,
}

impl<T: ?Sized> Clone for GcWeak<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for GcWeak<'_, T> {}

impl<'gc, T: ?Sized> GcWeak<'gc, T> {
    /// A weak reference to `gc`. Each call makes a cell; copies share it.
    pub fn new(m: &'gc Mutator<'gc>, gc: Gc<'gc, T>) -> Self {
        let weak = Self::promised(m);
        weak.cell.aim(gc.pointer());
        weak
    }

    /// A weak reference without a target yet.
    pub(crate) fn promised(m: &'gc Mutator<'gc>) -> Self {
        Self {
            cell: m.alloc(WeakCell::empty()),
            kind: PhantomData,
        }
    }

    /// Gives a promised reference its target.
    pub(crate) fn fulfil(self, gc: Gc<'gc, T>) {
        self.cell.aim(gc.pointer());
    }

    /// The target, unless it is dead. Once `None`, always `None`, for every thread.
    pub fn upgrade(self, m: &Mutator<'gc>) -> Option<Gc<'gc, T>> {
        let pointer = self.cell.upgrade(m)?;
        // SAFETY: the target is alive, and shaded if a cycle needs to be told.
        Some(unsafe { Gc::from_pointer(pointer) })
    }

    /// Whether both are copies of one weak reference.
    pub fn ptr_eq(self, other: Self) -> bool {
        self.cell.ptr_eq(other.cell)
    }
}

impl<T: ?Sized> fmt::Debug for GcWeak<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GcWeak(..)")
    }
}

// SAFETY: the edge to the cell is shown; the target is none.
unsafe impl<'gc, T: ?Sized + Send + Sync> Trace<'gc> for GcWeak<'gc, T> {
    fn trace(&self, visitor: &mut Visitor<'gc>) {
        visitor.visit(self.cell);
    }
}

/// A weak reference from outside of `enter`.
///
/// # Variance
/// Invariant in `R`, as [`Root`] is. It has no lifetime of its own: it is `'static`.
pub struct WeakRoot<R: Rootable + ?Sized> {
    cell: Root<Cell>,
    /// `upgrade` reads the object as `R` says (O1 of `rootable`).
    kind: PhantomData<Invariant<R>>,
}

type Cell = dyn for<'gc> OfLifetime<'gc, Of = WeakCell>;

impl<R: Rootable + ?Sized> WeakRoot<R> {
    /// A weak reference to `gc`.
    pub fn new<'gc>(m: &'gc Mutator<'gc>, gc: Gc<'gc, R::Of<'gc>>) -> Self {
        Self {
            cell: Root::new(m, GcWeak::new(m, gc).cell),
            kind: PhantomData,
        }
    }

    /// The target, unless it is dead. Once `None`, always `None`, for every thread.
    pub fn upgrade<'gc>(&self, m: &Mutator<'gc>) -> Option<Gc<'gc, R::Of<'gc>>> {
        let pointer: NonNull<R::Of<'static>> = self.cell.get(m).upgrade(m)?;
        // SAFETY: as for `GcWeak::upgrade`.
        Some(unsafe { Gc::from_pointer(rebrand::<R>(pointer)) })
    }
}

impl<R: Rootable + ?Sized> Clone for WeakRoot<R> {
    fn clone(&self) -> Self {
        Self {
            cell: self.cell.clone(),
            kind: PhantomData,
        }
    }
}

impl<R: Rootable + ?Sized> fmt::Debug for WeakRoot<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakRoot(..)")
    }
}
