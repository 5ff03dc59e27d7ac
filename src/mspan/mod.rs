//! The span record: one run of pages, cut into equal objects or holding one large one. Kept apart from the pages it describes.
//!
//! A record is two cache lines. The owner's line is used by one thread at a time (rule W1 of [`word`]): its fields are relaxed
//! atomics, which cost what plain fields do and let anyone read a statistic. The shared line holds the ownership word and what a thread
//! that frees another's object has to know.
//!
//! - I1. `base`, `pages`, `size`, `class`, `objects` are fixed from the time the span's pages enter the page map to the time they leave
//!   it (a large span's `pages` and `bytes` change only by the thread that holds its one object).
//! - I2. Objects `0..carved` were handed out, to a bin at least, or are on a free list; objects from `carved` on were never touched since the span was made.
//! - I3. `live` counts the carved objects that are neither on `free` nor taken off the remote list: those the program holds, those in
//!   bins, and those on their way through other threads.
//! - I4. `free` and the remote list are lists as [`free_list`] makes them.

mod free_list;
#[cfg(all(test, not(loom)))]
mod free_list_tests;
mod mark;
mod word;
#[cfg(all(test, not(loom)))]
mod word_tests;

pub(crate) use free_list::{Block, Cut};
pub(crate) use mark::CHECKED;
#[cfg(feature = "preload")]
pub(crate) use mark::draw_early;
pub(crate) use word::{BlockRef, OWNER_MAX, OwnerId, Sent, Settled, Taken, Word};

use crate::base::addr::Addr;
use crate::base::geometry::{CACHE_LINE, CARVE, PAGE};
use crate::base::list::{Linked, Links, List};
use crate::size_class::SizeClass;
use crate::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering::Relaxed};
use core::ptr::null_mut;

/// What a span is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum State {
    /// The record is in its pool, or the span's pages wait in a thread's store.
    Free,
    /// Cut into objects of one size class.
    Small,
    /// One large object.
    Large,
    /// The collector's, which keeps its own books on what lies in it; see `heap::source`.
    #[cfg(feature = "gc")]
    Managed,
}

/// Flag in the owner tag: every object is handed out, and the span stands on its owner's `full` list.
pub(crate) const FULL: usize = 1;

/// One span.
#[repr(C, align(128))]
pub(crate) struct MSpan {
    /// Address of the mcache that owns the span, plus [`FULL`]; 0 for nobody and for large spans. Only the owner writes it, and
    /// only its own tag or 0, so a thread that reads its own tag here owns the span.
    pub(crate) owner: AtomicUsize,
    free: AtomicPtr<Block>,
    live: AtomicU32,
    carved: AtomicU32,
    /// Pages in use.
    pages: AtomicU32,
    /// Pages behind those in use that belong to the span and were never touched: room for a large object to grow.
    headroom: AtomicU32,
    zeroed: AtomicBool,
    /// A large object that its holder has freed and a thread keeps for reuse; written in checked builds only.
    kept: AtomicBool,
    /// Of a sampled object: twice the number of the span's slot in the profile, which it keeps, plus one while there is such an object.
    #[cfg(any(feature = "profiling", feature = "preload"))]
    sample: AtomicU32,
    links: Links<MSpan>,
    older: AtomicPtr<MSpan>,

    pub(crate) word: Word,
    base: AtomicPtr<u8>,
    /// Bytes of one object of a small span; bytes asked for by the holder of a large one.
    size: AtomicUsize,
    objects: AtomicU32,
    class: AtomicU8,
    state: AtomicU8,
    /// Which of its class's central lists the span stands on; guarded by the class's lock.
    shelf: AtomicU8,
    pub(crate) inbox_link: AtomicPtr<MSpan>,
}

const _: () = assert!(cfg!(loom) || size_of::<MSpan>() == 2 * CACHE_LINE, "two cache lines");
const _: () = assert!(
    cfg!(loom) || core::mem::offset_of!(MSpan, word) == CACHE_LINE,
    "the owner's line and the shared one"
);

/// The links by which a span stands on one of: its owner's partial or full list, its central list, a thread's store, the pool.
pub(crate) struct ByUse;

impl Linked for ByUse {
    type Node = MSpan;
    fn links(node: &MSpan) -> &Links<MSpan> {
        &node.links
    }
}

