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
//! - R4. The owner's number is another thread's as soon as the mailbox opens again, and that thread
//!   may claim the very span while the token is out. So the openings are counted: a thread that
//!   drops a token at a closed mailbox, and finds afterwards that this has opened since it looked,
//!   takes the token again where blocks wait for it. An owned span whose list is not empty thus has
//!   its token out, but for that moment.

#[cfg(feature = "stats")]
mod exact;
#[cfg(feature = "stats")]
pub(crate) use exact::{Counter, Exact};
mod outbox;
pub(crate) use outbox::{Outbox, Outgoing};

use crate::meta::Bump;
use crate::mspan::{MSpan, OWNER_MAX, OwnerId, Settled, Taken};
use crate::os::Os;
use crate::size_class::COUNT;
use crate::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sync::stack::{Chain as Posted, Inbox};
use core::ptr::null_mut;

/// What other threads see of a thread cache.
pub(crate) struct Mailbox {
    id: AtomicU32,
    spans: Inbox<MSpan>,
    /// How often it was opened again (R4).
    openings: AtomicUsize,
}

impl Mailbox {
    crate::sync::const_unless_loom! {
        /// An open mailbox without a number.
        pub(crate) fn new() -> Self {
            Self { id: AtomicU32::new(0), spans: Inbox::new(), openings: AtomicUsize::new(0) }
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

    /// After `fork`, in the child: posts a span whose token the caller has.
    #[cfg(not(loom))]
    pub(crate) fn post_in_child(&self, span: &'static MSpan) {
        self.spans.push(span);
    }

    /// No more post; what was posted so far.
    pub(crate) fn close(&self) -> Posted<MSpan> {
        self.spans.close()
    }

    /// Accepts post again, for another thread, which owns no span yet.
    pub(crate) fn reopen(&self) {
        if cfg!(greyspan_broken = "opening_counted_first") {
            self.openings.store(self.openings.load(Relaxed) + 1, Release);
            return self.spans.reopen();
        }
        self.spans.reopen();
        // Release: a thread that sees the new count, by the Acquire in `openings`, does not see the
        // mailbox closed as it was before.
        self.openings.store(self.openings.load(Relaxed) + 1, Release);
    }

    /// How often it was opened again.
    fn openings(&self) -> usize {
        // Acquire: pairs with the Release in `reopen`.
        self.openings.load(Acquire)
    }
}

/// How frees are counted. Release: pairs with the Acquire of whoever sums, who then also reads that the blocks were handed out.
const COUNT_FREE: Ordering = if cfg!(greyspan_broken = "free_counted_relaxed") {
    Relaxed
} else {
    Release
};

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
        self.frees
            .store(self.frees.load(Relaxed) + u64::from(frees), COUNT_FREE);
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
    /// What the program has freed of other threads' spans and the cache has not sent yet: other
    /// threads read its counts alone.
    pub(crate) outbox: Outbox,
    /// What the program did through the cache.
    #[cfg(feature = "stats")]
    pub(crate) exact: Exact,
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
                outbox: Outbox::new(),
                #[cfg(feature = "stats")]
                exact: Exact::new(),
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
                let mailbox = directory.get(owner).map(|owner| &owner.mailbox);
                let opened = mailbox.map(Mailbox::openings);
                if mailbox.is_some_and(|mailbox| mailbox.spans.push(span)) {
                    return Delivery::Done;
                }
                // R2: a closed mailbox whose owner still has the span. R4: unless it is another one
                // by now.
                if span.word.drop_token(owner) && (is_as(mailbox, opened) || !span.word.take_token()) {
                    return Delivery::Done;
                }
            }
        }
    }
}

/// Whether the mailbox was not opened since there were `opened` openings.
fn is_as(mailbox: Option<&Mailbox>, opened: Option<usize>) -> bool {
    cfg!(greyspan_broken = "reopening_unseen") || mailbox.map(Mailbox::openings) == opened
}
