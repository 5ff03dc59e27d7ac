//! What the collector knows of a type: size, how to trace it, how to drop it, its name. One constant a type, made by the compiler.
//!
//! A span of one type carries the descriptor, and its objects no header. Slices, strings, large objects, and types beyond the number that get
//! spans of their own carry it in a [`Header`] in front of the payload.

use super::meter::Meter;
use super::trace::{Trace, Visitor};
use core::ptr::NonNull;

/// Objects that the collector treats by themselves.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Of the program.
    Plain,
    /// A weak cell: cleared when its target dies.
    Weak,
    /// A table of ephemerons.
    Table,
}

/// A type's descriptor: of one object, or of the elements of a slice.
pub(crate) struct Desc {
    pub(crate) size: usize,
    pub(crate) align: usize,
    pub(crate) kind: Kind,
    /// Whether values can hold edges.
    pub(crate) traced: bool,
    /// Shows the visitor the edges of `count` values in a row.
    pub(crate) trace: unsafe fn(NonNull<u8>, usize, &mut Visitor<'_>),
    /// Drops `count` values in a row; `None`: there is nothing to drop.
    pub(crate) drop: Option<unsafe fn(NonNull<u8>, usize)>,
    /// What `count` values in a row own; of those that are dropped.
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

/// # Safety
/// At `first` lie `count` values of `T`, initialised, which nobody writes to but through their own synchronisation.
unsafe fn trace_values<'gc, T: Trace<'gc>>(first: NonNull<u8>, count: usize, visitor: &mut Visitor<'_>) {
    // The brand has no meaning at run time: the values were made under another `enter` of the same heap.
    let visitor = NonNull::from(visitor).cast::<Visitor<'gc>>();
    // SAFETY: the same visitor under another brand, borrowed as long.
    let visitor = unsafe { &mut *visitor.as_ptr() };
    // SAFETY: as the caller promised.
    let values = unsafe { core::slice::from_raw_parts(first.cast::<T>().as_ptr(), count) };
    for value in values {
        value.trace(visitor);
    }
}

/// # Safety
/// At `first` lie `count` values of `T`, initialised, which no thread changes.
unsafe fn measure_values<'gc, T: Trace<'gc>>(first: NonNull<u8>, count: usize) -> usize {
    // SAFETY: as the caller promised.
    let values = unsafe { core::slice::from_raw_parts(first.cast::<T>().as_ptr(), count) };
    values.iter().map(Meter::of_dead).fold(0, usize::saturating_add)
}

/// # Safety
/// At `first` lie `count` values of `T`, initialised, that nobody uses any more.
unsafe fn drop_values<T>(first: NonNull<u8>, count: usize) {
    let values = core::ptr::slice_from_raw_parts_mut(first.cast::<T>().as_ptr(), count);
    // SAFETY: as the caller promised.
    unsafe { values.drop_in_place() };
}

/// In front of each object of a span that is not of one type. The payload follows at [`offset`].
pub(crate) struct Header {
    pub(crate) desc: &'static Desc,
    /// Values that follow and are initialised.
    pub(crate) len: usize,
}

/// Bytes from the header to the payload for values aligned to `align`.
pub(crate) const fn offset(align: usize) -> usize {
    if align > size_of::<Header>() {
        align
    } else {
        size_of::<Header>()
    }
}

/// An object as the engine sees it: `len` values in a row.
#[derive(Clone, Copy)]
pub(crate) struct Object {
    pub(crate) desc: &'static Desc,
    pub(crate) first: NonNull<u8>,
    pub(crate) len: usize,
}
