//! The heap: the four operations of `GlobalAlloc` over the tiers, for any thread in any state of its life.
//!
//! Owns the tiers and the thread caches. Callers are the public faces in `api`.
//!
//! - Lock order: late cache, registry, central lists (by class), page heap. A thread holds at most one of each, in this order; `fork` takes
//!   all of them in it.
//! - Nothing here panics, allocates through the heap itself, or unwinds: what cannot be served is null.

mod background;
mod count;
pub(crate) mod fork;
mod map;
#[cfg(feature = "preload")]
pub(crate) mod nested;
mod options;
mod realloc;
mod registry;
#[cfg(any(feature = "profiling", feature = "preload"))]
mod sample;
mod slot;
#[cfg(feature = "gc")]
pub(crate) mod source;
#[cfg(feature = "preload")]
mod spare;
mod stats;
pub(crate) mod thread;
#[cfg(not(any(feature = "profiling", feature = "preload")))]
mod unsampled;
#[cfg(feature = "preload")]
pub(crate) mod untyped;
#[cfg(any(feature = "profiling", feature = "preload"))]
mod watched;

use crate::base::addr::Addr;
use crate::base::geometry::{PAGE, is_servable};
use crate::mcache::{Freed, MCache, Tiers};
use crate::mspan::{Block, State};
use crate::os::Os;
use crate::size_class::{RunClass, SizeClass};
use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};
use background::Background;
use core::alloc::Layout;
use core::ptr::null_mut;
use registry::Registry;
#[cfg(any(feature = "profiling", feature = "preload"))]
use sample::end_sample;
#[cfg(not(any(feature = "profiling", feature = "preload")))]
use unsampled::end_sample;

/// Whether objects may be sampled for the heap profile.
const SAMPLES: bool = cfg!(any(feature = "profiling", feature = "preload"));

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
    #[cfg(feature = "stats")]
    strays: crate::remote::Exact,
}

