//! Frees that arrive from other threads: mailboxes, the directory of owners, and the outgoing side.
//!
//! A thread that frees a block of somebody else's span gathers such blocks by span and sends each gathered chain with one
//! compare-and-swap on the span's ownership word. The word then says what is left to do:
//!
//! ```text
//!  send ──► Queued    nothing: the owner knows, or another thread is about to tell it
//!       ├─► Notify    post the span to the owner's mailbox; the owner takes the list when it next refills
//!       └─► Claimed   nobody owned the span: it is the sender's now, which keeps it, or lists it, or gives its pages back
//! ```
//!
//! - R1. A span stands in at most one mailbox, because only the holder of its token (rule W3 of `mspan::word`) posts it.
//! - R2. A mailbox is closed while no thread runs with it. Its owner closes it first and gives up its spans afterwards, looking at each
//!   list; so a token that meets a closed mailbox whose owner still has the span can be dropped.
//! - R3. Mailboxes are never freed; a thread that meets a stale owner number finds a mailbox of somebody else's, posts there, and that
//!   owner passes the span on.

use crate::base::geometry::OUTGOING_BYTES;
use crate::meta::Bump;
use crate::mspan::{Block, CHECKED, MSpan, OWNER_MAX, OwnerId, Sent, Settled, Taken};
use crate::os::Os;
use crate::size_class::COUNT;
use crate::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sync::stack::{Chain as Posted, Inbox};
use core::cell::Cell;
use core::ptr::null_mut;

/// What other threads see of a thread cache.
pub(crate) struct Mailbox {
    id: AtomicU32,
    spans: Inbox<MSpan>,
}

impl Mailbox {
    crate::sync::const_unless_loom! {
        /// An open mailbox without a number.
        pub(crate) fn new() -> Self {
            Self { id: AtomicU32::new(0), spans: Inbox::new() }
        }
    }

    /// The owner number; 0 for a cache that cannot own spans.
    #[inline]
    pub(crate) fn id(&self) -> OwnerId {
        self.id.load(Relaxed)
    }

    /// Whether a look is worth while.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Everything that was posted.
    pub(crate) fn take_all(&self) -> Posted<MSpan> {
        self.spans.take_all()
    }

    /// No more post; what was posted so far.
    pub(crate) fn close(&self) -> Posted<MSpan> {
        self.spans.close()
    }

    /// Accepts post again.
    pub(crate) fn reopen(&self) {
        self.spans.reopen();
    }
}

/// How many objects of a class passed from spans into bins, and how many came back; written by the cache's thread.
pub(crate) struct Tally {
    pub(crate) mallocs: AtomicU64,
    pub(crate) frees: AtomicU64,
}

impl Tally {
    crate::sync::const_unless_loom! {
        pub(crate) fn new() -> Self {
            Self { mallocs: AtomicU64::new(0), frees: AtomicU64::new(0) }
        }
    }

    /// Adds to both; called by the cache's thread alone.
    pub(crate) fn add(&self, mallocs: u32, frees: u32) {
        self.mallocs
            .store(self.mallocs.load(Relaxed) + u64::from(mallocs), Relaxed);
        self.frees.store(self.frees.load(Relaxed) + u64::from(frees), Relaxed);
    }
}

/// The part of a cache that other threads may read.
pub(crate) struct Shared {
    pub(crate) mailbox: Mailbox,
    /// One a class, and one for large objects.
    pub(crate) tallies: [Tally; COUNT + 1],
    /// Bytes of large objects handed out in all.
    pub(crate) large_bytes: AtomicU64,
    /// Bytes of the runs that the cache keeps, by their classes.
    pub(crate) run_bytes: AtomicUsize,
}

impl Shared {
    crate::sync::const_unless_loom! {
        /// An open mailbox without a number, and nothing counted.
        pub(crate) fn new() -> Self {
            Self {
                mailbox: Mailbox::new(),
                tallies: crate::sync::array_of!(Tally::new(); COUNT + 1),
                large_bytes: AtomicU64::new(0),
                run_bytes: AtomicUsize::new(0),
            }
        }
    }
}

