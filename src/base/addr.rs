//! Addresses: the one place where pointers become integers.
//!
//! Pointers that the program hands back carry the provenance of their block. To find the span, the
//! tiers need only the address. To access memory, they use the span's own base pointer, or the
//! pointer handed in.

/// An address without the right to access memory there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub(crate) struct Addr(pub(crate) usize);

impl Addr {
    /// Returns the address of `ptr`.
    #[inline(always)]
    pub(crate) fn of<T>(ptr: *const T) -> Self {
        Self(ptr.addr())
    }

    /// Returns the bytes from `base` up to `self`. If `self` is below, the result wraps to a huge
    /// number, so that one unsigned comparison tests both ends.
    #[inline(always)]
    pub(crate) fn offset_from(self, base: Self) -> usize {
        self.0.wrapping_sub(base.0)
    }
}

/// Rounds `n` up to a multiple of `align`, a power of two. The caller knows that this does not
/// overflow.
#[inline(always)]
pub(crate) const fn align_up(n: usize, align: usize) -> usize {
    n.wrapping_add(align - 1) & !(align - 1)
}

/// Returns a pointer to an address at which the kernel is to map memory. The kernel, which
/// maps the memory, exposes its provenance.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing is mapped there yet, so there is no pointer to keep"
)]
pub(crate) fn place(address: usize) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut(address)
}

/// Returns the same bytes as text.
#[inline(always)]
pub(crate) const fn str_from_bytes(bytes: *mut [u8]) -> *mut str {
    bytes as *mut str
}

/// Returns a pointer to code at `address`, for looking up its name only.
pub(crate) const fn code_at(address: usize) -> *mut core::ffi::c_void {
    core::ptr::without_provenance_mut(address)
}
