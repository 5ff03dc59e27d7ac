//! Frees that arrive from other threads: mailboxes, the directory of owners, and the outgoing side.
//!
//! A thread that frees blocks of another thread's spans gathers them per span. It sends each
//! gathered chain with one compare-and-swap on the span's ownership word. The result says what is
//! left to do:
//!
//! ```text
//!  send ──► Queued    nothing: the owner knows, or another thread is about to tell it
//!       ├─► Notify    post the span to the owner's mailbox; the owner takes it when it refills
//!       └─► Claimed   the span was unowned: the sender owns it now, and keeps it, or ends it if
//!                     it is empty
//! ```
//!
//! - REMOTE-1. A span is in at most one mailbox, because only the holder of its token (OWN-3 of
//!   `mspan::word`) posts it.
//! - REMOTE-2. A mailbox is closed while no thread runs with it. Its owner first closes it, then
//!   looks at the list of each of its spans and gives the span up. So if a token meets a closed
//!   mailbox whose owner still has the span, it can be dropped.
//! - REMOTE-3. Mailboxes are never freed. A thread with a stale owner number posts to another
//!   thread's mailbox, and that owner passes the span on.
//! - REMOTE-4. When a closed mailbox opens again, its owner number belongs to a new thread, which
//!   may claim the span while the token is out. So openings are counted. A thread drops a token at
//!   a closed mailbox and then reads the count again. If it has changed, and blocks wait in the
//!   span, the thread takes the token back. So except for that moment, an owned span whose list is
//!   not empty has its token out.

mod exact;
pub(crate) use exact::{Counter, EXACT, Exact};
mod outbox;
pub(crate) use outbox::{OUTBOX_SLOT_BYTES, Outbox, Outgoing};

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

/// The mailbox of a thread cache, to which other threads post spans.
pub(crate) struct Mailbox {
    id: AtomicU32,
    spans: Inbox<MSpan>,
    /// How often the mailbox was reopened (REMOTE-4).
    openings: AtomicUsize,
}

impl Mailbox {
    crate::sync::const_unless_loom! {
        /// Returns an open mailbox without a number.
        pub(crate) fn new() -> Self {
            Self { id: AtomicU32::new(0), spans: Inbox::new(), openings: AtomicUsize::new(0) }
        }
    }

    /// Returns the owner number; 0 for a cache that cannot own spans.
    #[inline]
    pub(crate) fn id(&self) -> OwnerId {
        self.id.load(Relaxed)
    }

    /// Returns whether the mailbox is empty, as of some moment.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Takes all posted spans.
    pub(crate) fn take_all(&self) -> Posted<MSpan> {
        self.spans.take_all()
    }

    /// Posts a span whose token the caller holds. For the child after `fork`.
    pub(crate) fn post_in_child(&self, span: &'static MSpan) {
        self.spans.push(span);
    }

    /// Closes the mailbox. Returns the spans posted so far.
    pub(crate) fn close(&self) -> Posted<MSpan> {
        self.spans.close()
    }

    /// Reopens the mailbox for another thread, which owns no span yet.
    pub(crate) fn reopen(&self) {
        if crate::sync::broken!("opening_counted_first") {
            self.openings.store(self.openings.load(Relaxed) + 1, Release);
            return self.spans.reopen();
        }
        self.spans.reopen();
        // Release: a thread that reads the new count, by the Acquire in `openings`, does not find
        // the mailbox closed as before.
        self.openings.store(self.openings.load(Relaxed) + 1, Release);
    }

    /// Returns how often the mailbox was reopened.
    fn openings(&self) -> usize {
        // Acquire: pairs with the Release in `reopen`.
        self.openings.load(Acquire)
    }
}

/// The ordering of free counts. Release: pairs with the Acquire of the thread that sums, which then
/// also reads that the blocks were handed out.
#[inline(always)]
fn free_order() -> Ordering {
    if crate::sync::broken!("free_counted_relaxed") {
        Relaxed
    } else {
        Release
    }
}

/// Counts of the objects of a class that went from spans to bins, and that came back. Only the
/// cache's thread writes them.
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

    /// Adds to both counts. Only the cache's thread calls this.
    pub(crate) fn add(&self, mallocs: u32, frees: u32) {
        self.mallocs
            .store(self.mallocs.load(Relaxed) + u64::from(mallocs), Relaxed);
        self.frees
            .store(self.frees.load(Relaxed) + u64::from(frees), free_order());
    }
}

