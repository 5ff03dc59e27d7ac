//! [`GcCell`]: an edge of one word that changes. Its writing methods contain the write barrier. No
//! other code changes a one-word edge.

use super::alloc::Mutator;
use super::barrier::Slot;
use super::handle::{Gc, Invariant, Thin};
use super::trace::Trace;
use super::visitor::Visitor;
use crate::sync::atomic::Ordering::Acquire;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::{NonNull, null_mut};

/// A one-word edge that can be changed. It holds an `Option<Gc>`.
///
/// A read costs one load. A write costs one load, a predicted branch and one store while no cycle
/// runs.
///
/// Threads may read and write one cell at the same time. Each read returns some value that was
/// stored, and its object as it was made.
///
/// The target may be a sized type, a slice or `str`. A `Gc` of a trait object has two words; keep
/// it in a [`GcDynCell`](super::GcDynCell) or a [`GcLock`](super::GcLock). An edge that changes
/// only once is a [`GcOnce`](super::GcOnce).
///
/// Needs the feature `gc`.
///
/// ```
/// use greyspan::gc::{GcCell, Heap, Trace};
///
/// #[derive(Trace)]
/// struct Item<'gc> {
///     value: u64,
///     below: GcCell<'gc, Item<'gc>>,
/// }
///
/// Heap::new().enter(|m| {
///     // A stack for many threads. An address cannot come back while `top` is compared with it.
///     let top = m.cell(None);
///     for value in 0..3 {
///         let item = m.alloc(Item { value, below: GcCell::null() });
///         loop {
///             let old = top.get();
///             item.below.set(m, old);
///             if top.compare_exchange(m, old, Some(item)).is_ok() {
///                 break;
///             }
///         }
///     }
///     // Takes the whole stack, and puts one item back.
///     let all = top.take(m).expect("three items");
///     assert_eq!((all.value, all.below.get().map(|item| item.value)), (2, Some(1)));
///     let one = m.alloc(Item { value: 9, below: GcCell::new(None) });
///     assert!(top.swap(m, Some(one)).is_none());
/// });
/// ```
///
/// # Variance
/// Invariant in `'gc` and in `T`, because a cell can be written.
#[repr(transparent)]
pub struct GcCell<'gc, T: ?Sized> {
    slot: Slot,
    /// Invariant. `Send` and `Sync` if `Gc<T>` is.
    kind: PhantomData<(Gc<'gc, T>, Invariant<T>)>,
}

fn address<T: ?Sized>(gc: Option<Gc<'_, T>>) -> *mut u8 {
    gc.map_or(null_mut(), |gc| gc.address().as_ptr())
}

impl<'gc, T: ?Sized> GcCell<'gc, T> {
    crate::sync::const_unless_loom! {
        /// Makes an edge that leads to no object. See the example of [`GcCell`].
        pub fn null() -> GcCell<'gc, T> {
            Self { slot: Slot::new(null_mut()), kind: PhantomData }
        }
    }

    /// Makes an edge that leads to `to`. See the example of [`GcCell`].
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
        // SAFETY: a cell of `T` holds null or the address of a live object of type `T`.
        let pointer = unsafe { T::of_address(address) };
        // SAFETY: the cell is reachable, so its object is live. The reader is pinned, or a pinned
        // thread has lent it the cell.
        Some(unsafe { Gc::from_pointer(pointer) })
    }

    /// Returns the object at the end of the edge, or `None` if there is none. See the example of
    /// [`GcCell`].
    #[inline]
    pub fn get(&self) -> Option<Gc<'gc, T>> {
        // Acquire: pairs with the Release of the store, for the object's contents.
        Self::gc(self.slot.load(Acquire))
    }

    /// Sets the edge to `to`. See the example of [`GcCell`].
    #[inline]
    pub fn set(&self, m: &Mutator<'gc>, to: Option<Gc<'gc, T>>) {
        m.record.store(&self.slot, address(to));
    }

    /// Sets the edge to `to` and returns its previous target. See the example of [`GcCell`].
    #[inline]
    pub fn swap(&self, m: &Mutator<'gc>, to: Option<Gc<'gc, T>>) -> Option<Gc<'gc, T>> {
        Self::gc(m.record.swap(&self.slot, address(to)))
    }

    /// Sets the edge to `new` if it leads to `current`. Returns `current` on success. See the
    /// example of [`GcCell`].
    ///
    /// # Errors
    /// If the edge leads elsewhere, returns its actual target and changes nothing.
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

    /// Clears the edge and returns its previous target. See the example of [`GcCell`].
    #[inline]
    pub fn take(&self, m: &Mutator<'gc>) -> Option<Gc<'gc, T>> {
        self.swap(m, None)
    }
}

impl<'gc> Mutator<'gc> {
    /// Makes an edge that can be changed, for tests and small programs. Short for
    /// `m.alloc(GcCell::new(to))`. See the example of [`GcCell`].
    ///
    /// # Panics
    /// If there is no memory.
    pub fn cell<T: ?Sized + Send + Sync + 'gc>(&self, to: Option<Gc<'gc, T>>) -> Gc<'gc, GcCell<'gc, T>> {
        self.alloc(GcCell::new(to))
    }
}

impl<T: ?Sized> Default for GcCell<'_, T> {
    fn default() -> Self {
        Self::null()
    }
}

impl<T: ?Sized + Thin + fmt::Debug> fmt::Debug for GcCell<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Does not print the target, because graphs have cycles.
        f.write_str(if self.get().is_some() {
            "GcCell(..)"
        } else {
            "GcCell(null)"
        })
    }
}

// SAFETY: `trace` shows the cell's one edge as it is at some moment. Writers shade the values that
// they remove.
unsafe impl<'gc, T: ?Sized + Send + Sync> Trace<'gc> for GcCell<'gc, T> {
    #[inline]
    fn trace(&self, visitor: &mut Visitor<'gc>) {
        // Acquire: pairs with the Release of the store, for the object's contents.
        if let Some(address) = NonNull::new(self.slot.load(Acquire)) {
            visitor.visit_address(address);
        }
    }
}
