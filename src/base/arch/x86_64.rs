//! The instructions of x86-64. `arch.rs` has the functions for other processors.

use core::arch::asm;

/// Whether a call puts its return address on the stack, right below its caller's frame.
pub(crate) const RETURNS_BY_STACK: bool = true;

/// Fetches the cache line at `place` for writing. Processors that do not know the instruction treat
/// it as a no-op.
#[inline(always)]
pub(crate) fn prefetch<T>(place: *mut T) {
    // SAFETY: the instruction accesses no memory that the program can observe.
    unsafe {
        asm!("prefetchw [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
}

/// Fetches the cache line at `place` for reading.
#[inline(always)]
pub(crate) fn prefetch_to_read<T>(place: *const T) {
    // SAFETY: the instruction accesses no memory that the program can observe.
    unsafe {
        asm!("prefetcht0 [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
}

/// Returns byte `index` of `table`, by an atomic load. The compiler uses two instructions for such
/// a load and the extension to a word; this is one.
///
/// # Safety
/// The byte is readable.
#[inline(always)]
pub(crate) unsafe fn byte<T>(table: *const T, index: usize) -> usize {
    let byte: usize;
    // SAFETY: reads a byte that is readable (contract of this function).
    unsafe {
        asm!(
            "movzx {byte:e}, byte ptr [{table} + {index}]",
            byte = lateout(reg) byte,
            table = in(reg) table,
            index = in(reg) index,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    byte
}

/// Returns the byte of word `index` of `words` that begins at bit `SHIFT`, by an atomic load.
///
/// # Safety
/// The byte is readable.
#[inline(always)]
pub(crate) unsafe fn byte_of_word<T, const SHIFT: u32>(words: *const T, index: usize) -> usize {
    let byte: usize;
    // SAFETY: reads a byte that is readable (contract of this function).
    unsafe {
        asm!(
            "movzx {byte:e}, byte ptr [{words} + 8 * {index} + {place}]",
            byte = lateout(reg) byte,
            words = in(reg) words,
            index = in(reg) index,
            place = const SHIFT / 8,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    byte
}

/// Returns `address + BY`, computed in the register that holds `over`.
#[inline(always)]
pub(crate) fn add_over<const BY: isize>(over: usize, address: usize) -> usize {
    let sum: usize;
    // SAFETY: an addition, which touches no memory.
    unsafe {
        asm!(
            "lea {over}, [{address} + {by}]",
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
            "xor ecx, ecx", "xor edx, edx", "xor esi, esi", "xor edi, edi", "xor r8d, r8d", "xor r9d, r9d", "xor r10d, r10d", "xor r11d, r11d",
            out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            options(nomem, nostack),
        );
    }
}

/// Returns the stack pointer of the function that this is inlined into.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let top: usize;
    // SAFETY: reads a register.
    unsafe {
        asm!("mov {}, rsp", out(reg) top, options(nomem, nostack, preserves_flags));
    }
    top
}

/// Returns the frame pointer of the function that this is inlined into.
#[allow(dead_code, reason = "only builds with frame pointers use it")]
#[inline(always)]
pub(crate) fn frame_pointer() -> *const usize {
    let frame: *const usize;
    // SAFETY: reads a register.
    unsafe {
        asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags));
    }
    frame
}

/// Returns a counter that grows evenly with time.
#[inline(always)]
pub(crate) fn ticks() -> Option<u64> {
    // SAFETY: every 64-bit x86 processor has the counter.
    Some(unsafe { core::arch::x86_64::_rdtsc() })
}
