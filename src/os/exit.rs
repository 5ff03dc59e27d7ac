//! The hook that runs when the process exits: after the handlers that were registered later, in the thread that called `exit`, while others
//! may still run. It does not run at `_exit`, an abort or a signal.

/// Runs `handler` at exit. `false`: the system has no room for it.
pub(crate) fn register(handler: extern "C" fn()) -> bool {
    // SAFETY: `atexit` belongs to the code that `handler` is a part of, so the handler runs before that is unloaded.
    unsafe { libc::atexit(handler) == 0 }
}
