//! Handlers around `fork`, so that a child never inherits a lock that nobody will give back.
//!
//! - Owns: nothing; the C library keeps the handlers for the life of the process.
//! - Callers: `heap`, once, when it starts.
//! - Locks and ordering: `prepare` handlers run newest first, `parent` and `child` handlers oldest first, all on the
//!   thread that forks; the child has only that thread.
//!
//! Invariants:
//! 1. Handlers neither allocate nor panic.

#[cfg(all(test, unix))]
mod tests;

/// A handler.
pub(crate) type Handler = unsafe extern "C" fn();

/// Has `prepare` called before each `fork`, then `parent` and `child` in their processes. False: refused, no handler
/// runs.
///
/// The C library may allocate to remember the handlers (glibc does beyond the first 48), so the heap must be able to
/// serve when this is called.
#[cfg(unix)]
pub(crate) fn register(prepare: Handler, parent: Handler, child: Handler) -> bool {
    let _keep = super::errno::KeepErrno::new();
    // SAFETY: the handlers are functions of this crate, which is never unloaded while they can be called: the C library
    // drops the handlers of a library that it unloads.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) == 0 }
}

/// Nothing to do: there is no `fork` here.
#[cfg(not(unix))]
pub(crate) fn register(_prepare: Handler, _parent: Handler, _child: Handler) -> bool {
    true
}
