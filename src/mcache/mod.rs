//! The thread cache: a bin of ready objects for each size class. The whole fast path is in this file.
//!
//! Owns the spans of one thread and everything the thread has gathered or kept. Reached only by its thread (through the thread-local
//! slot), so its fields are plain cells; other threads see the [`Mailbox`] alone.
//!
//! ```text
//!  null │ block │ block │ block │       │       │        the bin of one class: an array of pointers
//!        bases                   tops            ends
//!
//!  active[class]   the span that the bin is refilled from
//!  partial[class]  other owned spans with room, oldest first        full[class]  owned spans without
//! ```
//!
//! A bin takes back whatever block of its class the thread frees, of its own spans or of others', and hands out first what came last: most
//! objects die young, and their memory is in the processor's cache. Neither reads metadata, nor the block itself. A bin that runs
//! over gives its older half back to the blocks' spans ([`bins`]); one that runs over and runs empty in turn may grow.
//!
//! - M1. A bin's blocks are this thread's alone, hold at least its class's size and have at least its alignment. They count as live in their
//!   spans. The slot in front of a bin holds null, so that an empty bin gives that; in checked builds a block that is nobody's and not marked.
//! - M2. An owned span's tag is this cache's address; with `FULL` added exactly when it stands on the full list. So one compare tells
//!   whether a block that goes back to its span may be pushed without further ado.
//! - M3. The cache of a thread that has none (`EMPTY`) or no longer any (`TORN`) is a static with bins that are both empty and full, which
//!   nobody writes: the fast path needs no test for it, and its slow path leads to `heap::thread`.
//! - M4. In checked builds the slot at the top of a bin that is full holds null; that of any other bin is one of its own, and holds null or the
//!   block that was last there: handed out from there, or copied to another place in the bin.

mod bins;
pub(crate) use bins::SLOT_BYTES;
#[cfg(feature = "preload")]
mod c;
mod check;
mod exit;
mod free;
mod large;
mod length;
mod refill;
mod room;
mod runs;
mod store;
#[cfg(feature = "preload")]
pub(crate) use c::{clear_registers, count_small};

use crate::base::addr::Addr;
use crate::base::geometry::PAGE;
use crate::mcentral::MCentral;
use crate::mheap::MHeap;
#[cfg(feature = "preload")]
use crate::mheap::page_map::tag::Main;
use crate::mspan::{Block, CHECKED, MSpan, SpanList};
use crate::os::Os;
#[cfg(any(feature = "profiling", feature = "preload"))]
use crate::profiler::Sampler;
use crate::remote::{Directory, Mailbox, Shared, Tally};
use crate::size_class::{COUNT, SizeClass};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use core::cell::Cell;
use core::ptr::null_mut;
use room::Room;
use runs::Runs;
use store::Store;

/// A place for a block in a bin.
type Slot = *mut Block;

/// Milliseconds that empty spans rest with their class.
const REST_MILLIS: u64 = 500;

/// The entry of `class` in an array with one for each class.
#[inline(always)]
fn of_class<T>(array: &[T; COUNT], class: SizeClass) -> &T {
    // SAFETY: a class's index is below COUNT.
    unsafe { array.get_unchecked(class.index()) }
}

/// Everything below the thread caches.
pub(crate) struct Tiers {
    pub(crate) mheap: MHeap,
    pub(crate) central: [MCentral; COUNT],
    pub(crate) directory: Directory,
    /// Grows when the program asks for all memory back: each cache trims itself when it next refills.
    pub(crate) purges: AtomicUsize,
    /// Bytes of the spans that rest with their classes.
    resting: AtomicUsize,
    /// When resting spans were last sent to the page heap, in coarse milliseconds.
    rest_ended: AtomicU64,
    room: Room,
}

impl Tiers {
    crate::sync::const_unless_loom! {
        /// Tiers over `os` that hold nothing yet.
        pub(crate) fn new(os: &'static Os) -> Self {
            Self {
                mheap: MHeap::new(os),
                central: [const { MCentral::new() }; COUNT],
                directory: Directory::new(),
                purges: AtomicUsize::new(0),
                resting: AtomicUsize::new(0),
                rest_ended: AtomicU64::new(0),
                room: Room::new(),
            }
        }
    }

