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
use super::handle::Gc;
use super::heap::{Heap, Inner};
use super::mutator::Record;
use super::phase::Phase;
use super::rootable::{Rootable, rebrand};
use crate::sync::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use crate::sync::lock::Lock;
use crate::sync::stack::{Chain, Inbox, Linked};
use core::cell::UnsafeCell;
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::ptr::{NonNull, null_mut};
use std::collections::BTreeMap;

/// Number of slots made at a time.
const CHUNK: usize = if cfg!(loom) { 2 } else { 64 };

/// One root.
pub(crate) struct RootSlot {
    pub(crate) target: AtomicPtr<u8>,
    handles: AtomicUsize,
    link: AtomicPtr<RootSlot>,
    /// Keeps the heap while handles are left. Only two threads touch it: the one that takes the
    /// slot and the one that drops the last handle.
    heap: UnsafeCell<Option<Heap>>,
}

// SAFETY: one thread at a time touches `heap`: the taker, then the thread that drops the last
// handle.
unsafe impl Sync for RootSlot {}
// SAFETY: all fields may move between threads; `heap` has one user at a time.
unsafe impl Send for RootSlot {}

impl Linked for RootSlot {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.link
    }
}

struct Slots {
    chunks: Vec<&'static [RootSlot; CHUNK]>,
    /// The same chunks, by address.
    by_address: BTreeMap<usize, &'static [RootSlot; CHUNK]>,
    free: Vec<&'static RootSlot>,
    /// Slots without handles, taken off `dropped`.
    returned: Chain<RootSlot>,
}

/// All roots of a heap.
pub(crate) struct RootTable {
    slots: Lock<Slots>,
    /// Slots without handles (ROOT-2).
    dropped: Inbox<RootSlot>,
    count: crate::sync::tally::AtomicUsize,
}

impl RootTable {
    pub(crate) fn new() -> Self {
        Self {
            slots: Lock::new(Slots {
                chunks: Vec::new(),
                by_address: BTreeMap::new(),
                free: Vec::new(),
                returned: Chain::empty(),
            }),
            dropped: Inbox::new(),
            count: crate::sync::tally::AtomicUsize::new(0),
        }
    }

    /// Takes a slot for the object at `target`, with one handle. The caller holds the object, and
    /// has shaded it if ROOT-3 asks for it.
    pub(crate) fn take(&self, target: NonNull<u8>, heap: Option<Heap>) -> &'static RootSlot {
        self.take_after(target, heap, |_| ())
    }

    /// Takes a slot as `take` does, for a pinned mutator. It may free slots first (ROOT-4).
    fn take_pinned(&self, target: NonNull<u8>, heap: Option<Heap>, record: &Record) -> &'static RootSlot {
        self.take_after(target, heap, |slots| {
            while slots.free.len() < CHUNK
                && let Some(slot) = self.next_returned(slots)
            {
                if record.phase() != Phase::Idle && !broken("reuse_unshaded") {
                    record.shade(slot.target.load(Relaxed));
                }
                self.free_slot(slots, slot);
            }
        })
    }

    /// Takes a slot. If no slot is free, calls `find`, which may add free slots.
    fn take_after(&self, target: NonNull<u8>, heap: Option<Heap>, find: impl FnOnce(&mut Slots)) -> &'static RootSlot {
        let slot = {
            let mut slots = self.slots.lock();
            if slots.free.is_empty() {
                find(&mut slots);
            }
            if slots.free.is_empty() {
                let chunk: &'static [RootSlot; CHUNK] = Box::leak(Box::new(core::array::from_fn(|_| RootSlot {
                    target: AtomicPtr::new(null_mut()),
                    handles: AtomicUsize::new(0),
                    link: AtomicPtr::new(null_mut()),
                    heap: UnsafeCell::new(None),
                })));
                slots.free.extend(chunk);
                slots.chunks.push(chunk);
                slots.by_address.insert(chunk.as_ptr().addr(), chunk);
            }
            let Some(slot) = slots.free.pop() else {
                unreachable!("a chunk has slots")
            };
            slot
        };
        slot.handles.store(1, Relaxed);
        // SAFETY: the slot was free, and this call alone has taken it.
        unsafe { *slot.heap.get() = heap };
        self.count.fetch_add(1, Relaxed);
        // Release: pairs with the Acquire of the scan.
        slot.target.store(target.as_ptr(), Release);
        slot
    }

    /// Queues a slot whose last handle is gone.
    pub(crate) fn give(&self, slot: &'static RootSlot) {
        if broken("root_drop_at_once") {
            slot.target.store(null_mut(), Release);
        }
        self.dropped.push(slot);
    }

    /// Shows the targets of all slots in use. Call it only after T1, the end of handshake H1.
    pub(crate) fn scan(&self, mut show: impl FnMut(NonNull<u8>)) {
        let chunks = self.slots.lock().chunks.clone();
        for slot in chunks.into_iter().flatten() {
            // Acquire: pairs with the Release in `take`.
            if let Some(target) = NonNull::new(slot.target.load(Acquire)) {
                show(target);
            }
        }
    }

    /// Frees the slots without handles. Call it only between two cycles.
    pub(crate) fn free_dropped(&self) {
        let mut slots = self.slots.lock();
        while let Some(slot) = self.next_returned(&mut slots) {
            self.free_slot(&mut slots, slot);
        }
    }

    /// Takes one slot without handles.
    fn next_returned(&self, slots: &mut Slots) -> Option<&'static RootSlot> {
        slots.returned.next().or_else(|| {
            slots.returned = self.dropped.take_all();
            slots.returned.next()
        })
    }

    fn free_slot(&self, slots: &mut Slots, slot: &'static RootSlot) {
        // Release: pairs with the Acquire of the scan; publishes the shading (ROOT-4).
        slot.target.store(null_mut(), Release);
        slots.free.push(slot);
        self.count.fetch_sub(1, Relaxed);
    }

    /// Returns the number of slots in use.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Returns the bytes that the pacer counts for the roots: the memory of the slots in use.
    pub(crate) fn bytes(&self) -> usize {
        self.count() * size_of::<RootSlot>()
    }

    /// Frees the table's memory.
    ///
    /// # Safety
    /// No handle is left.
    pub(crate) unsafe fn free(&self) {
        let mut slots = self.slots.lock();
        slots.free.clear();
        slots.by_address.clear();
        for chunk in core::mem::take(&mut slots.chunks) {
            // SAFETY: `take` leaked the chunk, and no handle uses it (contract of this function).
            drop(unsafe { Box::from_raw(core::ptr::from_ref(chunk).cast_mut()) });
        }
    }
}

