//! C's `prctl` and `syscall`, which tell the heap when the program is about to confine itself by a
//! seccomp filter. Otherwise they are those of the C library: one system call each.
//!
//! Afterwards it is too late to ask: a filter may end a process that asks. An unprivileged program
//! sets `PR_SET_NO_NEW_PRIVS` before it installs a filter by whatever means, so that is a sign
//! already.

use core::arch::naked_asm;
use core::ffi::{c_int, c_long};
use heap::raw;

/// Operations of `seccomp`, which are the modes of `PR_SET_SECCOMP` less one.
const SET_MODE_STRICT: usize = 0;
const SET_MODE_FILTER: usize = 1;

/// Tells the heap of a call that leads to a filter.
#[inline]
fn heed(number: c_long, first: usize, second: usize) {
    let prctl = |option: c_int| number == libc::SYS_prctl && first as c_int == option;
    if prctl(libc::PR_SET_SECCOMP) {
        raw::enter_sandbox(second == SET_MODE_STRICT + 1);
    } else if prctl(libc::PR_SET_NO_NEW_PRIVS) || number == libc::SYS_seccomp && first == SET_MODE_FILTER {
        raw::enter_sandbox(false);
    } else if number == libc::SYS_seccomp && first == SET_MODE_STRICT {
        raw::enter_sandbox(true);
    }
}

/// C's `prctl`. Its arguments lie in registers, as those of a function with a fixed number.
///
/// # Safety
/// As the option demands.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn prctl(option: c_int, a: usize, b: usize, c: usize, d: usize) -> c_int {
    // SAFETY: as the caller promised. `syscall` tells the heap.
    unsafe { syscall(libc::SYS_prctl, option as usize, a, b, c, d, 0) as c_int }
}

/// The result of a call that failed, as C has it.
extern "C-unwind" fn fail(result: isize) -> c_long {
    raw::set_errno(-result as c_int);
    -1
}

/// As `heed`, for the assembly below.
extern "C-unwind" fn heed_call(number: c_long, first: usize, second: usize) {
    heed(number, first, second);
}

/// C's `syscall`. It has no frame of its own: a child that a call makes, on another stack or on
/// this one, returns as from the C library's. Callers that pass fewer arguments leave some of these
/// what they were before, and the kernel does not look at them.
///
/// # Safety
/// As the call demands.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    naked_asm!(
        "cmp rdi, {prctl}",
        "je 3f",
        "cmp rdi, {seccomp}",
        "je 3f",
        "2:",
        "mov rax, rdi",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "mov r10, r8",
        "mov r8, r9",
        "mov r9, qword ptr [rsp + 8]",
        "syscall",
        "cmp rax, -4095",
        "jae 4f",
        "ret",
        "3:",
        "push rdi",
        "push rsi",
        "push rdx",
        "push rcx",
        "push r8",
        "push r9",
        "sub rsp, 8",
        "call {heed}",
        "add rsp, 8",
        "pop r9",
        "pop r8",
        "pop rcx",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "jmp 2b",
        "4:",
        "mov rdi, rax",
        "jmp {fail}",
        prctl = const libc::SYS_prctl,
        seccomp = const libc::SYS_seccomp,
        heed = sym heed_call,
        fail = sym fail,
    )
}

/// C's `syscall`. It has no frame of its own: a child that a call makes, on another stack or on
/// this one, returns as from the C library's.
///
/// # Safety
/// As the call demands.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    naked_asm!(
        "cmp x0, #{prctl}",
        "b.eq 3f",
        "cmp x0, #{seccomp}",
        "b.eq 3f",
        "2:",
        "mov x8, x0",
        "mov x0, x1",
        "mov x1, x2",
        "mov x2, x3",
        "mov x3, x4",
        "mov x4, x5",
        "mov x5, x6",
        "svc 0",
        "cmn x0, #4095",
        "b.cs 4f",
        "ret",
        "3:",
        "stp x29, x30, [sp, #-80]!",
        "stp x0, x1, [sp, #16]",
        "stp x2, x3, [sp, #32]",
        "stp x4, x5, [sp, #48]",
        "str x6, [sp, #64]",
        "bl {heed}",
        "ldr x6, [sp, #64]",
        "ldp x4, x5, [sp, #48]",
        "ldp x2, x3, [sp, #32]",
        "ldp x0, x1, [sp, #16]",
        "ldp x29, x30, [sp], #80",
        "b 2b",
        "4:",
        "b {fail}",
        prctl = const libc::SYS_prctl,
        seccomp = const libc::SYS_seccomp,
        heed = sym heed_call,
        fail = sym fail,
    )
}
