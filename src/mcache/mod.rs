//! The thread cache: the memory that one thread keeps, so most requests touch no other thread's
//! memory.
//!
//! One thread reaches a cache, through its thread-local slot, so the fields are plain cells. Other
//! threads see [`Shared`] alone. The parts:
//!
//! | part | holds | file |
//! |---|---|---|
//! | [`Bins`] | ready objects, a stack per size class: the fast path | `bins` |
//! | [`Spans`] | the spans that the thread owns | `spans` |
//! | [`Runs`] | freed large objects, a stack per run class | `runs` |
//! | [`Shared`] | mailbox, outbox and counts, for other threads to read | `remote` |
//!
//! The other files join the parts:
//!
//! - `refill` and `length` get objects, `overflow` and `free` return them;
//! - `keep` and `large` do both for large objects;
//! - `exit` gives everything up, `check` finds wrong frees, and `c` has C's fast paths.
//!
//! - MCACHE-1. A thread without a cache has a static in its place: `EMPTY` before its first cache,
//!   `TORN` after its last. The bins of this sentinel are both empty and full, and no thread writes
//!   to them. So the fast path needs no test for it, and the slow path leads to `heap::thread`.

mod bins;
#[cfg_attr(not(checked), path = "c_absent.rs")]
pub(crate) mod c;
mod check;
mod exit;
mod free;
mod keep;
mod large;
mod length;
mod overflow;
mod refill;
mod runs;
mod spans;
mod store;

pub(crate) use bins::SLOT_BYTES;

use crate::base::addr::Addr;
use crate::mspan::{Block, CHECKED};
use crate::profiler::Sampler;
use crate::remote::{Mailbox, Shared, Tally};
use crate::size_class::{COUNT, SizeClass};
use crate::sync::atomic::Ordering::Relaxed;
use crate::tiers::Tiers;
use bins::Bins;
use core::cell::Cell;
use core::ptr::null_mut;
use runs::Runs;
use spans::Spans;

/// The cache of one thread.
#[repr(C, align(128))]
pub(crate) struct MCache {
    bins: Bins,
    /// The part of the page map that the thread knows.
    main: c::Main,
    /// The block that C's `malloc` handed out last from a bin.
    last: c::Last,
    /// Decides which requests the heap profile samples.
    sampler: Sampler,
    spans: Spans,
    runs: Runs,
    purges_seen: Cell<usize>,
    ready: Cell<bool>,
    shared: Shared,
    /// The next cache in the registry's list of unused ones.
    pub(crate) next_unused: Cell<Option<&'static MCache>>,
}

impl MCache {
    crate::sync::const_unless_loom! {
        /// Returns a cache that owns nothing. It serves once it has an owner number and
        /// [`make_ready`](Self::make_ready) was called.
        pub(crate) fn new() -> Self {
            Self {
                bins: Bins::new(),
                main: c::Main::none(),
                last: c::Last::new(null_mut()),
                sampler: Sampler::new(),
                spans: Spans::new(),
                runs: Runs::new(),
                purges_seen: Cell::new(0),
                ready: Cell::new(false),
                shared: Shared::new(),
                next_unused: Cell::new(None),
            }
        }
    }

