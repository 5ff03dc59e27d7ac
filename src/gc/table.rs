//! The table of a [`WeakMap`](super::WeakMap), as the collector sees it. The rules are those of
//! [`ephemeron`](super::ephemeron).

use super::desc::Kind;
use super::trace::Trace;
use super::visitor::Visitor;
use crate::sync::lock::Lock;
use core::ptr::NonNull;
use std::collections::HashMap;

/// The collector's view of a table: addresses of keys and values.
pub(crate) struct Table(pub(super) Lock<HashMap<Address, Address>>);

/// An address of an object, as a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Address(pub(crate) NonNull<u8>);

// SAFETY: managed objects are `Send + Sync`, and a thread that follows the address holds a `Gc`.
unsafe impl Send for Address {}

// SAFETY: keys and values are not edges: the collector treats tables by their kind.
unsafe impl<'gc> Trace<'gc> for Table {
    const KIND: Kind = Kind::Table;
    fn trace(&self, _: &mut Visitor<'gc>) {}
}

impl Table {
    /// Shows the values of the entries whose key is `alive`, for the fixpoint.
    pub(crate) fn values(&self, alive: impl Fn(NonNull<u8>) -> bool, mut show: impl FnMut(NonNull<u8>)) {
        for (key, value) in self.0.lock().iter() {
            if alive(key.0) {
                show(value.0);
            }
        }
    }

    /// Removes the entries whose key is not `alive` (EPHEMERON-3).
    pub(crate) fn clear(&self, alive: impl Fn(NonNull<u8>) -> bool) {
        self.0.lock().retain(|key, _| alive(key.0));
    }

    /// Returns every key and value, for the verifier.
    pub(crate) fn entries(&self) -> Vec<(NonNull<u8>, NonNull<u8>)> {
        self.0.lock().iter().map(|(key, value)| (key.0, value.0)).collect()
    }
}
