//! C's `prctl` and `syscall`, which tell the heap when the program is about to confine itself by a
//! seccomp filter. Otherwise they are those of the C library: one system call each.
//!
//! Afterwards it is too late to ask: a filter may end a process that asks. An unprivileged program
//! sets `PR_SET_NO_NEW_PRIVS` before it installs a filter by whatever means, so that is a sign
//! already. Programs try these calls to learn what the kernel has, so what they do to the heap
//! before it is known that they succeed is only what it can do without.

use core::arch::{asm, naked_asm};
use core::ffi::{c_int, c_long};
use heap::raw;

/// Operations of `seccomp`, which are the modes of `PR_SET_SECCOMP` less one.
const SET_MODE_STRICT: usize = 0;
const SET_MODE_FILTER: usize = 1;

/// What a call leads to.
#[derive(PartialEq, Eq)]
enum Way {
    Elsewhere,
    /// A filter, now or soon.
    Filter,
    /// This thread can do nothing more but read, write and end.
    StrictMode,
}

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

/// The system call itself, with what the kernel gives.
///
/// # Safety
/// As the call demands.
#[inline(always)]
unsafe fn call(number: c_long, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as the caller promised; the kernel changes the two registers.
    unsafe {
        asm!(
            "syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as the caller promised.
    unsafe {
        asm!(
            "svc 0", in("x8") number, inlateout("x0") a as isize => result, in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    result
}

/// `syscall`, of the numbers that may lead to a filter.
///
/// # Safety
/// As the call demands.
unsafe extern "C-unwind" fn heed(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long {
    let way = way(number, a, b);
    if way != Way::Elsewhere {
        raw::enter_sandbox();
    }
    // SAFETY: as the caller promised.
    let result = unsafe { call(number, [a, b, c, d, e, f]) };
    if (-4095..0).contains(&result) {
        return fail(result);
    }
    if way == Way::StrictMode {
        raw::enter_strict_mode();
    }
    result as c_long
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
