//! [`Meter`]: how much memory of the global allocator a value owns, so that objects count for what
//! dies with them.
//!
//! - N1. A value that does not change measures the same when it is allocated and before it is
//!   dropped. The heap adds the one and takes the other away.
//! - N2. A measurement looks at few values: of a container it takes the first ones for all, and it
//!   does not go deeper than [`DEPTH`]. So `alloc` of a large value stays cheap, and a long chain
//!   of boxes costs no stack. The way to the first values of a hash table that has become sparse is
//!   as long as its memory, and its length and capacity do not tell: removed entries may leave
//!   marks, which count as used. An object goes that way when it is made and before it is dropped.
//!   A writer of a lock, which may come often, does not: behind a lock a hash table counts for its
//!   own memory and not for what its entries own.
//! - N3. The value behind a `GcLock` changes. Its lock keeps its [`Share`] of what the heap counts
//!   for the object: the first measurement sets it, each writer changes it and tells the heap of
//!   the difference, and the last one reads it. Shares are never extrapolated. A writer with the
//!   mutator of another heap changes nothing: its heap counts nothing for the object. The next
//!   writer with one of the object's heap makes up for it.

use super::trace::Trace;
use crate::sync::tally::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Values of one container that are looked at.
const SAMPLE: usize = 256;
/// Values of all containers that are looked at.
const MOST: usize = 4096;
/// Containers in containers.
const DEPTH: usize = 32;

/// What the heap counts for the value of one lock (N3).
pub(crate) struct Share {
    bytes: AtomicUsize,
    /// The heap's number, where `bytes` are counted.
    heap: AtomicU64,
}

/// Nothing: the lock is in no object, or in one of the values that were not looked at.
const NOT_COUNTED: usize = usize::MAX;

impl Share {
    pub(crate) fn new() -> Self {
        Self {
            bytes: AtomicUsize::new(NOT_COUNTED),
            heap: AtomicU64::new(0),
        }
    }

    /// A writer of heap number `heap` has changed the value, which it holds still. Bytes before and
    /// now, where they differ and that heap counts them.
    #[inline]
    pub(crate) fn change<'gc, T: Trace<'gc>>(&self, value: &T, heap: u64) -> Option<(usize, usize)> {
        let before = self.bytes.load(Relaxed);
        if before == NOT_COUNTED || self.heap.load(Relaxed) != heap {
            return None;
        }
        let now = Meter::measured(value, Purpose::Look).min(NOT_COUNTED - 1);
        self.bytes.store(now, Relaxed);
        (now != before).then_some((before, now))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Purpose {
    /// An object of the heap of this number is made.
    New(u64),
    /// A dead one is about to be dropped.
    Dead,
    /// How much a value behind a lock owns now.
    Look,
}

/// Adds up the memory that values own, by [`Trace::measure`].
#[derive(Debug)]
pub struct Meter {
    bytes: usize,
    /// Those of locks.
    shares: usize,
    purpose: Purpose,
    left: usize,
    depth: usize,
}

impl Meter {
    /// The bytes that `value` owns beside its own size, as it becomes an object of heap number
    /// `heap`.
    #[inline]
    pub(crate) fn of<'gc, T: Trace<'gc>>(value: &T, heap: u64) -> usize {
        Self::measured(value, Purpose::New(heap))
    }

    /// The same before it is dropped.
    pub(crate) fn of_dead<'gc, T: Trace<'gc>>(value: &T) -> usize {
        Self::measured(value, Purpose::Dead)
    }

    #[inline]
    fn measured<'gc, T: Trace<'gc>>(value: &T, purpose: Purpose) -> usize {
        if !core::mem::needs_drop::<T>() {
            return 0;
        }
        let mut meter = Self {
            bytes: 0,
            shares: 0,
            purpose,
            // A writer looks at little, since it may write often.
            left: if purpose == Purpose::Look { SAMPLE / 8 } else { MOST },
            depth: 0,
        };
        value.measure(&mut meter);
        meter.bytes.saturating_add(meter.shares)
    }

    /// Adds what a value behind a lock owns (N3): `look` measures it.
    pub(crate) fn add_share(&mut self, share: &Share, look: impl FnOnce(&mut Self)) {
        if self.purpose == Purpose::Look {
            // In another lock, which has the share of both.
            return look(self);
        }
        if let Purpose::New(heap) = self.purpose {
            let mut inner = Self {
                bytes: 0,
                shares: 0,
                purpose: Purpose::Look,
                left: SAMPLE / 8,
                depth: self.depth,
            };
            look(&mut inner);
            share.bytes.store(inner.bytes.min(NOT_COUNTED - 1), Relaxed);
            share.heap.store(heap, Relaxed);
        }
        let counted = share.bytes.load(Relaxed);
        if counted != NOT_COUNTED {
            self.shares = self.shares.saturating_add(counted);
        }
    }

    /// Adds memory of so many bytes.
    #[inline]
    pub fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// As [`add_each`](Self::add_each), for a container in which the way to the first value may be
    /// long (N2).
    pub(crate) fn add_scattered<'a, 'gc, T: Trace<'gc> + ?Sized + 'a>(
        &mut self,
        len: usize,
        values: impl IntoIterator<Item = &'a T>,
    ) {
        if self.purpose != Purpose::Look {
            self.add_each(len, values);
        }
    }

    /// Adds what the values of a container own: `len` values, which `values` gives in the same
    /// order each time. Many values are not all looked at.
    pub fn add_each<'a, 'gc, T: Trace<'gc> + ?Sized + 'a>(
        &mut self,
        len: usize,
        values: impl IntoIterator<Item = &'a T>,
    ) {
        if !core::mem::needs_drop::<T>() || self.depth == DEPTH {
            return;
        }
        self.depth += 1;
        let before = core::mem::take(&mut self.bytes);
        let mut seen = 0;
        for value in values.into_iter().take(SAMPLE.min(self.left)) {
            value.measure(self);
            seen += 1;
        }
        self.left = self.left.saturating_sub(seen);
        self.depth -= 1;
        if seen > 0 && seen < len {
            let all = self.bytes as u128 * len as u128 / seen as u128;
            self.bytes = usize::try_from(all).unwrap_or(usize::MAX);
        }
        self.add(before);
    }
}

/// A field under `#[trace(skip)]`, for the derive: it is measured if its type is `Trace`. The
/// method is looked for on this type first, where [`MeasuresSkipped`] has it if the type is, and
/// then on the reference, where [`MeasuresNothing`] has it for all.
#[doc(hidden)]
#[derive(Debug)]
pub struct Skipped<'a, T: ?Sized>(pub &'a T);

#[doc(hidden)]
pub trait MeasuresSkipped {
    fn measure_skipped(&self, meter: &mut Meter);
}

impl<'gc, T: Trace<'gc> + ?Sized> MeasuresSkipped for Skipped<'_, T> {
    #[inline]
    fn measure_skipped(&self, meter: &mut Meter) {
        self.0.measure(meter);
    }
}