    /// Lets an empty span that was retired rest with its class, or gives it to the page heap.
    fn rest(&self, class: SizeClass, span: &'static MSpan) {
        let bytes = span.pages() * PAGE;
        // Relaxed: a count that guards no memory. First, so that it is never below what rests.
        self.resting.fetch_add(bytes, Relaxed);
        if !self.mheap.keeps_free_pages() || !self.central(class).rest(span) {
            self.resting.fetch_sub(bytes, Relaxed);
            self.mheap.give(span);
        }
    }

    /// A span that rests with `class`, if there is one.
    fn take_resting(&self, class: SizeClass) -> Option<&'static MSpan> {
        let span = self.central(class).take_resting()?;
        self.resting.fetch_sub(span.pages() * PAGE, Relaxed);
        Some(span)
    }

    /// The page heap is about to grow by `bytes`: gives it all resting spans, if they have as much.
    fn end_rest_for(&self, bytes: usize) {
        if self.resting.load(Relaxed) >= bytes {
            self.end_rest();
        }
    }

    /// Gives all resting spans to the page heap. Returns how many.
    pub(crate) fn end_rest(&self) -> usize {
        let mut count = 0;
        for class in SizeClass::all() {
            while let Some(span) = self.take_resting(class) {
                self.mheap.give(span);
                count += 1;
            }
        }
        count
    }

    /// Gives resting spans to the page heap, now and then: from there they reach other classes, and in time the system.
    fn end_long_rest(&self) {
        let now = crate::os::coarse_millis();
        let last = self.rest_ended.load(Relaxed);
        if now.saturating_sub(last) < REST_MILLIS {
            return;
        }
        // One thread sees to it. Relaxed: the lists have locks.
        if self.rest_ended.compare_exchange(last, now, Relaxed, Relaxed).is_ok() {
            self.end_rest();
        }
    }

    /// After `fork`, in the child: the caches that are left have `bytes` of room.
    pub(crate) fn reset_room(&self, bytes: usize) {
        self.room.reset(bytes);
    }

    /// Bytes of room that caches have, for tests.
    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.room.bytes()
    }

    /// The central lists of `class`.
    pub(crate) fn central(&self, class: SizeClass) -> &MCentral {
        of_class(&self.central, class)
    }
}

