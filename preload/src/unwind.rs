//! Names of libgcc's unwinder that the standard library refers to where it panics. Nothing in this library does, and the linker drops that code;
//! but it has asked for libgcc by then, which every process would load. These stand in, and trap. C++'s exceptions pass through `operator new` all the same: the program's own unwinder reads our tables.

core::arch::global_asm!(
    ".pushsection .text.greyspan_unwind,\"ax\",@progbits",
    ".irp name, Backtrace, DeleteException, GetCFA, GetDataRelBase, GetIP, GetIPInfo, GetLanguageSpecificData, GetRegionStart, \
     GetTextRelBase, RaiseException, Resume, SetGR, SetIP, FindEnclosingFunction",
    ".globl _Unwind_\\name",
    ".hidden _Unwind_\\name",
    ".type _Unwind_\\name, @function",
    "_Unwind_\\name:",
    ".endr",
    // What is not in the process's interest to go on from ends here.
    #[cfg(target_arch = "x86_64")]
    "ud2",
    #[cfg(target_arch = "aarch64")]
    "brk #1",
    ".popsection",
);
