//! The store of samples: a table of stacks, each with the objects and bytes allocated and freed
//! there, and a slot per live sampled object.
//!
//! It lies in metadata memory of a fixed size, and counts further samples as lost. It uses no locks
//! and removes nothing. So an interrupted thread, or a `fork` at any point, leaves it whole.
//!
//! - DEPOT-1. A node is complete before it enters a chain (Release), and it stays there for ever.
//!   A thread that follows the chain (Acquire) sees it complete.
//! - DEPOT-2. A stack has one node per rate. A thread that loses the race for the head of a chain
//!   looks at the new nodes before it tries again.
//! - DEPOT-3. A node counts an object as allocated before it counts it as freed, since the object
//!   is handed out in between.
//! - DEPOT-4. A span's slot belongs to it for ever. Only the holder of the sampled object writes
//!   and reads the slot, so the object's handover orders the accesses.

use super::math::weight;
use crate::sync::atomic::{
    AtomicPtr, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sync::{Witness, array_of};
use core::ptr::{NonNull, null_mut};

/// The number of frames kept of a stack, from the innermost.
pub(crate) const DEPTH: usize = 64;

/// Memory of a fixed size, each part of which is handed out once.
pub(crate) struct Region {
    base: AtomicPtr<u8>,
    bytes: AtomicUsize,
    used: AtomicUsize,
}

impl Region {
    crate::sync::const_unless_loom! {
        /// Creates a region without memory.
        pub(crate) fn new() -> Self {
            Self { base: AtomicPtr::new(null_mut()), bytes: AtomicUsize::new(0), used: AtomicUsize::new(0) }
        }
    }

    /// Returns whether the region has memory.
    pub(crate) fn is_open(&self) -> bool {
        // Acquire: pairs with the Release in `open`.
        !self.base.load(Acquire).is_null()
    }

    /// Gives the region `bytes` zeroed bytes at `base`, for ever. `false`: it has memory already.
    pub(crate) fn open(&self, base: NonNull<u8>, bytes: usize) -> bool {
        // Every caller passes the same length, so the race for `base` does not matter.
        self.bytes.store(bytes, Relaxed);
        // Release: pairs with the Acquire in `is_open`.
        self.base
            .compare_exchange(null_mut(), base.as_ptr(), Release, Relaxed)
            .is_ok()
    }

    /// Returns whether no part was handed out, as far as this thread knows.
    fn is_unused(&self) -> bool {
        // Relaxed: this thread knows of a part only after it has seen a later number.
        self.used.load(Relaxed) == 0
    }

    /// Takes `bytes` bytes, a multiple of 8. Returns their address and their offset, or `None` if
    /// the region is used up.
    pub(super) fn take(&self, bytes: usize) -> Option<(*mut u8, usize)> {
        // Acquire: pairs with the Release in `open`; the length comes with it.
        let base = self.base.load(Acquire);
        let most = self.bytes.load(Relaxed);
        let mut used = self.used.load(Relaxed);
        loop {
            let end = used.checked_add(bytes)?;
            if base.is_null() || end > most {
                return None;
            }
            match self.used.compare_exchange(used, end, Relaxed, Relaxed) {
                Ok(_) => return Some((base.wrapping_add(used), used)),
                Err(now) => used = now,
            }
        }
    }
}

/// One stack.
pub(crate) struct Node {
    next: AtomicPtr<Node>,
    hash: u64,
    rate: usize,
    depth: usize,
    allocated: [AtomicU64; 2],
    freed: [AtomicU64; 2],
    /// Stands for all parts of the node that are written before it is published; for the models.
    complete: Witness,
    // The frames follow the node in memory.
}

/// The counts of a node, in 1/256 of objects and of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) allocated: [u64; 2],
    pub(crate) freed: [u64; 2],
}

