//! The table of a heap's roots. The rules are those of [`root`](super::root).

use super::fault::broken;
use crate::sync::IS_MODEL;
use crate::sync::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sync::blocking::{Arc, OnceLock, Weak};
use crate::sync::lock::Lock;
use crate::sync::stack::{Chain, Inbox, Linked};
use core::cell::UnsafeCell;
use core::ptr::{NonNull, null_mut};
use std::collections::BTreeMap;

/// Number of slots made at a time.
const CHUNK: usize = if IS_MODEL { 2 } else { 64 };

/// The owner of a heap, which roots keep alive.
pub(crate) trait Keeper: Send + Sync {
    /// Gives a slot whose last handle is gone back to the heap's table. In a `fork` child, does
    /// nothing.
    fn release(&self, slot: &'static RootSlot);
}

/// One root.
pub(crate) struct RootSlot {
    pub(crate) target: AtomicPtr<u8>,
    pub(super) handles: AtomicUsize,
    link: AtomicPtr<RootSlot>,
    /// The heap's number.
    pub(super) heap: u64,
    /// Keeps the heap while handles are left. Only two threads touch it: the one that takes the
    /// slot and the one that drops the last handle.
    pub(super) keeper: UnsafeCell<Option<Arc<dyn Keeper>>>,
}

// SAFETY: one thread at a time touches `keeper`: the taker, then the thread that drops the last
// handle.
unsafe impl Sync for RootSlot {}
// SAFETY: all fields may move between threads; `keeper` has one user at a time.
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
    heap: u64,
    /// The owner of the heap. The models have none.
    keeper: OnceLock<Weak<dyn Keeper>>,
}

impl RootTable {
    /// Makes the table of the heap with this number.
    pub(crate) fn new(heap: u64) -> Self {
        Self {
            slots: Lock::new(Slots {
                chunks: Vec::new(),
                by_address: BTreeMap::new(),
                free: Vec::new(),
                returned: Chain::empty(),
            }),
            dropped: Inbox::new(),
            count: crate::sync::tally::AtomicUsize::new(0),
            heap,
            keeper: OnceLock::new(),
        }
    }

    /// Sets the owner of the heap, once.
    pub(crate) fn set_keeper(&self, keeper: Weak<dyn Keeper>) {
        let first = self.keeper.set(keeper).is_ok();
        debug_assert!(first);
    }

    /// Returns the owner of the heap, for a root. `None`: it is gone.
    pub(crate) fn keeper(&self) -> Option<Arc<dyn Keeper>> {
        self.keeper.get().and_then(Weak::upgrade)
    }

    /// Takes a slot for the object at `target`, with one handle. The caller holds the object, and
    /// has shaded it if ROOT-3 asks for it.
    pub(crate) fn take(&self, target: NonNull<u8>, keeper: Option<Arc<dyn Keeper>>) -> &'static RootSlot {
        self.take_after(target, keeper, |_| ())
    }

    /// Takes a slot as `take` does, for a pinned mutator. It may free slots first (ROOT-4): `shade`
    /// gets the target of each.
    pub(super) fn take_pinned(&self, target: NonNull<u8>, shade: impl Fn(*mut u8)) -> &'static RootSlot {
        self.take_after(target, self.keeper(), |slots| {
            while slots.free.len() < CHUNK
                && let Some(slot) = self.next_returned(slots)
            {
                shade(slot.target.load(Relaxed));
                self.free_slot(slots, slot);
            }
        })
    }

    /// Takes a slot. If no slot is free, calls `find`, which may add free slots.
    fn take_after(
        &self,
        target: NonNull<u8>,
        keeper: Option<Arc<dyn Keeper>>,
        find: impl FnOnce(&mut Slots),
    ) -> &'static RootSlot {
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
                    heap: self.heap,
                    keeper: UnsafeCell::new(None),
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
        unsafe { *slot.keeper.get() = keeper };
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
    pub(crate) fn is_slot_of(&self, address: usize, target: NonNull<u8>) -> bool {
        let slots = self.slots.lock();
        let chunk = slots.by_address.range(..=address).next_back();
        let slot = chunk.and_then(|(_, chunk)| chunk.iter().find(|&slot| core::ptr::from_ref(slot).addr() == address));
        // Relaxed: only the answer for the caller's live object matters.
        slot.is_some_and(|slot| slot.target.load(Relaxed) == target.as_ptr())
    }
}
