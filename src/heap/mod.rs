//! The heap: the four operations of `GlobalAlloc` over the tiers, for any thread in any state of its life.
//!
//! Owns the tiers and the thread caches. Callers are the public faces in `api`.
//!
//! - Lock order: late cache, registry, central lists (by class), page heap. A thread holds at most one of each, in this order; `fork` takes
//!   all of them in it.
//! - Nothing here panics, allocates through the heap itself, or unwinds: what cannot be served is null.

mod alloc;
mod background;
#[cfg_attr(not(checked), path = "c/absent.rs")]
pub(crate) mod c;
mod count;
pub(crate) mod fork;
mod free;
mod map;
mod options;
mod realloc;
mod registry;
#[cfg_attr(not(sampling), path = "unsampled.rs")]
mod sample;
mod slot;
pub(crate) mod source;
mod stats;
pub(crate) mod thread;
#[cfg(sampling)]
mod watched;

use crate::base::addr::Addr;
use crate::base::geometry::PAGE;
use crate::mcache::MCache;
use crate::mspan::State;
use crate::os::Os;
use crate::remote::{EXACT, Exact};
use crate::size_class::SizeClass;
use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};
use crate::tiers::Tiers;
use background::Background;
use core::alloc::Layout;
use registry::Registry;
use sample::end_sample;

/// Whether objects may be sampled for the heap profile.
const SAMPLES: bool = cfg!(sampling);

/// Where sampled objects of a size class begin (`sample`, S3): a free of anything else looks no further.
const SAMPLE_ALIGN: usize = 64 << 10;

/// One heap. The process has the static [`HEAP`]; tests make their own over a simulated system.
pub(crate) struct Heap {
    pub(crate) tiers: Tiers,
    registry: Registry,
    background: Background,
    /// Whether the process-wide set-up (options, exit and fork hooks) is done.
    set_up: AtomicU32,
    /// What threads without a cache allocated and freed.
    strays: [Exact; EXACT],
}

/// The heap of the process.
pub(crate) static HEAP: Heap = Heap::new(&crate::os::NATIVE);

impl Heap {
    crate::sync::const_unless_loom! {
        /// A heap over `os` that owns nothing yet.
        pub(crate) fn new(os: &'static Os) -> Self {
            Self {
                tiers: Tiers::new(os),
                registry: Registry::new(),
                background: Background::new(),
                set_up: AtomicU32::new(0),
                strays: crate::sync::array_of!(Exact::new(); EXACT),
            }
        }
    }

    /// Bytes that may be used behind `ptr`.
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

    /// Gives all free memory that can safely be reached back to the system. Returns the bytes given back.
    pub(crate) fn purge(&self, cache: &MCache) -> usize {
        self.tiers.purges.fetch_add(1, Relaxed);
        if cache.is_ready() {
            cache.heed_purge(&self.tiers);
        }
        self.trim_late();
        self.end_rest();
        self.tiers.mheap.purge()
    }

    /// The thread of `cache` will be idle.
    pub(crate) fn thread_idle(&self, cache: &MCache) {
        if cache.is_ready() {
            cache.idle(&self.tiers);
        }
    }
}

#[cfg(test)]
mod tests;
