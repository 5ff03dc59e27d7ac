//! References whose type is forgotten, and found again: [`Gc::erase`], [`Gc::cast`], [`GcAny`].
//!
//! - ANY-1. A `GcAny` records the [`Rootable`] of its object's type. A `Rootable` is `'static`, so
//!   it has a `TypeId`, and for the brand of the reference it stands for one type. The object's own
//!   type has no `TypeId`: types that differ in lifetimes only could not be told apart.

use super::handle::{Gc, Thin};
use super::rootable::Rootable;
use super::trace::Trace;
use super::visitor::Visitor;
use core::any::TypeId;
use core::fmt;

impl<'gc, T: ?Sized> Gc<'gc, T> {
    /// Forgets the type. The reference keeps the object alive as before, and compares by
    /// [`ptr_eq`](Self::ptr_eq). [`GcAny`] remembers the type; [`cast`](Self::cast) trusts the
    /// program.
    ///
    /// ```
    /// let heap = greyspan::gc::Heap::new();
    /// heap.enter(|m| {
    ///     let text = m.alloc_str("text");
    ///     let (erased, number) = (text.erase(), m.alloc(7).erase());
    ///     assert!(erased.ptr_eq(text.erase()) && !erased.ptr_eq(number));
    ///     // SAFETY: it is a managed `str`.
    ///     assert_eq!(&*unsafe { erased.cast::<str>() }, "text");
    /// });
    /// ```
    pub fn erase(self) -> Gc<'gc, ()> {
        // SAFETY: HANDLE-1: the same object. A `()` lies at every address.
        unsafe { Gc::from_pointer(self.address().cast()) }
    }

    /// Returns the same reference as a reference to a `U`. [`GcAny::downcast`] does the same, and
    /// checks the type. See the example of [`erase`](Self::erase).
    ///
    /// # Safety
    /// The object was made as a `U`, with the same lifetimes, or as a `#[repr(transparent)]`
    /// wrapper around it. If `U` is a slice or `str`, the object was made by
    /// [`alloc_slice`](super::Mutator::alloc_slice) or [`alloc_str`](super::Mutator::alloc_str).
    pub unsafe fn cast<U: ?Sized + Thin>(self) -> Gc<'gc, U> {
        // SAFETY: a live `U` lies there (contract of this function).
        let pointer = unsafe { U::of_address(self.address()) };
        // SAFETY: HANDLE-1: the same object.
        unsafe { Gc::from_pointer(pointer) }
    }
}

/// A reference to an object of any type, which remembers the type. As a field of a traced type it
/// is an edge.
///
/// `std::any::Any` works for `'static` types only. Here the type is named as for a
/// [`Root`](super::Root), with open lifetimes. It has three words or more.
///
/// Needs the feature `gc`.
///
/// ```
/// use greyspan::gc::{Gc, GcAny, Heap, Rootable, Trace};
///
/// #[derive(Trace)]
/// struct Pair<'gc>(Gc<'gc, str>, Gc<'gc, str>);
///
/// Heap::new().enter(|m| {
///     let text = m.alloc_str("text");
///     let all = m.alloc(vec![
///         GcAny::new::<Rootable![str]>(text),
///         GcAny::new::<Rootable![Pair<'_>]>(m.alloc(Pair(text, text))),
///     ]);
///     assert!(all[0].is::<Rootable![str]>());
///     assert!(all[0].downcast::<Rootable![Pair<'_>]>().is_none());
///     let pair = all[1].downcast::<Rootable![Pair<'_>]>().unwrap();
///     assert!(pair.0.ptr_eq(text) && pair.1.ptr_eq(text));
/// });
/// ```
///
/// # Variance
/// Invariant in `'gc`, as [`Gc`] is.
#[derive(Clone, Copy)]
pub struct GcAny<'gc> {
    gc: Gc<'gc, ()>,
    /// The `TypeId` of the `Rootable` (ANY-1).
    of: TypeId,
}

impl<'gc> GcAny<'gc> {
    /// Forgets the type of `gc` and remembers its name `R`. See the example of [`GcAny`].
    pub fn new<R>(gc: Gc<'gc, R::Of<'gc>>) -> Self
    where
        R: Rootable<Of<'gc>: Thin> + ?Sized,
    {
        Self {
            gc: gc.erase(),
            of: TypeId::of::<R>(),
        }
    }

    /// Whether the object was named `R`. See the example of [`GcAny`].
    pub fn is<R: Rootable + ?Sized>(self) -> bool {
        self.of == TypeId::of::<R>()
    }

    /// Returns the object if it was named `R`, and else `None`. See the example of [`GcAny`].
    pub fn downcast<R>(self) -> Option<Gc<'gc, R::Of<'gc>>>
    where
        R: Rootable<Of<'gc>: Thin> + ?Sized,
    {
        // SAFETY: ANY-1: `new` got the object as an `R::Of` of this brand.
        self.is::<R>().then(|| unsafe { self.gc.cast() })
    }

    /// Returns the reference without its type. See the example of [`Gc::erase`].
    pub fn erase(self) -> Gc<'gc, ()> {
        self.gc
    }
}

impl fmt::Debug for GcAny<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GcAny").field(&self.gc.as_ptr()).finish()
    }
}

// SAFETY: the value is one edge, and `trace` shows it.
unsafe impl<'gc> Trace<'gc> for GcAny<'gc> {
    #[inline]
    fn trace(&self, visitor: &mut Visitor<'gc>) {
        visitor.visit(self.gc);
    }
}