impl RootTable {
    /// Whether a slot that keeps the object at `target` lies at `address`. Any `address` is
    /// allowed.
    #[cfg(not(loom))]
    pub(crate) fn is_slot_of(&self, address: usize, target: NonNull<u8>) -> bool {
        let slots = self.slots.lock();
        let chunk = slots.by_address.range(..=address).next_back();
        let slot = chunk.and_then(|(_, chunk)| chunk.iter().find(|&slot| core::ptr::from_ref(slot).addr() == address));
        // Relaxed: only the answer for the caller's live object matters.
        slot.is_some_and(|slot| slot.target.load(Relaxed) == target.as_ptr())
    }
}

/// Keeps an object of type `R` alive, from any thread, as long as the root or a clone of it exists.
/// A root that is forgotten leaks its graph and nothing else.
///
/// A root also keeps the heap. The heap lives at least as long as its roots.
///
/// Needs the feature `gc`.
///
/// # Variance
/// Invariant in `R`. A root has no lifetime parameter: it is `'static`.
#[repr(C)] // `inside` searches for these two words.
pub struct Root<R: Rootable + ?Sized> {
    slot: &'static RootSlot,
    /// The object, with the metadata of its type. The projection makes the handle invariant in `R`
    /// (ROOTABLE-1).
    pointer: NonNull<R::Of<'static>>,
}

// SAFETY: managed objects are `Send + Sync`, and the slot's fields are atomic or have one user.
unsafe impl<R: Rootable + ?Sized> Send for Root<R> {}
// SAFETY: managed objects are `Send + Sync`, and the slot's fields are atomic or have one user.
unsafe impl<R: Rootable + ?Sized> Sync for Root<R> {}

// The object is reached by shared reference only, inside `enter`.
impl<R: Rootable + ?Sized> UnwindSafe for Root<R> {}
impl<R: Rootable + ?Sized> RefUnwindSafe for Root<R> {}

impl<R: Rootable + ?Sized> Root<R> {
    /// Makes a root that keeps `gc` alive.
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
        let heap = record.heap();
        Self {
            slot: heap.roots.take_pinned(gc.address(), heap.handle(), record),
            pointer: rebrand::<R>(gc.pointer()),
        }
    }

    /// Makes a root of an object that the collector revives and that no thread has yet. Returns
    /// `None` if the heap's handle went while the cycle ran: then no root can keep the heap.
    pub(crate) fn revived(heap: &Inner, pointer: NonNull<R::Of<'static>>) -> Option<Self> {
        let handle = heap.handle();
        // In the models there are no handles, and the heaps stay.
        (handle.is_some() || cfg!(loom)).then(|| Self {
            slot: heap.roots.take(pointer.cast(), handle),
            pointer,
        })
    }

    /// Returns the object.
    ///
    /// # Panics
    /// If `m` belongs to another heap.
    #[inline]
    pub fn get<'gc>(&self, m: &Mutator<'gc>) -> Gc<'gc, R::Of<'gc>> {
        // SAFETY: this handle keeps the slot's heap in place; only the last handle's drop writes
        // the field.
        let heap = unsafe { (*self.slot.heap.get()).as_ref() };
        let same = heap.is_some_and(|heap| core::ptr::eq(heap.inner(), m.record.heap()));
        assert!(same, "greyspan::gc: this Root belongs to another heap than the Mutator");
        // SAFETY: the root keeps the object alive, and the mutator is pinned.
        unsafe { Gc::from_pointer(rebrand::<R>(self.pointer)) }
    }

    /// Whether both roots keep the same object.
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.pointer.cast::<u8>() == other.pointer.cast::<u8>()
    }
}

impl<R: Rootable + ?Sized> Clone for Root<R> {
    fn clone(&self) -> Self {
        // Relaxed: this handle exists, so the count is not zero.
        let before = self.slot.handles.fetch_add(1, Relaxed);
        assert!(before < usize::MAX / 2, "greyspan::gc: too many clones of a Root");
        Self {
            slot: self.slot,
            pointer: self.pointer,
        }
    }
}

impl<R: Rootable + ?Sized> Drop for Root<R> {
    fn drop(&mut self) {
        // AcqRel: the work of other handles' threads comes before the slot is given back.
        if self.slot.handles.fetch_sub(1, AcqRel) == 1 {
            // SAFETY: the last handle owns the field, and this was the last one.
            let heap = unsafe { (*self.slot.heap.get()).take() };
            if let Some(heap) = heap
                && heap.inner().is_own_process()
            {
                heap.inner().roots.give(self.slot);
            }
        }
    }
}

impl<R: Rootable + ?Sized> fmt::Debug for Root<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Root").field(&self.pointer.cast::<u8>()).finish()
    }
}
