//! The outgoing side: chains of other threads' blocks that a thread gathers before it sends them to
//! their owners.
//!
//! The outbox belongs to a thread's cache. Only that thread reaches it, except for the counts
//! (OUTBOX-3). A thread that only frees another thread's blocks comes here with each block. So the
//! slot keeps the facts it needs about the span next to the chain. The span's record, which its
//! owner writes to, is not read.
//!
//! - OUTBOX-1. The blocks of a chain count as live in their span until they are sent. So the span
//!   keeps its class and its pages.
//! - OUTBOX-2. A slot without a chain has length 0 and matches no block.
//! - OUTBOX-3. Threads that gather statistics read the number and size of the gathered blocks, so
//!   that freed blocks do not count as held. These counts order nothing, so they are relaxed
//!   throughout.

use super::{Delivery, Directory, deliver};
use crate::base::geometry::OUTGOING_BYTES;
use crate::mspan::{Block, Cut, MSpan, OwnerId, Sent, Taken};
use crate::sync::tally::{AtomicU32, Ordering::Relaxed};
use core::cell::Cell;
use core::ptr::null_mut;

/// A chain of blocks of one span, all freed by this thread.
pub(crate) struct Outgoing {
    pub(crate) span: &'static MSpan,
    first: *mut Block,
    last: *mut Block,
    pub(crate) count: u32,
}

impl Outgoing {
    /// Returns a chain of one block.
    ///
    /// # Safety
    /// `block` is a live object of `span`, and no code uses it any more.
    #[cfg(greyspan_loom)]
    pub(crate) unsafe fn one(span: &'static MSpan, block: *mut Block) -> Self {
        // SAFETY: `block` is an object of `span` that the caller gives up (contract of this
        // function).
        unsafe { Block::push_trunk(null_mut(), block, span.cut()) };
        Self {
            span,
            first: block,
            last: block,
            count: 1,
        }
    }

    /// Sends the chain. `Some`: the sender `me` owns the span now and has taken this list.
    pub(crate) fn send(self, directory: &Directory, me: OwnerId) -> Option<Taken> {
        let span = self.span;
        let link = |head| {
            // SAFETY: the chain is the caller's until the exchange succeeds.
            unsafe { Block::set_next(self.last, span.block(head)) };
        };
        match span.word.send(me, span.block_ref(self.first), self.count, link) {
            Sent::Queued => None,
            Sent::Claimed(taken) => Some(taken),
            Sent::Notify => match deliver(directory, me, span) {
                Delivery::Done => None,
                Delivery::Mine(taken) => Some(taken),
            },
        }
    }
}

/// Returns the number of blocks of `span` that a thread gathers before it sends them.
fn gather_limit(span: &MSpan) -> u32 {
    (OUTGOING_BYTES / span.size().max(1)).max(1) as u32
}

/// A chain in the making. It copies the facts that it needs from the span's record, because the
/// record is in the cache of the owner's processor.
#[repr(align(64))]
struct Gathering {
    cut: Cell<Cut>,
    /// The span's length in bytes; 0 while there is no chain.
    bytes: Cell<usize>,
    /// The chain's first trunk; null while there is no chain.
    first: Cell<*mut Block>,
    /// Leaves of the first trunk, which does not note their number yet. The next field is their
    /// limit.
    leaves: AtomicU32,
    most: Cell<u32>,
    /// Blocks of the chain without those leaves.
    count: AtomicU32,
    /// Bytes of each block.
    size: AtomicU32,
    last: Cell<*mut Block>,
    span: Cell<Option<&'static MSpan>>,
}

/// The chains that a thread is gathering, one span per slot.
pub(crate) struct Outbox {
    /// The slot that was last added to.
    current: Cell<usize>,
    slots: [Gathering; Self::SLOTS],
}

impl Outbox {
    const SLOTS: usize = 16;

    /// Returns an outbox without chains.
    pub(crate) const fn new() -> Self {
        Self {
            current: Cell::new(0),
            slots: [const {
                Gathering {
                    cut: Cell::new(Cut::NONE),
                    bytes: Cell::new(0),
                    first: Cell::new(null_mut()),
                    leaves: AtomicU32::new(0),
                    most: Cell::new(0),
                    count: AtomicU32::new(0),
                    size: AtomicU32::new(0),
                    last: Cell::new(null_mut()),
                    span: Cell::new(None),
                }
            }; Self::SLOTS],
        }
    }

    #[inline(always)]
    fn slot(&self, number: usize) -> &Gathering {
        #[expect(clippy::indexing_slicing, reason = "the index is reduced to the array's length")]
        &self.slots[number % Self::SLOTS]
    }

