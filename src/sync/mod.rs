//! The only source of atomics, cells and locks: `core`'s in normal builds, loom's under `--cfg
//! loom`.
//!
//! All protocols above are written once against these names, so the models run the real code.
//! Nothing here allocates, panics, or keeps state that a fork child could not repair.

#[cfg(feature = "gc")]
pub(crate) mod backoff;
pub(crate) mod forker;
pub(crate) mod lock;
pub(crate) mod stack;
#[cfg(any(feature = "preload", test))]
pub(crate) mod strip;
#[cfg(any(not(loom), test))]
pub(crate) mod watch;

/// Atomics.
pub(crate) mod atomic {
    #[cfg(all(feature = "gc", not(loom)))]
    pub(crate) use core::sync::atomic::AtomicIsize;
    #[cfg(not(loom))]
    pub(crate) use core::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    #[cfg(all(feature = "gc", loom))]
    pub(crate) use loom::sync::atomic::AtomicIsize;
    #[cfg(loom)]
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

/// Atomics for statistics. They order nothing, so the models need not track them.
pub(crate) mod tally {
    #[cfg(all(feature = "gc", not(loom)))]
    pub(crate) use core::sync::atomic::AtomicU8;
    #[cfg(feature = "gc")]
    pub(crate) use core::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, AtomicUsize};
    pub(crate) use core::sync::atomic::{AtomicU32, Ordering};
}

/// The standard library's shared ownership and blocking locks. For the collector and the profile
/// writers, which lie above the heap and may allocate.
#[cfg(any(feature = "gc", feature = "profiling"))]
#[cfg_attr(
    not(feature = "gc"),
    allow(unused_imports, reason = "the collector needs more of it")
)]
pub(crate) mod blocking {
    #[cfg(loom)]
    pub(crate) use loom::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
    #[cfg(not(loom))]
    pub(crate) use std::sync::atomic::{AtomicI32, AtomicI64};
    pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError, Weak};
    #[cfg(not(loom))]
    pub(crate) use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
}

/// Tells the processor, or the model checker, that the caller waits for another thread.
#[inline]
pub(crate) fn spin_hint() {
    #[cfg(not(loom))]
    core::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// Makes a constructor `const`, except under loom, whose atomics cannot be made at compile time.
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) -> $ret:ty $body:block) => {
        $(#[$meta])*
        #[cfg(not(loom))]
        $vis const fn $name($($arg: $ty),*) -> $ret $body
        $(#[$meta])*
        #[cfg(loom)]
        $vis fn $name($($arg: $ty),*) -> $ret $body
    };
}
pub(crate) use const_unless_loom;

/// Makes an array of values with a constructor that is `const` except under loom.
macro_rules! array_of {
    ($new:expr; $count:expr) => {{
        #[cfg(not(loom))]
        {
            [const { $new }; $count]
        }
        #[cfg(loom)]
        {
            core::array::from_fn(|_| $new)
        }
    }};
}
pub(crate) use array_of;

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
