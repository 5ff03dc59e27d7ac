//! How a [`Meter`] looks at the values of traceable types; see the rules in
//! [`meter`](super::meter).

use super::meter::{Meter, NOT_COUNTED, Purpose, SAMPLE, Share};
use super::trace::Trace;
use crate::sync::tally::Ordering::Relaxed;

/// The most values of all containers that are looked at.
const MOST: usize = 4096;
/// The deepest nesting of containers that is looked at.
const DEPTH: usize = 32;

impl Share {
    /// Measures the value again, after a writer of heap number `heap` has changed it and while that
    /// writer holds it. Returns the bytes before and now, if they differ and that heap counts them.
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

impl Meter {
    /// Returns the bytes that `value` owns beyond its size, as it becomes an object of heap number
    /// `heap`.
    #[inline]
    pub(crate) fn of<'gc, T: Trace<'gc>>(value: &T, heap: u64) -> usize {
        Self::measured(value, Purpose::New(heap))
    }

    /// Returns the bytes that a dead `value` owns beyond its size, before it is dropped.
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
            // A writer looks at fewer values, since it may write often.
            left: if purpose == Purpose::Look { SAMPLE / 8 } else { MOST },
            depth: 0,
        };
        value.measure(&mut meter);
        meter.bytes.saturating_add(meter.shares)
    }

    /// Adds the memory of a container's values as [`add_each`](Self::add_each) does, for a
    /// container in which the search for the first value may be long. Adds nothing for a writer of
    /// a lock (METER-2).
    pub(crate) fn add_scattered<'a, 'gc, T: Trace<'gc> + ?Sized + 'a>(
        &mut self,
        len: usize,
        values: impl IntoIterator<Item = &'a T>,
    ) {
        if self.purpose != Purpose::Look {
            self.add_each(len, values);
        }
    }

    /// Adds the memory that the values of a container own.
    ///
    /// `len` is the number of values. `values` must give them in the same order each time. If there
    /// are many, the meter looks at the first ones and extrapolates. See the example of [`Meter`].
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

/// A field under `#[trace(skip)]`, for the derive. It is measured if its type is `Trace`. Method
/// lookup tries this type first, where [`MeasuresSkipped`] serves types that are `Trace`. Then it
/// tries the reference, where [`MeasuresNothing`] serves all types.
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
        // Other containers' entries are measured.
        let tree: BTreeMap<u64, String> = [(7, "x".repeat(1000))].into();
        assert!(Meter::measured(&tree, Purpose::Look) > 1000);
    }

    #[test]
    fn a_measurement_is_bounded() {
        struct Chain(Option<Box<Self>>);
        // SAFETY: the type has no edge.
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
