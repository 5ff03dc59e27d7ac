//! The thread cache: the memory that one thread keeps, so most requests touch no other thread's
//! memory.
//!
//! One thread reaches a cache, through its thread-local slot, so the fields are plain cells. Other
//! threads see [`Shared`] alone. Exception: the keeper, which has the cache while it is parked
//! ([`Handover`]), finds its thread by [`Seat`]. The parts:
//!
//! | part | holds | file |
//! |---|---|---|
//! | [`Bins`] | ready objects, a stack per size class: the fast path | `bins` |
//! | [`Spans`] | the spans that the thread owns | `spans` |
//! | [`Runs`] | freed large objects, a stack per run class | `runs` |
//! | [`Shared`] | mailbox, outbox and counts, for other threads to read | `remote` |
//! | [`Handover`] | who has the cache: its thread or the keeper | `sync::handover` |
//! | [`Seat`] | the keeper's notes on the cache's thread | `seat` |
//!
//! The other files join the parts:
//!
//! - `refill` gets objects, `free` returns them;
//! - `keep` and `large` do both for large objects;
//! - `window` tells which classes are in use;
//! - `exit` gives everything up, `check` finds wrong frees, `held` tells how much is kept, and `c`
//!   has C's fast paths.
//!
//! - MCACHE-1. A thread without a cache has a static in its place: `EMPTY` before its first cache,
//!   `PARKED` while the keeper has its cache, and `TORN` after its last. The bins of this sentinel
//!   are both empty and full, and no thread writes to them. So the fast path needs no test for it,
//!   and the slow path leads to `heap::thread`. In programs in C, `BUSY` stands there during a slow
//!   call.

mod bins;
#[cfg_attr(not(checked), path = "c_absent.rs")]
pub(crate) mod c;
mod check;
mod exit;
mod free;
mod held;
mod keep;
mod large;
mod refill;
mod runs;
mod seat;
mod spans;
mod window;

use bins::SLOT_BYTES;
pub(crate) use seat::{Activity, InUse, Seat, Stack};

use crate::base::addr::align_up;
use crate::profiler::Sampler;
use crate::remote::{OUTBOX_SLOT_BYTES, Shared, Tally};
use crate::size_class::COUNT;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::handover::Handover;
use crate::tiers::Tiers;
use bins::Bins;
use core::cell::Cell;
use core::ptr::null_mut;
use runs::Runs;
use spans::Spans;

/// The cache of one thread.
#[repr(C, align(128))]
pub(crate) struct MCache {
    pub(crate) bins: Bins,
    /// The part of the page map that the thread knows.
    main: c::Main,
    /// The block that C's `malloc` handed out last from a bin.
    last: c::Last,
    /// Decides which requests the heap profile samples.
    pub(crate) sampler: Sampler,
    spans: Spans,
    runs: Runs,
    purges_seen: Cell<usize>,
    /// Who may use the slow half: everything but the fast path's words.
    pub(crate) handover: Handover,
    pub(crate) seat: Seat,
    pub(crate) shared: Shared,
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
                handover: Handover::new(),
                seat: Seat::new(),
                shared: Shared::new(),
                next_unused: Cell::new(None),
            }
        }
    }

    /// Whether this cache's thread can use it as it is: false for the sentinels, and while the
    /// keeper has it.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.handover.is_owned()
    }

    /// Lets a thread begin to run with this cache, which has an owner number.
    pub(crate) fn make_ready(&self, tiers: &Tiers) {
        self.purges_seen.set(tiers.purges.load(Relaxed));
        self.handover.begin();
    }

    /// Returns the bytes of the shared room ([`Room`](crate::tiers::Room)) that this thread's bins
    /// and runs have.
    pub(crate) fn room(&self) -> usize {
        self.bins.room() + self.runs.room()
    }

    fn tally(&self, index: usize) -> &Tally {
        #[expect(clippy::indexing_slicing, reason = "the index is clipped to the array's length")]
        &self.shared.tallies[index.min(COUNT)]
    }
}

/// Bytes of a cache's record, of the slots of its bins and its outbox behind it, and of both.
/// Whole system pages where these have 4 KiB, so that a thread at rest can give the slots' memory
/// back.
const RECORD_BYTES: usize = align_up(size_of::<MCache>(), CACHE_ALIGN);
const SLOTS_BYTES: usize = align_up(SLOT_BYTES + OUTBOX_SLOT_BYTES, CACHE_ALIGN);
pub(crate) const CACHE_BYTES: usize = RECORD_BYTES + SLOTS_BYTES;
pub(crate) const CACHE_ALIGN: usize = 4096;

/// A cache that stands in for one that a thread does not have (MCACHE-1).
#[repr(transparent)]
pub(crate) struct Sentinel(MCache);

// SAFETY: no thread writes to a sentinel but to the atomics of its `handover`: its bins are empty,
// it owns no span, and the slow paths turn away from a cache that they cannot enter.
unsafe impl Sync for Sentinel {}

/// Stands in for the cache of a thread that has none yet.
pub(crate) static EMPTY: Sentinel = Sentinel::new();
/// Stands in for the cache of a thread that is in a slow call, in programs in C. No slow operation
/// begins with it, so not even its `handover` is written to.
pub(crate) static BUSY: Sentinel = Sentinel::new();

impl MCache {
    /// Makes a new cache at `place`.
    ///
    /// # Safety
    /// `place` is [`CACHE_BYTES`] of zeroed memory at a multiple of [`CACHE_ALIGN`], for this cache
    /// and for ever.
    pub(crate) unsafe fn make(place: core::ptr::NonNull<Self>) -> &'static Self {
        // A copy of a static needs no room on the stack. A value of several KiB would, and a thread
        // may have 16 KiB.
        // SAFETY: no thread writes to this sentinel, so its bytes are those of a new cache; the
        // place is the caller's.
        unsafe { core::ptr::from_ref(BUSY.cache()).copy_to_nonoverlapping(place.as_ptr(), 1) };
        // SAFETY: just initialised, and never freed.
        let cache: &'static Self = unsafe { place.as_ref() };
        let slots = place.as_ptr().cast::<u8>().wrapping_add(RECORD_BYTES);
        // SAFETY: zeroed memory behind the record, for ever this cache's.
        unsafe { cache.bins.set_slots(slots) };
        let outbox = slots.wrapping_add(SLOTS_BYTES - OUTBOX_SLOT_BYTES);
        // SAFETY: zeroed memory behind that, for ever this cache's; no other thread knows it yet.
        unsafe { cache.shared.outbox.set_slots(outbox) };
        cache
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
