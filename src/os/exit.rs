//! The hook that runs when the process exits: after the handlers that were registered later, in the thread that called `exit`, while others
//! may still run. It does not run at `_exit`, an abort or a signal.

use core::ffi::c_int;

/// What runs at exit. It does not unwind, as a [`Destructor`](super::tls::Destructor).
pub(crate) type Handler = extern "C-unwind" fn();

unsafe extern "C" {
    fn atexit(handler: Handler) -> c_int;
}

/// Runs `handler` at exit. `false`: the system has no room for it.
pub(crate) fn register(handler: Handler) -> bool {
    // SAFETY: `atexit` belongs to the code that `handler` is a part of, so the handler runs before that is unloaded.
    unsafe { atexit(handler) == 0 }
}
