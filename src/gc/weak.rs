//! Weak references: [`GcWeak`] in the heap, [`WeakRoot`] outside. Both go through a weak cell, a
//! small object that the collector clears when the target dies.
//!
//! - WEAK-1. Cells are cleared after the cycle has closed and before handshake H3, so before any
//!   object of that cycle is swept.
//! - WEAK-2. A cleared cell stays cleared. For all threads, `upgrade` has one linearisation point:
//!   the exchange that closes the cycle.
//! - WEAK-3. The cell's `pointer` is written before the target is published, and not changed after.

use super::alloc::Mutator;
use super::handle::{Gc, Invariant};
use super::leaves::leaf;
use super::root::Root;
use super::rootable::{OfLifetime, Rootable, rebrand};
use super::trace::Trace;
use super::visitor::Visitor;
use super::weak_cell::WeakCell;
use crate::sync::atomic::Ordering::Acquire;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

impl WeakCell {
    /// Returns the target if it is alive.
    fn upgrade<T: ?Sized>(&self, m: &Mutator<'_>) -> Option<NonNull<T>> {
        // Acquire: pairs with the Release in `aim`.
        let target = NonNull::new(self.target.load(Acquire))?;
        if !m.record.revives(target) {
            return None;
        }
        // Acquire: a cell is cleared before the target's slot is used again, so this load shows a
        // target that died meanwhile.
        if self.target.load(Acquire) != target.as_ptr() {
            return None;
        }
        // SAFETY: WEAK-3: the pointer was written before the target, and is of this type.
        Some(unsafe { self.pointer.get().cast::<NonNull<T>>().read() })
    }
}

/// A weak reference in the heap. It does not keep its target alive. As a field of a traced type it
/// is an edge to its cell only.
///
/// Needs the feature `gc`.
///
/// ```
/// use greyspan::gc::{GcWeak, Heap, Root, Rootable, Trace};
///
/// #[derive(Trace)]
/// struct Child<'gc> {
///     parent: GcWeak<'gc, String>,
/// }
///
/// let heap = Heap::new();
/// let child: Root<Rootable![Child<'_>]> = heap.enter(|m| {
///     let parent = m.alloc(String::from("parent"));
///     let child = m.alloc(Child { parent: GcWeak::new(m, parent) });
///     assert_eq!(*child.parent.upgrade(m).expect("it is alive"), "parent");
///     Root::new(m, child)
/// });
/// // No root leads to the parent.
/// heap.collect();
/// heap.enter(|m| {
///     let child = child.get(m);
///     assert!(child.parent.upgrade(m).is_none());
///     assert!(child.parent.ptr_eq(child.parent));
/// });
/// ```
///
/// # Variance
/// Invariant in `'gc`. Covariant in `T`, as the [`Gc`] that it returns is.
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
    /// Makes a weak reference to `gc`. Each call allocates a cell. Copies share their cell. See the
    /// example of [`GcWeak`].
    ///
    /// # Panics
    /// If there is no memory for the cell.
    pub fn new(m: &Mutator<'gc>, gc: Gc<'gc, T>) -> Self {
        let weak = Self::promised(m);
        weak.cell.aim(gc.pointer());
        weak
    }

    /// Makes a weak reference that has no target yet.
    pub(crate) fn promised(m: &Mutator<'gc>) -> Self {
        Self {
            cell: m.alloc(WeakCell::empty()),
            kind: PhantomData,
        }
    }

    /// Gives a promised reference its target.
    pub(crate) fn fulfil(self, gc: Gc<'gc, T>) {
        self.cell.aim(gc.pointer());
    }

    /// Returns the target, or `None` if it is dead. Once one thread has got `None`, every thread
    /// gets `None`. See the example of [`GcWeak`].
    pub fn upgrade(self, m: &Mutator<'gc>) -> Option<Gc<'gc, T>> {
        let pointer = self.cell.upgrade(m)?;
        // SAFETY: the target is alive, and `revives` has shaded it if a running cycle needs that.
        Some(unsafe { Gc::from_pointer(pointer) })
    }

    /// Whether both are copies of one weak reference. See the example of [`GcWeak`].
    pub fn ptr_eq(self, other: Self) -> bool {
        self.cell.ptr_eq(other.cell)
    }
}

