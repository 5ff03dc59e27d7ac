//! loom's atomics. `native.rs` has the twins of all these names and describes them.

use loom::cell::UnsafeCell;
pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, atomic};

pub(crate) const IS_MODEL: bool = true;

pub(crate) fn model_thread() -> Option<u64> {
    loom::thread_local! {
        static HERE: u64 = 0;
    }
    Some(HERE.with(|here| core::ptr::from_ref(here).addr() as u64))
}

/// `GREYSPAN_FAULT` names the rules that are broken on purpose. `.ci/loom.sh` breaks each one, and
/// a model must fail.
pub(crate) fn is_broken(rule: &str) -> bool {
    static FAULT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let faults = FAULT.get_or_init(|| std::env::var("GREYSPAN_FAULT").unwrap_or_default());
    faults.split(',').any(|fault| fault == rule)
}

macro_rules! broken {
    ($name:literal) => {
        $crate::sync::is_broken($name)
    };
}
pub(crate) use broken;

macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) -> $ret:ty $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) -> $ret $body
    };
}
pub(crate) use const_unless_loom;

macro_rules! array_of {
    ($new:expr; $count:expr) => {
        core::array::from_fn(|_| $new)
    };
}
pub(crate) use array_of;

macro_rules! static_of {
    ($(#[$meta:meta])* pub(crate) static $name:ident: $ty:ty = $new:expr;) => {
        loom::lazy_static! {
            $(#[$meta])*
            pub(crate) static ref $name: $ty = $new;
        }
    };
}
pub(crate) use static_of;

pub(crate) struct Witness(UnsafeCell<bool>);

impl Witness {
    pub(crate) fn new() -> Self {
        Self(UnsafeCell::new(false))
    }

    pub(crate) fn write(&self) {
        self.0.with_mut(|written| {
            // SAFETY: loom checks that no other thread reads or writes meanwhile.
            unsafe { *written = true };
        });
    }

    pub(crate) fn read(&self) {
        self.0.with(|written| {
            // SAFETY: loom checks that no thread writes meanwhile.
            assert!(unsafe { *written });
        });
    }
}
