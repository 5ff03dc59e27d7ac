//! The hook that runs when the process exits. It runs in the thread that called `exit`, after
//! handlers registered later, while other threads may still run. It does not run after `_exit`, an
//! abort or a fatal signal.

use core::ffi::c_int;

/// A function that runs at exit. It does not unwind, like a [`Destructor`](super::tls::Destructor).
pub(crate) type Handler = extern "C-unwind" fn();

unsafe extern "C" {
    fn atexit(handler: Handler) -> c_int;
}

/// Runs `handler` at exit. `false`: the system has no room for it.
pub(crate) fn register(handler: Handler) -> bool {
    // SAFETY: `atexit` belongs to the object that holds `handler`, so the handler runs before that
    // object is unloaded.
    unsafe { atexit(handler) == 0 }
}
