//! Defines traps under the names of libgcc's unwinder.
//!
//! The standard library's panic code refers to these names. No code of this library panics, and the
//! linker drops the panic code. But by then the linker has already recorded that the library needs
//! libgcc, and every process would load it. These definitions take libgcc's place.
//!
//! C++ exceptions still pass through `operator new`: the program's own unwinder reads our tables.

core::arch::global_asm!(
    ".pushsection .text.greyspan_unwind,\"ax\",@progbits",
    ".irp name, Backtrace, DeleteException, GetCFA, GetDataRelBase, GetIP, GetIPInfo, GetLanguageSpecificData, GetRegionStart, \
     GetTextRelBase, RaiseException, Resume, SetGR, SetIP, FindEnclosingFunction",
    ".globl _Unwind_\\name",
    ".hidden _Unwind_\\name",
    ".type _Unwind_\\name, @function",
    "_Unwind_\\name:",
    ".endr",
    // No code should get here. If it does, the process ends.
    #[cfg(target_arch = "x86_64")]
    "ud2",
    #[cfg(target_arch = "aarch64")]
    "brk #1",
    ".popsection",
);
