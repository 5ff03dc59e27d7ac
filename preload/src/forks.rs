//! glibc's `__register_atfork`, by which programs and libraries register what runs around a `fork`:
//! `pthread_atfork` is code of theirs that calls it.
//!
//! Handlers that are registered first run last before a fork and first after it. So the heap's own
//! are registered before any others: then it is not locked while those of a library run, which may
//! wait for other threads that allocate.

use core::ffi::{c_int, c_void};
use heap::raw;

/// A handler, or null.
type Handler = *const c_void;
type Register = unsafe extern "C-unwind" fn(Handler, Handler, Handler, *mut c_void) -> c_int;

/// Registers the heap's handlers if that was not done, and then these.
///
/// # Safety
/// As glibc asks: null or functions of the object of `object`, which is its `__dso_handle` or null.
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
    // SAFETY: null, or glibc's function, which has this type.
    let register = unsafe { core::mem::transmute::<*mut c_void, Option<Register>>(next) };
    match register {
        // SAFETY: as the caller promised.
        Some(register) => unsafe { register(prepare, parent, child, object) },
        None => libc::ENOMEM,
    }
}
