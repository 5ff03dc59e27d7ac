//! The instructions of AArch64. `arch.rs` has the functions for other processors.

#[path = "../arch.rs"]
mod portable;

use core::arch::asm;
pub(crate) use portable::{RETURNS_BY_STACK, byte, byte_of_word, stack_pointer, ticks};

/// Fetches the cache line at `place` for writing.
#[inline(always)]
pub(crate) fn prefetch<T>(place: *mut T) {
    // SAFETY: the instruction accesses no memory that the program can observe.
    unsafe {
        asm!("prfm pstl1keep, [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
}

/// Fetches the cache line at `place` for reading.
#[inline(always)]
pub(crate) fn prefetch_to_read<T>(place: *const T) {
    // SAFETY: the instruction accesses no memory that the program can observe.
    unsafe {
        asm!("prfm pldl1keep, [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
}

/// Returns `address + BY`, computed in the register that holds `over`.
#[inline(always)]
pub(crate) fn add_over<const BY: isize>(over: usize, address: usize) -> usize {
    let sum: usize;
    // SAFETY: an addition, which touches no memory.
    unsafe {
        asm!(
            "add {over}, {address}, {by}",
            over = inlateout(reg) over => sum,
            address = in(reg) address,
            by = const BY,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Clears the registers that a call may change, but for those of the result.
#[inline(always)]
pub(crate) fn clear_registers() {
    // SAFETY: registers that a call may change anyway.
    unsafe {
        asm!(
            ".irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17",
            "mov x\\n, xzr",
            ".endr",
            out("x1") _, out("x2") _, out("x3") _, out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _,
            out("x10") _, out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _,
            options(nomem, nostack),
        );
    }
}

/// Returns the frame pointer of the function that this is inlined into.
#[allow(dead_code, reason = "only builds with frame pointers use it")]
#[inline(always)]
pub(crate) fn frame_pointer() -> *const usize {
    let frame: *const usize;
    // SAFETY: reads a register.
    unsafe {
        asm!("mov {}, x29", out(reg) frame, options(nomem, nostack, preserves_flags));
    }
    frame
}
