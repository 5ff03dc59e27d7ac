//! Type descriptors: a type's size and name, and how to trace, drop and measure it. One constant
//! per type, made by the compiler.
//!
//! A span of one type stores the descriptor, so its objects have no header. Other objects store it
//! in a [`Header`] in front of the payload: slices, strings, large objects, and types beyond the
//! number that get separate spans.

use super::meter::Meter;
use super::trace::{Trace, Visitor};
use core::ptr::NonNull;

/// The kinds of objects that the collector treats differently.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An object of the program.
    Plain,
    /// A weak cell. The collector clears it when its target dies.
    Weak,
    /// A table of ephemerons.
    Table,
}

/// A type's descriptor, for one object or for the elements of a slice.
pub(crate) struct Desc {
    pub(crate) size: usize,
    pub(crate) align: usize,
    pub(crate) kind: Kind,
    /// Whether values can hold edges.
    pub(crate) traced: bool,
    /// Shows the visitor the edges of `count` values in a row.
    pub(crate) trace: unsafe fn(NonNull<u8>, usize, &mut Visitor<'_>),
    /// Drops `count` values in a row. `None`: the type has nothing to drop.
    pub(crate) drop: Option<unsafe fn(NonNull<u8>, usize)>,
    /// Returns the bytes that `count` values in a row own, before they are dropped.
    pub(crate) measure: unsafe fn(NonNull<u8>, usize) -> usize,
    pub(crate) name: fn() -> &'static str,
}

/// Gives each traceable type its descriptor.
pub(crate) trait Described<'gc>: Trace<'gc> + Sized {
    const DESC: &'static Desc = &Desc {
        size: size_of::<Self>(),
        align: align_of::<Self>(),
        kind: Self::KIND,
        traced: Self::NEEDS_TRACE,
        trace: trace_values::<Self>,
        drop: if core::mem::needs_drop::<Self>() {
            Some(drop_values::<Self>)
        } else {
            None
        },
        measure: measure_values::<Self>,
        name: core::any::type_name::<Self>,
    };
}

impl<'gc, T: Trace<'gc>> Described<'gc> for T {}

/// Shows the visitor the edges of `count` values at `first`.
///
/// # Safety
/// At `first` lie `count` initialised values of `T`. Threads write to them only through the values'
/// own synchronisation.
unsafe fn trace_values<'gc, T: Trace<'gc>>(first: NonNull<u8>, count: usize, visitor: &mut Visitor<'_>) {
    // The brand means nothing at run time: the values were made under another `enter` of this heap.
    let visitor = NonNull::from(visitor).cast::<Visitor<'gc>>();
    // SAFETY: the same visitor under another brand, borrowed for as long.
    let visitor = unsafe { &mut *visitor.as_ptr() };
    // SAFETY: `count` initialised values of `T` lie at `first` (contract of this function).
    let values = unsafe { core::slice::from_raw_parts(first.cast::<T>().as_ptr(), count) };
    for value in values {
        value.trace(visitor);
    }
}

/// Returns the bytes that `count` values at `first` own.
///
/// # Safety
/// At `first` lie `count` initialised values of `T`, which no thread changes.
unsafe fn measure_values<'gc, T: Trace<'gc>>(first: NonNull<u8>, count: usize) -> usize {
    // SAFETY: `count` initialised values of `T` lie at `first` (contract of this function).
    let values = unsafe { core::slice::from_raw_parts(first.cast::<T>().as_ptr(), count) };
    values.iter().map(Meter::of_dead).fold(0, usize::saturating_add)
}

/// Drops `count` values at `first`.
///
/// # Safety
/// At `first` lie `count` initialised values of `T`, which no thread uses any more.
unsafe fn drop_values<T>(first: NonNull<u8>, count: usize) {
    let values = core::ptr::slice_from_raw_parts_mut(first.cast::<T>().as_ptr(), count);
    // SAFETY: the values are initialised, and no thread uses them any more (contract of this
    // function).
    unsafe { values.drop_in_place() };
}

/// The header in front of each object of a span of mixed types. The payload follows at [`offset`].
pub(crate) struct Header {
    pub(crate) desc: &'static Desc,
    /// Values that follow and are initialised.
    pub(crate) len: usize,
}

/// Returns the bytes from the header to the payload, for values aligned to `align`.
pub(crate) const fn offset(align: usize) -> usize {
    if align > size_of::<Header>() {
        align
    } else {
        size_of::<Header>()
    }
}

/// An object as the collector handles it: `len` values in a row.
#[derive(Clone, Copy)]
pub(crate) struct Object {
    pub(crate) desc: &'static Desc,
    pub(crate) first: NonNull<u8>,
    pub(crate) len: usize,
}
