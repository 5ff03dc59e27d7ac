//! C's `prctl` and `syscall`, which tell the heap when the program is about to confine itself by a seccomp filter. Otherwise they are those
//! of the C library: one system call each.
//!
//! Afterwards it is too late to ask: a filter may end a process that asks. An unprivileged program sets `PR_SET_NO_NEW_PRIVS` before it
//! installs a filter by whatever means, so that is a sign already.

use core::arch::asm;
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

/// The system call itself, with what it gives.
///
/// # Safety
/// As the call demands.
#[inline(always)]
unsafe fn call(number: c_long, arguments: [usize; 6]) -> c_long {
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
    if (-4095..0).contains(&result) {
        raw::set_errno(-result as i32);
        return -1;
    }
    result as c_long
}

/// C's `prctl`. Its arguments lie in registers, as those of a function with a fixed number.
///
/// # Safety
/// As the option demands.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn prctl(option: c_int, a: usize, b: usize, c: usize, d: usize) -> c_int {
    heed(libc::SYS_prctl, option as usize, a);
    // SAFETY: as the caller promised.
    unsafe { call(libc::SYS_prctl, [option as usize, a, b, c, d, 0]) as c_int }
}

/// C's `syscall`. Callers that pass fewer arguments leave some of these what they were before, and the kernel does not look at them.
///
/// # Safety
/// As the call demands.
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
    heed(number, a, b);
    // SAFETY: as the caller promised.
    unsafe { call(number, [a, b, c, d, e, f]) }
}
