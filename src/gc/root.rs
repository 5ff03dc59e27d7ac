//! [`Root`]: the handle that keeps an object and its graph alive from outside of `enter`.
//!
//! - ROOT-1. A slot is in use from [`RootTable::take`] until the collector frees it between two
//!   cycles or a mutator frees it (ROOT-4). The collector scans a slot in use even if it has no
//!   handles. Otherwise dropping the last handle would remove an edge without a barrier.
//! - ROOT-2. When the last handle of a slot is dropped, the slot goes once to the list of slots to
//!   free. Any thread may drop it, pinned or not.
//! - ROOT-3. A mutator in PRE shades an object that it roots, because the slot may have been
//!   scanned already.
//! - ROOT-4. A pinned mutator that finds no free slot frees slots without handles. In PRE and MARK
//!   it first shades their targets, as a store that removes an edge does, so the running cycle
//!   keeps them. An IDLE mutator does not shade: no other mutator is then in the MARK of a
//!   cycle that still marks.

use super::alloc::Mutator;
use super::fault::broken;
use super::handle::{Gc, Invariant};
use super::leaves::leaf;
use super::phase::Phase;
use super::rootable::{Rootable, rebrand};
use super::roots::{RootSlot, RootTable};
use crate::sync::IS_MODEL;
use crate::sync::atomic::Ordering::{AcqRel, Relaxed};
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::ptr::NonNull;

/// Keeps an object of type `R` alive, from any thread, as long as the root or a clone of it exists.
/// A root that is forgotten leaks its graph and nothing else.
///
/// A root also keeps the heap. The heap lives at least as long as its roots.
///
/// Needs the feature `gc`.
///
/// ```
/// use greyspan::gc::{Heap, Root, Rootable};
///
/// let heap = Heap::new();
/// let root: Root<Rootable![str]> = heap.enter(|m| Root::new(m, m.alloc_str("shared")));
///
/// // Another thread gets the object by a clone.
/// let (clone, other) = (root.clone(), heap.clone());
/// let thread = std::thread::spawn(move || other.enter(|m| clone.get(m).to_uppercase()));
/// assert_eq!(thread.join().expect("no panic"), "SHARED");
///
/// let same = heap.enter(|m| Root::new(m, root.get(m)));
/// assert!(same.ptr_eq(&root) && same == root);
/// ```
///
/// `==` and `Hash` are those of the object's identity: outside of `enter` no thread looks at the
/// object.
///
/// # Roots in managed objects
/// A root is [`Trace`](super::Trace), so a managed object may hold one: of another heap, or of its
/// own. It is no edge. It keeps its target for as long as the object that holds it is not dropped.
/// So objects that keep each other by roots stay until the heap is [closed](super::Heap::close).
/// In a managed object, use a [`Gc`] for an edge, and a [`WeakRoot`](super::WeakRoot) or
/// [`GcWeak`](super::GcWeak) for a reference back.
///
/// # Variance
/// Invariant in `R`. A root has no lifetime parameter: it is `'static`.
#[repr(C)] // `inside` searches for these words.
pub struct Root<R: Rootable + ?Sized> {
    slot: &'static RootSlot,
    /// The object, with the metadata of its type.
    pointer: Erased,
    /// Makes the handle invariant in `R` (ROOTABLE-1).
    kind: PhantomData<Invariant<R>>,
}

/// A pointer without its type.
///
/// A field of type `R::Of` would need an impl of `Send` with the bound `R: Rootable`. Inside a
/// future, the compiler cannot prove that bound, because it forgets lifetimes there.
#[derive(Clone, Copy)]
struct Erased([MaybeUninit<*mut u8>; 2]);

// SAFETY: managed objects are `Send + Sync`.
unsafe impl Send for Erased {}
// SAFETY: managed objects are `Send + Sync`.
unsafe impl Sync for Erased {}

impl Erased {
    /// Stores `pointer`, with its address first.
    fn new<T: ?Sized>(pointer: NonNull<T>) -> Self {
        const { assert!(size_of::<NonNull<T>>() <= size_of::<Self>()) };
        let mut erased = Self([MaybeUninit::uninit(); 2]);
        // SAFETY: the assertion above says that there is room; both types are made of pointers.
        unsafe { erased.0.as_mut_ptr().cast::<NonNull<T>>().write(pointer) };
        erased
    }