    /// Returns the part that other threads may read.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Returns the mailbox.
    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.shared.mailbox
    }

    /// Whether this cache can own spans: false for `EMPTY` and `TORN`.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.get()
    }

    /// Lets a thread begin to run with this cache, which has an owner number.
    pub(crate) fn make_ready(&self, tiers: &Tiers) {
        self.purges_seen.set(tiers.purges.load(Relaxed));
        self.ready.set(true);
    }

    /// Gives a new cache the memory of its bins.
    ///
    /// # Safety
    /// `slots` is [`SLOT_BYTES`] of zeroed memory, aligned for pointers, for this cache and for
    /// ever.
    pub(crate) unsafe fn set_slots(&self, slots: *mut u8) {
        // SAFETY: the slots are the bins' (contract of this function).
        unsafe { self.bins.set_slots(slots) };
    }

    /// Returns the bytes of the shared room ([`Room`](crate::tiers::Room)) that this thread's bins
    /// and runs have.
    pub(crate) fn room(&self) -> usize {
        self.bins.room() + self.runs.room()
    }

    /// Counts a request that this cache, which is ready, has served. `true`: the sampler may want
    /// it.
    #[inline(always)]
    pub(crate) fn count(&self, size: usize) -> bool {
        self.sampler.count(size)
    }

    /// Returns the thread's sampler.
    pub(crate) fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    fn tally(&self, index: usize) -> &Tally {
        #[expect(clippy::indexing_slicing, reason = "the index is clipped to the array's length")]
        &self.shared.tallies[index.min(COUNT)]
    }

    /// Takes an object of `class` from its bin. Returns null if the bin is empty.
    #[inline(always)]
    pub(crate) fn pop(&self, class: SizeClass) -> *mut Block {
        self.bins.pop(class)
    }

    /// Puts a block on the bin of `class`. `false`: the bin is full, nothing was done.
    ///
    /// # Safety
    /// This heap handed `block` out, the program uses it no more, and it holds an object of
    /// `class` (BIN-1).
    #[inline(always)]
    pub(crate) unsafe fn push(&self, class: SizeClass, block: *mut Block) -> bool {
        // SAFETY: the block is the caller's, and fits the class (contract of this function).
        unsafe { self.bins.push(class, block) }
    }

    /// Buries the youngest block of a bin, if it is `block`: see [`Bins::bury`].
    #[inline(always)]
    pub(crate) fn bury(&self, class: SizeClass, block: *mut Block, random: u32, buried: impl Fn(*mut Block) -> bool) {
        self.bins.bury(class, block, random, buried);
    }

    /// Puts a block, whose bin is full, in the outbox. This works if the block is of another
    /// thread's span, the same span as the last block that this thread put there. That is the usual
    /// case if one thread allocates and another frees. `false`: nothing was done.
    ///
    /// # Safety
    /// This heap handed `block` out, and the program uses it no more.
    #[inline(always)]
    pub(crate) unsafe fn gather(&self, block: *mut Block) -> bool {
        // SAFETY: the block is the caller's (contract of this function).
        unsafe { self.shared.outbox.add_leaf(block) }
    }

    /// Returns a block to its span, past the bins. `false`: only a ready cache can, nothing was
    /// done.
    ///
    /// # Safety
    /// This heap handed `block` out, and the program uses it no more.
    #[inline(always)]
    pub(crate) unsafe fn free(&self, tiers: &Tiers, block: *mut Block) -> bool {
        let Some(span) = tiers.mheap.map().span_of(Addr::of(block)) else {
            self.free_foreign(block);
            return true;
        };
        if CHECKED {
            // SAFETY: the block is the caller's (contract of this function).
            unsafe { check::leave(span, block) };
        }
        if self.spans.owns_with_room(span) {
            self.tally(span.class_index()).add(0, 1);
            // SAFETY: SPANS-1: this thread owns the span; the block is its live object.
            if unsafe { span.push_local(block) } == 0 {
                self.emptied(tiers, span);
            }
            return true;
        }
        // A cache that is not ready gathers nothing. If the span has become this thread's
        // meanwhile, it gets its blocks when the chain is sent.
        // SAFETY: the block is the caller's (contract of this function).
        if unsafe { self.shared.outbox.add(span, block) } {
            return true;
        }
        if !self.is_ready() {
            return false;
        }
        // SAFETY: the block is the caller's (contract of this function), and the cache is ready.
        unsafe { self.free_slow(tiers, span, block) };
        true
    }
}

/// A cache that stands in for one that a thread does not have (MCACHE-1).
#[repr(transparent)]
pub(crate) struct Sentinel(MCache);

// SAFETY: no thread writes to a sentinel: its bins are empty, it owns no span, and the slow paths
// turn away from a cache that is not ready before they touch it.
unsafe impl Sync for Sentinel {}

/// Stands in for the cache of a thread that has none yet.
pub(crate) static EMPTY: Sentinel = Sentinel::new();

impl MCache {
    /// Writes a new cache to `place`.
    ///
    /// # Safety
    /// `place` is valid for writes of a cache, and the caller's alone.
    pub(crate) unsafe fn write_new(place: core::ptr::NonNull<Self>) {
        // A copy of a static needs no room on the stack. A value of several KiB would, and a thread
        // may have 16 KiB.
        // SAFETY: the sentinel is never written to, so its bytes are those of a new cache; the
        // place is the caller's.
        unsafe { core::ptr::from_ref(EMPTY.cache()).copy_to_nonoverlapping(place.as_ptr(), 1) };
    }
}

impl Sentinel {
    /// Returns a sentinel whose cache is never ready.
    pub(crate) const fn new() -> Self {
        Self(MCache::new())
    }

    /// Returns the cache that slots point to.
    pub(crate) const fn cache(&'static self) -> &'static MCache {
        &self.0
    }
}

#[cfg(all(test, not(greyspan_loom)))]
mod tests;
