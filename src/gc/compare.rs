//! How references are compared, borrowed and printed; [`ByAddress`].
//!
//! - `==`, `<` and `Hash` of a [`Gc`] are those of the object, so `Borrow` may lend the object.
//! - `Gc` has no `AsRef`. Its method would hide [`Gc::as_ref`] behind a `&Gc`, and its result would
//!   live only as long as that borrow.

use super::cell::GcCell;
use super::handle::Gc;
use super::lock::GcLock;
use super::trace::Trace;
use super::visitor::Visitor;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::Deref;
use core::ptr::NonNull;

impl<T: ?Sized + PartialOrd> PartialOrd for Gc<'_, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: ?Sized + Ord> Ord for Gc<'_, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: ?Sized> Borrow<T> for Gc<'_, T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: ?Sized> fmt::Pointer for Gc<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Pointer::fmt(&self.address(), f)
    }
}

impl<'gc> From<Gc<'gc, str>> for Gc<'gc, [u8]> {
    fn from(text: Gc<'gc, str>) -> Self {
        let bytes = NonNull::slice_from_raw_parts(text.address(), text.len());
        // SAFETY: HANDLE-1: the same object. A managed `str` is a slice of bytes with its header.
        unsafe { Gc::from_pointer(bytes) }
    }
}

impl<'gc, T: ?Sized> From<Gc<'gc, T>> for GcCell<'gc, T> {
    fn from(to: Gc<'gc, T>) -> Self {
        Self::new(Some(to))
    }
}

impl<'gc, T: ?Sized> From<Option<Gc<'gc, T>>> for GcCell<'gc, T> {
    fn from(to: Option<Gc<'gc, T>>) -> Self {
        Self::new(to)
    }
}

impl<T> From<T> for GcLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// A reference that is compared, ordered and hashed by the address of its object, for keys and sets
/// of objects. Objects do not move, so the address stays the same while the object is alive. The
/// order of two objects says nothing about their ages.
///
/// Needs the feature `gc`.
///
/// ```
/// use greyspan::gc::{ByAddress, GcLock, Heap};
/// use std::collections::HashMap;
///
/// Heap::new().enter(|m| {
///     let visits = m.alloc(GcLock::new(HashMap::new()));
///     let (one, equal) = (m.alloc_str("one"), m.alloc_str("one"));
///     for text in [one, equal, one] {
///         *visits.write(m).entry(ByAddress(text)).or_insert(0u32) += 1;
///     }
///     assert_eq!(visits.read()[&ByAddress(one)], 2);
///     assert_eq!(visits.read()[&ByAddress(equal)], 1);
/// });
/// ```
///
/// # Variance
/// As [`Gc`]: invariant in `'gc`, covariant in `T`.
#[repr(transparent)]
pub struct ByAddress<'gc, T: ?Sized>(pub Gc<'gc, T>);

impl<T: ?Sized> Clone for ByAddress<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for ByAddress<'_, T> {}

impl<'gc, T: ?Sized> Deref for ByAddress<'gc, T> {
    type Target = Gc<'gc, T>;
    fn deref(&self) -> &Gc<'gc, T> {
        &self.0
    }
}

impl<'gc, T: ?Sized> From<Gc<'gc, T>> for ByAddress<'gc, T> {
    fn from(gc: Gc<'gc, T>) -> Self {
        Self(gc)
    }
}

impl<T: ?Sized> PartialEq for ByAddress<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ptr_eq(other.0)
    }
}

impl<T: ?Sized> Eq for ByAddress<'_, T> {}

impl<T: ?Sized> PartialOrd for ByAddress<'_, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: ?Sized> Ord for ByAddress<'_, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.address().cmp(&other.0.address())
    }
}

impl<T: ?Sized> Hash for ByAddress<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.address().hash(state);
    }
}

impl<T: ?Sized> fmt::Debug for ByAddress<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByAddress").field(&self.0.address()).finish()
    }
}

impl<T: ?Sized> fmt::Pointer for ByAddress<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Pointer::fmt(&self.0, f)
    }
}

// SAFETY: the value is one edge, and `trace` shows it.
unsafe impl<'gc, T: ?Sized + Send + Sync> Trace<'gc> for ByAddress<'gc, T> {
    #[inline]
    fn trace(&self, visitor: &mut Visitor<'gc>) {
        visitor.visit(self.0);
    }
}
