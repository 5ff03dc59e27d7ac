//! The outgoing side: the chains of other threads' blocks that a thread gathers before it sends them home.
//!
//! Owned by the thread's cache, reached by its thread alone, but for the counts (O3). A thread that
//! only frees what another made comes here with each block; so what it needs to know of the span is
//! noted beside the chain, and the record, which the span's owner writes to, is not looked at.
//!
//! - O1. The blocks of a chain count as live in their span until they are sent; so the span stays what it is.
//! - O2. A slot that has no chain has length 0 and matches no block.
//! - O3. Threads that gather statistics read how many blocks there are, and of what size: blocks
//!   that the program has freed shall not count as held. Nothing is ordered by these three, so they
//!   are relaxed throughout.

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
    /// A chain of one block.
    ///
    /// # Safety
    /// `block` is a live object of `span` that nobody uses any more.
    #[cfg(loom)]
    pub(crate) unsafe fn one(span: &'static MSpan, block: *mut Block) -> Self {
        // SAFETY: as the caller promised.
        unsafe { Block::push_trunk(null_mut(), block, span.cut()) };
        Self {
            span,
            first: block,
            last: block,
            count: 1,
        }
    }

    /// Sends the chain. `Some`: the sender, `me`, owns the span now, and this list of it.
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

/// How many blocks of `span` a thread gathers before it sends them.
fn gather_limit(span: &MSpan) -> u32 {
    (OUTGOING_BYTES / span.size().max(1)).max(1) as u32
}

/// A chain in the making. What the span's record says about it is noted here: the owner's processor has that in its cache.
#[repr(align(64))]
struct Gathering {
    cut: Cell<Cut>,
    /// The span's length in bytes; 0 while there is no chain.
    bytes: Cell<usize>,
    /// The chain's first trunk; null while there is no chain.
    first: Cell<*mut Block>,
    /// Leaves of the first trunk, which are not noted in it yet, and how many it may get.
    leaves: AtomicU32,
    most: Cell<u32>,
    /// Blocks of the chain but for those leaves.
    count: AtomicU32,
    /// Bytes of each block.
    size: AtomicU32,
    last: Cell<*mut Block>,
    span: Cell<Option<&'static MSpan>>,
}

/// Chains that a thread is gathering, one span in each slot.
pub(crate) struct Outbox {
    /// The slot that was last added to.
    current: Cell<usize>,
    slots: [Gathering; Self::SLOTS],
}

impl Outbox {
    const SLOTS: usize = 16;

    /// Nothing gathered.
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

    /// The slot where blocks of `span` gather.
    fn slot_of(&self, span: &'static MSpan) -> usize {
        // Records are 128 bytes: neighbouring spans gather in different slots.
        core::ptr::from_ref(span).addr() / size_of::<MSpan>() % Self::SLOTS
    }

    /// Adds a block as a leaf to the chain that was last added to, if it is of the same span. `false`: it is not, or the trunk is full; nothing
    /// was done.
    ///
    /// # Safety
    /// `block` was handed out by this heap and nobody uses it any more.
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

    /// Adds a block to the chain of its span. `false`: there is none, or it is full; nothing was done.
    ///
    /// # Safety
    /// `block` is a live object of `span` that nobody uses any more.
    pub(crate) unsafe fn add(&self, span: &'static MSpan, block: *mut Block) -> bool {
        let number = self.slot_of(span);
        let slot = self.slot(number);
        if !slot.span.get().is_some_and(|gathered| core::ptr::eq(gathered, span)) {
            return false;
        }
        self.current.set(number);
        // SAFETY: as the caller promised.
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
        // SAFETY: the block is the caller's to give.
        unsafe { Block::push_trunk(first, block, slot.cut.get()) };
        slot.count.store(count + 1, Relaxed);
        slot.most.set(slot.cut.get().leaves().min(limit - count - 1));
        true
    }

    /// Begins a chain of `span` with `block`, and gives the one that had its slot, to be sent.
    ///
    /// # Safety
    /// As for `add`.
    pub(crate) unsafe fn begin(&self, span: &'static MSpan, block: *mut Block) -> Option<Outgoing> {
        let number = self.slot_of(span);
        let slot = self.slot(number);
        let before = slot.take();
        let cut = span.cut();
        // SAFETY: the block is the caller's to give.
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

    /// How many blocks are gathered, and their bytes, as of a moment ago; for any thread.
    #[cfg(not(feature = "stats"))]
    pub(crate) fn gathered(&self) -> (u64, u64) {
        let mut sum = (0, 0);
        for slot in &self.slots {
            let objects = u64::from(slot.gathered());
            sum.0 += objects;
            sum.1 += objects * u64::from(slot.size.load(Relaxed));
        }
        sum
    }

    /// Takes out all chains, to be sent.
    pub(crate) fn drain(&self) -> impl Iterator<Item = Outgoing> {
        self.slots.iter().filter_map(Gathering::take)
    }
}

impl Gathering {
    /// Blocks of the chain.
    fn gathered(&self) -> u32 {
        self.count.load(Relaxed) + self.leaves.load(Relaxed)
    }

    /// Notes in the first trunk how many leaves it has.
    fn close_trunk(&self) {
        let leaves = self.leaves.load(Relaxed) as usize;
        self.leaves.store(0, Relaxed);
        // SAFETY: the trunk is this thread's, and has so many.
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