/// The cache of one thread.
#[repr(C, align(128))]
pub(crate) struct MCache {
    /// In front of the first bin, for pointers that belong to none: its bin is full.
    #[cfg(feature = "preload")]
    no_top: Cell<*mut Slot>,
    // One array for each word of a bin: the offset in it is the class times 8, which an address can express without further ado.
    tops: [Cell<*mut Slot>; COUNT],
    #[cfg(feature = "preload")]
    no_end: Cell<*mut Slot>,
    ends: [Cell<*mut Slot>; COUNT],
    bases: [Cell<*mut Slot>; COUNT],
    /// What the thread knows of the page map.
    #[cfg(feature = "preload")]
    main: Main,
    /// What C's `malloc` handed out last from a bin.
    #[cfg(feature = "preload")]
    last: Cell<*mut Block>,
    /// What is sampled for the heap profile.
    #[cfg(any(feature = "profiling", feature = "preload"))]
    sampler: Sampler,
    /// Where the first arrays of the bins lie.
    slots: Cell<*mut Slot>,
    /// Bytes by which bins have grown.
    grown: Cell<usize>,
    active: [Cell<Option<&'static MSpan>>; COUNT],
    partial: [SpanList; COUNT],
    full: [SpanList; COUNT],
    /// New spans that the thread took of each class since that was last idle, as far as it matters ([`length`]).
    taken: [Cell<u8>; COUNT],
    store: Store,
    runs: Runs,
    purges_seen: Cell<usize>,
    /// Refills since the last look for idle classes, and the classes that were refilled since.
    refills: Cell<u32>,
    refilled: Cell<u128>,
    /// Bins that ran over since one was last refilled.
    overflows: Cell<u32>,
    /// Classes that were refilled since their bins last grew.
    run_empty: Cell<u128>,
    ready: Cell<bool>,
    shared: Shared,
    /// The next cache in the registry's list of unused ones.
    pub(crate) next_unused: Cell<Option<&'static MCache>>,
}

impl MCache {
    crate::sync::const_unless_loom! {
        /// A cache that owns nothing. It serves once it has an owner number and [`make_ready`](Self::make_ready) was called.
        pub(crate) fn new() -> Self {
            Self {
                #[cfg(feature = "preload")]
                no_top: Cell::new(bins::nothing()),
                tops: [const { Cell::new(bins::nothing()) }; COUNT],
                #[cfg(feature = "preload")]
                no_end: Cell::new(bins::nothing()),
                ends: [const { Cell::new(bins::nothing()) }; COUNT],
                bases: [const { Cell::new(bins::nothing()) }; COUNT],
                #[cfg(feature = "preload")]
                main: Main::none(),
                #[cfg(feature = "preload")]
                last: Cell::new(null_mut()),
                #[cfg(any(feature = "profiling", feature = "preload"))]
                sampler: Sampler::new(),
                slots: Cell::new(null_mut()),
                grown: Cell::new(0),
                active: [const { Cell::new(None) }; COUNT],
                partial: [const { SpanList::new() }; COUNT],
                full: [const { SpanList::new() }; COUNT],
                taken: [const { Cell::new(0) }; COUNT],
                store: Store::new(),
                runs: Runs::new(),
                purges_seen: Cell::new(0),
                refills: Cell::new(0),
                refilled: Cell::new(0),
                overflows: Cell::new(0),
                run_empty: Cell::new(0),
                ready: Cell::new(false),
                shared: Shared::new(),
                next_unused: Cell::new(None),
            }
        }
    }

    /// What other threads may see.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The mailbox.
    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.shared.mailbox
    }

