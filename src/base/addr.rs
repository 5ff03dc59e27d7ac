//! Addresses: the one place where pointers and integers meet.
//!
//! Pointers that the program hands back carry the provenance of the block it got. The tiers need the address alone, to find
//! the span; what they then touch they reach through the span's own base pointer, or through the pointer handed in.

/// An address without the right to touch what lies there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub(crate) struct Addr(pub(crate) usize);

impl Addr {
    /// The address of `ptr`.
    #[inline(always)]
    pub(crate) fn of<T>(ptr: *const T) -> Self {
        Self(ptr.addr())
    }

    /// Bytes from `base` up to `self`; wraps to a huge number when `self` lies below, so that one unsigned compare tests both ends.
    #[inline(always)]
    pub(crate) fn offset_from(self, base: Self) -> usize {
        self.0.wrapping_sub(base.0)
    }
}

/// `n` rounded up to a multiple of the power of two `align`; the caller knows that it does not overflow.
#[inline(always)]
pub(crate) const fn align_up(n: usize, align: usize) -> usize {
    n.wrapping_add(align - 1) & !(align - 1)
}

/// An address at which memory is to be mapped. The kernel, which maps it there, knows it.
#[cfg(all(target_os = "linux", not(loom)))]
#[expect(
    clippy::disallowed_methods,
    reason = "nothing is mapped there yet, so there is no pointer to keep"
)]
pub(crate) fn place(address: usize) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut(address)
}

/// The same bytes as text.
#[cfg(feature = "gc")]
#[inline(always)]
pub(crate) const fn str_from_bytes(bytes: *mut [u8]) -> *mut str {
    bytes as *mut str
}

/// An address of code, for those who only look up its name.
#[cfg(any(feature = "profiling", feature = "preload"))]
pub(crate) const fn code_at(address: usize) -> *mut core::ffi::c_void {
    core::ptr::without_provenance_mut(address)
}