impl Node {
    /// Returns the return addresses, the innermost first.
    pub(crate) fn frames(&self) -> &[usize] {
        self.complete.read();
        let frames = core::ptr::from_ref(self).wrapping_add(1).cast::<usize>();
        // SAFETY: DEPOT-1: a node's frames follow it in memory, were written before it was
        // published, and never change.
        unsafe { core::slice::from_raw_parts(frames, self.depth) }
    }

    /// Returns the counts as they are now.
    pub(crate) fn counted(&self) -> Counted {
        // Acquire: pairs with the Release in `add`.
        let read = |totals: &[AtomicU64; 2]| [totals[0].load(Acquire), totals[1].load(Acquire)];
        if crate::sync::broken!("depot_freed_last") {
            let allocated = read(&self.allocated);
            let freed = read(&self.freed);
            return Counted { allocated, freed };
        }
        // The freed counts come first (DEPOT-3).
        let freed = read(&self.freed);
        let allocated = read(&self.allocated);
        Counted { allocated, freed }
    }

    fn add(totals: &[AtomicU64; 2], weight: (u64, u64)) {
        // Release: pairs with the Acquire in `counted`.
        totals[0].fetch_add(weight.0, Release);
        totals[1].fetch_add(weight.1, Release);
    }
}

/// The record of a live sampled object.
struct Slot {
    node: AtomicPtr<Node>,
    size: AtomicUsize,
}

/// The table.
pub(crate) struct Depot<const HEADS: usize> {
    heads: [AtomicPtr<Node>; HEADS],
    pub(crate) nodes: Region,
    pub(crate) slots: Region,
    lost: AtomicU64,
}

/// The nodes of a chain.
struct Chain(*mut Node);

impl Iterator for Chain {
    type Item = &'static Node;
    fn next(&mut self) -> Option<&'static Node> {
        // SAFETY: null, or a node, which is complete (DEPOT-1) and lives for ever.
        let node = unsafe { self.0.as_ref() }?;
        self.0 = node.next.load(Relaxed);
        Some(node)
    }
}

impl<const HEADS: usize> Depot<HEADS> {
    crate::sync::const_unless_loom! {
        /// Creates a table that holds nothing and has no memory.
        pub(crate) fn new() -> Self {
            Self {
                heads: array_of![AtomicPtr::new(null_mut()); HEADS],
                nodes: Region::new(),
                slots: Region::new(),
                lost: AtomicU64::new(0),
            }
        }
    }

