//! Telling the processor what will be written to soon.

/// Has the cache line at `place` fetched for writing. A hint: it never faults, whatever the address, and changes nothing that a program can
/// see.
#[inline(always)]
pub(crate) fn prefetch<T>(place: *mut T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction accesses no memory as far as the program can tell; processors that do not know it take it for a no-op.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: the instruction accesses no memory as far as the program can tell.
    unsafe {
        core::arch::asm!("prfm pstl1keep, [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = place;
}
