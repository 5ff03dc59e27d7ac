//! The ownership word of a span: its owner, and its list of blocks that other threads freed, in one
//! atomic.
//!
//! ```text
//!  63                40 39      34 33     32 31        16 15         0
//! +--------------------+----------+--------+------------+------------+
//! | owner (24 bits)    |    -     | L | Q  | count      | head       |
//! +--------------------+----------+--------+------------+------------+
//!  head   offset of the first block of the remote list in units of 8 bytes, plus 1; 0: empty list
//!  count  blocks on the remote list
//!  Q      queued: some thread holds this span's token, see OWN-3
//!  L      listed: the span is unowned and on its class's central list
//!  owner  number of the owning mailbox; 0: the span is unowned
//! ```
//!
//! Owner and list change together. So the compare-and-swap of a thread that frees a block also
//! tells it which owner to notify, or that it has become the owner:
//!
//! - OWN-1. Only the owner touches the span's owner fields (free list, live count, carve mark,
//!   links). Ownership passes through this word: [`abandon`](Word::abandon) releases the owner's
//!   writes, and [`send`](Word::send) or [`claim`](Word::claim) acquires them.
//! - OWN-2. A block is on the remote list from the `send` that adds it to the one operation that
//!   takes the whole list. No operation pops a single block, so there is no ABA problem.
//! - OWN-3. The thread that sets Q holds the span's one token. It must make the owner take the
//!   list: it posts the span to the owner's mailbox, or claims the span once it is unowned. The
//!   thread that consumes the token clears Q.
//! - OWN-4. A span is retired (its pages returned) only with an empty list, no live object and Q
//!   clear. So the span of a token's holder still exists. Without live objects, no `send` can come.
//! - OWN-5. If an owned span's list is not empty, Q is set. Exception: the owner is about to give
//!   the span up, and will look at the list (REMOTE-2 and REMOTE-4 of `remote`).

use crate::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// Number of a mailbox; 0 means no owner.
pub(crate) type OwnerId = u32;

/// Largest number of a mailbox.
pub(crate) const OWNER_MAX: OwnerId = (1 << 24) - 1;

const HEAD: u64 = 0xffff;
const COUNT_SHIFT: u32 = 16;
const COUNT: u64 = 0xffff << COUNT_SHIFT;
const QUEUED: u64 = 1 << 32;
const LISTED: u64 = 1 << 33;
const OWNER_SHIFT: u32 = 40;

/// Names a block of a span: its offset in units of 8 bytes, plus 1; 0 means no block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BlockRef(pub(crate) u16);

/// A whole remote list, taken off its span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) head: BlockRef,
    pub(crate) count: u32,
    /// The span was on its central list when it was claimed, so the claimer takes it off.
    pub(crate) listed: bool,
}

/// The result of a `send`.
#[derive(Debug)]
pub(crate) enum Sent {
    /// The blocks are on the list. The owner knows, or the thread that holds the token will tell
    /// it.
    Queued,
    /// The blocks are on the list, and the sender now holds the token (OWN-3).
    Notify,
    /// The span was unowned. The sender owns it now and has taken the whole list, its own blocks
    /// included.
    Claimed(Taken),
}

/// The result of a `settle`.
#[derive(Debug)]
pub(crate) enum Settled {
    /// The token is consumed. The caller owns the span and has taken the list.
    Mine(Taken),
    /// Another thread owns the span. The caller still holds the token.
    Other(OwnerId),
}

/// The ownership word.
pub(crate) struct Word(AtomicU64);

fn owner(word: u64) -> OwnerId {
    (word >> OWNER_SHIFT) as OwnerId
}

fn taken(word: u64) -> Taken {
    Taken {
        head: BlockRef((word & HEAD) as u16),
        count: ((word & COUNT) >> COUNT_SHIFT) as u32,
        listed: word & LISTED != 0,
    }
}

fn owned_by(id: OwnerId) -> u64 {
    u64::from(id) << OWNER_SHIFT
}

