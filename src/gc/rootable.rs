//! [`Rootable`]: a type whose edges have an open lifetime, as a [`Root`](super::Root) names it.
//!
//! - ROOTABLE-1. A handle that holds a `Rootable` is invariant in it. Otherwise a subtype could
//!   stand for another type, and an object of one type would be read as an object of the other.
//! - ROOTABLE-2. The traits here are sealed. No type of a program can implement them and so decide
//!   how an object is read. The types that [`Rootable!`](macro@super::Rootable) writes are `dyn
//!   OfLifetime`, which implements them without an `impl`.
//! - ROOTABLE-3. For any two lifetimes, `Of` gives types that differ in lifetimes only, because the
//!   bounds of a `dyn` name one type.

use core::ptr::NonNull;

mod sealed {
    /// Implemented by `dyn OfLifetime` only (ROOTABLE-2).
    pub trait Written {}
}

/// A type with the lifetime of its edges filled in; see [`Rootable`].
///
/// Sealed: only types written by [`Rootable!`](macro@super::Rootable) implement it. A program does
/// not name it; see the example of [`Root`](super::Root). Needs the feature `gc`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name the type of a root",
    label = "not written with `Rootable!`",
    note = "write `Rootable![...]` around the type, with `'_` for the lifetime of its edges, as in `Root<Rootable![Node<'_>]>`"
)]
pub trait OfLifetime<'gc>: sealed::Written {
    /// The type with that lifetime. See the example of [`Root`](super::Root).
    type Of: ?Sized;
}

/// The type of a [`Root`](super::Root)'s object, with the lifetime of the edges left open.
///
/// Write it with the macro of the same name: `Root<Rootable![Node<'_>]>`. See the example of
/// [`Root`](super::Root). Needs the feature `gc`.
///
/// Sealed: a program that could implement the trait could read an object as another type.
///
/// ```compile_fail
/// struct Lie;
/// impl greyspan::gc::Rootable for Lie {
///     type Of<'gc> = &'static str;
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name the type of a root",
    label = "not written with `Rootable!`",
    note = "write `Rootable![...]` around the type, with `'_` for the lifetime of its edges, as in `Root<Rootable![Node<'_>]>`"
)]
pub trait Rootable: sealed::Written + 'static {
    /// The type under one brand. See the example of [`Root`](super::Root).
    type Of<'gc>: ?Sized;
}

impl<R: ?Sized + for<'gc> OfLifetime<'gc> + 'static> Rootable for R {
    type Of<'gc> = <R as OfLifetime<'gc>>::Of;
}

/// Returns the same pointer under another brand.
pub(crate) fn rebrand<'from, 'to, R: Rootable + ?Sized>(pointer: NonNull<R::Of<'from>>) -> NonNull<R::Of<'to>> {
    let place = (&raw const pointer).cast::<NonNull<R::Of<'to>>>();
    // SAFETY: ROOTABLE-3: the two types differ in lifetimes only, so their pointers have one
    // layout.
    unsafe { place.read() }
}
