//! The outgoing side: chains of other threads' blocks that a thread gathers before it sends them to
//! their owners.
//!
//! The outbox belongs to a thread's cache. Only that thread reaches it, except for the counts
//! (OUTBOX-3). A thread that only frees another thread's blocks comes here with each block. So the
//! slot keeps the facts it needs about the span next to the chain. The span's record, which its
//! owner writes to, is read when a chain begins and when it is sent.
//!
//! The slots lie behind the cache's record. Their memory is untouched until the thread begins its
//! first chain.
//!
//! Each chain has a bound, and all chains together have one. A chain at its bound is sent. At the
//! common bound other chains are sent in turn, because a thread may not come back to them, and so
//! that a chain which a block joins grows long.
//!
//! - OUTBOX-1. The blocks of a chain count as live in their span until they are sent. So the span
//!   keeps its class and its pages.
//! - OUTBOX-2. A slot without a chain has length 0 and matches no block. A slot of zeros is one.
//! - OUTBOX-3. Threads that gather statistics read the number and size of the gathered blocks, so
//!   that freed blocks do not count as held. These counts order nothing, so they are relaxed
//!   throughout.
//! - OUTBOX-4. A trunk notes the number of its leaves before the next trunk takes its place, and
//!   before its chain is sent: the thread that takes the list finds all of its blocks.

use super::{Delivery, Directory, deliver};
use crate::base::geometry::{OUTBOX_BYTES, OUTGOING_BYTES};
use crate::mspan::{Block, CHECKED, Cut, MSpan, OwnerId, Sent, Taken};
use crate::sync::tally::{AtomicU32, AtomicU64, Ordering::Relaxed};
use core::cell::Cell;
use core::ptr::{null, null_mut};

/// A chain of blocks of one span, all freed by this thread.
pub(crate) struct Outgoing {
    pub(crate) span: &'static MSpan,
    first: *mut Block,
    last: *mut Block,
    pub(crate) count: u32,
    /// Leaves of the first trunk, which does not note their number yet (OUTBOX-4).
    leaves: u32,
}

impl Outgoing {
    /// Returns a chain of these blocks, at least one: a trunk and its leaves.
    ///
    /// # Safety
    /// The blocks are live objects of `span`, and no code uses them any more.
    #[cfg(greyspan_loom)]
    pub(crate) unsafe fn of(span: &'static MSpan, blocks: &[*mut Block]) -> Self {
        let (cut, first) = (span.cut(), blocks[0]);
        // SAFETY: an object of `span` that the caller gives up (contract of this function).
        unsafe { Block::push_trunk(null_mut(), first, cut) };
        for (index, &block) in blocks[1..].iter().enumerate() {
            // SAFETY: the trunk is this call's, and a trunk of the models has room.
            unsafe { Block::set_leaf(first, index, cut.offset(block)) };
        }
        Self {
            span,
            first,
            last: first,
            count: blocks.len() as u32,
            leaves: blocks.len() as u32 - 1,
        }
    }

    /// Sends the chain. `Some`: the sender `me` owns the span now and has taken this list.
    pub(crate) fn send(self, directory: &Directory, me: OwnerId) -> Option<Taken> {
        let span = self.span;
        // SAFETY: the trunk is this thread's until the exchange succeeds, and has that many leaves.
        let note = || unsafe { span.cut().note_count(self.first, self.leaves as usize) };
        if !crate::sync::broken!("leaves_noted_late") {
            note();
        }
        let link = |head| {
            // SAFETY: the chain is the caller's until the exchange succeeds.
            unsafe { Block::set_next(self.last, span.block(head)) };
        };
        let taken = match span.word.send(me, span.block_ref(self.first), self.count, link) {
            Sent::Queued => None,
            Sent::Claimed(taken) => Some(taken),
            Sent::Notify => match deliver(directory, me, span) {
                Delivery::Done => None,
                Delivery::Mine(taken) => Some(taken),
            },
        };
        if crate::sync::broken!("leaves_noted_late") {
            note();
        }
        taken
    }
}

