//! The only source of atomics, cells and locks: `core`'s in normal builds, loom's under `--cfg
//! greyspan_loom`, a name that no other crate's models use.
//!
//! All protocols above are written once against these names, so the models run the real code.
//! Nothing here allocates, panics, or keeps state that a fork child could not repair.

#[cfg(feature = "gc")]
pub(crate) mod backoff;
pub(crate) mod forker;
pub(crate) mod handover;
pub(crate) mod lock;
pub(crate) mod stack;
pub(crate) mod strip;
pub(crate) mod watch;

#[cfg_attr(greyspan_loom, path = "model.rs")]
mod native;

pub(crate) use native::{IS_MODEL, Witness, array_of, atomic, broken, const_unless_loom, model_thread, static_of};

#[cfg(greyspan_loom)]
pub(crate) use native::is_broken;

/// Atomics for statistics, and for statics of the process that no model touches. They order nothing
/// that a model checks, so the models need not track them.
pub(crate) use core::sync::atomic as tally;

/// The standard library's shared ownership and blocking locks. For the collector and the profile
/// writers, which lie above the heap and may allocate.
pub(crate) mod blocking {
    pub(crate) use super::native::{RwLock, RwLockReadGuard, RwLockWriteGuard};
    pub(crate) use std::sync::mpsc::{Sender, SyncSender};
    pub(crate) use std::sync::{Arc, Barrier, Condvar, LazyLock, Mutex, MutexGuard, Once, OnceLock};
    pub(crate) use std::sync::{PoisonError, TryLockError, Weak};
}

/// Tells the processor, or the model checker, that the caller waits for another thread.
#[inline]
pub(crate) fn spin_hint() {
    native::spin_loop();
}

/// Keeps a value on two cache lines that nothing else shares. Two, because processors fetch lines
/// in pairs.
#[repr(align(128))]
pub(crate) struct CachePadded<T>(pub(crate) T);

impl<T> core::ops::Deref for CachePadded<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}
