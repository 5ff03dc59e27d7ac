//! Tells the processor which memory will soon be written or read.

/// Fetches the cache line at `place` for writing. It is a hint: it never faults, at any address,
/// and changes nothing that a program can observe.
#[inline(always)]
pub(crate) fn prefetch<T>(place: *mut T) {
    if !cfg!(miri) {
        super::arch::prefetch(place);
    }
}

/// Fetches the cache line at `place` for reading. It is a hint, as [`prefetch`] is.
#[inline(always)]
pub(crate) fn prefetch_to_read<T>(place: *const T) {
    if !cfg!(miri) {
        super::arch::prefetch_to_read(place);
    }
}