#[doc(hidden)]
pub trait MeasuresNothing {
    fn measure_skipped(&self, meter: &mut Meter);
}

impl<T: ?Sized> MeasuresNothing for &Skipped<'_, T> {
    #[inline]
    fn measure_skipped(&self, _: &mut Meter) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, HashMap, VecDeque};

    fn owned<'gc, T: Trace<'gc>>(value: &T) -> usize {
        Meter::of(value, 1)
    }

    #[test]
    fn containers_are_measured_with_what_they_hold() {
        assert_eq!(owned(&7u64), 0);
        assert_eq!(owned(&vec![1u8; 1000]), 1000);
        assert_eq!(owned(&String::with_capacity(77)), 77);
        assert_eq!(owned(&Some(Box::new([0u32; 10]))), 40);
        assert_eq!(owned(&vec![0u16; 8].into_boxed_slice()), 16);
        assert_eq!(owned(&Box::<str>::from("four")), 4);
        assert_eq!(owned(&(vec![0u8; 10], 5u32, Some(String::from("abc")))), 13);
        let nested: Vec<Vec<u8>> = (0..10).map(|_| vec![0; 100]).collect();
        assert_eq!(owned(&nested), 10 * size_of::<Vec<u8>>() + 1000);
        let many: VecDeque<Vec<u8>> = (0..100_000).map(|_| vec![0; 50]).collect();
        assert!(owned(&many) >= 100_000 * (size_of::<Vec<u8>>() + 50));
        let map: HashMap<u64, Vec<u8>> = (0..100).map(|key| (key, vec![0; 1000])).collect();
        assert!((100_000..130_000).contains(&owned(&map)), "{}", owned(&map));
        let map: BTreeMap<u64, String> = (0..100).map(|key| (key, "x".repeat(1000))).collect();
        assert!((100_000..130_000).contains(&owned(&map)), "{}", owned(&map));
    }

    #[test]
    fn a_writer_does_not_look_for_the_entries_of_a_hash_table() {
        let looks = |value: &HashMap<u64, String>| Meter::measured(value, Purpose::Look);
        let mut sparse: HashMap<u64, String> = (0..100_000).map(|key| (key, String::new())).collect();
        sparse.retain(|&key, _| key == 7);
        let own = looks(&sparse);
        sparse.insert(7, "x".repeat(1000));
        assert_eq!(looks(&sparse), own, "an entry was looked for");
        assert_eq!(owned(&sparse), own + 1000);
        // No other container is like that.
        let tree: BTreeMap<u64, String> = [(7, "x".repeat(1000))].into();
        assert!(Meter::measured(&tree, Purpose::Look) > 1000);
    }

    #[test]
    fn a_measurement_is_bounded() {
        struct Chain(Option<Box<Self>>);
        // SAFETY: it has no edge.
        unsafe impl<'gc> Trace<'gc> for Chain {
            const NEEDS_TRACE: bool = false;
            fn trace(&self, _: &mut super::super::Visitor<'gc>) {}
            fn measure(&self, meter: &mut Meter) {
                self.0.measure(meter);
            }
        }
        impl Drop for Chain {
            fn drop(&mut self) {
                let mut next = self.0.take();
                while let Some(mut link) = next {
                    next = link.0.take();
                }
            }
        }
        let chain = (0..1_000_000).fold(Chain(None), |next, _| Chain(Some(Box::new(next))));
        assert!((1..100_000).contains(&owned(&chain)), "{}", owned(&chain));
    }
}