    /// Whether this cache can own spans: false for `EMPTY` and `TORN`.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.get()
    }

    /// A thread begins to run with this cache, which has an owner number.
    pub(crate) fn make_ready(&self, tiers: &Tiers) {
        self.purges_seen.set(tiers.purges.load(Relaxed));
        self.ready.set(true);
    }

    /// Counts a request that this cache, which is ready, has served. `true`: it may be one to sample.
    #[inline(always)]
    pub(crate) fn count(&self, size: usize) -> bool {
        #[cfg(any(feature = "profiling", feature = "preload"))]
        let sample = self.sampler.count(size);
        #[cfg(not(any(feature = "profiling", feature = "preload")))]
        let sample = {
            let _ = size;
            false
        };
        sample
    }

    /// The thread's sampler.
    #[cfg(any(feature = "profiling", feature = "preload"))]
    pub(crate) fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// The owner tag of spans that this cache owns (M2).
    #[inline(always)]
    fn tag(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    #[inline(always)]
    fn top(&self, class: SizeClass) -> &Cell<*mut Slot> {
        // The offset in bytes, which a smallest class has by one mask of the size: one instruction less than with an index.
        // SAFETY: a class's index is below COUNT, the array's length.
        let top = unsafe { self.tops.as_ptr().byte_add(class.index() * size_of::<usize>()) };
        // SAFETY: as above; the borrow is of `self`.
        unsafe { &*top }
    }

    #[inline(always)]
    fn end(&self, class: SizeClass) -> &Cell<*mut Slot> {
        // SAFETY: a class's index is below COUNT, the array's length.
        let end = unsafe { self.ends.as_ptr().byte_add(class.index() * size_of::<usize>()) };
        // SAFETY: as above; the borrow is of `self`.
        unsafe { &*end }
    }

    fn active(&self, class: SizeClass) -> &Cell<Option<&'static MSpan>> {
        of_class(&self.active, class)
    }

    fn partial(&self, class: SizeClass) -> &SpanList {
        of_class(&self.partial, class)
    }

    fn full(&self, class: SizeClass) -> &SpanList {
        of_class(&self.full, class)
    }

    fn tally(&self, index: usize) -> &Tally {
        #[expect(clippy::indexing_slicing, reason = "the index is clipped to the array's length")]
        &self.shared.tallies[index.min(COUNT)]
    }

    /// Takes an object of `class` from its bin; null when the bin is empty.
    #[inline(always)]
    pub(crate) fn pop(&self, class: SizeClass) -> *mut Block {
        let top = self.top(class);
        let below = top.get().wrapping_sub(1);
        // SAFETY: the slot below the top holds the youngest block, or null (M1).
        let block = unsafe { *below };
        if CHECKED && !check::is_free(class, block) {
            return null_mut();
        }
        if !block.is_null() {
            top.set(below);
        }
        if CHECKED {
            check::hand_out(class, block);
        }
        block
    }

    /// Puts a block on the bin of `class`. `false`: the bin is full, nothing was done.
    ///
    /// # Safety
    /// `block` was handed out by this heap, nobody uses it any more, and it holds an object of `class` as M1 says.
    #[inline(always)]
    pub(crate) unsafe fn push(&self, class: SizeClass, block: *mut Block) -> bool {
        let top = self.top(class).get();
        if top == self.end(class).get() {
            return false;
        }
        if CHECKED {
            // SAFETY: as the caller promised.
            unsafe { check::take_back(class, block) };
        }
        // SAFETY: slots below the end are this cache's.
        unsafe { *top = block };
        self.top(class).set(top.wrapping_add(1));
        true
    }

    /// Frees a block, whose bin has no room, of another thread's span of which the last that was freed so was too: most blocks that one
    /// thread makes and another frees. `false`: it is no such block, nothing was done.
    ///
    /// # Safety
    /// `block` was handed out by this heap and nobody uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn gather(&self, block: *mut Block) -> bool {
        // SAFETY: as the caller promised.
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
        if span.owner.load(Relaxed) == self.tag() {
            self.tally(span.class_index()).add(0, 1);
            // SAFETY: the tag says that this thread owns the span (MCACHE-2); the block is its live object.
            if unsafe { span.push_local(block) } == 0 {
                self.emptied(tiers, span);
            }
            return true;
        }
        // A cache that is not ready gathers nothing. If the span has become this thread's meanwhile,
        // it gets its blocks when the chain is sent.
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

/// A cache that stands in for one that a thread does not have (M3).
#[repr(transparent)]
pub(crate) struct Sentinel(MCache);

// SAFETY: nobody writes to a sentinel: its bins are empty, no address lies in their spans, no span has its tag, and the slow paths turn
// away from a cache that is not ready before they touch it.
unsafe impl Sync for Sentinel {}

/// Stands in for the cache of a thread that has none yet.
#[cfg(not(loom))]
pub(crate) static EMPTY: Sentinel = Sentinel::new();

impl MCache {
    /// Writes a new cache to `place`.
    ///
    /// # Safety
    /// `place` is valid for writes of a cache, and nobody else's.
    pub(crate) unsafe fn write_new(place: core::ptr::NonNull<Self>) {
        // A copy of a static needs no room on the stack, where a value of several KiB would: threads may have 16 KiB.
        #[cfg(not(loom))]
        // SAFETY: the sentinel is never written to, so its bytes are those of a new cache; the place is the caller's.
        unsafe {
            core::ptr::from_ref(EMPTY.cache()).copy_to_nonoverlapping(place.as_ptr(), 1)
        };
        #[cfg(loom)]
        // SAFETY: the place is the caller's.
        unsafe {
            place.write(Self::new())
        };
    }
}

impl Sentinel {
    /// A cache that is never ready.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self(MCache::new())
    }

    /// The cache to point at.
    pub(crate) const fn cache(&'static self) -> &'static MCache {
        &self.0
    }
}
