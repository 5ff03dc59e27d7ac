//! The unwinder of the program: libgcc's, or LLVM's with the same names.
//! A walk of the stack calls it.

use core::ffi::{c_int, c_void};

type Visit = extern "C-unwind" fn(*mut c_void, *mut c_void) -> c_int;

unsafe extern "C" {
    fn _Unwind_Backtrace(visit: Visit, argument: *mut c_void) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
    fn _Unwind_GetCFA(context: *mut c_void) -> usize;
}

/// Returns whether the unwinder is loaded: always.
pub(crate) fn load() -> bool {
    true
}

pub(super) fn backtrace(visit: Visit, argument: *mut c_void) {
    // SAFETY: `visit` does not unwind and takes this argument.
    unsafe { _Unwind_Backtrace(visit, argument) };
}

/// Returns the return address into a frame, and the stack pointer behind it.
pub(super) fn position(context: *mut c_void) -> (usize, *const usize) {
    // SAFETY: the context is that of the frame under visit.
    let frame = unsafe { _Unwind_GetIP(context) };
    // SAFETY: the context is that of the frame under visit.
    let above = unsafe { _Unwind_GetCFA(context) };
    (frame, crate::base::addr::code_at(above).cast())
}
