//! Where samples are kept: a table of stacks with what was allocated and freed by each, and a slot for each sampled object that lives.
//!
//! All of it lies in metadata memory of a fixed size; beyond that samples are counted as lost. Nothing is locked, nothing is ever removed:
//! a thread that is interrupted or a process that is copied at any point leaves it whole.
//!
//! - D1. A node is complete before it is in a chain (Release), and in one for ever; whoever follows the chain (Acquire) sees it complete.
//! - D2. A stack has one node for each rate: who loses the race for the head of a chain looks at what came before it tries again.
//! - D3. What a node counts as freed it has counted as allocated before, since the object was handed out in between.
//! - D4. A span's slot is its own for ever. Whoever holds the sampled object writes and reads it, so order comes with the object.

use super::math::weight;
use crate::sync::array_of;
use crate::sync::atomic::{
    AtomicPtr, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use core::ptr::{NonNull, null_mut};

/// The frames of a stack that are kept, from the innermost.
pub(crate) const DEPTH: usize = 64;

/// Memory of a fixed size that is handed out once.
pub(crate) struct Region {
    base: AtomicPtr<u8>,
    bytes: AtomicUsize,
    used: AtomicUsize,
}

impl Region {
    crate::sync::const_unless_loom! {
        /// Has none.
        pub(crate) fn new() -> Self {
            Self { base: AtomicPtr::new(null_mut()), bytes: AtomicUsize::new(0), used: AtomicUsize::new(0) }
        }
    }

    /// Whether it has memory.
    pub(crate) fn is_open(&self) -> bool {
        // Acquire: pairs with the Release in `open`.
        !self.base.load(Acquire).is_null()
    }

    /// Gives it `bytes` zeroed bytes at `base`, for ever. `false`: it has some.
    pub(crate) fn open(&self, base: NonNull<u8>, bytes: usize) -> bool {
        // Every caller comes with the same length, so whoever wins, it is right.
        self.bytes.store(bytes, Relaxed);
        // Release: pairs with the Acquire in `is_open`.
        self.base
            .compare_exchange(null_mut(), base.as_ptr(), Release, Relaxed)
            .is_ok()
    }

    /// Whether none of it was handed out, as far as this thread knows.
    fn is_unused(&self) -> bool {
        // Relaxed: what this thread has heard of any of it came with a later number.
        self.used.load(Relaxed) == 0
    }

    /// `bytes` of it, a multiple of 8, and where they begin; `None` when they are used up.
    pub(super) fn take(&self, bytes: usize) -> Option<(*mut u8, usize)> {
        // Acquire: as in `is_open`; the length comes with it.
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
    /// Stands for all that is written before the node is known, for the models.
    #[cfg(loom)]
    complete: loom::cell::UnsafeCell<bool>,
    // The frames lie behind.
}

/// What a node has counted, in 1/256 of objects and of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) allocated: [u64; 2],
    pub(crate) freed: [u64; 2],
}

impl Node {
    /// Return addresses, the innermost first.
    pub(crate) fn frames(&self) -> &[usize] {
        #[cfg(loom)]
        self.complete.with(|complete| {
            // SAFETY: loom checks that nobody writes meanwhile.
            assert!(unsafe { *complete });
        });
        let frames = core::ptr::from_ref(self).wrapping_add(1).cast::<usize>();
        // SAFETY: a node's frames lie behind it, were written before it was known, and are never changed.
        unsafe { core::slice::from_raw_parts(frames, self.depth) }
    }

    /// The figures now.
    pub(crate) fn counted(&self) -> Counted {
        // Acquire: pairs with the Release in `add`.
        let read = |totals: &[AtomicU64; 2]| [totals[0].load(Acquire), totals[1].load(Acquire)];
        if cfg!(greyspan_broken = "depot_freed_last") {
            let allocated = read(&self.allocated);
            let freed = read(&self.freed);
            return Counted { allocated, freed };
        }
        // What was freed is read first (D3).
        let freed = read(&self.freed);
        let allocated = read(&self.allocated);
        Counted { allocated, freed }
    }

    /// Counts an object as allocated, for the models.
    #[cfg(loom)]
    pub(crate) fn add_allocated(&self) {
        Self::add(&self.allocated, (1, 1));
    }

    /// Counts an object as freed, for the models.
    #[cfg(loom)]
    pub(crate) fn add_freed(&self) {
        Self::add(&self.freed, (1, 1));
    }

    fn add(totals: &[AtomicU64; 2], weight: (u64, u64)) {
        // Release: pairs with the Acquire in `counted`.
        totals[0].fetch_add(weight.0, Release);
        totals[1].fetch_add(weight.1, Release);
    }
}

/// What is known of a sampled object that lives.
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

/// Nodes of a chain.
struct Chain(*mut Node);

impl Iterator for Chain {
    type Item = &'static Node;
    fn next(&mut self) -> Option<&'static Node> {
        // SAFETY: null, or a node, which is complete (D1) and lives for ever.
        let node = unsafe { self.0.as_ref() }?;
        self.0 = node.next.load(Relaxed);
        Some(node)
    }
}