impl crate::meta::Record for MSpan {
    fn older(&self) -> &AtomicPtr<Self> {
        &self.older
    }
}

/// A list of spans.
pub(crate) type SpanList = List<ByUse>;

impl crate::sync::stack::Linked for MSpan {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.inbox_link
    }
}

impl MSpan {
    /// The shelf of a span that is on no central list.
    pub(crate) const NO_SHELF: u8 = u8::MAX;

    /// A record that describes nothing.
    pub(crate) fn new() -> Self {
        Self {
            owner: AtomicUsize::new(0),
            free: AtomicPtr::new(null_mut()),
            live: AtomicU32::new(0),
            carved: AtomicU32::new(0),
            pages: AtomicU32::new(0),
            headroom: AtomicU32::new(0),
            zeroed: AtomicBool::new(false),
            kept: AtomicBool::new(false),
            #[cfg(any(feature = "profiling", feature = "preload"))]
            sample: AtomicU32::new(0),
            links: Links::new(),
            older: AtomicPtr::new(null_mut()),
            word: Word::new(),
            base: AtomicPtr::new(null_mut()),
            size: AtomicUsize::new(0),
            objects: AtomicU32::new(0),
            class: AtomicU8::new(0),
            state: AtomicU8::new(State::Free as u8),
            shelf: AtomicU8::new(Self::NO_SHELF),
            inbox_link: AtomicPtr::new(null_mut()),
        }
    }

    /// Describes a run of `pages` pages at `base`, not in use yet. `zeroed`: the pages read as zero.
    pub(crate) fn set_run(&self, base: *mut u8, pages: usize, zeroed: bool) {
        self.base.store(base, Relaxed);
        self.pages.store(pages as u32, Relaxed);
        self.headroom.store(0, Relaxed);
        self.zeroed.store(zeroed, Relaxed);
        self.owner.store(0, Relaxed);
        self.set_state(State::Free);
    }

    /// Cuts the run, which has one of the class's lengths, into objects of `class`; nothing is carved.
    pub(crate) fn init_small(&self, class: SizeClass) {
        debug_assert!(class.lengths().contains(&self.pages()));
        self.free.store(null_mut(), Relaxed);
        self.live.store(0, Relaxed);
        self.carved.store(0, Relaxed);
        self.size.store(class.size(), Relaxed);
        self.objects.store(class.objects_in(self.bytes()) as u32, Relaxed);
        self.class.store(class.index() as u8, Relaxed);
        self.set_state(State::Small);
    }

    /// Makes an empty small span that was retired one of `class`. If it was so before, its objects are on its free list still.
    pub(crate) fn revive(&self, class: SizeClass) {
        if self.class() == Some(class) {
            self.set_state(State::Small);
        } else {
            self.set_dirty();
            self.init_small(class);
        }
    }

    /// After `fork`, in the child: the span's owner is gone, in the midst of whatever it did. All objects count as live: those that the
    /// program holds come back as it frees them; those that only the owner knew of do not.
    pub(crate) fn orphan_in_child(&self) {
        self.owner.store(0, Relaxed);
        self.free.store(null_mut(), Relaxed);
        self.carved.store(self.objects(), Relaxed);
        self.live.store(self.objects(), Relaxed);
        self.word.reset_in_child();
    }

    /// Makes the run one object, of which the holder asked for `bytes`.
    pub(crate) fn init_large(&self, bytes: usize) {
        self.objects.store(1, Relaxed);
        self.live.store(1, Relaxed);
        self.carved.store(1, Relaxed);
        self.size.store(bytes, Relaxed);
        self.kept.store(false, Relaxed);
        self.set_state(State::Large);
    }

    /// Whether the run is a sampled object; its slot in the profile, once it has one.
    #[cfg(any(feature = "profiling", feature = "preload"))]
    #[inline]
    pub(crate) fn sample(&self) -> (bool, u32) {
        let sample = self.sample.load(Relaxed);
        (sample & 1 != 0, sample >> 1)
    }

    /// Notes whether the run, which the caller holds, is a sampled object, and its slot.
    #[cfg(any(feature = "profiling", feature = "preload"))]
    pub(crate) fn set_sample(&self, sampled: bool, slot: u32) {
        self.sample.store(slot << 1 | u32::from(sampled), Relaxed);
    }