impl<'gc> Mutator<'gc> {
    /// Makes an object with a weak reference to itself. The reference upgrades to `None` until
    /// `make` returns.
    ///
    /// # Panics
    /// If there is no memory.
    ///
    /// ```
    /// use greyspan::gc::{GcWeak, Heap, Trace};
    ///
    /// #[derive(Trace)]
    /// struct Own<'gc> {
    ///     me: GcWeak<'gc, Own<'gc>>,
    /// }
    ///
    /// let heap = Heap::new();
    /// heap.enter(|m| {
    ///     let own = m.alloc_cyclic(|me| Own { me });
    ///     assert!(own.me.upgrade(m).unwrap().ptr_eq(own));
    /// });
    /// ```
    pub fn alloc_cyclic<T: Trace<'gc> + 'gc>(&self, make: impl FnOnce(GcWeak<'gc, T>) -> T) -> Gc<'gc, T> {
        let promise = GcWeak::promised(self);
        let gc = self.alloc(make(promise));
        promise.fulfil(gc);
        gc
    }
}

impl<T: ?Sized> fmt::Debug for GcWeak<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GcWeak(..)")
    }
}

// SAFETY: `trace` shows the edge to the cell; the target is no edge.
unsafe impl<'gc, T: ?Sized + Send + Sync> Trace<'gc> for GcWeak<'gc, T> {
    fn trace(&self, visitor: &mut Visitor<'gc>) {
        visitor.visit(self.cell);
    }
}

/// A weak reference from outside of `enter`. Needs the feature `gc`.
///
/// ```
/// use greyspan::gc::{Heap, Root, Rootable, WeakRoot};
///
/// let heap = Heap::new();
/// let (session, watch) = heap.enter(|m| {
///     let session = m.alloc_str("session 7");
///     (Root::<Rootable![str]>::new(m, session), WeakRoot::<Rootable![str]>::new(m, session))
/// });
/// let is_alive = || heap.enter(|m| watch.upgrade(m).is_some());
/// assert!(is_alive());
/// drop(session);
/// heap.collect();
/// assert!(!is_alive());
/// ```
///
/// A managed object may hold one, as a reference that keeps nothing alive.
///
/// # Variance
/// Invariant in `R`, as [`Root`] is. It has no lifetime parameter: it is `'static`.
pub struct WeakRoot<R: Rootable + ?Sized> {
    cell: Root<Cell>,
    /// Marks the invariance: `upgrade` reads the object as `R` says (ROOTABLE-1).
    kind: PhantomData<Invariant<R>>,
}

type Cell = dyn for<'gc> OfLifetime<'gc, Of = WeakCell>;

impl<R: Rootable + ?Sized> WeakRoot<R> {
    /// Makes a weak reference to `gc`. See the example of [`WeakRoot`].
    ///
    /// # Panics
    /// - If there is no memory for the weak cell.
    /// - In a `fork` child, if the heap belongs to its parent.
    pub fn new<'gc>(m: &Mutator<'gc>, gc: Gc<'gc, R::Of<'gc>>) -> Self {
        Self {
            cell: Root::new(m, GcWeak::new(m, gc).cell),
            kind: PhantomData,
        }
    }

    /// Returns the target, or `None` if it is dead. Once one thread has got `None`, every thread
    /// gets `None`. See the example of [`WeakRoot`].
    ///
    /// # Panics
    /// If `m` belongs to another heap.
    pub fn upgrade<'gc>(&self, m: &Mutator<'gc>) -> Option<Gc<'gc, R::Of<'gc>>> {
        let pointer: NonNull<R::Of<'static>> = self.cell.get(m).upgrade(m)?;
        // SAFETY: the target is alive, and `revives` has shaded it if a running cycle needs that.
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

leaf! {
    [R: Rootable + ?Sized] WeakRoot<R>;
}

impl<R: Rootable + ?Sized> fmt::Debug for WeakRoot<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakRoot(..)")
    }
}
