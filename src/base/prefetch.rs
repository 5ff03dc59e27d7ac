//! Tells the processor which memory will soon be written.

/// Fetches the cache line at `place` for writing. It is a hint: it never faults, at any address,
/// and changes nothing that a program can observe.
#[inline(always)]
pub(crate) fn prefetch<T>(place: *mut T) {
    if !cfg!(miri) {
        super::arch::prefetch(place);
    }
}
