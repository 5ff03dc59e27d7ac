//! Exports C's `prctl` and `syscall`. Both tell the heap when the program is about to confine
//! itself by a seccomp filter. Otherwise they do the same as the C library's: one system call each.
//!
//! - The heap must know before the filter is installed: a filter may kill a process for the system
//!   call that would look for it.
//! - An unprivileged program sets `PR_SET_NO_NEW_PRIVS` before it installs a filter by any means.
//!   So that call already counts as a sign.
//! - Programs also make these calls only to learn which features the kernel has. So before a call
//!   has succeeded, the heap gives up only things that it can do without.

use core::arch::{asm, naked_asm};
use core::ffi::{c_int, c_long};
use heap::raw;

/// Operations of the system call `seccomp`. Each is a mode of `PR_SET_SECCOMP` minus one.
const SET_MODE_STRICT: usize = 0;
const SET_MODE_FILTER: usize = 1;

/// The effect of a system call on the heap.
#[derive(PartialEq, Eq)]
enum Way {
    /// None.
    Elsewhere,
    /// It installs a filter, or is a sign that one follows.
    Filter,
    /// From now on this thread can only read, write and end.
    StrictMode,
}

/// Returns the effect of the system call `number` with these first two arguments.
fn way(number: c_long, first: usize, second: usize) -> Way {
    let prctl = |option: c_int| number == libc::SYS_prctl && first as c_int == option;
    let seccomp = |operation| number == libc::SYS_seccomp && first == operation;
    if seccomp(SET_MODE_STRICT) || prctl(libc::PR_SET_SECCOMP) && second == SET_MODE_STRICT + 1 {
        Way::StrictMode
    } else if seccomp(SET_MODE_FILTER) || prctl(libc::PR_SET_SECCOMP) || prctl(libc::PR_SET_NO_NEW_PRIVS) {
        Way::Filter
    } else {
        Way::Elsewhere
    }
}

/// Makes the system call and returns the kernel's result: from -4095 to -1 for an error.
///
/// # Safety
/// The arguments fulfil the contract of that system call.
#[inline(always)]
unsafe fn call(number: c_long, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the arguments are valid (contract of this function); the kernel clobbers `rcx` and
    // `r11`.
    unsafe {
        asm!(
            "syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the arguments fulfil the contract of the system call (contract of this function).
    unsafe {
        asm!(
            "svc 0", in("x8") number, inlateout("x0") a as isize => result, in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    result
}

/// Does the work of `syscall` for the numbers that may lead to a filter: tells the heap first.
///
/// # Safety
/// The arguments fulfil the contract of that system call.
unsafe extern "C-unwind" fn heed(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long {
    let way = way(number, a, b);
    if way != Way::Elsewhere {
        raw::enter_sandbox();
    }
    // SAFETY: the arguments fulfil the contract of the system call (contract of this function).
    let result = unsafe { call(number, [a, b, c, d, e, f]) };
    if (-4095..0).contains(&result) {
        return fail(result);
    }
    if way == Way::StrictMode {
        raw::enter_strict_mode();
    }
    result as c_long
}

/// C's `prctl`. C declares it with variable arguments; they arrive in the same registers as these.
///
/// # Safety
/// The arguments fulfil the contract of that option.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn prctl(option: c_int, a: usize, b: usize, c: usize, d: usize) -> c_int {
    // SAFETY: the arguments fulfil the option's contract. `syscall` tells the heap.
    unsafe { syscall(libc::SYS_prctl, option as usize, a, b, c, d, 0) as c_int }
}

/// Converts the kernel's error to C's: sets `errno` and returns -1.
extern "C-unwind" fn fail(result: isize) -> c_long {
    raw::set_errno(-result as c_int);
    -1
}

/// C's `syscall`. It leaves no stack frame. So a child that the call makes, on another stack or on
/// this one, returns as from the C library's function. If a caller passes fewer arguments, the
/// other registers hold old values, which the kernel ignores.
///
/// # Safety
/// The arguments fulfil the contract of that system call.
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
        "jmp {heed}",
        "4:",
        "mov rdi, rax",
        "jmp {fail}",
        prctl = const libc::SYS_prctl,
        seccomp = const libc::SYS_seccomp,
        heed = sym heed,
        fail = sym fail,
    )
}

/// C's `syscall`. It leaves no stack frame. So a child that the call makes, on another stack or on
/// this one, returns as from the C library's function.
///
/// # Safety
/// The arguments fulfil the contract of that system call.
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
        "b {heed}",
        "4:",
        "b {fail}",
        prctl = const libc::SYS_prctl,
        seccomp = const libc::SYS_seccomp,
        heed = sym heed,
        fail = sym fail,
    )
}
