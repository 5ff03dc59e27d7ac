//! [`GcCell`]: an edge of one word that changes. Its writers are the write barrier; there is no other way to change an edge.

use super::alloc::Mutator;
use super::barrier::Slot;
use super::handle::{Gc, Invariant, Thin};
use super::trace::{Trace, Visitor};
use crate::sync::atomic::Ordering::Acquire;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::{NonNull, null_mut};

/// A one-word edge that can be changed: holds an `Option<Gc>`. Reading costs one load; writing, while no cycle runs, one load, a predicted branch
/// and one store.
///
/// Threads may read and write the same cell at the same time: each sees some value that was stored, and the object behind it as it was made.
/// For sized types, slices and `str`; a `Gc` of a trait object has two words, and stands in a [`GcLock`](super::GcLock).
///
/// # Variance
/// Invariant in `'gc` and in `T`, as every place is that can be written.
#[repr(transparent)]
pub struct GcCell<'gc, T: ?Sized> {
    slot: Slot,
    /// Invariant, and `Send` and `Sync` where `Gc` is.
    kind: PhantomData<(Gc<'gc, T>, Invariant<T>)>,
}

fn address<T: ?Sized>(gc: Option<Gc<'_, T>>) -> *mut u8 {
    gc.map_or(null_mut(), |gc| gc.address().as_ptr())
}

impl<'gc, T: ?Sized> GcCell<'gc, T> {
    crate::sync::const_unless_loom! {
        /// An edge to nothing.
        pub fn null() -> GcCell<'gc, T> {
            Self { slot: Slot::new(null_mut()), kind: PhantomData }
        }
    }

    /// An edge to `to`.
    pub fn new(to: Option<Gc<'gc, T>>) -> Self {
        Self {
            slot: Slot::new(address(to)),
            kind: PhantomData,
        }
    }
}

impl<'gc, T: ?Sized + Thin> GcCell<'gc, T> {
    fn gc(address: *mut u8) -> Option<Gc<'gc, T>> {
        let address = NonNull::new(address)?;
        // SAFETY: cells hold addresses of objects of their type.
        let pointer = unsafe { T::of_address(address) };
        // SAFETY: the cell is reachable, so what it holds is live; the reader is pinned, or is lent the cell by who is.
        Some(unsafe { Gc::from_pointer(pointer) })
    }

    /// What the edge leads to.
    #[inline]
    pub fn get(&self) -> Option<Gc<'gc, T>> {
        // Acquire: pairs with the Release of the store, for the object's contents.
        Self::gc(self.slot.load(Acquire))
    }

    /// Changes the edge.
    #[inline]
    pub fn set(&self, m: &Mutator<'gc>, to: Option<Gc<'gc, T>>) {
        m.record.store(&self.slot, address(to));
    }

    /// Changes the edge and returns what it led to.
    #[inline]
    pub fn swap(&self, m: &Mutator<'gc>, to: Option<Gc<'gc, T>>) -> Option<Gc<'gc, T>> {
        Self::gc(m.record.swap(&self.slot, address(to)))
    }

    /// Changes the edge to `new` if it leads to `current`. What it led to, as an error if that is something else.
    #[inline]
    pub fn compare_exchange(
        &self,
        m: &Mutator<'gc>,
        current: Option<Gc<'gc, T>>,
        new: Option<Gc<'gc, T>>,
    ) -> Result<Option<Gc<'gc, T>>, Option<Gc<'gc, T>>> {
        let result = m.record.exchange(&self.slot, address(current), address(new));
        result.map(Self::gc).map_err(Self::gc)
    }

    /// Takes the edge out.
    #[inline]
    pub fn take(&self, m: &Mutator<'gc>) -> Option<Gc<'gc, T>> {
        self.swap(m, None)
    }
}

impl<T: ?Sized> Default for GcCell<'_, T> {
    fn default() -> Self {
        Self::null()
    }
}

impl<T: ?Sized + Thin + fmt::Debug> fmt::Debug for GcCell<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not what it leads to: graphs have cycles.
        f.write_str(if self.get().is_some() {
            "GcCell(..)"
        } else {
            "GcCell(null)"
        })
    }
}

// SAFETY: its one edge is shown, as it is at some moment; writers tell the collector what they remove.
unsafe impl<'gc, T: ?Sized + Send + Sync> Trace<'gc> for GcCell<'gc, T> {
    #[inline]
    fn trace(&self, visitor: &mut Visitor<'gc>) {
        // Acquire: pairs with the Release of the store, for the object's contents.
        if let Some(address) = NonNull::new(self.slot.load(Acquire)) {
            visitor.visit_address(address);
        }
    }
}
