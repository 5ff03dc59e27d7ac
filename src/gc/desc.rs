//! Type descriptors: a type's size and name, and how to trace, drop and measure it. One constant
//! per type, which [`described`](super::described) makes.
//!
//! A span of one type stores the descriptor, so its objects have no header. Other objects store it
//! in a [`Header`] in front of the payload: slices, strings, large objects, and types beyond the
//! number that get separate spans.

use super::visitor::Visitor;
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

/// The header in front of each object of a span of mixed types. The payload follows at [`offset`].
pub(crate) struct Header {
    pub(crate) desc: &'static Desc,
    /// Values that follow and are initialised.
    pub(crate) len: usize,
}

/// Returns the bytes from the header to the payload, for values aligned to `align`: a multiple of
/// 16.
pub(crate) const fn offset(align: usize) -> usize {
    if align > 16 { align } else { 16 }
}

/// An object as the collector handles it: `len` values in a row.
#[derive(Clone, Copy)]
pub(crate) struct Object {
    pub(crate) desc: &'static Desc,
    pub(crate) first: NonNull<u8>,
    pub(crate) len: usize,
}