    /// Returns the slot where blocks of `span` gather.
    fn slot_of(&self, span: &'static MSpan) -> usize {
        // Records are 128 bytes, so neighbouring records map to different slots.
        core::ptr::from_ref(span).addr() / size_of::<MSpan>() % Self::SLOTS
    }

    /// Adds a block as a leaf to the chain that was last added to. `false`: the block is of another
    /// span, or the trunk is full; nothing changed.
    ///
    /// # Safety
    /// `block` was handed out by this heap, and no code uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn add_leaf(&self, block: *mut Block) -> bool {
        let slot = self.slot(self.current.get());
        let (cut, leaves) = (slot.cut.get(), slot.leaves.load(Relaxed));
        let offset = cut.offset(block);
        if offset >= slot.bytes.get() || leaves >= slot.most.get() {
            return false;
        }
        // SAFETY: the chain is this thread's, and its first trunk has room for one more leaf.
        unsafe { Block::set_leaf(slot.first.get(), leaves as usize, offset) };
        slot.leaves.store(leaves + 1, Relaxed);
        true
    }

    /// Adds a block to the chain of its span. `false`: there is no such chain, or it is full;
    /// nothing changed.
    ///
    /// # Safety
    /// `block` is a live object of `span`, and no code uses it any more.
    pub(crate) unsafe fn add(&self, span: &'static MSpan, block: *mut Block) -> bool {
        let number = self.slot_of(span);
        let slot = self.slot(number);
        if !slot.span.get().is_some_and(|gathered| core::ptr::eq(gathered, span)) {
            return false;
        }
        self.current.set(number);
        // SAFETY: `block` is an object of this heap that the caller gives up (contract of this
        // function).
        if unsafe { self.add_leaf(block) } {
            return true;
        }
        let count = slot.gathered();
        let limit = gather_limit(span);
        if count >= limit {
            return false;
        }
        slot.close_trunk();
        let first = slot.first.replace(block);
        // SAFETY: the caller gives the block up, so it is this chain's.
        unsafe { Block::push_trunk(first, block, slot.cut.get()) };
        slot.count.store(count + 1, Relaxed);
        slot.most.set(slot.cut.get().leaves().min(limit - count - 1));
        true
    }

    /// Begins a chain of `span` with `block`. Returns the chain that had the slot before; the
    /// caller sends it.
    ///
    /// # Safety
    /// `block` is a live object of `span`, and no code uses it any more.
    pub(crate) unsafe fn begin(&self, span: &'static MSpan, block: *mut Block) -> Option<Outgoing> {
        let number = self.slot_of(span);
        let slot = self.slot(number);
        let before = slot.take();
        let cut = span.cut();
        // SAFETY: the caller gives the block up, so it is this chain's.
        unsafe { Block::push_trunk(null_mut(), block, cut) };
        slot.span.set(Some(span));
        slot.cut.set(cut);
        slot.bytes.set(span.bytes());
        slot.first.set(block);
        slot.last.set(block);
        slot.size.store(span.size() as u32, Relaxed);
        slot.count.store(1, Relaxed);
        slot.most.set(cut.leaves().min(gather_limit(span) - 1));
        self.current.set(number);
        before
    }

    /// Returns the number of gathered blocks and their bytes, as of some moment. Any thread may
    /// call this.
    pub(crate) fn gathered(&self) -> (u64, u64) {
        let mut sum = (0, 0);
        for slot in &self.slots {
            let objects = u64::from(slot.gathered());
            sum.0 += objects;
            sum.1 += objects * u64::from(slot.size.load(Relaxed));
        }
        sum
    }

    /// Takes all chains out; the caller sends them.
    pub(crate) fn drain(&self) -> impl Iterator<Item = Outgoing> {
        self.slots.iter().filter_map(Gathering::take)
    }
}

impl Gathering {
    /// Returns the number of the chain's blocks.
    fn gathered(&self) -> u32 {
        self.count.load(Relaxed) + self.leaves.load(Relaxed)
    }

    /// Notes the number of leaves in the first trunk.
    fn close_trunk(&self) {
        let leaves = self.leaves.load(Relaxed) as usize;
        self.leaves.store(0, Relaxed);
        // SAFETY: the trunk is this thread's and has that many leaves.
        unsafe { self.cut.get().set_count(self.first.get(), leaves) };
    }

    fn take(&self) -> Option<Outgoing> {
        let span = self.span.take()?;
        let count = self.gathered();
        self.close_trunk();
        self.count.store(0, Relaxed);
        self.bytes.set(0);
        Some(Outgoing {
            span,
            first: self.first.get(),
            last: self.last.get(),
            count,
        })
    }
}