    /// Gives the run to the collector, whose record of it is `tag`: what lies in it are `objects` objects of `size` bytes.
    #[cfg(feature = "gc")]
    pub(crate) fn init_managed(&self, objects: u32, size: usize, tag: *mut u8) {
        self.objects.store(objects, Relaxed);
        self.live.store(objects, Relaxed);
        self.carved.store(objects, Relaxed);
        self.size.store(size, Relaxed);
        // A managed span has no free list.
        self.free.store(tag.cast(), Relaxed);
        self.set_state(State::Managed);
    }

    /// The collector's record of a managed span; null for other spans.
    #[cfg(feature = "gc")]
    #[inline(always)]
    pub(crate) fn tag(&self) -> *mut u8 {
        if self.state() == State::Managed {
            self.free.load(Relaxed).cast()
        } else {
            null_mut()
        }
    }

    /// Lets the span have fewer objects than its class, for the models.
    #[cfg(loom)]
    pub(crate) fn limit_objects(&self, objects: u32) {
        self.objects.store(objects, Relaxed);
    }

    /// What the span is used for.
    #[inline]
    pub(crate) fn state(&self) -> State {
        match self.state.load(Relaxed) {
            1 => State::Small,
            2 => State::Large,
            #[cfg(feature = "gc")]
            3 => State::Managed,
            _ => State::Free,
        }
    }

    pub(crate) fn set_state(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    /// First byte of the run, as the page heap made it: whole provenance.
    #[inline]
    pub(crate) fn base(&self) -> *mut u8 {
        self.base.load(Relaxed)
    }

    /// Pages in use.
    #[inline]
    pub(crate) fn pages(&self) -> usize {
        self.pages.load(Relaxed) as usize
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        self.pages() * PAGE
    }

    /// Pages behind those in use that are the span's to grow into.
    pub(crate) fn headroom(&self) -> usize {
        self.headroom.load(Relaxed) as usize
    }

    /// Sets the pages in use and behind them.
    pub(crate) fn set_pages(&self, pages: usize, headroom: usize) {
        self.pages.store(pages as u32, Relaxed);
        self.headroom.store(headroom as u32, Relaxed);
    }

    /// Bytes of one object, or those asked for of a large one.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.size.load(Relaxed)
    }

    /// The holder of a large object asked for another size.
    pub(crate) fn set_large_size(&self, bytes: usize) {
        self.size.store(bytes, Relaxed);
    }

    /// The class of a small span.
    #[inline]
    pub(crate) fn class(&self) -> Option<SizeClass> {
        SizeClass::from_index(self.class.load(Relaxed) as usize)
    }

    /// The number of a small span's class.
    #[inline]
    pub(crate) fn class_index(&self) -> usize {
        self.class.load(Relaxed) as usize
    }

    /// Objects that are not free (I3).
    #[inline]
    pub(crate) fn live(&self) -> u32 {
        self.live.load(Relaxed)
    }

    /// Whether the free list holds anything.
    #[inline]
    pub(crate) fn has_free(&self) -> bool {
        !self.free.load(Relaxed).is_null()
    }

    /// Objects in all.
    pub(crate) fn objects(&self) -> u32 {
        self.objects.load(Relaxed)
    }

    /// Whether memory that was never carved reads as zero.
    pub(crate) fn zeroed(&self) -> bool {
        self.zeroed.load(Relaxed)
    }

    /// The run has been written to.
    pub(crate) fn set_dirty(&self) {
        self.zeroed.store(false, Relaxed);
    }

    /// Which central list the span stands on. The caller holds its class's lock.
    pub(crate) fn shelf(&self) -> u8 {
        self.shelf.load(Relaxed)
    }

    /// Notes which central list the span stands on. The caller holds its class's lock.
    pub(crate) fn set_shelf(&self, shelf: u8) {
        self.shelf.store(shelf, Relaxed);
    }

    /// Pages that have this span in their page map entry: all of a small or managed span, the first
    /// of a large one.
    pub(crate) fn mapped_pages(&self) -> usize {
        #[cfg(feature = "gc")]
        let managed = self.state() == State::Managed;
        #[cfg(not(feature = "gc"))]
        let managed = false;
        if self.objects() > 1 || managed { self.pages() } else { 1 }
    }

    /// Whether an object can be had without looking at the remote list.
    pub(crate) fn has_room(&self) -> bool {
        !self.free.load(Relaxed).is_null() || self.carved.load(Relaxed) < self.objects()
    }