    /// Returns the node of the stack `frames` at `rate`, and adds it if it is new. `None`: there is
    /// no room for another node.
    pub(crate) fn intern(&self, rate: usize, frames: &[usize]) -> Option<&'static Node> {
        let hash = hash(rate, frames);
        let same = |node: &&'static Node| node.hash == hash && node.rate == rate && node.frames() == frames;
        let head = self.heads.get(hash as usize % HEADS.max(1))?;
        // Acquire: pairs with the Release below (DEPOT-1).
        let mut first = head.load(load_order());
        if let Some(node) = Chain(first).find(same) {
            return Some(node);
        }
        let node = self.make(hash, rate, frames)?;
        loop {
            // SAFETY: made just now, and never freed.
            unsafe { &*node }.next.store(first, Relaxed);
            // Release: the whole node, for the Acquires above and here.
            match head.compare_exchange(first, node, store_order(), load_order()) {
                // SAFETY: `make` wrote the node above, and nodes are never freed.
                Ok(_) => return Some(unsafe { &*node }),
                Err(now) => {
                    let newer = |node: &&'static Node| !core::ptr::eq(*node, first);
                    // The memory of our node is lost, at most once per race.
                    if !crate::sync::broken!("depot_blind_retry")
                        && let Some(node) = Chain(now).take_while(newer).find(same)
                    {
                        return Some(node);
                    }
                    first = now;
                }
            }
        }
    }

    fn make(&self, hash: u64, rate: usize, frames: &[usize]) -> Option<*mut Node> {
        let (place, _) = self.nodes.take(size_of::<Node>() + size_of_val(frames))?;
        let node = place.cast::<Node>();
        let behind = node.wrapping_add(1).cast::<usize>();
        // SAFETY: `take` gave this call the memory, which has room for the frames behind the node.
        unsafe { behind.copy_from_nonoverlapping(frames.as_ptr(), frames.len()) };
        let new = Node {
            next: AtomicPtr::new(null_mut()),
            hash,
            rate,
            depth: frames.len(),
            allocated: [AtomicU64::new(0), AtomicU64::new(0)],
            freed: [AtomicU64::new(0), AtomicU64::new(0)],
            complete: Witness::new(),
        };
        new.complete.write();
        // SAFETY: `take` gave this call the memory, which has room for a node.
        unsafe { node.write(new) };
        Some(node)
    }

    /// Returns all nodes.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'static Node> {
        // While there is no node, the heads have no memory; to read them would give them some.
        let heads: &[_] = if self.nodes.is_unused() { &[] } else { &self.heads };
        // Acquire: pairs with the Release in `intern`.
        heads.iter().flat_map(|head| Chain(head.load(Acquire)))
    }

    /// Counts an object of `size` bytes as allocated, in slot `slot`, or in a new slot if `slot` is
    /// 0. Returns the slot's number. `None`: there is no room for a slot.
    pub(crate) fn began(&self, slot: u32, node: &'static Node, size: usize) -> Option<u32> {
        let number = match slot {
            0 => u32::try_from(self.slots.take(size_of::<Slot>())?.1 / size_of::<Slot>() + 1).ok()?,
            number => number,
        };
        let slot = self.slot(number)?;
        slot.node.store(core::ptr::from_ref(node).cast_mut(), Relaxed);
        slot.size.store(size, Relaxed);
        Node::add(&node.allocated, weight(size, node.rate));
        Some(number)
    }

    /// Counts the object of a slot as freed.
    pub(crate) fn ended(&self, number: u32) {
        let Some(slot) = self.slot(number) else { return };
        // SAFETY: null, or a node, which lives for ever.
        if let Some(node) = unsafe { slot.node.load(Relaxed).as_ref() } {
            Node::add(&node.freed, weight(slot.size.load(Relaxed), node.rate));
        }
    }

    fn slot(&self, number: u32) -> Option<&'static Slot> {
        // Acquire: pairs with the Release in `Region::open`.
        let base = self.slots.base.load(Acquire).cast::<Slot>();
        let index = (number as usize).checked_sub(1)?;
        if base.is_null() || index >= self.slots.bytes.load(Relaxed) / size_of::<Slot>() {
            return None;
        }
        // SAFETY: within the region, whose zeroes are an unused slot.
        Some(unsafe { &*base.wrapping_add(index) })
    }

    /// Counts a sample that could not be taken.
    pub(crate) fn lose(&self) {
        self.lost.fetch_add(1, Relaxed);
    }

    /// Returns the number of samples that could not be taken.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

/// For the models.
#[cfg(greyspan_loom)]
impl Node {
    pub(crate) fn add_allocated(&self) {
        Self::add(&self.allocated, (1, 1));
    }

    pub(crate) fn add_freed(&self) {
        Self::add(&self.freed, (1, 1));
    }
}

/// The orderings by which heads are read and written; broken variants of the models weaken them.
#[inline(always)]
fn load_order() -> crate::sync::atomic::Ordering {
    if crate::sync::broken!("depot_load_relaxed") {
        Relaxed
    } else {
        Acquire
    }
}
#[inline(always)]
fn store_order() -> crate::sync::atomic::Ordering {
    if crate::sync::broken!("depot_store_relaxed") {
        Relaxed
    } else {
        Release
    }
}

/// A hash in the manner of Fowler, Noll and Vo, by words, mixed at the end.
fn hash(rate: usize, frames: &[usize]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ rate as u64;
    let sum = frames.iter().fold(start, |sum, &frame| {
        (sum ^ frame as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    });
    sum ^ sum >> 32
}
