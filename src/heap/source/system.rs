//! Runs for the collector on targets without the heap: from the system's allocator, with a map from
//! addresses to tags.
//!
//! The map takes a lock and logarithmic time; the heap's page map takes two loads. Here correctness
//! comes before speed.

use super::{Run, SpanSource};
use crate::base::geometry::PAGE;
use crate::sync::blocking::{PoisonError, RwLock, RwLockWriteGuard};
use core::alloc::Layout;
use core::ptr::NonNull;
use std::alloc::GlobalAlloc;
use std::collections::BTreeMap;

/// A run that is held.
struct Held {
    bytes: usize,
    tag: NonNull<u8>,
}

// SAFETY: this code passes the tag on and never follows it.
unsafe impl Send for Held {}
// SAFETY: this code passes the tag on and never follows it.
unsafe impl Sync for Held {}

/// The source.
pub(crate) static SOURCE: System = System::new();

/// The pages of a run.
pub(super) type Name = usize;

/// The system's allocator as a source.
pub(crate) struct System {
    /// By first address.
    runs: RwLock<BTreeMap<usize, Held>>,
}

impl System {
    pub(crate) const fn new() -> Self {
        Self {
            runs: RwLock::new(BTreeMap::new()),
        }
    }

    /// Locks the map. A panic in another thread's call leaves the map whole.
    fn runs(&self) -> RwLockWriteGuard<'_, BTreeMap<usize, Held>> {
        self.runs.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the layout of a run. `None`: no layout is so long.
fn layout(pages: usize) -> Option<Layout> {
    Layout::from_size_align(pages.checked_mul(PAGE)?, PAGE).ok()
}

// SAFETY: the system hands memory out once (SOURCE-1), and the map leads to its tag until `give`
// (SOURCE-2).
unsafe impl SpanSource for System {
    fn take(&self, pages: usize, _: u32, _: usize, tag: NonNull<u8>) -> Option<Run> {
        let layout = layout(pages).filter(|layout| layout.size() > 0)?;
        // SAFETY: the layout is not empty.
        let base = NonNull::new(unsafe { std::alloc::System.alloc_zeroed(layout) })?;
        let bytes = layout.size();
        self.runs().insert(base.as_ptr().addr(), Held { bytes, tag });
        Some(Run { base, name: pages })
    }

    unsafe fn give(&self, run: Run) {
        self.runs().remove(&run.base.as_ptr().addr());
        if let Some(layout) = layout(run.name) {
            // SAFETY: `take` allocated the run with this layout, and the caller gives it up.
            unsafe { std::alloc::System.dealloc(run.base.as_ptr(), layout) };
        }
    }

    fn tag_of(&self, address: NonNull<u8>) -> *mut u8 {
        let address = address.as_ptr().addr();
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        let below = runs.range(..=address).next_back();
        let run = below.filter(|(base, held)| address - **base < held.bytes);
        run.map_or(core::ptr::null_mut(), |(_, held)| held.tag.as_ptr())
    }
}
