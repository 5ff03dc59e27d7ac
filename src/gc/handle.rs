//! [`Gc`]: a reference to a managed object, good for one `enter`.
//!
//! - G1. The address is that of the payload of a live object of the heap that the brand belongs to, aligned and initialised, and stays so while
//!   the brand's `enter` lasts: the thread is pinned, and what it holds is not freed.
//! - G2. The brand is invariant and made anew by each `enter`, so a `Gc` can neither leave it nor become an edge of another heap.

use super::desc::{Header, offset};
use super::trace::{Trace, Visitor};
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

/// Marks what belongs to one `enter`; invariant.
pub(crate) type Brand<'gc> = PhantomData<fn(&'gc ()) -> &'gc ()>;

/// In a `PhantomData`: the handle is neither more general nor more special in `T`.
pub(crate) type Invariant<T> = fn(*mut T) -> *mut T;

/// A reference to an object that the collector manages. One word for sized types; copying it is free, and so is following it.
///
/// As a field of a traced type it is an edge that is fixed when the object is allocated; use [`GcCell`](super::GcCell) for one that changes.
///
/// # Variance
/// Invariant in `'gc`: a reference of one `enter` is none of a longer, a shorter or another one.
/// Covariant in `T`, like `&T`: it gives shared access to an object that does not change its type,
/// and the collector asks the object, not the reference, for it.
#[repr(transparent)]
pub struct Gc<'gc, T: ?Sized> {
    pointer: NonNull<T>,
    brand: Brand<'gc>,
}

// SAFETY: a `Gc` gives shared access to the object only, and the object's thread stays pinned while the brand lasts.
unsafe impl<T: ?Sized + Send + Sync> Send for Gc<'_, T> {}
// SAFETY: likewise.
unsafe impl<T: ?Sized + Send + Sync> Sync for Gc<'_, T> {}

impl<'gc, T: ?Sized> Gc<'gc, T> {
    /// # Safety
    /// G1 holds for `pointer` and the brand.
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

    /// The object, for as long as `enter` lasts.
    #[inline(always)]
    #[expect(
        clippy::should_implement_trait,
        reason = "the trait's reference is as short as the borrow of the handle"
    )]
    pub fn as_ref(self) -> &'gc T
    where
        T: 'gc,
    {
        // SAFETY: G1; objects are reached by shared reference only.
        unsafe { &*self.pointer.as_ptr() }
    }

    /// Whether both are the same object.
    #[inline]
    pub fn ptr_eq(self, other: Self) -> bool {
        self.address() == other.address()
    }

    /// Where the object lies; it does not move.
    pub fn as_ptr(self) -> *const T {
        self.pointer.as_ptr().cast_const()
    }
}

impl<'gc, T> Gc<'gc, T> {
    /// For the macro [`unsize!`](crate::unsize).
    ///
    /// # Safety
    /// `coerce` is an unsizing coercion to a trait object: it keeps the address and adds the vtable of `T`. To a slice would be wrong: the
    /// length of a managed slice is looked for in front of it, and a `T` has none there.
    #[doc(hidden)]
    pub unsafe fn coerce_with<U: ?Sized>(self, coerce: impl FnOnce(*mut T) -> *mut U) -> Gc<'gc, U> {
        let pointer = coerce(self.pointer.as_ptr());
        // SAFETY: the coercion keeps the address, which is not null.
        let pointer = unsafe { NonNull::new_unchecked(pointer) };
        // SAFETY: G1 holds for the same object by another type.
        unsafe { Gc::from_pointer(pointer) }
    }
}

/// Turns a `Gc` of a sized type into one of a trait object: `unsize!(gc => dyn Shape + Send + Sync)`. For traits whose objects have edges, name
/// the lifetime: `dyn Shape<'gc> + Send + Sync + 'gc`.
///
/// ```
/// use greyspan::{gc::{Gc, Heap}, unsize};
///
/// Heap::new().enter(|m| {
///     let shown: Gc<'_, dyn std::fmt::Display + Send + Sync> = unsize!(m.alloc(7u64) => dyn std::fmt::Display + Send + Sync);
///     assert_eq!(shown.to_string(), "7");
/// });
/// ```
#[macro_export]
macro_rules! unsize {
    ($gc:expr => dyn $($bounds:tt)+) => {{
        let gc = $gc;
        // SAFETY: the closure does nothing but the coercion that its type asks for, and that is a trait object's.
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
        // SAFETY: G1.
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

// SAFETY: it is one edge, which is shown.
unsafe impl<'gc, T: ?Sized + Send + Sync> Trace<'gc> for Gc<'gc, T> {
    #[inline]
    fn trace(&self, visitor: &mut Visitor<'gc>) {
        visitor.visit(*self);
    }
}

/// What a one-word edge can lead to: sized types, slices, `str`.
///
/// # Safety
/// `of_address` gives the pointer to the object whose payload lies at the address.
pub unsafe trait Thin: sealed::Sealed {
    /// The object at `address`.
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

/// How many elements the slice at `address` has.
///
/// # Safety
/// The payload of a live slice of `T` lies at `address`.
#[inline]
unsafe fn length<T>(address: NonNull<u8>) -> usize {
    // SAFETY: the header of the object lies so many bytes in front of the payload.
    let header = unsafe { address.sub(const { offset(align_of::<T>()) }) }.cast::<Header>();
    // SAFETY: it was written before the object was published.
    unsafe { header.as_ref() }.len
}

// SAFETY: sized types have no metadata.
unsafe impl<T> Thin for T {
    #[inline(always)]
    unsafe fn of_address(address: NonNull<u8>) -> NonNull<Self> {
        address.cast()
    }
}

// SAFETY: the length stands in the object's header.
unsafe impl<T> Thin for [T] {
    #[inline]
    unsafe fn of_address(address: NonNull<u8>) -> NonNull<Self> {
        // SAFETY: as the caller promised.
        NonNull::slice_from_raw_parts(address.cast(), unsafe { length::<T>(address) })
    }
}

// SAFETY: the length stands in the object's header; the bytes are UTF-8.
unsafe impl Thin for str {
    #[inline]
    unsafe fn of_address(address: NonNull<u8>) -> NonNull<Self> {
        // SAFETY: as the caller promised.
        let bytes = unsafe { <[u8] as Thin>::of_address(address) };
        let text: *mut str = crate::base::addr::str_from_bytes(bytes.as_ptr());
        // SAFETY: not null, as `bytes` is not.
        unsafe { NonNull::new_unchecked(text) }
    }
}
