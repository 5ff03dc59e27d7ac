//! The unwinder of libgcc, for a library that does not link it and may run in programs without it.
//! A walk of the stack calls it.

use crate::sync::atomic::{
    AtomicPtr,
    Ordering::{Acquire, Relaxed, Release},
};
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

type Visit = extern "C-unwind" fn(*mut c_void, *mut c_void) -> c_int;
type Backtrace = unsafe extern "C" fn(Visit, *mut c_void) -> c_int;
type Get = unsafe extern "C" fn(*mut c_void) -> usize;

static BACKTRACE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static GET_IP: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static GET_CFA: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Loads the unwinder. `false`: there is none. It allocates, so no code calls it inside of a
/// call of the heap.
pub(crate) fn load() -> bool {
    // Acquire: pairs with the Release below.
    if !BACKTRACE.load(Acquire).is_null() {
        return true;
    }
    // SAFETY: a C string. Programs may load this library at any time, and this code never
    // unloads it.
    let library = unsafe { libc::dlopen(c"libgcc_s.so.1".as_ptr(), libc::RTLD_NOW) };
    if library.is_null() {
        return false;
    }
    // SAFETY: the library is open, and the name is a C string.
    let find = |name: &core::ffi::CStr| unsafe { libc::dlsym(library, name.as_ptr()) };
    let (backtrace, ip, cfa) = (
        find(c"_Unwind_Backtrace"),
        find(c"_Unwind_GetIP"),
        find(c"_Unwind_GetCFA"),
    );
    if backtrace.is_null() || ip.is_null() || cfa.is_null() {
        return false;
    }
    GET_IP.store(ip, Relaxed);
    GET_CFA.store(cfa, Relaxed);
    // Release: publishes the other two addresses for the Acquires.
    BACKTRACE.store(backtrace, Release);
    true
}

pub(super) fn backtrace(visit: Visit, argument: *mut c_void) {
    // Acquire: pairs with the Release in `load`.
    let function = BACKTRACE.load(Acquire);
    if function.is_null() {
        return;
    }
    // SAFETY: the address is of a function of this type, by the platform's ABI.
    let function = unsafe { (&raw const function).cast::<Backtrace>().read() };
    // SAFETY: `visit` does not unwind and takes this argument.
    unsafe { function(visit, argument) };
}

fn get(function: &AtomicPtr<c_void>, context: *mut c_void) -> usize {
    let address = function.load(Relaxed);
    // SAFETY: the address is of a function of this type. Only a visit calls this, through
    // `backtrace`, whose Acquire made the address visible.
    let function = unsafe { (&raw const address).cast::<Get>().read() };
    // SAFETY: the context is that of the frame under visit.
    unsafe { function(context) }
}

/// Returns the return address into a frame, and the stack pointer behind it.
pub(super) fn position(context: *mut c_void) -> (usize, *const usize) {
    (
        get(&GET_IP, context),
        crate::base::addr::code_at(get(&GET_CFA, context)).cast(),
    )
}
