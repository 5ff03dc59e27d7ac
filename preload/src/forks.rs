//! Exports glibc's `__register_atfork`, which registers handlers to run around a `fork`. Programs
//! and libraries call it through `pthread_atfork`, which glibc links into each of them.
//!
//! The handlers registered first run last before a fork, and first after it. So the heap's handlers
//! are registered before any others: the heap is then not locked while a library's handlers run.
//! Such a handler may wait for another thread, and that thread may allocate.

use core::ffi::{c_int, c_void};
use heap::raw;

/// A handler's address, or null.
type Handler = *const c_void;
type Register = unsafe extern "C-unwind" fn(Handler, Handler, Handler, *mut c_void) -> c_int;

/// Registers the heap's handlers unless they are registered already, and then the given ones.
/// Returns 0, or `ENOMEM`.
///
/// # Safety
/// The handlers are null or functions of the object `object`, which is a `__dso_handle` or null.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __register_atfork(
    prepare: Handler,
    parent: Handler,
    child: Handler,
    object: *mut c_void,
) -> c_int {
    raw::register_fork_hooks();
    // SAFETY: the name is a C string.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, c"__register_atfork".as_ptr()) };
    #[expect(
        clippy::disallowed_methods,
        reason = "there is no other way from an address to a function"
    )]
    // SAFETY: `next` is null or glibc's `__register_atfork`, which has this type.
    let register = unsafe { core::mem::transmute::<*mut c_void, Option<Register>>(next) };
    match register {
        // SAFETY: the arguments fulfil glibc's contract (contract of this function).
        Some(register) => unsafe { register(prepare, parent, child, object) },
        None => libc::ENOMEM,
    }
}
