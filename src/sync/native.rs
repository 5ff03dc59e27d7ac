//! The processor's own atomics. `model.rs` has the twins of all these names.

pub(crate) use core::hint::spin_loop;
pub(crate) use core::sync::atomic;
pub(crate) use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Whether this build runs under the model checker.
pub(crate) const IS_MODEL: bool = false;

/// Returns the number of the calling thread of a model; `None` outside of models.
#[inline(always)]
pub(crate) fn model_thread() -> Option<u64> {
    None
}

/// Whether the rule `$name` is broken on purpose: never, except under loom.
macro_rules! broken {
    ($name:literal) => {
        false
    };
}
pub(crate) use broken;

/// Makes a constructor `const`, except under loom, whose atomics cannot be made at compile time.
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) -> $ret:ty $body:block) => {
        $(#[$meta])*
        $vis const fn $name($($arg: $ty),*) -> $ret $body
    };
}
pub(crate) use const_unless_loom;

/// Makes an array of values with a constructor that is `const` except under loom.
macro_rules! array_of {
    ($new:expr; $count:expr) => {
        [const { $new }; $count]
    };
}
pub(crate) use array_of;

/// Makes a static with a constructor that is `const` except under loom.
macro_rules! static_of {
    ($(#[$meta:meta])* pub(crate) static $name:ident: $ty:ty = $new:expr;) => {
        $(#[$meta])*
        pub(crate) static $name: $ty = $new;
    };
}
pub(crate) use static_of;

/// Stands for memory that is written before it is published. Only the models have it.
pub(crate) struct Witness;

impl Witness {
    pub(crate) const fn new() -> Self {
        Self
    }

    /// Tells the model checker that the memory is written.
    pub(crate) fn write(&self) {}

    /// Tells the model checker that the memory is read.
    pub(crate) fn read(&self) {}
}