/// A chain in the making. It copies the facts that it needs from the span's record, because the
/// record is in the cache of the owner's processor.
#[repr(align(64))]
pub(crate) struct Gathering {
    cut: Cell<Cut>,
    /// The span's length in bytes; 0 while there is no chain.
    bytes: Cell<u32>,
    /// The most blocks of the chain.
    limit: Cell<u32>,
    /// The chain's first trunk; null while there is no chain.
    first: Cell<*mut Block>,
    /// Leaves of the first trunk, which does not note their number yet. The next field is the most
    /// that it may get.
    leaves: AtomicU32,
    most: Cell<u32>,
    /// Blocks of the chain without those leaves.
    count: AtomicU32,
    /// Bytes of each block.
    size: AtomicU32,
    last: Cell<*mut Block>,
    span: Cell<Option<&'static MSpan>>,
}

const _: () = assert!(size_of::<Gathering>() == 64, "a cache line");

impl Gathering {
    /// Returns a slot without a chain.
    const fn new() -> Self {
        Self {
            cut: Cell::new(Cut::NONE),
            bytes: Cell::new(0),
            limit: Cell::new(0),
            first: Cell::new(null_mut()),
            leaves: AtomicU32::new(0),
            most: Cell::new(0),
            count: AtomicU32::new(0),
            size: AtomicU32::new(0),
            last: Cell::new(null_mut()),
            span: Cell::new(None),
        }
    }

    /// Returns the number of the chain's blocks.
    fn gathered(&self) -> u32 {
        self.count.load(Relaxed) + self.leaves.load(Relaxed)
    }

    /// Returns the bytes of the chain's blocks.
    fn gathered_bytes(&self) -> usize {
        self.gathered() as usize * self.size.load(Relaxed) as usize
    }

    /// Makes `block` the first trunk, without leaves, of a chain that has `others` other blocks.
    #[inline(always)]
    fn open_trunk(&self, block: *mut Block, others: u32) {
        self.first.set(block);
        self.count.store(others + 1, Relaxed);
        let left = self.limit.get().saturating_sub(others + 1);
        self.most.set(left.min(self.cut.get().leaves()));
    }

    /// Notes the number of leaves in the first trunk.
    #[inline(always)]
    fn close_trunk(&self) {
        let leaves = self.leaves.load(Relaxed) as usize;
        self.leaves.store(0, Relaxed);
        // SAFETY: the trunk is this thread's and has that many leaves.
        unsafe { self.cut.get().note_count(self.first.get(), leaves) };
    }

    fn take(&self) -> Option<Outgoing> {
        let span = self.span.take()?;
        let (count, leaves) = (self.gathered(), self.leaves.load(Relaxed));
        self.leaves.store(0, Relaxed);
        self.count.store(0, Relaxed);
        self.most.set(0);
        self.bytes.set(0);
        Some(Outgoing {
            span,
            first: self.first.get(),
            last: self.last.get(),
            count,
            leaves,
        })
    }
}

/// A slot that never has a chain.
struct Never(Gathering);

// SAFETY: no thread writes to it: it matches no block (OUTBOX-2).
unsafe impl Sync for Never {}

static NONE: Never = Never(Gathering::new());

/// The number of slots.
const SLOTS: usize = 256;

/// Bytes of an outbox's slots, which the maker of a cache provides, zeroed.
pub(crate) const OUTBOX_SLOT_BYTES: usize = SLOTS * size_of::<Gathering>();

/// The chains that a thread is gathering, one span per slot.
pub(crate) struct Outbox {
    /// The slot that was last added to, or one that never has a chain.
    current: Cell<*const Gathering>,
    /// Where the slots lie; null if there are none.
    slots: Cell<*const Gathering>,
    /// Bytes of all gathered blocks.
    bytes: Cell<usize>,
    /// The slot whose chain was last sent to make room.
    hand: Cell<usize>,
    /// A bit for each slot with a chain.
    used: [AtomicU64; SLOTS / 64],
}

impl Outbox {
    /// Returns an outbox without slots.
    pub(crate) const fn new() -> Self {
        Self {
            current: Cell::new(&raw const NONE.0),
            slots: Cell::new(null()),
            bytes: Cell::new(0),
            hand: Cell::new(0),
            used: [const { AtomicU64::new(0) }; SLOTS / 64],
        }
    }

