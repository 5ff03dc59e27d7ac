//! [`WeakMap`]: a table of ephemerons. An entry keeps its value alive while both the table and the
//! entry's key are alive. It goes when the key dies.
//!
//! - EPHEMERON-1. At the fixpoint of marking, each entry of a marked table with a marked key has a
//!   marked value. The collector looks at all tables after the wave and before it closes the cycle.
//!   A key that is marked later calls the closing off (BARRIER-2).
//! - EPHEMERON-2. A value that is removed or replaced while a cycle runs is shaded like the target
//!   of a weak reference. The barriers do not see its entry as an edge. A value that is read needs
//!   no shading, as the Spin model shows. In MARK, the key in the reader's hand will be marked,
//!   and so will the value. In PRE, the reader's stores shade. A lock that it writes is scanned
//!   again after its unpin, or shaded at the end of the guard (GCLOCK-1).
//! - EPHEMERON-3. Entries with dead keys go after the cycle has closed and before handshake H3. So
//!   they go before a key's slot can be used again.
//! - EPHEMERON-4. While a table's lock is held, its thread acknowledges no request and allocates no
//!   managed object.
//! - EPHEMERON-5. A key and a value inserted in PRE are shaded, as every store in PRE shades its
//!   new value. Another thread may have made the table black in MARK, and no tracer looks at the
//!   entries of a black table.
//! - EPHEMERON-6. A thread that goes through a table revives each key, as the upgrade of a weak
//!   reference does, and skips a dead one. In MARK it does not look while the collector settles
//!   the end of a closed cycle. Then a guardian's key may be marked and its edges not yet, so the
//!   thread could take an edge off it that the collector has not seen. The thread waits for the
//!   request of handshake H3, which comes without waiting for any thread.

use super::alloc::Mutator;
use super::fault::broken;
use super::handle::{Gc, Invariant};
use super::mutator::Record;
use super::phase::{Phase, State};
use super::stats::Stint;
use super::table::{Address, Table};
use super::trace::Trace;
use super::visitor::Visitor;
use crate::sync::backoff::Backoff;
use crate::sync::lock::Lock;
use core::fmt;
use core::marker::PhantomData;
use std::collections::HashMap;

/// A map from objects to objects that holds its keys weakly and compares them by identity. The map
/// is a handle: copies share one table.
///
/// Needs the feature `gc`.
///
/// ```
/// use greyspan::gc::{Heap, WeakMap};
///
/// Heap::new().enter(|m| {
///     let names = WeakMap::new(m);
///     let key = m.alloc(17u64);
///     names.insert(m, key, m.alloc(String::from("seventeen")));
///     assert_eq!(names.get(m, key).unwrap().as_str(), "seventeen");
///     // An equal key is another object.
///     assert_eq!((names.len(), names.get(m, m.alloc(17)).is_none()), (1, true));
///     assert!(names.iter(m).all(|(key, name)| *key == 17 && *name == "seventeen"));
///     names.remove(m, key);
///     assert!(names.is_empty());
/// });
/// ```
///
/// # Variance
/// Invariant in `'gc`, `K` and `V`, because a map can be written.
pub struct WeakMap<'gc, K, V> {
    table: Gc<'gc, Table>,
    #[expect(clippy::type_complexity, reason = "markers of the types that the handle stands for")]
    kind: PhantomData<(Gc<'gc, K>, Gc<'gc, V>, Invariant<(K, V)>)>,
}

impl<K, V> Clone for WeakMap<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for WeakMap<'_, K, V> {}

impl<'gc, K: Trace<'gc> + 'gc, V: Trace<'gc> + 'gc> WeakMap<'gc, K, V> {
    /// Makes an empty map. See the example of [`WeakMap`].
    ///
    /// # Panics
    /// If there is no memory for its table.
    pub fn new(m: &Mutator<'gc>) -> Self {
        Self {
            table: m.alloc(Table(Lock::new(HashMap::new()))),
            kind: PhantomData,
        }
    }