    /// Returns the pointer.
    ///
    /// # Safety
    /// `new` got a pointer of this type, up to lifetimes.
    unsafe fn get<T: ?Sized>(&self) -> NonNull<T> {
        // SAFETY: a pointer of this type lies there (contract of this function).
        unsafe { self.0.as_ptr().cast::<NonNull<T>>().read() }
    }
}

// The object is reached by shared reference only, inside `enter`.
impl<R: Rootable + ?Sized> UnwindSafe for Root<R> {}
impl<R: Rootable + ?Sized> RefUnwindSafe for Root<R> {}

impl<R: Rootable + ?Sized> Root<R> {
    /// Makes a root that keeps `gc` alive. See the example of [`Root`].
    ///
    /// # Panics
    /// In a `fork` child, if the heap belongs to its parent.
    pub fn new<'gc>(m: &Mutator<'gc>, gc: Gc<'gc, R::Of<'gc>>) -> Self {
        let record = &m.record;
        record.heap().check_process();
        if !record.is_calm() {
            record.respond();
            if record.phase() == Phase::Pre && !broken("root_new_unshaded") {
                record.shade(gc.address().as_ptr());
            }
        }
        let shade = |old| {
            if record.phase() != Phase::Idle && !broken("reuse_unshaded") {
                record.shade(old);
            }
        };
        Self {
            slot: record.heap().roots.take_pinned(gc.address(), shade),
            pointer: Erased::new::<R::Of<'static>>(rebrand::<R>(gc.pointer())),
            kind: PhantomData,
        }
    }

    /// Makes a root of an object that the collector revives and that no thread has yet. Returns
    /// `None` if the heap's owner went while the cycle ran: then no root can keep the heap.
    pub(crate) fn revived(roots: &RootTable, pointer: NonNull<R::Of<'static>>) -> Option<Self> {
        let keeper = roots.keeper();
        // In the models there are no owners, and the heaps stay.
        (keeper.is_some() || IS_MODEL).then(|| Self {
            slot: roots.take(pointer.cast(), keeper),
            pointer: Erased::new(pointer),
            kind: PhantomData,
        })
    }

    /// Returns the object. See the example of [`Root`].
    ///
    /// # Panics
    /// If `m` belongs to another heap.
    #[inline]
    pub fn get<'gc>(&self, m: &Mutator<'gc>) -> Gc<'gc, R::Of<'gc>> {
        let same = self.slot.heap == m.record.heap().number;
        assert!(same, "greyspan::gc: this Root belongs to another heap than the Mutator");
        // SAFETY: the root keeps the object alive, and the mutator is pinned.
        unsafe { Gc::from_pointer(rebrand::<R>(self.pointer())) }
    }

    fn pointer(&self) -> NonNull<R::Of<'static>> {
        // SAFETY: `new` and `revived` have stored a pointer of this type, and `R` is invariant.
        unsafe { self.pointer.get() }
    }

    /// Whether both roots keep the same object. See the example of [`Root`].
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.pointer().cast::<u8>() == other.pointer().cast::<u8>()
    }
}

impl<R: Rootable + ?Sized> PartialEq for Root<R> {
    fn eq(&self, other: &Self) -> bool {
        self.ptr_eq(other)
    }
}

impl<R: Rootable + ?Sized> Eq for Root<R> {}

impl<R: Rootable + ?Sized> Hash for Root<R> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pointer().cast::<u8>().hash(state);
    }
}

leaf! {
    [R: Rootable + ?Sized] Root<R>;
}

impl<R: Rootable + ?Sized> Clone for Root<R> {
    fn clone(&self) -> Self {
        // Relaxed: this handle exists, so the count is not zero.
        let before = self.slot.handles.fetch_add(1, Relaxed);
        assert!(before < usize::MAX / 2, "greyspan::gc: too many clones of a Root");
        Self {
            slot: self.slot,
            pointer: self.pointer,
            kind: PhantomData,
        }
    }
}

impl<R: Rootable + ?Sized> Drop for Root<R> {
    fn drop(&mut self) {
        // AcqRel: the work of other handles' threads comes before the slot is given back.
        if self.slot.handles.fetch_sub(1, AcqRel) == 1 {
            // SAFETY: the last handle owns the field, and this was the last one.
            let keeper = unsafe { (*self.slot.keeper.get()).take() };
            if let Some(keeper) = keeper {
                keeper.release(self.slot);
            }
        }
    }
}

impl<R: Rootable + ?Sized> fmt::Debug for Root<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Root").field(&self.pointer().cast::<u8>()).finish()
    }
}
