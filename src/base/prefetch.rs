//! Tells the processor which memory will soon be written.

/// Fetches the cache line at `place` for writing. It is a hint: it never faults, at any address,
/// and changes nothing that a program can observe.
#[inline(always)]
pub(crate) fn prefetch<T>(place: *mut T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction accesses no memory that the program can observe. Processors that do
    // not know it treat it as a no-op.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: the instruction accesses no memory that the program can observe.
    unsafe {
        core::arch::asm!("prfm pstl1keep, [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = place;
}