    /// The owner frees one object onto the span's list. Returns how many stay live.
    ///
    /// # Safety
    /// The caller owns the span, and `block` is one of its live objects, which nobody uses any more.
    #[inline(always)]
    pub(crate) unsafe fn push_local(&self, block: *mut Block) -> u32 {
        let head = self.free.load(Relaxed);
        if head.is_null() {
            // SAFETY: the block is free from here on and the caller's.
            unsafe { Block::push_trunk(null_mut(), block, self.cut()) };
            self.free.store(block, Relaxed);
        } else {
            // SAFETY: as above; the list is the owner's.
            self.free
                .store(unsafe { Block::push(head, block, self.cut()) }, Relaxed);
        }
        let live = self.live.load(Relaxed).wrapping_sub(1);
        self.live.store(live, Relaxed);
        live
    }

    /// How the span is cut.
    #[inline(always)]
    pub(crate) fn cut(&self) -> Cut {
        Cut::new(self.base(), self.size())
    }

    /// Objects on the free list: all carved ones that do not count as live (I3).
    pub(crate) fn free_count(&self) -> u32 {
        self.carved.load(Relaxed) - self.live()
    }

    /// The owner takes `count` objects off the free list, which has so many, and gives each to `put`; they count as live from here on.
    #[inline]
    pub(crate) fn take_free(&self, count: u32, put: impl FnMut(*mut Block)) {
        debug_assert!(count <= self.free_count());
        let head = self.free.load(Relaxed);
        let rest = if CHECKED {
            // SAFETY: the list is the owner's, and long enough.
            unsafe { self.take_checked(head, count, put) }
        } else {
            // SAFETY: as above.
            unsafe { Block::take(head, count, self.cut(), put) }
        };
        self.free.store(rest, Relaxed);
        self.live.store(self.live() + count, Relaxed);
    }

    /// The owner joins a remote list that it took to the free list.
    pub(crate) fn absorb(&self, taken: Taken) {
        if taken.count == 0 {
            return;
        }
        let head = self.block(taken.head);
        let local = self.free.load(Relaxed);
        if !local.is_null() {
            // SAFETY: the list was sent whole, with `count` objects, and is the caller's now.
            let last = unsafe { self.last(head, taken.count) };
            // SAFETY: `last` is the caller's.
            unsafe { Block::set_next(last, local) };
        }
        self.free.store(head, Relaxed);
        self.live.store(self.live().wrapping_sub(taken.count), Relaxed);
    }

    /// As [`Block::take`], of a list of this span: no link is followed that was not recognised.
    ///
    /// # Safety
    /// As for `Block::take`.
    unsafe fn take_checked(&self, head: *mut Block, count: u32, mut put: impl FnMut(*mut Block)) -> *mut Block {
        if !head.is_null() && !self.is_free_object(head) {
            self.report_link(head);
        }
        let mut block = head;
        for _ in 0..count {
            if block.is_null() {
                // Shorter than it should be.
                self.report_link(head);
            }
            // SAFETY: the list is the caller's.
            let next = unsafe { self.next_free(block) };
            // SAFETY: the block is on no list any more.
            unsafe { Block::unlink(block) };
            put(block);
            block = next;
        }
        block
    }

    /// The last trunk of a list of this span of `count` objects.
    ///
    /// # Safety
    /// The list is the caller's.
    unsafe fn last(&self, head: *mut Block, count: u32) -> *mut Block {
        if !CHECKED {
            // SAFETY: as the caller promised.
            return unsafe { Block::last(head, count, self.cut()) };
        }
        if !self.is_free_object(head) {
            self.report_link(head);
        }
        let mut last = head;
        for _ in 1..count {
            // SAFETY: as above. A list that is shorter than it should be was written over.
            let next = unsafe { self.next_free(last) };
            if next.is_null() {
                self.report_link(last);
            }
            last = next;
        }
        last
    }

    /// The block behind `block` on a list of this span's free blocks. In a checked build, a link that was written over ends the process.
    ///
    /// # Safety
    /// `block` is on such a list, which is the caller's.
    #[inline(always)]
    pub(crate) unsafe fn next_free(&self, block: *mut Block) -> *mut Block {
        // SAFETY: as the caller promised.
        let next = unsafe { Block::next(block) };
        if CHECKED && !next.is_null() && !self.is_free_object(next) {
            self.report_link(block);
        }
        next
    }

