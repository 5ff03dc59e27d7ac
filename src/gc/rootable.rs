//! [`Rootable`]: a type with the lifetime of its edges left open, as a [`Root`](super::Root) names
//! it.
//!
//! - O1. A handle that holds a `Rootable` is invariant in it. A subtype can stand for another type,
//!   and an object of the one would be read as one of the other.
//! - O2. The traits here are sealed: no type of a program's own can implement them, and say how an
//!   object is read. The types that [`Rootable!`](macro@super::Rootable) writes are `dyn
//!   OfLifetime`, which implements them without an `impl`.
//! - O3. For two lifetimes, `Of` gives types that differ in lifetimes only: the bounds of a `dyn`
//!   name one type.

use core::ptr::NonNull;

mod sealed {
    /// No type implements it but `dyn OfLifetime` (O2).
    pub trait Written {}
}

/// A type with the lifetime of its edges filled in; see [`Rootable`]. Sealed: no type implements it
/// but what [`Rootable!`](macro@super::Rootable) writes.
pub trait OfLifetime<'gc>: sealed::Written {
    /// The type with that lifetime.
    type Of: ?Sized;
}

/// What a [`Root`](super::Root) can keep: a type with the lifetime of the edges left open. Written
/// with the macro of the same name: `Root<Rootable![Node<'_>]>`.
///
/// Sealed: a program that could implement it, would say how an object of another type is read.
///
/// ```compile_fail
/// struct Lie;
/// impl greyspan::gc::Rootable for Lie {
///     type Of<'gc> = &'static str;
/// }
/// ```
pub trait Rootable: sealed::Written + 'static {
    /// The type under one brand.
    type Of<'gc>: ?Sized;
}

impl<R: ?Sized + for<'gc> OfLifetime<'gc> + 'static> Rootable for R {
    type Of<'gc> = <R as OfLifetime<'gc>>::Of;
}

/// The same pointer under another brand.
pub(crate) fn rebrand<'from, 'to, R: Rootable + ?Sized>(pointer: NonNull<R::Of<'from>>) -> NonNull<R::Of<'to>> {
    let place = (&raw const pointer).cast::<NonNull<R::Of<'to>>>();
    // SAFETY: the two types differ in lifetimes (O3), so their pointers are of one size and form.
    unsafe { place.read() }
}
