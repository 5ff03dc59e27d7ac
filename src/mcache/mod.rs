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
//! - `refill` gets objects, `free` returns them;
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
mod refill;
mod runs;
mod spans;

pub(crate) use bins::SLOT_BYTES;

use crate::profiler::Sampler;
use crate::remote::{Shared, Tally};
use crate::size_class::COUNT;
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
    ready: Cell<bool>,
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
                ready: Cell::new(false),
                shared: Shared::new(),
                next_unused: Cell::new(None),
            }
        }
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
