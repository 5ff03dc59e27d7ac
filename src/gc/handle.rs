//! [`Gc`]: a reference to a managed object, valid during one `enter`.
//!
//! - HANDLE-1. The address is that of the payload of a live object, aligned and initialised. The
//!   object belongs to the heap of the brand. It stays live while the brand's `enter` lasts: the
//!   thread is pinned, and objects that it holds are not freed.
//! - HANDLE-2. Each `enter` makes a new, invariant brand. So a `Gc` cannot leave its `enter` and
//!   cannot become an edge of another heap.

use super::desc::{Header, offset};
use super::trace::Trace;
use super::visitor::{Brand, Visitor};
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

/// Makes a handle invariant in `T`, inside a `PhantomData`.
pub(crate) type Invariant<T> = fn(*mut T) -> *mut T;

/// A reference to an object that the collector manages. It is one word for sized types. Copying and
/// following it cost no more than with `&T`.
///
/// As a field of a traced type it is a fixed edge, set when the object is allocated. Use
/// [`GcCell`](super::GcCell) for an edge that changes.
///
/// `==`, `<`, `Hash`, `Debug` and `Display` are those of the object, `{:p}` prints its address.
/// [`ptr_eq`](Self::ptr_eq) compares the references, and [`ByAddress`](super::ByAddress) does so as
/// a key of a map. A map with keys `Gc<str>` finds them by `&str`, through `Borrow`.
///
/// Needs the feature `gc`.
///
/// ```
/// use greyspan::gc::Heap;
///
/// Heap::new().enter(|m| {
///     let (one, equal) = (m.alloc_str("one"), m.alloc_str("one"));
///     assert!(one == equal && !one.ptr_eq(equal));
///     assert_ne!(one.as_ptr(), equal.as_ptr());
///
///     // A `&str` that lives as long as this `enter`, whatever becomes of the handle.
///     let text = { let copy = one; copy.as_ref() };
///     assert_eq!(text.to_uppercase(), "ONE");
/// });
/// ```
///
/// # Variance
/// Invariant in `'gc`: a reference of one `enter` is never a reference of a longer, shorter or
/// other one. Covariant in `T`, like `&T`: a `Gc` gives shared access to an object whose type does
/// not change, and the collector learns the type from the object, not from the reference.
#[repr(transparent)]
pub struct Gc<'gc, T: ?Sized> {
    pointer: NonNull<T>,
    brand: Brand<'gc>,
}

// SAFETY: a `Gc` gives shared access only, and its own thread stays pinned while the brand lasts.
unsafe impl<T: ?Sized + Send + Sync> Send for Gc<'_, T> {}
// SAFETY: a `Gc` gives shared access only, and its own thread stays pinned while the brand lasts.
unsafe impl<T: ?Sized + Send + Sync> Sync for Gc<'_, T> {}

impl<'gc, T: ?Sized> Gc<'gc, T> {
    /// Makes a reference from a pointer.
    ///
    /// # Safety
    /// HANDLE-1 holds for `pointer` and the brand.
    #[inline(always)]
    pub(crate) unsafe fn from_pointer(pointer: NonNull<T>) -> Self {
        Self {
            pointer,
            brand: PhantomData,
        }
    }

    #[inline(always)]
    pub(crate) fn pointer(self) -> NonNull<T> {
        self.pointer
    }

    #[inline(always)]
    pub(crate) fn address(self) -> NonNull<u8> {
        self.pointer.cast()
    }

    /// Returns a reference to the object that is valid for as long as `enter` lasts. See the
    /// example of [`Gc`].
    #[inline(always)]
    #[expect(
        clippy::should_implement_trait,
        reason = "the trait's reference is as short as the borrow of the handle"
    )]
    pub fn as_ref(self) -> &'gc T
    where
        T: 'gc,
    {
        // SAFETY: HANDLE-1: the object is live; all access to objects is by shared reference.
        unsafe { &*self.pointer.as_ptr() }
    }

    /// Whether both references lead to the same object. See the example of [`Gc`].
    #[inline]
    pub fn ptr_eq(self, other: Self) -> bool {
        self.address() == other.address()
    }

    /// Returns the object's address. Objects do not move. The pointer is valid while the object is
    /// alive. See the example of [`Gc`].
    pub fn as_ptr(self) -> *const T {
        self.pointer.as_ptr().cast_const()
    }
}

impl<'gc, T> Gc<'gc, T> {
    /// Coerces the reference to a trait object, for the macro [`unsize!`](crate::unsize).
    ///
    /// # Safety
    /// `coerce` is an unsizing coercion to a trait object: it keeps the address and adds the vtable
    /// of `T`. It must not coerce to a slice: a managed slice has its length in front of it, and a
    /// `T` has none there.
    #[doc(hidden)]
    pub unsafe fn coerce_with<U: ?Sized>(self, coerce: impl FnOnce(*mut T) -> *mut U) -> Gc<'gc, U> {
        let pointer = coerce(self.pointer.as_ptr());
        // SAFETY: the coercion keeps the address, which is not null.
        let pointer = unsafe { NonNull::new_unchecked(pointer) };
        // SAFETY: HANDLE-1 holds for the same object by another type.
        unsafe { Gc::from_pointer(pointer) }
    }
}