    /// Whether `block` is one of the span's objects and marked as free, as far as marks reach (K1 of `mark`).
    pub(crate) fn is_free_object(&self, block: *mut Block) -> bool {
        // SAFETY: the block is an object of this span, which has a second word.
        self.is_object(block) && (self.size() <= 8 || unsafe { Block::is_marked(block) })
    }

    /// Whether `ptr` is where an object of this small span begins that was carved.
    pub(crate) fn is_object<T>(&self, ptr: *mut T) -> bool {
        let offset = Addr::of(ptr).offset_from(Addr::of(self.base()));
        let carved = self.carved.load(Relaxed) as usize;
        let exact = self.class().is_some_and(|class| class.begins_object(offset));
        exact && offset < carved * self.size()
    }

    #[cold]
    #[inline(never)]
    fn report_link(&self, block: *mut Block) -> ! {
        crate::os::report::misuse(
            "malloc",
            block.addr(),
            self.size(),
            "it was written to after it was freed, or freed twice",
        )
    }

    /// Whether a thread keeps the large object for reuse.
    #[cfg(feature = "preload")]
    pub(crate) fn kept(&self) -> bool {
        self.kept.load(Relaxed)
    }

    /// The large object is the program's.
    #[cfg(feature = "preload")]
    pub(crate) fn clear_kept(&self) {
        self.kept.store(false, Relaxed);
    }

    /// Whoever frees the large object notes it. `true`: another one did before. Relaxed: the exchange alone decides who was first.
    #[cfg(feature = "preload")]
    pub(crate) fn keep(&self) -> bool {
        self.kept.swap(true, Relaxed)
    }

    /// The block that `at` names, or null.
    pub(crate) fn block(&self, at: BlockRef) -> *mut Block {
        if at.0 == 0 {
            return null_mut();
        }
        self.base().wrapping_add((at.0 as usize - 1) * 8).cast()
    }

    /// The name of `block`, an object of this span.
    pub(crate) fn block_ref(&self, block: *mut Block) -> BlockRef {
        BlockRef((Addr::of(block).offset_from(Addr::of(self.base())) / 8 + 1) as u16)
    }

    /// The owner takes up to `most` fresh objects in a row, without touching them; of memory that nobody has touched, about [`CARVE`] bytes
    /// at the most. They count as live. The first, and how many: 0 when all are carved.
    pub(crate) fn carve(&self, most: u32) -> (*mut u8, u32) {
        let (carved, objects, size) = (self.carved.load(Relaxed), self.objects(), self.size());
        let most = if self.zeroed() {
            most.min((CARVE / size.max(1)) as u32)
        } else {
            most
        };
        let count = most.max(1).min(objects - carved);
        if count == 0 {
            return (null_mut(), 0);
        }
        self.carved.store(carved + count, Relaxed);
        self.live.store(self.live() + count, Relaxed);
        if CHECKED && carved + count == objects {
            self.mark_tail();
        }
        (self.base().wrapping_add(carved as usize * size), count)
    }

    /// Marks what a short span has behind its last object like a free one: a free by size class alone knows the end of whole spans only.
    #[cold]
    fn mark_tail(&self) {
        let used = self.objects() as usize * self.size();
        let whole = self.class().map_or(0, SizeClass::span_pages);
        if self.pages() == whole || self.bytes() - used < 2 * size_of::<usize>() {
            return;
        }
        let tail: *mut Block = self.base().wrapping_add(used).cast();
        // SAFETY: two words of the owner's, which no object has.
        if self.zeroed() && unsafe { Block::second(tail) } != 0 {
            self.report_link(tail);
        }
        // SAFETY: as above.
        unsafe { Block::set_mark(tail) };
    }

    /// The owner takes one fresh object without writing to it, when fresh memory is known to be zero.
    pub(crate) fn carve_zeroed(&self) -> *mut u8 {
        let carved = self.carved.load(Relaxed);
        if !self.zeroed() || carved >= self.objects() {
            return null_mut();
        }
        self.carved.store(carved + 1, Relaxed);
        self.live.store(self.live() + 1, Relaxed);
        if CHECKED && carved + 1 == self.objects() {
            self.mark_tail();
        }
        self.base().wrapping_add(carved as usize * self.size())
    }
}