/// The heap of the process.
#[cfg(not(loom))]
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
                #[cfg(feature = "stats")]
                strays: crate::remote::Exact::new(),
            }
        }
    }

    /// Memory for `layout`, or null.
    #[inline(always)]
    pub(crate) fn alloc(&self, cache: &MCache, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // Two arms that do the same: the first is all that small requests run through.
        let block = if let Some(class) = SizeClass::small(size, align) {
            self.pop(cache, class)
        } else if let Some(class) = SizeClass::serving(size, align) {
            self.pop(cache, class)
        } else {
            null_mut()
        };
        if block.is_null() {
            return Self::alloc_slow(size, align, cache, self);
        }
        if cache.count(size) {
            return Self::sampled(size, align, cache, self, block.cast());
        }
        block.cast()
    }

    /// An object of `class` for the program from the bin; null where that is empty.
    #[inline(always)]
    fn pop(&self, cache: &MCache, class: SizeClass) -> *mut Block {
        let block = cache.pop(class);
        if cfg!(feature = "stats") && !block.is_null() {
            self.count_popped(cache, class);
        }
        block
    }

    /// What the bin does not have. The arguments stand in the order of `GlobalAlloc::alloc`'s own, and so stay in their registers.
    #[cold]
    #[inline(never)]
    fn alloc_slow(size: usize, align: usize, cache: &MCache, heap: &Self) -> *mut u8 {
        if let Some(class) = RunClass::serving(size, align) {
            let run = cache.pop_run(class);
            if !run.is_null() {
                heap.count_alloc(cache, run.cast(), size, align);
                let run = heap.counted(cache, size, align, run.cast());
                heap.after_alloc();
                return run;
            }
        }
        let block = match SizeClass::serving(size, align) {
            Some(class) => heap.or_after_trim(cache, || heap.alloc_small_slow(cache, class).cast()),
            None if is_servable(size, align) => heap.or_after_trim(cache, || {
                // SAFETY: the two come from a layout.
                heap.alloc_large_slow(cache, unsafe { Layout::from_size_align_unchecked(size, align) })
            }),
            None => return null_mut(),
        };
        heap.count_alloc(cache, block, size, align);
        let block = heap.counted(cache, size, align, block);
        heap.after_alloc();
        block
    }

    /// What `attempt` gives; where that is null, what it gives once the memory that this thread keeps and that of resting spans is there for
    /// all.
    fn or_after_trim(&self, cache: &MCache, attempt: impl Fn() -> *mut u8) -> *mut u8 {
        let block = attempt();
        if !block.is_null() {
            return block;
        }
        if cache.is_ready() {
            cache.trim(&self.tiers);
        }
        self.end_rest();
        let block = attempt();
        if block.is_null() && core::ptr::eq(self, &raw const HEAP) {
            self.tiers.mheap.name_hard_limit();
        }
        block
    }

    fn alloc_small_slow(&self, cache: &MCache, class: SizeClass) -> *mut Block {
        if cache.is_ready() {
            return cache.refill(&self.tiers, class);
        }
        // The late cache may have some in its bin.
        self.with_cache(cache, |cache| cache.take(&self.tiers, class))
            .unwrap_or(null_mut())
    }

    fn alloc_large_slow(&self, cache: &MCache, layout: Layout) -> *mut u8 {
        if layout.size() == 0 {
            return self.alloc(cache, one_byte(layout));
        }
        let object = self.with_cache(cache, |cache| {
            let run = self.longer_run(cache, layout);
            if !run.is_null() {
                return run;
            }
            let span = cache.alloc_large(&self.tiers, layout.size(), layout.align());
            span.map_or(null_mut(), |span| span.base())
        });
        object.unwrap_or(null_mut())
    }

    /// A run that the thread keeps, for a layout whose own bin is empty; null where there is none.
    fn longer_run(&self, cache: &MCache, layout: Layout) -> *mut u8 {
        RunClass::serving(layout.size(), layout.align())
            .map_or(null_mut(), |class| cache.pop_longer_run(&self.tiers, class).cast())
    }

    /// Memory for `layout` that reads as zero, or null. Memory that was never used is not written to.
    #[inline]
    pub(crate) fn alloc_zeroed(&self, cache: &MCache, layout: Layout) -> *mut u8 {
        let Some(class) = SizeClass::serving(layout.size(), layout.align()) else {
            return self.alloc_large_zeroed(cache, layout);
        };
        let mut block: *mut u8 = self.pop(cache, class).cast();
        if block.is_null() {
            block = self.alloc_small_zeroed(cache, class);
            self.count_alloc(cache, block, layout.size(), layout.align());
            let zeroed = block;
            block = self.counted(cache, layout.size(), layout.align(), block);
            if block == zeroed {
                return block;
            }
        } else if cache.count(layout.size()) {
            block = Self::sampled(layout.size(), layout.align(), cache, self, block);
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
            // The late cache may have some in its bin: a refill would bury them.
            let block: *mut u8 = cache.take(&self.tiers, class).cast();
            if !block.is_null() {
                // SAFETY: the object is this call's, and of the class's size.
                unsafe { block.write_bytes(0, class.size()) };
            }
            block
        };
        let block = self.or_after_trim(cache, || self.with_cache(cache, take).unwrap_or(null_mut()));
        self.after_alloc();
        block
    }

    #[cold]
    #[inline(never)]
    fn alloc_large_zeroed(&self, cache: &MCache, layout: Layout) -> *mut u8 {
        if layout.size() == 0 {
            return self.alloc(cache, one_byte(layout));
        }
        if !is_servable(layout.size(), layout.align()) {
            return null_mut();
        }
        let object = self.or_after_trim(cache, || {
            let object = self.with_cache(cache, |cache| {
                let mut run: *mut u8 = RunClass::serving(layout.size(), layout.align())
                    .map_or(null_mut(), |class| cache.pop_run(class).cast());
                if run.is_null() {
                    run = self.longer_run(cache, layout);
                }
                if !run.is_null() {
                    return (run, false);
                }
                let span = cache.alloc_large(&self.tiers, layout.size(), layout.align());
                span.map_or((null_mut(), true), |span| (span.base(), span.zeroed()))
            });
            let (object, zeroed) = object.unwrap_or((null_mut(), true));
            if !zeroed {
                // SAFETY: the object is this call's, and holds `layout.size()` bytes.
                unsafe { object.write_bytes(0, layout.size()) };
            }
            object
        });
        self.count_alloc(cache, object, layout.size(), layout.align());
        let object = self.counted(cache, layout.size(), layout.align(), object);
        self.after_alloc();
        object
    }

    /// Takes back the memory at `ptr`.
    ///
    /// # Safety
    /// `ptr` was handed out by this heap for `layout`, and nobody uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn dealloc(&self, cache: &MCache, ptr: *mut u8, layout: Layout) {
        if SAMPLES && ptr.addr().is_multiple_of(SAMPLE_ALIGN) {
            // SAFETY: as the caller promised.
            return unsafe { Self::dealloc_aligned(ptr.cast(), layout.size(), layout.align(), cache, self) };
        }
        // SAFETY: as the caller promised.
        unsafe { self.dealloc_unsampled(cache, ptr, layout) };
    }

    /// Takes back what is no sampled object of a size class.
    ///
    /// # Safety
    /// As for `dealloc`.
    #[inline(always)]
    unsafe fn dealloc_unsampled(&self, cache: &MCache, ptr: *mut u8, layout: Layout) {
        let (size, align) = (layout.size(), layout.align());
        if cfg!(feature = "stats") {
            self.count_free(cache, SizeClass::serving(size, align), size);
        }
        // SAFETY: as the caller promised.
        unsafe { self.give_back(cache, ptr.cast(), size, align) };
    }

    /// As `dealloc_unsampled`, uncounted.
    ///
    /// # Safety
    /// As for `dealloc`, with the layout's size and alignment.
    #[inline(always)]
    unsafe fn give_back(&self, cache: &MCache, block: *mut Block, size: usize, align: usize) {
        let pushed = if let Some(class) = SizeClass::small_freed(size) {
            // SAFETY: as the caller promised; the block fits the class, as `freed` says.
            unsafe { cache.push(class, block) }
        } else if let Some(class) = SizeClass::freed(size, align) {
            // SAFETY: likewise.
            unsafe { cache.push(class, block) }
        } else {
            // SAFETY: likewise.
            unsafe { Self::dealloc_slower(block, size, align, cache, self) };
            return;
        };
        if !pushed {
            // SAFETY: as the caller promised.
            unsafe { Self::dealloc_slow(block, size, align, cache, self) };
        }
    }

    /// What the bin has no room for. The arguments stand in the order of `GlobalAlloc::dealloc`'s own, and so stay in their registers.
    ///
    /// # Safety
    /// As for `dealloc`, with the layout's size and alignment.
    #[cold]
    #[inline(never)]
    unsafe fn dealloc_slow(block: *mut Block, size: usize, align: usize, cache: &MCache, heap: &Self) {
        // SAFETY: as the caller promised.
        if !unsafe { cache.gather(block) } {
            // SAFETY: likewise.
            unsafe { Self::dealloc_slower(block, size, align, cache, heap) };
        }
    }

    /// What is not on its way to its owner together with those that came before it.
    ///
    /// # Safety
    /// As for `dealloc_slow`.
    #[inline(never)]
    unsafe fn dealloc_slower(block: *mut Block, size: usize, align: usize, cache: &MCache, heap: &Self) {
        if SAMPLES
            && SizeClass::serving(size, align).is_none()
            && let Some(span) = heap.tiers.mheap.map().span_of(Addr::of(block))
        {
            end_sample(span);
        }
        // A large object has at least the pages of its size's class, whatever its alignment.
        if let Some(class) = RunClass::serving(size, 1) {
            // SAFETY: as the caller promised.
            if unsafe { cache.push_run(class, block) } {
                return;
            }
            if cache.is_ready() {
                // SAFETY: as the caller promised.
                unsafe { cache.push_run_over(&heap.tiers, class, block) };
                heap.after_free();
                return;
            }
        }
        match SizeClass::freed(size, align) {
            Some(class) if cache.is_ready() => {
                // SAFETY: as the caller promised; the block fits the class, as `freed` says.
                unsafe { cache.push_over(&heap.tiers, class, block) };
                heap.after_free();
            }
            // SAFETY: as the caller promised.
            _ => unsafe { heap.free(cache, block) },
        }
    }

    /// Takes back `block`, whatever its size.
    ///
    /// # Safety
    /// `block` was handed out by this heap, and nobody uses it any more.
    unsafe fn free(&self, cache: &MCache, block: *mut Block) {
        // SAFETY: as the caller promised.
        match unsafe { cache.free(&self.tiers, block) } {
            Freed::Fast => {}
            Freed::Slowly => self.after_free(),
            // SAFETY: as the caller promised.
            Freed::NotYet => unsafe { self.free_without_cache(cache, block) },
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
            None => match self.tiers.mheap.map().span_of(Addr::of(ptr)) {
                Some(span) if span.state() == State::Large => span.pages() * PAGE,
                Some(span) => span.size(),
                None => layout.size(),
            },
        }
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

/// What serves the empty request: `GlobalAlloc` does not allow it, C's `malloc` does.
const fn one_byte(layout: Layout) -> Layout {
    // SAFETY: one byte at an alignment that a layout has is a layout.
    unsafe { Layout::from_size_align_unchecked(1, layout.align()) }
}

#[cfg(all(test, not(loom)))]
mod tests;