impl Word {
    crate::sync::const_unless_loom! {
        /// Returns the word of an unowned span with an empty list.
        pub(crate) fn new() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    /// Gives `me` a new span that no other thread can reach.
    pub(crate) fn adopt_new(&self, me: OwnerId) {
        // Relaxed: the program publishes the span's objects, and with them every path to this word.
        self.0.store(owned_by(me), Relaxed);
    }

    /// Returns the number of the owner; 0 if the span is unowned.
    pub(crate) fn owner(&self) -> OwnerId {
        owner(self.0.load(Relaxed))
    }

    /// Makes the span unowned, with an empty list and no token out. For the child after `fork`.
    pub(crate) fn reset_in_child(&self) {
        self.0.store(0, Relaxed);
    }

    /// Sets or clears Q in the child after `fork`. `true`: the span is owned and has a list, and
    /// the caller holds its token. `false`: no token is out.
    pub(crate) fn renew_token_in_child(&self) -> bool {
        let word = self.0.load(Relaxed);
        let waits = owner(word) != 0 && word & COUNT != 0;
        let new = if waits { word | QUEUED } else { word & !QUEUED };
        // A page that is not written stays shared with the parent.
        if new != word {
            self.0.store(new, Relaxed);
        }
        waits
    }

    /// Returns whether OWN-5 holds: the list is empty or the token is out. For the models.
    #[cfg(greyspan_loom)]
    pub(crate) fn is_told(&self) -> bool {
        let word = self.0.load(Relaxed);
        word & COUNT == 0 || word & QUEUED != 0
    }

    /// Returns the number of blocks on the remote list.
    pub(crate) fn remote_count(&self) -> u32 {
        taken(self.0.load(Relaxed)).count
    }

    /// Puts a chain of `count` blocks on the list. `first` names the chain's first block. Before
    /// each try, `link` is called with the list's present head and joins the chain's last block to
    /// it.
    pub(crate) fn send(&self, me: OwnerId, first: BlockRef, count: u32, mut link: impl FnMut(BlockRef)) -> Sent {
        let mut word = self.0.load(Relaxed);
        loop {
            let before = taken(word);
            link(before.head);
            let sum = u64::from(before.count + count);
            let unowned = owner(word) == 0;
            let new = if unowned {
                // Q stays: the token's holder keeps it.
                owned_by(me) | (word & QUEUED)
            } else {
                (word & !(HEAD | COUNT)) | QUEUED | (sum << COUNT_SHIFT) | u64::from(first.0)
            };
            // Release: the links, for the Acquire of the taker's `take`, `settle`, `claim` or
            // `send`, which reads the head. Acquire, for a claim: the owner fields that `abandon`
            // released, and the blocks that other threads sent.
            match self.0.compare_exchange_weak(word, new, send_order(), Relaxed) {
                Ok(_) if unowned => {
                    return Sent::Claimed(Taken {
                        head: first,
                        count: before.count + count,
                        listed: before.listed,
                    });
                }
                Ok(_) if word & QUEUED == 0 => return Sent::Notify,
                Ok(_) => return Sent::Queued,
                Err(now) => word = now,
            }
        }
    }

    /// Takes the list, for the owner. Q stays.
    pub(crate) fn take(&self) -> Taken {
        let mut word = self.0.load(Relaxed);
        loop {
            if word & COUNT == 0 {
                return taken(word);
            }
            // Acquire: pairs with the Release in `send`, for the links.
            match self
                .0
                .compare_exchange_weak(word, word & !(HEAD | COUNT), take_order(), Relaxed)
            {
                Ok(_) => return taken(word),
                Err(now) => word = now,
            }
        }
    }

    /// Consumes the caller's token if the caller owns the span, or if the span is unowned; then the
    /// caller claims it.
    pub(crate) fn settle(&self, me: OwnerId) -> Settled {
        let mut word = self.0.load(Relaxed);
        loop {
            let owner = owner(word);
            if owner != me && owner != 0 {
                return Settled::Other(owner);
            }
            // Acquire: pairs with the Release in `send`, for the links, and in `abandon`, for the
            // owner fields. Release: that this thread's mailbox has opened, for the Acquire in
            // `drop_token`.
            let settled = owned_by(me) | kept_token(word);
            match self.0.compare_exchange_weak(word, settled, claim_order(), Relaxed) {
                Ok(_) => return Settled::Mine(taken(word)),
                Err(now) => word = now,
            }
        }
    }

    /// Drops the caller's token if `expected` still owns the span. That owner's mailbox is closed,
    /// and an owner looks at every span it has after it closes its mailbox and before it abandons
    /// the span. `false`: the owner has changed, and the caller still holds the token.
    pub(crate) fn drop_token(&self, expected: OwnerId) -> bool {
        let mut word = self.0.load(Relaxed);
        while owner(word) == expected {
            // Acquire: pairs with the Release in `claim`, `settle` and `send`.
            match self
                .0
                .compare_exchange_weak(word, word & !QUEUED, drop_order(), Relaxed)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Sets Q again for a thread that has dropped the token, if the span is owned, has a list, and
    /// no thread holds the token. `true`: the caller holds the token.
    ///
    /// The record may describe another span by now. Then the caller does for that span what OWN-5
    /// asks.
    pub(crate) fn take_token(&self) -> bool {
        let mut word = self.0.load(Relaxed);
        while owner(word) != 0 && word & COUNT != 0 && word & QUEUED == 0 {
            // Relaxed: the token guards no memory. Its holder acquires the rest in `settle`.
            match self.0.compare_exchange_weak(word, word | QUEUED, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Gives the span up, for the owner, who has taken its list. `listed`: the span goes on its
    /// central list. `false`: blocks have come, and the owner must take them first.
    pub(crate) fn abandon(&self, me: OwnerId, listed: bool) -> bool {
        let mut word = self.0.load(Relaxed);
        while word & COUNT == 0 {
            debug_assert_eq!(owner(word), me);
            let new = (word & QUEUED) | if listed { LISTED } else { 0 };
            // Release: the owner fields, for the Acquire of the next claim in `send`, `settle` or
            // `claim`.
            match self.0.compare_exchange_weak(word, new, abandon_order(), Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Takes an unowned span with its list. `None`: another thread was first.
    pub(crate) fn claim(&self, me: OwnerId) -> Option<Taken> {
        let mut word = self.0.load(Relaxed);
        while owner(word) == 0 {
            // Acquire: pairs with the Release in `abandon` and in `send`. Release: that this
            // thread's mailbox has opened, for the Acquire in `drop_token`.
            match self
                .0
                .compare_exchange_weak(word, owned_by(me) | (word & QUEUED), claim_order(), Relaxed)
            {
                Ok(_) => return Some(taken(word)),
                Err(now) => word = now,
            }
        }
        None
    }

    /// Gives up a span without live objects while its token is out, for the owner. The thread that
    /// holds the token will claim the span and end it. `false`: the token or blocks have come back,
    /// and the word is unchanged.
    pub(crate) fn leave_to_token(&self, me: OwnerId) -> bool {
        // Release: the owner fields, for the Acquire in `settle`.
        self.0
            .compare_exchange(owned_by(me) | QUEUED, QUEUED, abandon_order(), Relaxed)
            .is_ok()
    }

    /// Ends a span without live objects, for the owner. `false`: a token is out (OWN-4), so the
    /// span must stay.
    pub(crate) fn retire(&self, me: OwnerId) -> bool {
        if crate::sync::broken!("retire_ignores_token") {
            self.0.store(0, Relaxed);
            return true;
        }
        // Acquire: pairs with the Release of the last `send`. Release: orders the owner's writes
        // before the record's next use.
        self.0.compare_exchange(owned_by(me), 0, AcqRel, Relaxed).is_ok()
    }
}

#[inline(always)]
fn send_order() -> crate::sync::atomic::Ordering {
    if crate::sync::broken!("send_relaxed") {
        Acquire
    } else {
        AcqRel
    }
}

#[inline(always)]
fn take_order() -> crate::sync::atomic::Ordering {
    if crate::sync::broken!("take_relaxed") {
        Relaxed
    } else {
        Acquire
    }
}

#[inline(always)]
fn abandon_order() -> crate::sync::atomic::Ordering {
    if crate::sync::broken!("abandon_relaxed") {
        Relaxed
    } else {
        Release
    }
}

#[inline(always)]
fn claim_order() -> crate::sync::atomic::Ordering {
    if crate::sync::broken!("claim_unreleased") {
        Acquire
    } else {
        AcqRel
    }
}

/// Returns the bit of a token that its holder keeps although it has settled it: none.
#[inline(always)]
fn kept_token(word: u64) -> u64 {
    if crate::sync::broken!("token_kept") {
        word & QUEUED
    } else {
        0
    }
}

#[inline(always)]
fn drop_order() -> crate::sync::atomic::Ordering {
    if crate::sync::broken!("drop_token_relaxed") {
        Relaxed
    } else {
        Acquire
    }
}
