//! [`Visitor`]: collects the edges that [`trace`](super::Trace::trace) shows.

use core::marker::PhantomData;
use core::ptr::NonNull;

/// Marks values that belong to one `enter`. Invariant.
pub(crate) type Brand<'gc> = PhantomData<fn(&'gc ()) -> &'gc ()>;

/// Collects the edges of values. Invariant in `'gc`. Needs the feature `gc`.
///
/// ```
/// use greyspan::gc::{Gc, Heap, Trace, Visitor};
/// use std::mem::MaybeUninit;
///
/// /// Up to four edges without a `Vec`. The derive cannot know which slots are filled.
/// struct Few<'gc> {
///     filled: usize,
///     slots: [MaybeUninit<Gc<'gc, u64>>; 4],
/// }
///
/// impl<'gc> Few<'gc> {
///     fn iter(&self) -> impl Iterator<Item = Gc<'gc, u64>> {
///         // SAFETY: the first `filled` slots are.
///         self.slots[..self.filled].iter().map(|slot| unsafe { slot.assume_init() })
///     }
/// }
///
/// // SAFETY: `trace` shows every filled slot. The type has no `Drop` and nothing in it changes.
/// unsafe impl<'gc> Trace<'gc> for Few<'gc> {
///     fn trace(&self, visitor: &mut Visitor<'gc>) {
///         self.iter().for_each(|edge| visitor.visit(edge));
///     }
/// }
///
/// Heap::new().enter(|m| {
///     let mut few = Few { filled: 1, slots: [MaybeUninit::uninit(); 4] };
///     few.slots[0].write(m.alloc(7));
///     assert_eq!(m.alloc(few).iter().map(|edge| *edge).sum::<u64>(), 7);
/// });
/// ```
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
