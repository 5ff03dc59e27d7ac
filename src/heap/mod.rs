//! The heap: the four operations of `GlobalAlloc` over the tiers, for any thread in any state of
//! its life.
//!
//! Owns the tiers and the thread caches. The callers are the public functions in `api`.
//!
//! - Lock order: late cache, registry, central lists (by class), page heap. A thread holds at most
//!   one of each, in this order; `fork` takes all of them in it.
//! - No code here panics, unwinds, or allocates through the heap itself. A request that cannot be
//!   served gets null.

mod alloc;
mod background;
#[cfg_attr(not(checked), path = "c/absent.rs")]
pub(crate) mod c;
mod count;
pub(crate) mod fork;
#[cfg(feature = "passthrough")]
mod forward;
mod free;
pub(crate) mod global;
mod map;
mod options;
mod park;
mod realloc;
mod reclaim;
mod registry;
#[cfg_attr(not(sampling), path = "unsampled.rs")]
mod sample;
mod serve;
pub(crate) mod source;
mod stats;
mod system;
pub(crate) mod thread;
mod watched;

use crate::base::addr::Addr;
use crate::base::geometry::PAGE;
use crate::events::PurgeCause;
use crate::mcache::MCache;
use crate::mspan::State;
use crate::os::Os;
use crate::remote::{EXACT, Exact};
use crate::size_class::SizeClass;
use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};
use crate::sync::tally::AtomicU64;
use crate::tiers::Tiers;
use background::Background;
use core::alloc::Layout;
use park::Whom;
use registry::Registry;
use sample::end_sample;
use system::System;
use thread::has_own;

/// Whether objects may be sampled for the heap profile.
const SAMPLES: bool = cfg!(sampling);

/// The alignment of sampled objects of a size class (SAMPLE-3). A block at any other address is
/// freed without a further look.
const SAMPLE_ALIGN: usize = 64 << 10;

/// One heap. The process has the static [`HEAP`]; tests make their own over a simulated system.
pub(crate) struct Heap {
    pub(crate) tiers: Tiers,
    registry: Registry,
    background: Background,
    system: System,
    /// Whether the process-wide set-up (options, exit and fork hooks) is done.
    set_up: AtomicU32,
    /// Counts of the blocks that threads without a cache allocated and freed.
    strays: [Exact; EXACT],
    /// The largest sample of the bytes that the program holds.
    peak_allocated: AtomicU64,
}

/// The heap of the process.
pub(crate) static HEAP: Heap = Heap::new(&crate::os::NATIVE);

impl Heap {
    crate::sync::const_unless_loom! {
        /// Returns a heap over `os` that owns nothing yet.
        pub(crate) fn new(os: &'static Os) -> Self {
            Self {
                tiers: Tiers::new(os),
                registry: Registry::new(),
                background: Background::new(),
                system: System::new(),
                set_up: AtomicU32::new(0),
                strays: crate::sync::array_of!(Exact::new(); EXACT),
                peak_allocated: AtomicU64::new(0),
            }
        }
    }

    /// Returns the bytes that may be used at `ptr`.
    pub(crate) fn usable_size(&self, ptr: *mut u8, layout: Layout) -> usize {
        match SizeClass::serving(layout.size(), layout.align()) {
            Some(class) => class.size(),
            None => match self.tiers.mheap.map().span_of(Addr::of(ptr)) {
                Some(span) if span.state() == State::Large => span.pages() * PAGE,
                Some(span) => span.size(),
                None => layout.size(),
            },
        }
    }

    /// Returns whether `ptr` lies in a block of this heap.
    pub(crate) fn holds(&self, ptr: *mut u8) -> bool {
        self.tiers.mheap.map().span_of(Addr::of(ptr)).is_some()
    }

    /// Returns to the system all free memory that this thread can reach safely. The caches of other
    /// threads are parked for it, but for those in a slow operation at this moment. Returns the
    /// number of bytes.
    pub(crate) fn purge(&self, cache: &MCache) -> usize {
        self.tiers.purges.fetch_add(1, Relaxed);
        if has_own(cache) {
            self.with_cache(cache, |cache| cache.heed_purge(&self.tiers));
        }
        let holes = if self.can_park() {
            self.registry.park(&self.tiers, Whom::All, PurgeCause::Asked).bytes
        } else {
            0
        };
        self.registry.trim_late(&self.tiers);
        self.registry.end_rest(&self.tiers);
        holes + self.tiers.mheap.purge()
    }

    /// Whether idle threads of this heap can be parked: those of the process's heap, which have
    /// slots.
    fn can_park(&self) -> bool {
        core::ptr::eq(self, &raw const HEAP)
    }

    /// Gives up the memory that the thread of `cache` keeps, because the thread will be idle.
    pub(crate) fn thread_idle(&self, cache: &MCache) {
        // The keeper gives a cache back untouched if its thread is not at rest, as here.
        if has_own(cache) {
            self.with_cache(cache, |cache| cache.idle(&self.tiers));
        }
    }
}

#[cfg(test)]
mod tests;
