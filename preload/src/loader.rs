//! Exports `dlopen` and `dlmopen` without `RTLD_DEEPBIND`.
//!
//! An object loaded with that flag looks functions up in its own libraries first. It finds the C
//! library's `malloc` and `free` instead of this library's, and blocks reach the wrong heap:
//! Debian's `php` crashes so under other preloaded allocators. So the functions here clear the
//! flag. The object then finds functions as any other object does: those of the program and its
//! libraries first.
//!
//! The C library identifies the calling object by the return address, and uses that object's
//! `RUNPATH` and `$ORIGIN`. So the functions here must leave no stack frame: they are naked
//! functions that change the argument and jump to the C library's function.

use core::arch::naked_asm;
use core::ffi::{c_char, c_int, c_long, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicPtr,
    Ordering::{Acquire, Release},
};

/// The C library's `dlopen` and `dlmopen`, or null before the first look-up. The assembly below
/// loads them without an acquire: the code at those addresses was there before this library was.
static DLOPEN: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static DLMOPEN: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Returns the C library's function `name` and remembers it in `known`; returns `absent` if there
/// is none. The loader looks it up without allocating, and no heap operation is under way on this
/// thread.
fn find(known: &AtomicPtr<c_void>, name: &core::ffi::CStr, absent: *mut c_void) -> *mut c_void {
    // SAFETY: the name is a C string.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    if next.is_null() {
        // Not remembered: an object that is loaded later may bring the function.
        return absent;
    }
    // Release pairs with the Acquire below; the assembly depends on the address alone.
    known.store(next, Release);
    known.load(Acquire)
}

extern "C-unwind" fn find_dlopen() -> *mut c_void {
    find(&DLOPEN, c"dlopen", absent as *mut c_void)
}

extern "C-unwind" fn find_dlmopen() -> *mut c_void {
    find(&DLMOPEN, c"dlmopen", absent as *mut c_void)
}

/// Stands for the function in a C library that lacks it: ignores its arguments and returns null.
extern "C-unwind" fn absent() -> *mut c_void {
    null_mut()
}

/// Calls the C library's `dlopen` without `RTLD_DEEPBIND`.
///
/// # Safety
/// As for the C library's function: `file` is null or a C string.
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

/// Calls the C library's `dlmopen`, without `RTLD_DEEPBIND` in the program's own namespace, which
/// is 0. Any other namespace has a separate C library, and this library is not loaded there.
///
/// # Safety
/// As for the C library's function: `file` is null or a C string.
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

/// Calls the C library's `dlopen` without `RTLD_DEEPBIND`.
///
/// # Safety
/// As for the C library's function: `file` is null or a C string.
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

/// Calls the C library's `dlmopen`, without `RTLD_DEEPBIND` in the program's own namespace, which
/// is 0. Any other namespace has a separate C library, and this library is not loaded there.
///
/// # Safety
/// As for the C library's function: `file` is null or a C string.
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