impl<const HEADS: usize> Depot<HEADS> {
    crate::sync::const_unless_loom! {
        /// Holds nothing, and has no memory.
        pub(crate) fn new() -> Self {
            Self {
                heads: array_of![AtomicPtr::new(null_mut()); HEADS],
                nodes: Region::new(),
                slots: Region::new(),
                lost: AtomicU64::new(0),
            }
        }
    }

    /// The node of the stack `frames` at `rate`; `None` when there is no room for another.
    pub(crate) fn intern(&self, rate: usize, frames: &[usize]) -> Option<&'static Node> {
        let hash = hash(rate, frames);
        let same = |node: &&'static Node| node.hash == hash && node.rate == rate && node.frames() == frames;
        let head = self.heads.get(hash as usize % HEADS.max(1))?;
        // Acquire: pairs with the Release below (D1).
        let mut first = head.load(LOAD);
        if let Some(node) = Chain(first).find(same) {
            return Some(node);
        }
        let node = self.make(hash, rate, frames)?;
        loop {
            // SAFETY: made just now, and never freed.
            unsafe { &*node }.next.store(first, Relaxed);
            // Release: the whole node, for the Acquires above and here.
            match head.compare_exchange(first, node, STORE, LOAD) {
                // SAFETY: as above.
                Ok(_) => return Some(unsafe { &*node }),
                Err(now) => {
                    let newer = |node: &&'static Node| !core::ptr::eq(*node, first);
                    // The memory of ours is lost: at most one for each race.
                    if !cfg!(greyspan_broken = "depot_blind_retry")
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
        // SAFETY: the memory is this call's, and has room for the frames behind the node.
        unsafe { behind.copy_from_nonoverlapping(frames.as_ptr(), frames.len()) };
        let new = Node {
            next: AtomicPtr::new(null_mut()),
            hash,
            rate,
            depth: frames.len(),
            allocated: [AtomicU64::new(0), AtomicU64::new(0)],
            freed: [AtomicU64::new(0), AtomicU64::new(0)],
            #[cfg(loom)]
            complete: loom::cell::UnsafeCell::new(false),
        };
        #[cfg(loom)]
        new.complete.with_mut(|complete| {
            // SAFETY: loom checks that nobody reads meanwhile.
            unsafe { *complete = true };
        });
        // SAFETY: likewise.
        unsafe { node.write(new) };
        Some(node)
    }

    /// All nodes.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'static Node> {
        // While there is none, the heads have no memory: a look at them would give them some.
        let heads: &[_] = if self.nodes.is_unused() { &[] } else { &self.heads };
        // Acquire: as in `intern`.
        heads.iter().flat_map(|head| Chain(head.load(Acquire)))
    }

    /// Counts an object of `size` bytes as allocated, in the slot with number `slot`, which is a new one where that is 0. Returns the number of
    /// the slot; `None`: no room for one.
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
        // Acquire: as in `Region::take`.
        let base = self.slots.base.load(Acquire).cast::<Slot>();
        let index = (number as usize).checked_sub(1)?;
        if base.is_null() || index >= self.slots.bytes.load(Relaxed) / size_of::<Slot>() {
            return None;
        }
        // SAFETY: within the region, whose zeroes are a slot of nobody.
        Some(unsafe { &*base.wrapping_add(index) })
    }

    /// A sample had to be given up.
    pub(crate) fn lose(&self) {
        self.lost.fetch_add(1, Relaxed);
    }

    /// Samples that were given up.
    #[cfg(feature = "profiling")]
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

/// With what heads are read, and written: what the broken variants of the models weaken.
const LOAD: crate::sync::atomic::Ordering = if cfg!(greyspan_broken = "depot_load_relaxed") {
    Relaxed
} else {
    Acquire
};
const STORE: crate::sync::atomic::Ordering = if cfg!(greyspan_broken = "depot_store_relaxed") {
    Relaxed
} else {
    Release
};

/// Fowler, Noll and Vo's, by words, mixed at the end.
fn hash(rate: usize, frames: &[usize]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ rate as u64;
    let sum = frames.iter().fold(start, |sum, &frame| {
        (sum ^ frame as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    });
    sum ^ sum >> 32
}