/// Turns a `Gc` of a sized type into one of a trait object: `unsize!(gc => dyn
/// Shape + Send + Sync)`.
///
/// If the trait's objects have edges, name the lifetime: `dyn Shape<'gc> + Send + Sync + 'gc`.
/// Needs the feature `gc`.
///
/// ```
/// use greyspan::{gc::{Gc, Heap}, unsize};
///
/// Heap::new().enter(|m| {
///     let shown: Gc<'_, dyn std::fmt::Display + Send + Sync> =
///         unsize!(m.alloc(7u64) => dyn std::fmt::Display + Send + Sync);
///     assert_eq!(shown.to_string(), "7");
/// });
/// ```
#[macro_export]
macro_rules! unsize {
    ($gc:expr => dyn $($bounds:tt)+) => {{
        let gc = $gc;
        // SAFETY: the closure does only the coercion that its type asks for, to a trait object.
        unsafe { $crate::gc::Gc::coerce_with(gc, |pointer: *mut _| -> *mut (dyn $($bounds)+) { pointer }) }
    }};
}

impl<T: ?Sized> Clone for Gc<'_, T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Gc<'_, T> {}

impl<T: ?Sized> Deref for Gc<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: HANDLE-1: the object is live while the brand's `enter` lasts.
        unsafe { self.pointer.as_ref() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Gc<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for Gc<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + PartialEq> PartialEq for Gc<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: ?Sized + Eq> Eq for Gc<'_, T> {}

impl<T: ?Sized + Hash> Hash for Gc<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<'gc> Visitor<'gc> {
    /// Shows the edge `gc`. See the example of [`Visitor`].
    #[inline]
    pub fn visit<T: ?Sized>(&mut self, gc: Gc<'gc, T>) {
        self.visit_address(gc.address());
    }
}

// SAFETY: the value is one edge, and `trace` shows it.
unsafe impl<'gc, T: ?Sized + Send + Sync> Trace<'gc> for Gc<'gc, T> {
    #[inline]
    fn trace(&self, visitor: &mut Visitor<'gc>) {
        visitor.visit(*self);
    }
}

/// A type that a one-word edge can lead to: a sized type, a slice or `str`. Needs the feature `gc`.
///
/// Sealed: these types implement it, and no others can. A program needs it as a bound at most, for
/// code that is generic over the target of a [`GcCell`](super::GcCell); see the example of that
/// type.
///
/// # Safety
/// `of_address` returns the pointer to the object whose payload lies at the address.
#[diagnostic::on_unimplemented(
    message = "a `Gc` of `{Self}` has more than one word",
    label = "needs more than one word",
    note = "in place of `GcCell`, use `GcDynCell`, or `GcLock<Option<Gc<_>>>`"
)]
pub unsafe trait Thin: sealed::Sealed {
    /// Returns the object at `address`.
    ///
    /// # Safety
    /// A live object of this type lies there.
    #[doc(hidden)]
    unsafe fn of_address(address: NonNull<u8>) -> NonNull<Self>;
}

mod sealed {
    pub trait Sealed {}
    impl<T> Sealed for T {}
    impl<T> Sealed for [T] {}
    impl Sealed for str {}
}

/// Returns the number of elements of the slice at `address`.
///
/// # Safety
/// The payload of a live slice of `T` lies at `address`.
#[inline]
unsafe fn length<T>(address: NonNull<u8>) -> usize {
    // SAFETY: a slice's header lies `offset` bytes in front of its payload.
    let header = unsafe { address.sub(const { offset(align_of::<T>()) }) }.cast::<Header>();
    // SAFETY: the header was written before the object was published.
    unsafe { header.as_ref() }.len
}

// SAFETY: a pointer to a sized type has no metadata.
unsafe impl<T> Thin for T {
    #[inline(always)]
    unsafe fn of_address(address: NonNull<u8>) -> NonNull<Self> {
        address.cast()
    }
}

// SAFETY: the length lies in the object's header.
unsafe impl<T> Thin for [T] {
    #[inline]
    unsafe fn of_address(address: NonNull<u8>) -> NonNull<Self> {
        // SAFETY: a live slice of `T` lies at `address` (contract of this function).
        NonNull::slice_from_raw_parts(address.cast(), unsafe { length::<T>(address) })
    }
}

// SAFETY: the length lies in the object's header, and the bytes are UTF-8.
unsafe impl Thin for str {
    #[inline]
    unsafe fn of_address(address: NonNull<u8>) -> NonNull<Self> {
        // SAFETY: a live `str`, which is a slice of bytes, lies at `address` (contract of this
        // function).
        let bytes = unsafe { <[u8] as Thin>::of_address(address) };
        let text: *mut str = crate::base::addr::str_from_bytes(bytes.as_ptr());
        // SAFETY: the pointer is not null, because `bytes` is not.
        unsafe { NonNull::new_unchecked(text) }
    }
}
