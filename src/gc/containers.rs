//! Implements [`Trace`] for containers of the standard library, whose values may hold edges. The
//! rules are those of [`trace`](super::trace).

use super::meter::Meter;
use super::trace::Trace;
use super::visitor::Visitor;
use core::cmp::Reverse;
use core::mem::ManuallyDrop;
use core::num::{Saturating, Wrapping};
use core::ops::{Bound, ControlFlow, Range, RangeFrom, RangeInclusive, RangeTo, RangeToInclusive};
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::Poll;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};

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
    [T: Trace<'gc> + ?Sized] Pin<Box<T>>, (T), self, visitor => (**self).trace(visitor), meter => {
        meter.add(size_of_val(&**self));
        meter.add_each(1, [&**self]);
    };
    [T: Trace<'gc>] Poll<T>, (T), self, visitor => if let Poll::Ready(value) = self { value.trace(visitor) },
        meter => if let Poll::Ready(value) = self { value.measure(meter) };
    [B: Trace<'gc>, C: Trace<'gc>] ControlFlow<B, C>, (B, C), self, visitor => match self {
        ControlFlow::Break(value) => value.trace(visitor),
        ControlFlow::Continue(value) => value.trace(visitor),
    }, meter => match self {
        ControlFlow::Break(value) => value.measure(meter),
        ControlFlow::Continue(value) => value.measure(meter),
    };
    [T: Trace<'gc>] Bound<T>, (T), self, visitor => match self {
        Bound::Included(value) | Bound::Excluded(value) => value.trace(visitor),
        Bound::Unbounded => {}
    }, meter => match self {
        Bound::Included(value) | Bound::Excluded(value) => value.measure(meter),
        Bound::Unbounded => {}
    };
}

/// Implements `Trace` for types that are one or two values, as these expressions name them.
macro_rules! values {
    ($($type:ident, $self:ident => $($value:expr),+;)*) => {
        container! {$(
            [T: Trace<'gc>] $type<T>, (T), $self, visitor => { $($value.trace(visitor);)+ }, meter => { $($value.measure(meter);)+ };
        )*}
    };
}

values! {
    Wrapping, self => self.0;
    Saturating, self => self.0;
    Reverse, self => self.0;
    AssertUnwindSafe, self => self.0;
    Range, self => self.start, self.end;
    RangeFrom, self => self.start;
    RangeTo, self => self.end;
    RangeInclusive, self => self.start(), self.end();
    RangeToInclusive, self => self.end;
}

// SAFETY: the value inside is traced.
unsafe impl<'gc, T: Trace<'gc>> Trace<'gc> for ManuallyDrop<T> {
    const NEEDS_TRACE: bool = T::NEEDS_TRACE;
    #[inline]
    fn trace(&self, visitor: &mut Visitor<'gc>) {
        (**self).trace(visitor);
    }
}

// SAFETY: an owned value is traced. A borrowed one is `'static`, so it holds no edge.
unsafe impl<'gc, B> Trace<'gc> for Cow<'static, B>
where
    B: ToOwned + Sync + ?Sized + 'static,
    B::Owned: Trace<'gc>,
{
    const NEEDS_TRACE: bool = B::Owned::NEEDS_TRACE;
    #[inline]
    fn trace(&self, visitor: &mut Visitor<'gc>) {
        if let Cow::Owned(value) = self {
            value.trace(visitor);
        }
    }
    #[inline]
    fn measure(&self, meter: &mut Meter) {
        if let Cow::Owned(value) = self {
            value.measure(meter);
        }
    }
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

tuples! {
    (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) (A B C D E F G H I)
    (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L) (A B C D E F G H I J K L M)
    (A B C D E F G H I J K L M N) (A B C D E F G H I J K L M N O) (A B C D E F G H I J K L M N O P)
}
