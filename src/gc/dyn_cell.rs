//! [`GcDynCell`]: an edge to a trait object that changes.

use super::alloc::Mutator;
use super::cell::GcCell;
use super::handle::Gc;
use super::trace::Trace;
use super::visitor::Visitor;
use core::fmt;

/// An edge that can be changed, to an object of any type: also to a trait object, whose [`Gc`] has
/// two words. It holds an `Option<Gc>`.
///
/// The cell leads to a small object that holds the reference. So a read costs two loads, and each
/// write of a reference allocates 16 bytes. Where [`GcCell`] works, it is cheaper; where writes are
/// frequent, a [`GcLock`](super::GcLock) allocates nothing.
///
/// Needs the feature `gc`.
///
/// ```
/// use greyspan::{gc::{Gc, GcDynCell, Heap, Trace}, unsize};
///
/// trait Shape<'gc>: Send + Sync {
///     fn area(&self) -> f64;
/// }
///
/// #[derive(Trace)]
/// struct Square<'gc> {
///     side: f64,
///     next: GcDynCell<'gc, dyn Shape<'gc> + 'gc>,
/// }
///
/// impl<'gc> Shape<'gc> for Square<'gc> {
///     fn area(&self) -> f64 {
///         self.side * self.side + self.next.get().map_or(0.0, |next| next.area())
///     }
/// }
///
/// Heap::new().enter(|m| {
///     let square = |side| m.alloc(Square { side, next: GcDynCell::null() });
///     let (one, two) = (square(1.0), square(2.0));
///     one.next.set(m, Some(unsize!(two => dyn Shape<'_>)));
///     assert_eq!(one.area(), 5.0);
///     assert!(one.next.take(m).is_some_and(|old| old.area() == 4.0));
///     assert_eq!(one.area(), 1.0);
/// });
/// ```
///
/// # Variance
/// Invariant in `'gc` and in `T`, because a cell can be written.
#[repr(transparent)]
pub struct GcDynCell<'gc, T: ?Sized>(GcCell<'gc, Gc<'gc, T>>);

impl<'gc, T: ?Sized> GcDynCell<'gc, T> {
    crate::sync::const_unless_loom! {
        /// Makes an edge that leads to no object. See the example of [`GcDynCell`].
        pub fn null() -> GcDynCell<'gc, T> {
            Self(GcCell::null())
        }
    }

    /// Returns the object at the end of the edge, or `None` if there is none. See the example of
    /// [`GcDynCell`].
    #[inline]
    pub fn get(&self) -> Option<Gc<'gc, T>> {
        self.0.get().map(|holder| *holder)
    }

    /// Clears the edge and returns its previous target. See the example of [`GcDynCell`].
    pub fn take(&self, m: &Mutator<'gc>) -> Option<Gc<'gc, T>> {
        self.0.take(m).map(|holder| *holder)
    }
}

impl<'gc, T: ?Sized + Send + Sync + 'gc> GcDynCell<'gc, T> {
    /// Makes an edge that leads to `to`. See the example of [`GcDynCell`].
    ///
    /// # Panics
    /// If there is no memory.
    pub fn new(m: &Mutator<'gc>, to: Option<Gc<'gc, T>>) -> Self {
        Self(GcCell::new(to.map(|to| m.alloc(to))))
    }

    /// Sets the edge to `to`. See the example of [`GcDynCell`].
    ///
    /// # Panics
    /// If there is no memory.
    pub fn set(&self, m: &Mutator<'gc>, to: Option<Gc<'gc, T>>) {
        self.0.set(m, to.map(|to| m.alloc(to)));
    }

    /// Sets the edge to `to` and returns its previous target. See the example of [`GcDynCell`].
    ///
    /// # Panics
    /// If there is no memory.
    pub fn swap(&self, m: &Mutator<'gc>, to: Option<Gc<'gc, T>>) -> Option<Gc<'gc, T>> {
        self.0.swap(m, to.map(|to| m.alloc(to))).map(|holder| *holder)
    }
}

impl<T: ?Sized> Default for GcDynCell<'_, T> {
    fn default() -> Self {
        Self::null()
    }
}

impl<T: ?Sized> fmt::Debug for GcDynCell<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.get().is_some() {
            "GcDynCell(..)"
        } else {
            "GcDynCell(null)"
        })
    }
}

// SAFETY: `trace` shows the edge of the cell, the only one.
unsafe impl<'gc, T: ?Sized + Send + Sync> Trace<'gc> for GcDynCell<'gc, T> {
    #[inline]
    fn trace(&self, visitor: &mut Visitor<'gc>) {
        self.0.trace(visitor);
    }
}
