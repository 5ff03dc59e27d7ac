//! Implements [`Trace`] for types of the standard library. The rules are those of
//! [`trace`](super::trace).

use super::meter::Meter;
use super::trace::Trace;
use super::visitor::Visitor;
use crate::sync::blocking::Arc;
use core::marker::PhantomData;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};

/// Implements `Trace` for types that hold no edge.
macro_rules! leaf {
    ($($(#[$meta:meta])* [$($generics:tt)*] $type:ty;)*) => {$(
        $(#[$meta])*
        // SAFETY: the type holds no edge: its contents are `'static`, and no `Gc` is.
        unsafe impl<'gc, $($generics)*> Trace<'gc> for $type {
            const NEEDS_TRACE: bool = false;
            #[inline(always)]
            fn trace(&self, _: &mut Visitor<'gc>) {}
        }
    )*};
}

leaf! {
    [] bool; [] char; [] u8; [] u16; [] u32; [] u64; [] u128; [] usize; [] i8; [] i16; [] i32; [] i64; [] i128; [] isize; [] f32; [] f64;
    [] (); [] str; [] core::time::Duration; [] std::time::Instant; [] std::time::SystemTime; [] std::thread::ThreadId;
    [] std::path::Path; [] std::ffi::OsStr; [] core::ffi::CStr;
    [] core::net::IpAddr; [] core::net::SocketAddr; [] core::cmp::Ordering; [] core::any::TypeId; [] core::alloc::Layout;
    [] core::num::NonZeroU8; [] core::num::NonZeroU16; [] core::num::NonZeroU32; [] core::num::NonZeroU64; [] core::num::NonZeroUsize;
    [] core::num::NonZeroI32; [] core::num::NonZeroI64; [] std::fs::File; [] std::io::Error;
    [T: ?Sized + Send + Sync + 'static] PhantomData<T>;
    [T: ?Sized + Sync + 'static] &'static T;
    [T: ?Sized + Send + Sync + 'static] Arc<T>;
}

/// Implements `Trace` for strings that own their memory, and measures them.
macro_rules! text {
    ($($type:ty, $self:ident => $bytes:expr;)*) => {$(
        // SAFETY: text holds no edge.
        unsafe impl<'gc> Trace<'gc> for $type {
            const NEEDS_TRACE: bool = false;
            #[inline(always)]
            fn trace(&self, _: &mut Visitor<'gc>) {}
            #[inline]
            fn measure(&$self, meter: &mut Meter) {
                meter.add($bytes);
            }
        }
    )*};
}

text! {
    String, self => self.capacity();
    std::path::PathBuf, self => self.capacity();
    std::ffi::OsString, self => self.capacity();
    std::ffi::CString, self => self.as_bytes_with_nul().len();
}

/// Atomics and locks of the standard library, where they hold no edge. Their names come from
/// `crate::sync`.
mod leaves {
    use super::{Trace, Visitor};
    use crate::sync::blocking::{Mutex, RwLock};

    leaf! {
        [T: ?Sized + Send + 'static] Mutex<T>;
        [T: ?Sized + Send + Sync + 'static] RwLock<T>;
    }

    mod atomics {
        use super::{Trace, Visitor};
        use crate::sync::atomic::{AtomicBool, AtomicIsize, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};
        use crate::sync::blocking::{AtomicI32, AtomicI64, OnceLock};

        leaf! {
            [] AtomicBool; [] AtomicU8; [] AtomicU32; [] AtomicU64; [] AtomicUsize; [] AtomicIsize; [] AtomicI32; [] AtomicI64;
            [T: Send + Sync + 'static] OnceLock<T>;
        }
    }
}

/// Returns the bytes of a hash table with room for `capacity` entries of `entry` bytes. The table
/// has a power of two of places, one byte of control per place, and is at most seven eighths full.
/// Removals may lower the capacity of an unchanged table; then the result is too low until it
/// grows.
fn table(capacity: usize, entry: usize) -> usize {
    match capacity {
        0 => 0,
        _ => (capacity.saturating_mul(8) / 7)
            .next_power_of_two()
            .saturating_mul(entry + 1),
    }
}

/// Returns the bytes of a B-tree of `len` entries of `entry` bytes. Its nodes have room for eleven
/// entries and are at least two thirds full.
fn tree(len: usize, entry: usize) -> usize {
    len.saturating_mul(entry + entry / 2 + 4)
}

/// Implements `Trace` for containers of values of one or two traceable types.
macro_rules! container {
    ($([$($generics:tt)*] $type:ty, ($($item:ident),*), $self:ident, $visitor:ident => $trace:expr, $meter:ident => $measure:expr;)*) => {$(
        // SAFETY: every value inside is traced; the container has no interior mutability, and its
        // `Drop` only drops its values.
        unsafe impl<'gc, $($generics)*> Trace<'gc> for $type {
            const NEEDS_TRACE: bool = false $(|| $item::NEEDS_TRACE)*;
            #[inline]
            fn trace(&$self, $visitor: &mut Visitor<'gc>) {
                if Self::NEEDS_TRACE {
                    $trace
                }
            }
            #[inline]
            fn measure(&$self, $meter: &mut Meter) {
                $measure
            }
        }
    )*};
}

container! {
    [T: Trace<'gc>] Option<T>, (T), self, visitor => if let Some(value) = self { value.trace(visitor) },
        meter => if let Some(value) = self { value.measure(meter) };
    [T: Trace<'gc>, E: Trace<'gc>] Result<T, E>, (T, E), self, visitor => match self {
        Ok(value) => value.trace(visitor),
        Err(error) => error.trace(visitor),
    }, meter => match self {
        Ok(value) => value.measure(meter),
        Err(error) => error.measure(meter),
    };
    [T: Trace<'gc> + ?Sized] Box<T>, (T), self, visitor => (**self).trace(visitor), meter => {
        meter.add(size_of_val(&**self));
        meter.add_each(1, [&**self]);
    };
    [T: Trace<'gc>] [T], (T), self, visitor => self.iter().for_each(|value| value.trace(visitor)),
        meter => meter.add_each(self.len(), self);
    [T: Trace<'gc>, const N: usize] [T; N], (T), self, visitor => self.iter().for_each(|value| value.trace(visitor)),
        meter => meter.add_each(N, self);
    [T: Trace<'gc>] Vec<T>, (T), self, visitor => self.iter().for_each(|value| value.trace(visitor)), meter => {
        meter.add(self.capacity().saturating_mul(size_of::<T>()));
        meter.add_each(self.len(), self);
    };
    [T: Trace<'gc>] VecDeque<T>, (T), self, visitor => self.iter().for_each(|value| value.trace(visitor)), meter => {
        meter.add(self.capacity().saturating_mul(size_of::<T>()));
        meter.add_each(self.len(), self);
    };
    [T: Trace<'gc>] LinkedList<T>, (T), self, visitor => self.iter().for_each(|value| value.trace(visitor)), meter => {
        meter.add(self.len().saturating_mul(size_of::<(T, usize, usize)>()));
        meter.add_each(self.len(), self);
    };
    [T: Trace<'gc>] BinaryHeap<T>, (T), self, visitor => self.iter().for_each(|value| value.trace(visitor)), meter => {
        meter.add(self.capacity().saturating_mul(size_of::<T>()));
        meter.add_each(self.len(), self);
    };
    [T: Trace<'gc>] BTreeSet<T>, (T), self, visitor => self.iter().for_each(|value| value.trace(visitor)), meter => {
        meter.add(tree(self.len(), size_of::<T>()));
        meter.add_each(self.len(), self);
    };
    [T: Trace<'gc>, S: Send + Sync + 'static] HashSet<T, S>, (T), self, visitor => {
        self.iter().for_each(|value| value.trace(visitor))
    }, meter => {
        meter.add(table(self.capacity(), size_of::<T>()));
        meter.add_scattered(self.len(), self);
    };
    [K: Trace<'gc>, V: Trace<'gc>] BTreeMap<K, V>, (K, V), self, visitor => for (key, value) in self {
        key.trace(visitor);
        value.trace(visitor);
    }, meter => {
        meter.add(tree(self.len(), size_of::<(K, V)>()));
        meter.add_each(self.len(), self.keys());
        meter.add_each(self.len(), self.values());
    };
    [K: Trace<'gc>, V: Trace<'gc>, S: Send + Sync + 'static] HashMap<K, V, S>, (K, V), self, visitor => for (key, value) in self {
        key.trace(visitor);
        value.trace(visitor);
    }, meter => {
        meter.add(table(self.capacity(), size_of::<(K, V)>()));
        meter.add_scattered(self.len(), self.keys());
        meter.add_scattered(self.len(), self.values());
    };
    [T: Trace<'gc>] core::num::Wrapping<T>, (T), self, visitor => self.0.trace(visitor), meter => self.0.measure(meter);
    [T: Trace<'gc>] core::cmp::Reverse<T>, (T), self, visitor => self.0.trace(visitor), meter => self.0.measure(meter);
    [T: Trace<'gc>] core::ops::Range<T>, (T), self, visitor => {
        self.start.trace(visitor);
        self.end.trace(visitor);
    }, meter => {
        self.start.measure(meter);
        self.end.measure(meter);
    };
}

/// Implements `Trace` for tuples.
macro_rules! tuples {
    ($(($($name:ident)+))*) => {$(
        // SAFETY: every part is traced.
        unsafe impl<'gc, $($name: Trace<'gc>),+> Trace<'gc> for ($($name,)+) {
            const NEEDS_TRACE: bool = false $(|| $name::NEEDS_TRACE)+;
            #[inline]
            #[allow(non_snake_case, reason = "the names are the parts' types")]
            fn trace(&self, visitor: &mut Visitor<'gc>) {
                let ($($name,)+) = self;
                $($name.trace(visitor);)+
            }
            #[inline]
            #[allow(non_snake_case, reason = "the names are the parts' types")]
            fn measure(&self, meter: &mut Meter) {
                let ($($name,)+) = self;
                $($name.measure(meter);)+
            }
        }
    )*};
}

tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }
