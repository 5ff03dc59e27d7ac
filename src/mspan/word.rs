//! The ownership word of a span: who owns it, and what other threads have freed into it, in one atomic.
//!
//! ```text
//!  63                40 39      34 33     32 31        16 15         0
//! +--------------------+----------+--------+------------+------------+
//! | owner (24 bits)    |    -     | L | Q  | count      | head       |
//! +--------------------+----------+--------+------------+------------+
//!  head   offset of the first block of the remote list in units of 8 bytes, plus 1; 0 when the list is empty
//!  count  blocks on the remote list
//!  Q      queued: some thread holds this span's token, see below
//!  L      listed: the span is unowned and stands on its class's central list
//!  owner  number of the owning mailbox; 0 when nobody owns the span
//! ```
//!
//! Owner and list change together, so a thread that frees a block learns in the same compare-and-swap who must be told, or that
//! the span is now its own:
//!
//! - W1. Only the owner touches the span's owner fields (free list, live count, carve mark, links). Ownership passes through this
//!   word: [`abandon`](Word::abandon) releases what the owner wrote, [`send`](Word::send) or [`claim`](Word::claim) acquires it.
//! - W2. A block is on the remote list from the `send` that put it there to the one operation that takes the whole list. Nobody
//!   pops single blocks, so there is no ABA.
//! - W3. Whoever sets Q holds the span's one token and must see to it that the owner takes the list: by posting the span to the
//!   owner's mailbox, or by claiming it once nobody owns it. Q is cleared by the thread that consumes the token.
//! - W4. A span is retired (its pages given back) only with an empty list, no live object and Q clear; so whoever holds a token
//!   holds a span that still exists. No live object means that no `send` can come.
//! - W5. An owned span whose list is not empty has Q set, unless its owner is about to give it up,
//!   and so to look at the list (R2 and R4 of `remote`).

use crate::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// Number of a mailbox; 0 is nobody.
pub(crate) type OwnerId = u32;

/// Largest number a mailbox may have.
pub(crate) const OWNER_MAX: OwnerId = (1 << 24) - 1;

const HEAD: u64 = 0xffff;
const COUNT_SHIFT: u32 = 16;
const COUNT: u64 = 0xffff << COUNT_SHIFT;
const QUEUED: u64 = 1 << 32;
const LISTED: u64 = 1 << 33;
const OWNER_SHIFT: u32 = 40;

/// Names a block of the span: its offset in units of 8 bytes, plus 1; 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BlockRef(pub(crate) u16);

/// A remote list that was taken whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) head: BlockRef,
    pub(crate) count: u32,
    /// The span stood on its central list when it was claimed: the claimer takes it off.
    pub(crate) listed: bool,
}

/// What became of blocks that were sent.
#[derive(Debug)]
pub(crate) enum Sent {
    /// They are on the list and the owner knows, or will be told by whoever holds the token.
    Queued,
    /// They are on the list, and the sender now holds the token (W3).
    Notify,
    /// Nobody owned the span: the sender does now, and holds the whole list, its own blocks included.
    Claimed(Taken),
}

/// What the holder of a token finds.
#[derive(Debug)]
pub(crate) enum Settled {
    /// The token is consumed. The caller owns the span, and the list.
    Mine(Taken),
    /// Somebody else owns the span; the caller still holds the token.
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
        /// Nobody's, with nothing on the list.
        pub(crate) fn new() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    /// Gives a span that was just made, and that nobody else can reach, to `me`.
    pub(crate) fn adopt_new(&self, me: OwnerId) {
        // Relaxed: the span's objects, and with them every path to this word, are published by the program.
        self.0.store(owned_by(me), Relaxed);
    }

    /// The number of the owner; 0 for nobody.
    pub(crate) fn owner(&self) -> OwnerId {
        owner(self.0.load(Relaxed))
    }

    /// After `fork`, in the child: nobody owns the span, nothing is on its list, and no token is out.
    pub(crate) fn reset_in_child(&self) {
        self.0.store(0, Relaxed);
    }

    /// After `fork`, in the child: no token is out, or, if the span is owned and has a list, the caller has it. `true`: the caller has it.
    pub(crate) fn renew_token_in_child(&self) -> bool {
        let word = self.0.load(Relaxed);
        let waits = owner(word) != 0 && word & COUNT != 0;
        let new = if waits { word | QUEUED } else { word & !QUEUED };
        // What is not written the child shares with its parent.
        if new != word {
            self.0.store(new, Relaxed);
        }
        waits
    }

    /// Whether the list is empty or the token is out (W5), for models.
    #[cfg(loom)]
    pub(crate) fn is_told(&self) -> bool {
        let word = self.0.load(Relaxed);
        word & COUNT == 0 || word & QUEUED != 0
    }

    /// How many blocks wait on the remote list.
    pub(crate) fn remote_count(&self) -> u32 {
        taken(self.0.load(Relaxed)).count
    }

