//! [`Visitor`]: collects the edges that [`trace`](super::Trace::trace) shows.

use core::marker::PhantomData;
use core::ptr::NonNull;

/// Marks values that belong to one `enter`. Invariant.
pub(crate) type Brand<'gc> = PhantomData<fn(&'gc ()) -> &'gc ()>;

/// Collects the edges of values. Invariant in `'gc`. Needs the feature `gc`.
pub struct Visitor<'gc> {
    edges: Vec<NonNull<u8>>,
    /// The cycle that marks, for the stamps of locks; 0 if no cycle marks.
    cycle: u64,
    brand: Brand<'gc>,
}

impl<'gc> Visitor<'gc> {
    pub(crate) fn new(cycle: u64) -> Self {
        Self {
            edges: Vec::new(),
            cycle,
            brand: PhantomData,
        }
    }

    /// Shows the edge to the object at `address`.
    #[inline]
    pub(crate) fn visit_address(&mut self, address: NonNull<u8>) {
        self.edges.push(address);
    }

    /// Returns the edges seen so far.
    pub(crate) fn edges(&mut self) -> &mut Vec<NonNull<u8>> {
        &mut self.edges
    }

    pub(crate) fn cycle(&self) -> u64 {
        self.cycle
    }
}