    /// Gives a new outbox its slots.
    ///
    /// # Safety
    /// `slots` is [`OUTBOX_SLOT_BYTES`] of zeroed memory, aligned for a slot, for this outbox and
    /// for ever. No other thread reaches the outbox yet.
    pub(crate) unsafe fn set_slots(&self, slots: *mut u8) {
        self.slots.set(slots.cast());
    }

    /// Returns the slot with this number. `None`: there are no slots.
    #[inline(always)]
    fn slot(&self, number: usize) -> Option<&Gathering> {
        let slots = self.slots.get();
        // SAFETY: the slots are this outbox's for ever, and the number is reduced to theirs.
        (!slots.is_null()).then(|| unsafe { &*slots.wrapping_add(number % SLOTS) })
    }

    /// Returns the number of the slot where blocks of `span` gather.
    #[inline(always)]
    pub(super) fn number_of(span: *const MSpan) -> usize {
        // Records are 128 bytes, so neighbouring records map to different slots.
        span.addr() / size_of::<MSpan>() % SLOTS
    }

    /// Adds a block as a leaf to the chain that was last added to. `false`: the block is of another
    /// span, or the trunk or the outbox is full; nothing changed.
    ///
    /// # Safety
    /// `block` was handed out by this heap, and no code uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn add_leaf(&self, block: *mut Block) -> bool {
        // SAFETY: a slot of this outbox, or the one that never has a chain.
        let slot = unsafe { &*self.current.get() };
        if slot.cut.get().offset(block) >= slot.bytes.get() as usize {
            return false;
        }
        // SAFETY: the block lies in the chain's span, so it is an object of that; the caller gives
        // it up.
        unsafe { self.add_to_trunk(slot, block) }
    }

    /// Adds a block as a leaf to the chain of `slot`. `false`: the trunk or the outbox is full;
    /// nothing changed.
    ///
    /// # Safety
    /// `block` is a live object of the chain's span, and no code uses it any more.
    #[inline(always)]
    unsafe fn add_to_trunk(&self, slot: &Gathering, block: *mut Block) -> bool {
        let leaves = slot.leaves.load(Relaxed);
        if leaves >= slot.most.get() {
            return false;
        }
        let bytes = self.bytes.get() + slot.size.load(Relaxed) as usize;
        if bytes > OUTBOX_BYTES {
            return false;
        }
        self.bytes.set(bytes);
        let offset = slot.cut.get().offset(block);
        // SAFETY: the chain is this thread's, and its first trunk has room for one more leaf.
        unsafe { Block::set_leaf(slot.first.get(), leaves as usize, offset) };
        slot.leaves.store(leaves + 1, Relaxed);
        true
    }

    /// Adds a block to the chain of the span whose record is at `span`, which is not read. `false`:
    /// there is no such chain, or it or the outbox is full; nothing changed.
    ///
    /// # Safety
    /// `block` is a live object of the span, and no code uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn add(&self, span: *const MSpan, block: *mut Block) -> bool {
        let Some(slot) = self.slot(Self::number_of(span)) else {
            return false;
        };
        if slot.span.get().map_or(null(), core::ptr::from_ref) != span {
            return false;
        }
        // Only typed frees look there.
        if !CHECKED {
            self.current.set(slot);
        }
        // SAFETY: `block` is an object of the chain's span that the caller gives up.
        if unsafe { self.add_to_trunk(slot, block) } {
            return true;
        }
        // SAFETY: `block` is an object of the chain's span that the caller gives up.
        unsafe { self.extend(slot, block) }
    }

    /// Adds a block as a trunk to the chain of a slot. `false`: the chain is to be sent; nothing
    /// changed.
    ///
    /// # Safety
    /// `block` is a live object of the chain's span, and no code uses it any more.
    #[inline(always)]
    unsafe fn extend(&self, slot: &Gathering, block: *mut Block) -> bool {
        let count = slot.gathered();
        if count >= slot.limit.get() {
            return false;
        }
        let bytes = self.bytes.get() + slot.size.load(Relaxed) as usize;
        if bytes > OUTBOX_BYTES {
            return false;
        }
        slot.close_trunk();
        // SAFETY: the caller gives the block up, so it is this chain's, which has a trunk.
        unsafe { Block::push_trunk(slot.first.get(), block, slot.cut.get()) };
        slot.open_trunk(block, count);
        self.bytes.set(bytes);
        true
    }

    /// Adds a block for which there was no room, or begins a chain of `span` with it. Passes the
    /// chains that make room to `send`.
    ///
    /// # Safety
    /// `block` is a live object of `span`, and no code uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn begin(&self, span: &'static MSpan, block: *mut Block, send: impl Fn(Outgoing)) {
        let (number, cut) = (Self::number_of(span), span.cut());
        while self.bytes.get() + span.size() > OUTBOX_BYTES
            && let Some(chain) = self.take_next()
        {
            send(chain);
        }
        // SAFETY: the block is the caller's (contract of this function).
        if unsafe { self.add(span, block) } {
            return;
        }
        // SAFETY: the caller gives the block up, so it is this chain's.
        unsafe { Block::push_trunk(null_mut(), block, cut) };
        let Some(slot) = self.slot(number) else {
            // Not gathered.
            return send(Outgoing {
                span,
                first: block,
                last: block,
                count: 1,
                leaves: 0,
            });
        };
        let before = self.take(number);
        slot.span.set(Some(span));
        slot.cut.set(cut);
        slot.bytes.set(span.bytes() as u32);
        slot.limit.set((OUTGOING_BYTES / span.size().max(1)) as u32);
        slot.open_trunk(block, 0);
        slot.last.set(block);
        slot.size.store(span.size() as u32, Relaxed);
        self.bytes.set(self.bytes.get() + span.size());
        self.set_used(number, true);
        self.current.set(slot);
        if let Some(before) = before {
            send(before);
        }
    }

    /// Notes whether the slot has a chain.
    fn set_used(&self, number: usize, is_used: bool) {
        if let Some(word) = self.used.get(number / 64) {
            let bit = 1 << (number % 64);
            let others = word.load(Relaxed) & !bit;
            word.store(if is_used { others | bit } else { others }, Relaxed);
        }
    }

    /// Returns the number of the first slot with a chain from number `from` on.
    fn next_used(&self, from: usize) -> Option<usize> {
        let words = self.used.iter().enumerate().skip(from / 64);
        words
            .map(|(index, word)| {
                let below = if index == from / 64 { from % 64 } else { 0 };
                (index, word.load(Relaxed) & u64::MAX << below)
            })
            .find(|&(_, word)| word != 0)
            .map(|(index, word)| index * 64 + word.trailing_zeros() as usize)
    }

    /// Takes the chain of this slot out.
    fn take(&self, number: usize) -> Option<Outgoing> {
        let slot = self.slot(number)?;
        let bytes = slot.gathered_bytes();
        let chain = slot.take()?;
        self.bytes.set(self.bytes.get() - bytes);
        self.set_used(number, false);
        Some(chain)
    }

    /// Takes the chain out whose turn it is.
    fn take_next(&self) -> Option<Outgoing> {
        let next = self.next_used(self.hand.get() + 1).or_else(|| self.next_used(0))?;
        self.hand.set(next);
        self.take(next)
    }

    /// Returns the number of gathered blocks and their bytes, as of some moment. Any thread may
    /// call this.
    pub(crate) fn gathered(&self) -> (u64, u64) {
        let mut sum = (0, 0);
        let mut from = 0;
        while let Some(number) = self.next_used(from)
            && let Some(slot) = self.slot(number)
        {
            let objects = u64::from(slot.gathered());
            sum.0 += objects;
            sum.1 += objects * u64::from(slot.size.load(Relaxed));
            from = number + 1;
        }
        sum
    }

    /// Takes all chains out; the caller sends them.
    pub(crate) fn drain(&self) -> impl Iterator<Item = Outgoing> {
        core::iter::from_fn(|| self.take(self.next_used(0)?))
    }
}
