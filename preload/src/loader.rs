//! `dlopen` and `dlmopen` without `RTLD_DEEPBIND`.
//!
//! An object that is loaded with that flag looks for functions in its own libraries first, and so
//! finds the C library's `malloc` and `free` instead of this library's. Blocks then come to the
//! wrong heap: that is what crashes Debian's `php` under preloaded allocators. So the flag is taken
//! away; such an object finds functions as any other does, those of the program and its libraries
//! first.
//!
//! The C library finds out by its return address which object calls, whose `RUNPATH` and `$ORIGIN`
//! then count. So the functions here leave no frame of their own: they change the argument and jump
//! on, which takes a naked function.

use core::arch::naked_asm;
use core::ffi::{c_char, c_int, c_long, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicPtr,
    Ordering::{Acquire, Release},
};

/// The C library's `dlopen` and `dlmopen`, once they were looked for. The loads are made by the
/// assembly below: what lies behind the addresses was there before this library.
static DLOPEN: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static DLMOPEN: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// The function behind the one here. The loader looks for it without allocating, and a call of
/// `dlopen` comes while the heap is at rest.
fn find(known: &AtomicPtr<c_void>, name: &core::ffi::CStr, absent: *mut c_void) -> *mut c_void {
    // SAFETY: the name is a C string.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    if next.is_null() {
        // An object that is loaded later may bring it.
        return absent;
    }
    // Release: pairs with the Acquire of Rust's readers; the assembly follows the address alone.
    known.store(next, Release);
    known.load(Acquire)
}

extern "C-unwind" fn find_dlopen() -> *mut c_void {
    find(&DLOPEN, c"dlopen", absent as *mut c_void)
}

extern "C-unwind" fn find_dlmopen() -> *mut c_void {
    find(&DLMOPEN, c"dlmopen", absent as *mut c_void)
}

/// What a C library without the function does. Its arguments are not looked at.
extern "C-unwind" fn absent() -> *mut c_void {
    null_mut()
}

/// `dlopen` without `RTLD_DEEPBIND`.
///
/// # Safety
/// As the C library's.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dlopen(file: *const c_char, mode: c_int) -> *mut c_void {
    naked_asm!(
        "and esi, {kept}",
        "mov rax, qword ptr [rip + {known}]",
        "test rax, rax",
        "jz 2f",
        "jmp rax",
        "2:",
        "push rdi",
        "push rsi",
        "sub rsp, 8",
        "call {find}",
        "add rsp, 8",
        "pop rsi",
        "pop rdi",
        "jmp rax",
        kept = const !libc::RTLD_DEEPBIND,
        known = sym DLOPEN,
        find = sym find_dlopen,
    )
}

/// `dlmopen` without `RTLD_DEEPBIND` in the program's own namespace, which is 0. Others have a C
/// library of their own, and this library is not there.
///
/// # Safety
/// As the C library's.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dlmopen(namespace: c_long, file: *const c_char, mode: c_int) -> *mut c_void {
    naked_asm!(
        "test rdi, rdi",
        "jnz 3f",
        "and edx, {kept}",
        "3:",
        "mov rax, qword ptr [rip + {known}]",
        "test rax, rax",
        "jz 2f",
        "jmp rax",
        "2:",
        "push rdi",
        "push rsi",
        "push rdx",
        "call {find}",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "jmp rax",
        kept = const !libc::RTLD_DEEPBIND,
        known = sym DLMOPEN,
        find = sym find_dlmopen,
    )
}

/// `dlopen` without `RTLD_DEEPBIND`.
///
/// # Safety
/// As the C library's.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dlopen(file: *const c_char, mode: c_int) -> *mut c_void {
    naked_asm!(
        "and w1, w1, #{kept}",
        "adrp x16, {known}",
        "ldr x16, [x16, :lo12:{known}]",
        "cbz x16, 2f",
        "br x16",
        "2:",
        "stp x29, x30, [sp, #-32]!",
        "stp x0, x1, [sp, #16]",
        "bl {find}",
        "mov x16, x0",
        "ldp x0, x1, [sp, #16]",
        "ldp x29, x30, [sp], #32",
        "br x16",
        kept = const !libc::RTLD_DEEPBIND as u32,
        known = sym DLOPEN,
        find = sym find_dlopen,
    )
}

/// `dlmopen` without `RTLD_DEEPBIND` in the program's own namespace, which is 0. Others have a C
/// library of their own, and this library is not there.
///
/// # Safety
/// As the C library's.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dlmopen(namespace: c_long, file: *const c_char, mode: c_int) -> *mut c_void {
    naked_asm!(
        "cbnz x0, 3f",
        "and w2, w2, #{kept}",
        "3:",
        "adrp x16, {known}",
        "ldr x16, [x16, :lo12:{known}]",
        "cbz x16, 2f",
        "br x16",
        "2:",
        "stp x29, x30, [sp, #-48]!",
        "stp x0, x1, [sp, #16]",
        "str x2, [sp, #32]",
        "bl {find}",
        "mov x16, x0",
        "ldr x2, [sp, #32]",
        "ldp x0, x1, [sp, #16]",
        "ldp x29, x30, [sp], #48",
        "br x16",
        kept = const !libc::RTLD_DEEPBIND as u32,
        known = sym DLMOPEN,
        find = sym find_dlmopen,
    )
}