    fn value(address: Address) -> Gc<'gc, V> {
        // SAFETY: all values of a map have its type `V`, and EPHEMERON-2 keeps the value alive.
        unsafe { Gc::from_pointer(address.0.cast()) }
    }

    /// Shades a value that leaves the table (EPHEMERON-2).
    fn shade(m: &Mutator<'gc>, old: Address) {
        m.record.revives(old.0);
    }

    /// Returns the value of `key`, or `None` if `key` has no entry. See the example of
    /// [`WeakMap`].
    ///
    /// # Panics
    /// In a `fork` child, if the heap belongs to its parent.
    pub fn get(&self, m: &Mutator<'gc>, key: Gc<'gc, K>) -> Option<Gc<'gc, V>> {
        m.poll();
        m.record.heap().check_process();
        let table = self.table.0.lock();
        let value = *table.get(&Address(key.address()))?;
        Some(Self::value(value))
    }

    /// Sets the value of `key` and returns the previous value, if there was one. See the example
    /// of [`WeakMap`].
    ///
    /// # Panics
    /// In a `fork` child, if the heap belongs to its parent.
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

    /// Removes the entry of `key` and returns its value, or `None` if `key` has no entry. See the
    /// example of [`WeakMap`].
    ///
    /// # Panics
    /// In a `fork` child, if the heap belongs to its parent.
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

    /// Returns the entries whose keys are alive, as they are at one moment during the call, in no
    /// order. Later changes of the map do not show in it. See the example of [`WeakMap`].
    ///
    /// At the end of a cycle the call may wait for a moment, until the collector knows which keys
    /// have died.
    ///
    /// # Panics
    /// In a `fork` child, if the heap belongs to its parent.
    pub fn iter(&self, m: &Mutator<'gc>) -> impl ExactSizeIterator<Item = (Gc<'gc, K>, Gc<'gc, V>)> + use<'gc, K, V> {
        m.poll();
        m.record.heap().check_process();
        let entries = while_settled(&m.record, || {
            let table = self.table.0.lock();
            let alive = table
                .iter()
                .filter(|(key, _)| broken("walk_in_silence") || m.record.revives(key.0));
            alive.map(|(&key, &value)| (key, value)).collect::<Vec<_>>()
        });
        entries.into_iter().map(|(key, value)| {
            // SAFETY: all keys of a map have its type `K`, and the thread has revived this one
            // (EPHEMERON-6).
            (unsafe { Gc::from_pointer(key.0.cast()) }, Self::value(value))
        })
    }

    /// Returns the number of entries, including entries whose keys have died since the last cycle.
    /// See the example of [`WeakMap`].
    pub fn len(&self) -> usize {
        self.table.0.lock().len()
    }

    /// Whether the map has no entries, not even such with a key that died since the last cycle. See
    /// the example of [`WeakMap`].
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Calls `look` so that the collector does not settle the end of a cycle meanwhile (EPHEMERON-6).
fn while_settled<R>(record: &Record, look: impl Fn() -> R) -> R {
    let is_settling = || {
        let protocol = record.protocol();
        record.phase() == Phase::Mark
            && protocol.state() == State::Closed
            && protocol.word() == record.current()
            && !broken("walk_unsettled")
    };
    let mut waited = None;
    let mut backoff = Backoff::new();
    loop {
        if !is_settling() {
            let seen = look();
            // If the cycle was closed during `look` and is settled by now, the marks that `look`
            // saw are those of living objects too.
            if !is_settling() {
                if let Some(since) = waited {
                    record.heap().counters.stall(since);
                }
                return seen;
            }
        }
        waited.get_or_insert_with(Stint::begin);
        backoff.wait();
    }
}

impl<K, V> fmt::Debug for WeakMap<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakMap(..)")
    }
}

// SAFETY: `trace` shows the edge to the table, the only one.
unsafe impl<'gc, K: Send + Sync, V: Send + Sync> Trace<'gc> for WeakMap<'gc, K, V> {
    fn trace(&self, visitor: &mut Visitor<'gc>) {
        visitor.visit(self.table);
    }
}
