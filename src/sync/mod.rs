//! The one door to atomics and interior mutability: `core`'s, or loom's when the crate is built with `--cfg loom`.
//!
//! - Owns: nothing at run time; it chooses which implementation every other module sees.
//! - Callers: every module. No other file names `core::sync::atomic` or `core::cell::UnsafeCell`.
//! - Locks and ordering: [`lock::Lock`] and [`stack::Inbox`] are the two protocols that live here.
//!
//! Invariants:
//! 1. A protocol that is to be checked by loom takes its atomics from [`atomic`] and its cells from [`cell`].
//! 2. [`unmodeled`] holds only caches of values that never change once known, so that no order between threads matters.

pub(crate) mod lock;
pub(crate) mod stack;

use core::ops::Deref;

/// Atomics that loom can see.
#[allow(
    unused_imports,
    reason = "the door offers the whole set; which of it is used varies with the build"
)]
pub(crate) mod atomic {
    #[cfg(not(loom))]
    pub(crate) use core::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    #[cfg(loom)]
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

/// Atomics that loom does not see, for statics outside any protocol (invariant 2): they stay `const`-constructible.
#[allow(
    unused_imports,
    reason = "the door offers the whole set; which of it is used varies with the build"
)]
pub(crate) mod unmodeled {
    pub(crate) use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
}

/// A cell whose every access loom can check; accesses go through raw pointer guards.
pub(crate) mod cell {
    #[cfg(loom)]
    pub(crate) use loom::cell::{MutPtr, UnsafeCell};

    /// `core`'s cell under the shape of loom's.
    #[cfg(not(loom))]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    #[cfg(not(loom))]
    impl<T> UnsafeCell<T> {
        /// A cell that holds `value`.
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        /// Begins an exclusive access that lasts until the result is dropped; the caller answers for exclusivity.
        #[inline]
        pub(crate) fn get_mut(&self) -> MutPtr<T> {
            MutPtr(self.0.get())
        }
    }

    /// A pointer for one exclusive access, in the shape of loom's.
    #[cfg(not(loom))]
    pub(crate) struct MutPtr<T>(*mut T);

    #[cfg(not(loom))]
    impl<T> MutPtr<T> {
        /// The value behind the pointer.
        ///
        /// # Safety
        /// The cell outlives the result and nobody else accesses its value meanwhile.
        #[inline]
        #[allow(
            clippy::mut_from_ref,
            reason = "the shape of loom's MutPtr; exclusivity is the caller's promise"
        )]
        pub(crate) unsafe fn deref(&self) -> &mut T {
            // SAFETY: the pointer comes from a live cell, and exclusivity is this function's contract.
            unsafe { &mut *self.0 }
        }
    }
}

/// Tells the processor (or loom's scheduler) that this thread waits for another one.
#[inline]
pub(crate) fn spin_hint() {
    #[cfg(not(loom))]
    core::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// Makes the wrapped `const fn` items `const` in normal builds and plain `fn` under `--cfg loom`, whose constructors
/// register themselves with the running model and therefore cannot be `const`.
macro_rules! const_unless_loom {
    ($($(#[$meta:meta])* $vis:vis const fn $name:ident($($args:tt)*) -> $ret:ty $body:block)+) => {
        $(
            $(#[$meta])*
            #[cfg(not(loom))]
            $vis const fn $name($($args)*) -> $ret $body

            $(#[$meta])*
            #[cfg(loom)]
            $vis fn $name($($args)*) -> $ret $body
        )+
    };
}
#[allow(unused_imports, reason = "exported for the layers above")]
pub(crate) use const_unless_loom;

/// A value alone on its cache lines: 128 bytes, because x86 prefetches lines in pairs and some ARM cores have such
/// lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CachePadded<T>(pub(crate) T);

impl<T> Deref for CachePadded<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}