    /// Puts a chain of `count` blocks on the list. `link` is called with the list's present head, before each try, to join the
    /// chain's last block to it. `first` names the chain's first block.
    pub(crate) fn send(&self, me: OwnerId, first: BlockRef, count: u32, mut link: impl FnMut(BlockRef)) -> Sent {
        let mut word = self.0.load(Relaxed);
        loop {
            let before = taken(word);
            link(before.head);
            let sum = u64::from(before.count + count);
            let unowned = owner(word) == 0;
            let new = if unowned {
                // Q stays: whoever holds the token still does.
                owned_by(me) | (word & QUEUED)
            } else {
                (word & !(HEAD | COUNT)) | QUEUED | (sum << COUNT_SHIFT) | u64::from(first.0)
            };
            // Release: the links are written before the taker's Acquire in `take`, `settle`, `claim` or `send` reads the head.
            // Acquire: a claim sees the owner fields as `abandon` released them, and the blocks that others sent.
            match self.0.compare_exchange_weak(word, new, SEND, Relaxed) {
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

    /// The owner takes the list. Q stays.
    pub(crate) fn take(&self) -> Taken {
        let mut word = self.0.load(Relaxed);
        loop {
            if word & COUNT == 0 {
                return taken(word);
            }
            // Acquire: pairs with the Release in `send`, for the links.
            match self
                .0
                .compare_exchange_weak(word, word & !(HEAD | COUNT), TAKE, Relaxed)
            {
                Ok(_) => return taken(word),
                Err(now) => word = now,
            }
        }
    }

    /// The holder of the token consumes it if it owns the span, or if nobody does: then it claims the span.
    pub(crate) fn settle(&self, me: OwnerId) -> Settled {
        let mut word = self.0.load(Relaxed);
        loop {
            let owner = owner(word);
            if owner != me && owner != 0 {
                return Settled::Other(owner);
            }
            // Acquire: pairs with the Release in `send`, for the links, and in `abandon`, for the
            // owner fields. Release: as in `claim`.
            match self.0.compare_exchange_weak(word, owned_by(me), CLAIM, Relaxed) {
                Ok(_) => return Settled::Mine(taken(word)),
                Err(now) => word = now,
            }
        }
    }

    /// The holder of the token drops it, provided that `owner` still owns the span: an owner whose mailbox is closed looks at
    /// every span it has before it abandons it. `false`: the owner has changed, and the caller still holds the token.
    pub(crate) fn drop_token(&self, expected: OwnerId) -> bool {
        let mut word = self.0.load(Relaxed);
        while owner(word) == expected {
            // Acquire: pairs with the Release in `claim`, `settle` and `send`.
            match self.0.compare_exchange_weak(word, word & !QUEUED, DROP, Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Sets Q again for a thread that has dropped the token, if the span is owned and has a list,
    /// and no thread is on its way to tell the owner. `true`: the caller holds the token. The
    /// record may be another span's by now; then what holds for any span holds for that one (W5).
    pub(crate) fn take_token(&self) -> bool {
        let mut word = self.0.load(Relaxed);
        while owner(word) != 0 && word & COUNT != 0 && word & QUEUED == 0 {
            // Relaxed: the token guards no memory; its holder acquires what it needs in `settle`.
            match self.0.compare_exchange_weak(word, word | QUEUED, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// The owner gives the span up, having taken its list; `listed` tells that it goes on its central list. `false`: blocks have
    /// come, take them first.
    pub(crate) fn abandon(&self, me: OwnerId, listed: bool) -> bool {
        let mut word = self.0.load(Relaxed);
        while word & COUNT == 0 {
            debug_assert_eq!(owner(word), me);
            let new = (word & QUEUED) | if listed { LISTED } else { 0 };
            // Release: the owner fields, for the Acquire of the next claim in `send`, `settle` or `claim`.
            match self.0.compare_exchange_weak(word, new, ABANDON, Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Takes a span that nobody owns, with its list. `None`: somebody was first.
    pub(crate) fn claim(&self, me: OwnerId) -> Option<Taken> {
        let mut word = self.0.load(Relaxed);
        while owner(word) == 0 {
            // Acquire: pairs with the Release in `abandon` and in `send`. Release: that this
            // thread's mailbox has opened, for the Acquire in `drop_token`.
            match self
                .0
                .compare_exchange_weak(word, owned_by(me) | (word & QUEUED), CLAIM, Relaxed)
            {
                Ok(_) => return Some(taken(word)),
                Err(now) => word = now,
            }
        }
        None
    }

    /// The owner of a span without live objects gives it up while its token is out: whoever holds the token claims the span and ends it.
    /// `false`: the token has come back, or blocks have; nothing was done.
    pub(crate) fn leave_to_token(&self, me: OwnerId) -> bool {
        // Release: as in `abandon`, for the Acquire in `settle`.
        self.0
            .compare_exchange(owned_by(me) | QUEUED, QUEUED, ABANDON, Relaxed)
            .is_ok()
    }

    /// The owner of a span without live objects ends it. `false`: a token is out (W4), so the span must stay.
    pub(crate) fn retire(&self, me: OwnerId) -> bool {
        if cfg!(greyspan_broken = "retire_ignores_token") {
            self.0.store(0, Relaxed);
            return true;
        }
        // Acquire: pairs with the Release of the last `send`. Release: orders what the owner did before the record's next use.
        self.0.compare_exchange(owned_by(me), 0, AcqRel, Relaxed).is_ok()
    }
}

const SEND: crate::sync::atomic::Ordering = if cfg!(greyspan_broken = "send_relaxed") {
    Acquire
} else {
    AcqRel
};
const TAKE: crate::sync::atomic::Ordering = if cfg!(greyspan_broken = "take_relaxed") {
    Relaxed
} else {
    Acquire
};
const ABANDON: crate::sync::atomic::Ordering = if cfg!(greyspan_broken = "abandon_relaxed") {
    Relaxed
} else {
    Release
};
const CLAIM: crate::sync::atomic::Ordering = if cfg!(greyspan_broken = "claim_unreleased") {
    Acquire
} else {
    AcqRel
};
const DROP: crate::sync::atomic::Ordering = if cfg!(greyspan_broken = "drop_token_relaxed") {
    Relaxed
} else {
    Acquire
};
