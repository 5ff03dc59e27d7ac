//! The heap: the four operations of `GlobalAlloc` over the tiers, for any thread in any state of its life.
//!
//! Owns the tiers and the thread caches. Callers are the public faces in `api`.
//!
//! - Lock order: late cache, registry, central lists (by class), page heap. A thread holds at most one of each, in this order; `fork` takes
//!   all of them in it.
//! - Nothing here panics, allocates through the heap itself, or unwinds: what cannot be served is null.

mod fork;
mod options;
mod realloc;
mod registry;
mod stats;
pub(crate) mod thread;

pub(crate) use stats::Figures;

use crate::base::geometry::PAGE;
use crate::mcache::{MCache, Tiers};
use crate::mspan::Block;
use crate::os::PageSource;
use crate::size_class::SizeClass;
use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};
use core::alloc::Layout;
use core::ptr::null_mut;
use registry::Registry;

/// One heap. The process has the static [`HEAP`]; tests make their own over a simulated system.
pub(crate) struct Heap {
    pub(crate) tiers: Tiers,
    registry: Registry,
    /// Whether the process-wide set-up (options, exit and fork hooks) is done.
    set_up: AtomicU32,
}

/// The heap of the process.
#[cfg(not(loom))]
pub(crate) static HEAP: Heap = Heap::new(&crate::os::NATIVE);

impl Heap {
    crate::sync::const_unless_loom! {
        /// A heap over `os` that owns nothing yet.
        pub(crate) fn new(os: &'static dyn PageSource) -> Self {
            Self { tiers: Tiers::new(os), registry: Registry::new(), set_up: AtomicU32::new(0) }
        }
    }

    /// Memory for `layout`, or null.
    #[inline(always)]
    pub(crate) fn alloc(&self, cache: &MCache, layout: Layout) -> *mut u8 {
        match SizeClass::serving(layout.size(), layout.align()) {
            Some(class) => {
                let block = cache.pop(class);
                if block.is_null() {
                    self.alloc_small_slow(cache, class).cast()
                } else {
                    block.cast()
                }
            }
            None => self.alloc_large_slow(cache, layout),
        }
    }

    #[cold]
    #[inline(never)]
    fn alloc_small_slow(&self, cache: &MCache, class: SizeClass) -> *mut Block {
        if cache.is_ready() {
            return cache.refill(&self.tiers, class);
        }
        self.with_cache(cache, |cache| {
            let block = cache.pop(class);
            if block.is_null() {
                cache.refill(&self.tiers, class)
            } else {
                block
            }
        })
        .unwrap_or(null_mut())
    }

    #[cold]
    #[inline(never)]
    fn alloc_large_slow(&self, cache: &MCache, layout: Layout) -> *mut u8 {
        let span = self.with_cache(cache, |cache| {
            cache.alloc_large(&self.tiers, layout.size(), layout.align())
        });
        span.flatten().map_or(null_mut(), |span| span.base())
    }

    /// Memory for `layout` that reads as zero, or null. Memory that was never used is not written to.
    #[inline]
    pub(crate) fn alloc_zeroed(&self, cache: &MCache, layout: Layout) -> *mut u8 {
        let Some(class) = SizeClass::serving(layout.size(), layout.align()) else {
            return self.alloc_large_zeroed(cache, layout);
        };
        let mut block: *mut u8 = cache.pop(class).cast();
        if block.is_null() {
            block = self.alloc_small_zeroed(cache, class);
            if !block.is_null() {
                return block;
            }
        }
        if !block.is_null() {
            // SAFETY: the object is this call's, and its class holds `layout.size()` bytes.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    #[cold]
    #[inline(never)]
    fn alloc_small_zeroed(&self, cache: &MCache, class: SizeClass) -> *mut u8 {
        let take = |cache: &MCache| {
            let block = cache.take_untouched(class);
            if !block.is_null() {
                return block;
            }
            let block: *mut u8 = cache.refill(&self.tiers, class).cast();
            if !block.is_null() {
                // SAFETY: the object is this call's, and of the class's size.
                unsafe { block.write_bytes(0, class.size()) };
            }
            block
        };
        self.with_cache(cache, take).unwrap_or(null_mut())
    }

    #[cold]
    #[inline(never)]
    fn alloc_large_zeroed(&self, cache: &MCache, layout: Layout) -> *mut u8 {
        let span = self.with_cache(cache, |cache| {
            cache.alloc_large(&self.tiers, layout.size(), layout.align())
        });
        let Some(span) = span.flatten() else { return null_mut() };
        if !span.zeroed() {
            // SAFETY: the run is this call's, and holds `layout.size()` bytes.
            unsafe { span.base().write_bytes(0, layout.size()) };
        }
        span.base()
    }

    /// Takes back the memory at `ptr`.
    ///
    /// # Safety
    /// `ptr` was handed out by this heap for `layout`, and nobody uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn dealloc(&self, cache: &MCache, ptr: *mut u8, layout: Layout) {
        let block: *mut Block = ptr.cast();
        if let Some(class) = SizeClass::serving(layout.size(), layout.align())
            // SAFETY: as the caller promised.
            && unsafe { cache.push(class, block) }
        {
            return;
        }
        // SAFETY: as the caller promised.
        unsafe { self.free(cache, block) };
    }

    /// Takes back the memory at `ptr`, whatever its size.
    ///
    /// # Safety
    /// `ptr` was handed out by this heap, and nobody uses it any more.
    #[inline(never)]
    pub(crate) unsafe fn free(&self, cache: &MCache, block: *mut Block) {
        // SAFETY: as the caller promised.
        if !unsafe { cache.free(&self.tiers, block) } {
            // SAFETY: as the caller promised.
            unsafe { self.free_without_cache(cache, block) };
        }
    }

    /// # Safety
    /// As for `free`.
    #[cold]
    #[inline(never)]
    unsafe fn free_without_cache(&self, cache: &MCache, block: *mut Block) {
        self.with_cache(cache, |cache| {
            // SAFETY: as the caller promised; a cache from `with_cache` is ready, so this call is final.
            unsafe { cache.free(&self.tiers, block) };
        });
    }

    /// Bytes that may be used behind `ptr`.
    pub(crate) fn usable_size(&self, ptr: *mut u8, layout: Layout) -> usize {
        match SizeClass::serving(layout.size(), layout.align()) {
            Some(class) => class.size(),
            None => match self.tiers.mheap.map().span_of(crate::base::addr::Addr::of(ptr)) {
                Some(span) => span.pages() * PAGE,
                None => layout.size(),
            },
        }
    }

    /// Gives all free memory that can safely be reached back to the system. Returns the bytes given back.
    pub(crate) fn purge(&self, cache: &MCache) -> usize {
        self.tiers.purges.fetch_add(1, Relaxed);
        if cache.is_ready() {
            cache.trim(&self.tiers);
        }
        self.trim_late();
        self.tiers.mheap.purge()
    }

    /// The thread of `cache` will be idle.
    pub(crate) fn thread_idle(&self, cache: &MCache) {
        if cache.is_ready() {
            cache.idle(&self.tiers);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
