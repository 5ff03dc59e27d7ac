//! [`WeakSet`]: a set of objects that it does not keep alive.

use super::alloc::Mutator;
use super::ephemeron::WeakMap;
use super::handle::Gc;
use super::trace::Trace;
use super::visitor::Visitor;
use core::fmt;

/// A set of objects, compared by identity, that keeps none of them alive. An object leaves the set
/// when it dies. The set is a handle: copies share one table.
///
/// Needs the feature `gc`.
///
/// ```
/// use greyspan::gc::{Heap, Root, Rootable, WeakSet};
///
/// let heap = Heap::new();
/// type All = Root<Rootable![WeakSet<'_, String>]>;
/// let (all, kept): (All, Root<Rootable![String]>) = heap.enter(|m| {
///     let (all, kept) = (WeakSet::new(m), m.alloc(String::from("kept")));
///     assert!(all.insert(m, kept) && all.insert(m, m.alloc(String::from("lost"))));
///     assert!(!all.insert(m, kept) && all.len() == 2);
///     (Root::new(m, m.alloc(all)), Root::new(m, kept))
/// });
/// heap.collect();
/// heap.enter(|m| {
///     let (all, kept) = (all.get(m), kept.get(m));
///     assert!(all.iter(m).map(|text| text.as_ref()).eq(["kept"]));
///     assert!(all.contains(m, kept) && all.remove(m, kept) && all.is_empty());
/// });
/// ```
///
/// # Variance
/// Invariant in `'gc` and `T`, because a set can be written.
pub struct WeakSet<'gc, T> {
    members: WeakMap<'gc, T, ()>,
    /// The value of every entry.
    unit: Gc<'gc, ()>,
}

impl<T> Clone for WeakSet<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for WeakSet<'_, T> {}

impl<'gc, T: Trace<'gc> + 'gc> WeakSet<'gc, T> {
    /// Makes an empty set. See the example of [`WeakSet`].
    ///
    /// # Panics
    /// If there is no memory for its table.
    pub fn new(m: &Mutator<'gc>) -> Self {
        Self {
            members: WeakMap::new(m),
            unit: m.alloc(()),
        }
    }

    /// Adds `gc`. Returns `false` if it was in the set before. See the example of [`WeakSet`].
    ///
    /// # Panics
    /// In a `fork` child, if the heap belongs to its parent.
    pub fn insert(&self, m: &Mutator<'gc>, gc: Gc<'gc, T>) -> bool {
        self.members.insert(m, gc, self.unit).is_none()
    }

    /// Whether `gc` is in the set. See the example of [`WeakSet`].
    ///
    /// # Panics
    /// In a `fork` child, if the heap belongs to its parent.
    pub fn contains(&self, m: &Mutator<'gc>, gc: Gc<'gc, T>) -> bool {
        self.members.get(m, gc).is_some()
    }

    /// Removes `gc`. Returns `false` if it was not in the set. See the example of [`WeakSet`].
    ///
    /// # Panics
    /// In a `fork` child, if the heap belongs to its parent.
    pub fn remove(&self, m: &Mutator<'gc>, gc: Gc<'gc, T>) -> bool {
        self.members.remove(m, gc).is_some()
    }

    /// Returns the living objects of the set, as [`WeakMap::iter`] does. See the example of
    /// [`WeakSet`].
    ///
    /// # Panics
    /// In a `fork` child, if the heap belongs to its parent.
    pub fn iter(&self, m: &Mutator<'gc>) -> impl ExactSizeIterator<Item = Gc<'gc, T>> + use<'gc, T> {
        self.members.iter(m).map(|(member, _)| member)
    }

    /// Returns the number of objects, including those that have died since the last cycle. See the
    /// example of [`WeakSet`].
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether the set has no objects, not even such that died since the last cycle. See the
    /// example of [`WeakSet`].
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl<T> fmt::Debug for WeakSet<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakSet(..)")
    }
}

// SAFETY: `trace` shows both edges: to the table, and to the value of its entries.
unsafe impl<'gc, T: Send + Sync> Trace<'gc> for WeakSet<'gc, T> {
    fn trace(&self, visitor: &mut Visitor<'gc>) {
        self.members.trace(visitor);
        visitor.visit(self.unit);
    }
}
