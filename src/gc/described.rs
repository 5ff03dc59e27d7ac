//! Makes the descriptor of each traceable type, as a constant. The compiler writes the functions
//! that trace, drop and measure its values.

use super::desc::Desc;
use super::meter::Meter;
use super::trace::Trace;
use super::visitor::Visitor;
use core::ptr::NonNull;

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