/// The part of a thread cache that other threads may read.
pub(crate) struct Shared {
    pub(crate) mailbox: Mailbox,
    /// One tally per class, and one for large objects.
    pub(crate) tallies: [Tally; COUNT + 1],
    /// Bytes of all large objects ever handed out.
    pub(crate) large_bytes: AtomicU64,
    /// Bytes of the runs that the cache keeps, rounded up to their classes' sizes.
    pub(crate) run_bytes: AtomicUsize,
    /// Freed blocks of other threads' spans that the cache has not sent yet. Other threads read
    /// only the counts.
    pub(crate) outbox: Outbox,
    /// Exact counts of the program's calls through the cache, if the build has them.
    exact: [Exact; EXACT],
}

impl Shared {
    crate::sync::const_unless_loom! {
        /// Returns an open mailbox without a number and counts of zero.
        pub(crate) fn new() -> Self {
            Self {
                mailbox: Mailbox::new(),
                tallies: crate::sync::array_of!(Tally::new(); COUNT + 1),
                large_bytes: AtomicU64::new(0),
                run_bytes: AtomicUsize::new(0),
                outbox: Outbox::new(),
                exact: crate::sync::array_of!(Exact::new(); EXACT),
            }
        }
    }

    /// Returns the exact counts. `None`: the build has none.
    #[inline(always)]
    pub(crate) fn exact(&self) -> Option<&Exact> {
        self.exact.first()
    }
}

const LEAF: usize = if crate::sync::IS_MODEL { 8 } else { 1024 };
const LEAVES: usize = if crate::sync::IS_MODEL { 1 } else { 1024 };

type Leaf = [AtomicPtr<Shared>; LEAF];

/// Maps owner numbers to mailboxes. Reads are lock-free; each entry is written once.
pub(crate) struct Directory {
    leaves: [AtomicPtr<Leaf>; LEAVES],
}

impl Directory {
    crate::sync::const_unless_loom! {
        /// Returns an empty directory.
        pub(crate) fn new() -> Self {
            Self { leaves: crate::sync::array_of!(AtomicPtr::new(null_mut()); LEAVES) }
        }
    }

    fn slot(&self, id: OwnerId) -> Option<&'static AtomicPtr<Shared>> {
        // Acquire: pairs with the Release in `enter`, for the leaf's memory.
        let leaf = self.leaves.get(id as usize / LEAF)?.load(Acquire);
        // SAFETY: the pointer is null, or points to a leaf, which is never freed.
        unsafe { leaf.as_ref() }?.get(id as usize % LEAF)
    }

    /// Returns the mailbox of `id`.
    pub(crate) fn get(&self, id: OwnerId) -> Option<&'static Shared> {
        // Acquire: pairs with the Release in `enter`, for the mailbox.
        let mailbox = self.slot(id)?.load(Acquire);
        // SAFETY: the pointer is null, or points to a mailbox, which is never freed (REMOTE-3).
        unsafe { mailbox.as_ref() }
    }

    /// Gives the cache behind `shared` a number. For the models: memory comes from `Box`.
    #[cfg(greyspan_loom)]
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

    /// Gives the cache behind `shared` the unused number `id`. The caller holds the lock of the
    /// thread registry. `false`: no memory, or no more numbers.
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

/// The result of a delivery.
pub(crate) enum Delivery {
    /// The owner, or a thread on its way to the owner, has the token.
    Done,
    /// The caller owns the span now and has taken this remote list.
    Mine(Taken),
}

/// Brings the span, whose token the caller holds, to its owner.
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
                // REMOTE-2: the mailbox is closed and its owner still has the span. REMOTE-4:
                // unless the number has a new owner by now.
                if span.word.drop_token(owner) && (is_as(mailbox, opened) || !span.word.take_token()) {
                    return Delivery::Done;
                }
            }
        }
    }
}

/// Returns whether the mailbox still counts `opened` openings.
fn is_as(mailbox: Option<&Mailbox>, opened: Option<usize>) -> bool {
    crate::sync::broken!("reopening_unseen") || mailbox.map(Mailbox::openings) == opened
}

#[cfg(all(test, not(greyspan_loom)))]
mod tests;
