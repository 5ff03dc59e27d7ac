//! [`WeakMap`]: a table of ephemerons. An entry keeps its value alive while both the table and the entry's key are alive, and goes when the key dies.
//!
//! - E1. At the fixpoint of marking, each marked table's entries with a marked key have a marked value. The collector looks at all tables
//!   after the wave and before it closes; a key that is marked later calls the closing off (B2 of [`barrier`](super::barrier)).
//! - E2. A value that is removed from the table, or replaced, while a cycle runs, is shaded like
//!   the target of a weak reference: what kept it alive is not an edge that the barriers see. (One
//!   that is read needs no shading, as the Spin model shows: who has the key in hand in MARK has an
//!   object that will be marked, and so will the value; in PRE its stores shade, and a lock that it
//!   writes, where what is added is not shaded, is scanned again after its unpin, or shaded at the
//!   end of the guard: K1 of [`lock`](super::lock).) What is inserted in PRE is shaded, key and
//!   value, as what any store in PRE stores: the table may be one that another thread made black in
//!   MARK, whose entries no tracer looks at.
//! - E3. Entries with dead keys go after the cycle closed and before H3, so before a key's slot can be used again.
//! - E4. Nothing is acknowledged and nothing managed is allocated while the table's lock is held.

use super::alloc::Mutator;
use super::desc::Kind;
use super::fault::broken;
use super::handle::{Gc, Invariant};
use super::phase::Phase;
use super::trace::{Trace, Visitor};
use crate::sync::lock::Lock;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::collections::HashMap;

/// The collector's view of a table: addresses of keys and values.
pub(crate) struct Table(Lock<HashMap<Address, Address>>);

/// An address of an object, as a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Address(NonNull<u8>);

// SAFETY: objects are `Send + Sync`; who follows the address holds a `Gc`.
unsafe impl Send for Address {}

// SAFETY: neither keys nor values are edges; the collector treats tables by their kind.
unsafe impl<'gc> Trace<'gc> for Table {
    const KIND: Kind = Kind::Table;
    fn trace(&self, _: &mut Visitor<'gc>) {}
}

impl Table {
    /// The values of the entries whose key is `alive`, for the fixpoint.
    pub(crate) fn values(&self, alive: impl Fn(NonNull<u8>) -> bool, mut show: impl FnMut(NonNull<u8>)) {
        for (key, value) in self.0.lock().iter() {
            if alive(key.0) {
                show(value.0);
            }
        }
    }

    /// Removes the entries whose key is not `alive` (E3).
    pub(crate) fn clear(&self, alive: impl Fn(NonNull<u8>) -> bool) {
        self.0.lock().retain(|key, _| alive(key.0));
    }

    /// Every key and value, for the verifier.
    pub(crate) fn entries(&self) -> Vec<(NonNull<u8>, NonNull<u8>)> {
        self.0.lock().iter().map(|(key, value)| (key.0, value.0)).collect()
    }
}

/// A map whose keys are objects, compared by identity, and held weakly. A handle: copies are the same map.
///
/// ```
/// use greyspan::gc::{Heap, WeakMap};
///
/// Heap::new().enter(|m| {
///     let names = WeakMap::new(m);
///     let key = m.alloc(17u64);
///     names.insert(m, key, m.alloc(String::from("seventeen")));
///     assert_eq!(names.get(m, key).unwrap().as_str(), "seventeen");
///     assert_eq!((names.len(), names.get(m, m.alloc(17)).is_none()), (1, true));
/// });
/// ```
///
/// # Variance
/// Invariant in `'gc`, in `K` and in `V`, as every place is that can be written.
pub struct WeakMap<'gc, K, V> {
    table: Gc<'gc, Table>,
    #[expect(clippy::type_complexity, reason = "markers of what the handle stands for")]
    kind: PhantomData<(Gc<'gc, K>, Gc<'gc, V>, Invariant<(K, V)>)>,
}

impl<K, V> Clone for WeakMap<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for WeakMap<'_, K, V> {}

impl<'gc, K: Trace<'gc> + 'gc, V: Trace<'gc> + 'gc> WeakMap<'gc, K, V> {
    /// An empty map.
    pub fn new(m: &'gc Mutator<'gc>) -> Self {
        Self {
            table: m.alloc(Table(Lock::new(HashMap::new()))),
            kind: PhantomData,
        }
    }

    fn value(address: Address) -> Gc<'gc, V> {
        // SAFETY: entries of a map of this type have values of this type; the callers see to it that it is alive (E2).
        unsafe { Gc::from_pointer(address.0.cast()) }
    }

    /// A value leaves the table (E2).
    fn shade(m: &Mutator<'gc>, old: Address) {
        m.record.revives(old.0);
    }

    /// The value of `key`.
    pub fn get(&self, m: &Mutator<'gc>, key: Gc<'gc, K>) -> Option<Gc<'gc, V>> {
        m.poll();
        m.record.heap().check_process();
        let table = self.table.0.lock();
        let value = *table.get(&Address(key.address()))?;
        Some(Self::value(value))
    }

    /// Sets the value of `key`, and returns what it was.
    pub fn insert(&self, m: &Mutator<'gc>, key: Gc<'gc, K>, value: Gc<'gc, V>) -> Option<Gc<'gc, V>> {
        m.poll();
        m.record.heap().check_process();
        if m.record.phase() == Phase::Pre {
            if !broken("map_key_unshaded") {
                m.record.shade(key.address().as_ptr());
            }
            if !broken("map_value_unshaded") {
                m.record.shade(value.address().as_ptr());
            }
        }
        let mut table = self.table.0.lock();
        let key = Address(key.address());
        if let Some(&old) = table.get(&key)
            && !broken("map_replace_unshaded")
        {
            Self::shade(m, old);
        }
        table.insert(key, Address(value.address())).map(Self::value)
    }

    /// Removes the entry of `key`, and returns its value.
    pub fn remove(&self, m: &Mutator<'gc>, key: Gc<'gc, K>) -> Option<Gc<'gc, V>> {
        m.poll();
        m.record.heap().check_process();
        let mut table = self.table.0.lock();
        let key = Address(key.address());
        let old = *table.get(&key)?;
        if !broken("map_remove_unshaded") {
            Self::shade(m, old);
        }
        table.remove(&key).map(Self::value)
    }

    /// How many entries there are; those whose keys have died since the last cycle are among them.
    pub fn len(&self) -> usize {
        self.table.0.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K, V> fmt::Debug for WeakMap<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakMap(..)")
    }
}

// SAFETY: the edge to the table is shown.
unsafe impl<'gc, K: Send + Sync, V: Send + Sync> Trace<'gc> for WeakMap<'gc, K, V> {
    fn trace(&self, visitor: &mut Visitor<'gc>) {
        visitor.visit(self.table);
    }
}
