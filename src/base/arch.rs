//! Instructions that the language lacks, per processor. This file has the functions for processors
//! without assembly code here; `arch/` has the others.

use crate::sync::tally::{AtomicU8, Ordering::Relaxed};

/// Whether a call puts its return address on the stack, right below its caller's frame.
pub(crate) const RETURNS_BY_STACK: bool = false;

/// Does nothing: this processor has no hint to fetch a cache line.
#[inline(always)]
pub(crate) fn prefetch<T>(_: *mut T) {}

/// Does nothing: this processor has no hint to fetch a cache line.
#[inline(always)]
pub(crate) fn prefetch_to_read<T>(_: *const T) {}

/// Returns byte `index` of `table`, by an atomic load.
///
/// # Safety
/// The byte is readable.
#[inline(always)]
pub(crate) unsafe fn byte<T>(table: *const T, index: usize) -> usize {
    // SAFETY: the byte is readable (contract of this function).
    usize::from(unsafe { &*table.cast::<AtomicU8>().wrapping_add(index) }.load(Relaxed))
}

/// Returns the byte of word `index` of `words` that begins at bit `SHIFT`, by an atomic load.
///
/// # Safety
/// The byte is readable.
#[inline(always)]
pub(crate) unsafe fn byte_of_word<T, const SHIFT: u32>(words: *const T, index: usize) -> usize {
    let place = if cfg!(target_endian = "little") {
        SHIFT / 8
    } else {
        7 - SHIFT / 8
    };
    // SAFETY: the byte is readable (contract of this function).
    unsafe { byte(words, 8 * index + place as usize) }
}

/// Returns `address + BY`. Not computed in the register that holds `over`.
#[inline(always)]
pub(crate) fn add_over<const BY: isize>(over: usize, address: usize) -> usize {
    let _ = core::hint::black_box(over);
    address.wrapping_add_signed(BY)
}

/// Does nothing: registers keep their contents.
#[inline(always)]
pub(crate) fn clear_registers() {}

/// Returns 0: no code needs it here.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    0
}

/// Returns `None`: the processor's counter is not read here.
#[inline(always)]
pub(crate) fn ticks() -> Option<u64> {
    None
}