const LEAF: usize = if cfg!(loom) { 8 } else { 1024 };
const LEAVES: usize = if cfg!(loom) { 1 } else { 1024 };

type Leaf = [AtomicPtr<Shared>; LEAF];

/// From owner number to mailbox. Lock-free to read; entries are written once.
pub(crate) struct Directory {
    leaves: [AtomicPtr<Leaf>; LEAVES],
}

impl Directory {
    crate::sync::const_unless_loom! {
        /// Knows nobody.
        pub(crate) fn new() -> Self {
            Self { leaves: crate::sync::array_of!(AtomicPtr::new(null_mut()); LEAVES) }
        }
    }

    fn slot(&self, id: OwnerId) -> Option<&'static AtomicPtr<Shared>> {
        // Acquire: pairs with the Release in `enter`, for the leaf's memory.
        let leaf = self.leaves.get(id as usize / LEAF)?.load(Acquire);
        // SAFETY: null, or a leaf that lives for ever.
        unsafe { leaf.as_ref() }?.get(id as usize % LEAF)
    }

    /// The mailbox of `id`.
    pub(crate) fn get(&self, id: OwnerId) -> Option<&'static Shared> {
        // Acquire: pairs with the Release in `enter`, for the mailbox.
        let mailbox = self.slot(id)?.load(Acquire);
        // SAFETY: null, or a mailbox that lives for ever.
        unsafe { mailbox.as_ref() }
    }

    /// Gives the cache behind `shared` a number, for the models: memory comes from `Box`.
    #[cfg(loom)]
    pub(crate) fn enter_for_model(&self, id: OwnerId, shared: &'static Shared) -> bool {
        let leaf = self.leaves.first().expect("one leaf");
        if leaf.load(Relaxed).is_null() {
            let fresh: Leaf = core::array::from_fn(|_| AtomicPtr::new(null_mut()));
            leaf.store(Box::leak(Box::new(fresh)), Release);
        }
        shared.mailbox.id.store(id, Relaxed);
        self.slot(id)
            .expect("a small number")
            .store(core::ptr::from_ref(shared).cast_mut(), Release);
        true
    }

    /// Gives the cache behind `shared` the number `id`, which nobody has. The caller holds the lock of the thread registry. `false`: no memory, or no
    /// more numbers.
    pub(crate) fn enter(&self, os: &Os, memory: &mut Bump, id: OwnerId, shared: &'static Shared) -> bool {
        let Some(leaf) = self
            .leaves
            .get(id as usize / LEAF)
            .filter(|_| id != 0 && id <= OWNER_MAX)
        else {
            return false;
        };
        if leaf.load(Relaxed).is_null() {
            let Some(fresh) = memory.take(os, size_of::<Leaf>(), align_of::<Leaf>()) else {
                return false;
            };
            // Release: the zeroed leaf, for the Acquire in `slot`.
            leaf.store(fresh.cast().as_ptr(), Release);
        }
        let Some(slot) = self.slot(id) else { return false };
        shared.mailbox.id.store(id, Relaxed);
        // Release: the mailbox and its number, for the Acquire in `get`.
        slot.store(core::ptr::from_ref(shared).cast_mut(), Release);
        true
    }
}

/// What is left to do for the span whose token the caller holds.
pub(crate) enum Delivery {
    /// The owner, or somebody on the way to it, has the token.
    Done,
    /// The caller owns the span now, and this remote list of it.
    Mine(Taken),
}

/// The holder of the span's token brings it to the owner.
pub(crate) fn deliver(directory: &Directory, me: OwnerId, span: &'static MSpan) -> Delivery {
    loop {
        match span.word.settle(me) {
            Settled::Mine(taken) => return Delivery::Mine(taken),
            Settled::Other(owner) => {
                let posted = directory.get(owner).is_some_and(|owner| owner.mailbox.spans.push(span));
                // R2: a closed mailbox whose owner still has the span.
                if posted || span.word.drop_token(owner) {
                    return Delivery::Done;
                }
            }
        }
    }
}

/// A chain of blocks of one span, all freed by this thread.
pub(crate) struct Outgoing {
    pub(crate) span: &'static MSpan,
    first: *mut Block,
    last: *mut Block,
    count: u32,
}

impl Outgoing {
    /// A chain of one block.
    ///
    /// # Safety
    /// `block` is a live object of `span` that nobody uses any more.
    #[cfg(loom)]
    pub(crate) unsafe fn one(span: &'static MSpan, block: *mut Block) -> Self {
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

/// A chain in the making.
struct Gathering {
    /// Whose blocks; `None` while there are none.
    span: Cell<Option<&'static MSpan>>,
    first: Cell<*mut Block>,
    last: Cell<*mut Block>,
    /// How many more blocks of the span fit.
    room: Cell<u32>,
}

/// Chains that a thread is gathering, one span in each slot.
pub(crate) struct Outbox {
    slots: [Gathering; Self::SLOTS],
}

impl Outbox {
    const SLOTS: usize = 16;

    /// Nothing gathered.
    pub(crate) const fn new() -> Self {
        Self {
            slots: [const {
                Gathering {
                    span: Cell::new(None),
                    first: Cell::new(null_mut()),
                    last: Cell::new(null_mut()),
                    room: Cell::new(0),
                }
            }; Self::SLOTS],
        }
    }

    /// The slot where blocks of `span` gather.
    #[inline(always)]
    fn slot(&self, span: &'static MSpan) -> &Gathering {
        // Records are 128 bytes: neighbouring spans gather in different slots.
        let number = core::ptr::from_ref(span).addr() / size_of::<MSpan>() % Self::SLOTS;
        #[expect(clippy::indexing_slicing, reason = "the index is reduced to the array's length")]
        &self.slots[number]
    }

    /// Adds a block to the chain of its span. `false`: there is none, or it is full; nothing was done.
    ///
    /// # Safety
    /// `block` is a live object of `span` that nobody uses any more.
    #[inline(always)]
    pub(crate) unsafe fn add(&self, span: &'static MSpan, block: *mut Block) -> bool {
        let slot = self.slot(span);
        let room = slot.room.get();
        if room == 0 || !slot.span.get().is_some_and(|gathered| core::ptr::eq(gathered, span)) {
            return false;
        }
        // SAFETY: the block is the caller's to give.
        unsafe { Block::set_next(block, slot.first.get()) };
        slot.first.set(block);
        slot.room.set(room - 1);
        true
    }

    /// Begins a chain of `span` with `block`, and gives the one that had its slot, to be sent.
    ///
    /// # Safety
    /// As for `add`.
    pub(crate) unsafe fn begin(&self, span: &'static MSpan, block: *mut Block) -> Option<Outgoing> {
        if CHECKED {
            // So that its link is one, as that of every block on its way to a span (K2 of `mspan::block`).
            // SAFETY: the block is the caller's to give.
            unsafe { Block::set_next(block, null_mut()) };
        }
        let slot = self.slot(span);
        let before = slot.take();
        slot.span.set(Some(span));
        slot.first.set(block);
        slot.last.set(block);
        slot.room.set(gather_limit(span) - 1);
        before
    }

    /// Takes out all chains, to be sent.
    pub(crate) fn drain(&self) -> impl Iterator<Item = Outgoing> {
        self.slots.iter().filter_map(Gathering::take)
    }
}

impl Gathering {
    fn take(&self) -> Option<Outgoing> {
        let span = self.span.take()?;
        let count = gather_limit(span) - self.room.replace(0);
        Some(Outgoing {
            span,
            first: self.first.get(),
            last: self.last.get(),
            count,
        })
    }
}
