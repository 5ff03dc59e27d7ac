//! The span record. A span is one run of pages, either cut into equal objects or holding one large
//! object. The record lies apart from the pages that it describes.
//!
//! A record is two cache lines:
//!
//! - The owner's line. One thread at a time writes it (OWN-1 of [`word`]). Its fields are relaxed
//!   atomics: they cost what plain fields cost, and any thread may read a statistic.
//! - The shared line. It holds the ownership word and the facts that a thread needs when it frees
//!   an object of another thread's span.
//!
//! Rules:
//!
//! - MSPAN-1. `base`, `pages`, `size`, `class` and `objects` are fixed while the span's pages are
//!   in the page map. Exception: the thread that holds the one object of a large span changes its
//!   `pages` and `size`.
//! - MSPAN-2. Objects `0..carved` have been handed out (at least to a bin) or are on a free list.
//!   Objects from `carved` on are untouched since the span was made.
//! - MSPAN-3. `live` counts the carved objects that are neither on `free` nor in a remote list that
//!   the owner has taken. These are the objects that the program holds, those in bins, and those on
//!   their way through other threads.
//! - MSPAN-4. `free` and the remote list have the form that [`free_list`] defines.

mod free_list;
#[cfg(test)]
mod free_list_tests;
mod mark;
mod word;
#[cfg(test)]
mod word_tests;

pub(crate) use free_list::{Block, Cut};
pub(crate) use mark::CHECKED;
pub(crate) use mark::draw_early;
pub(crate) use word::{BlockRef, OWNER_MAX, OwnerId, Sent, Settled, Taken, Word};

use crate::base::addr::Addr;
use crate::base::geometry::{CACHE_LINE, CARVE, PAGE};
use crate::base::list::{Linked, Links, List};
use crate::size_class::SizeClass;
use crate::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering::Relaxed};
use core::ptr::null_mut;

/// The use of a span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum State {
    /// The record is in its pool, or the span's pages rest in a thread's store.
    Free,
    /// The span is cut into objects of one size class.
    Small,
    /// The span holds one large object.
    Large,
    /// The span belongs to the collector, which keeps its own records of the contents; see
    /// `heap::source`.
    Managed,
}

/// Flag in the owner tag: every object is handed out, and the span is on its owner's `full` list.
pub(crate) const FULL: usize = 1;

/// The record of one span.
#[repr(C, align(128))]
pub(crate) struct MSpan {
    /// Address of the `MCache` that owns the span, plus [`FULL`]. 0: the span is unowned or large.
    /// Only the owner writes it, and only its own tag or 0. So a thread that reads its own tag here
    /// owns the span.
    pub(crate) owner: AtomicUsize,
    free: AtomicPtr<Block>,
    live: AtomicU32,
    carved: AtomicU32,
    /// Pages in use.
    pages: AtomicU32,
    /// Untouched pages that belong to the span and follow those in use: room for a large object to
    /// grow.
    headroom: AtomicU32,
    zeroed: AtomicBool,
    /// The program has freed the large object, and a thread keeps it for reuse. Only checked builds
    /// write this.
    kept: AtomicBool,
    /// For a sampled object: twice the number of the span's slot in the profile, plus 1 while such
    /// an object exists. The span keeps its slot.
    sample: AtomicU32,
    links: Links<MSpan>,
    older: AtomicPtr<MSpan>,

    pub(crate) word: Word,
    base: AtomicPtr<u8>,
    /// Bytes of one object of a small span; bytes that the holder of a large object asked for.
    size: AtomicUsize,
    objects: AtomicU32,
    class: AtomicU8,
    state: AtomicU8,
    /// The central list of its class that the span is on. The class's lock guards it.
    shelf: AtomicU8,
    pub(crate) inbox_link: AtomicPtr<MSpan>,
}

const _: () = assert!(
    crate::sync::IS_MODEL || size_of::<MSpan>() == 2 * CACHE_LINE,
    "two cache lines"
);
const _: () = assert!(
    crate::sync::IS_MODEL || core::mem::offset_of!(MSpan, word) == CACHE_LINE,
    "the owner's line and the shared one"
);

/// The links of a span in the one list it is on: its owner's partial or full list, a central list,
/// a thread's store or the pool.
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

    /// Returns a record that describes no run.
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

    /// Describes a run of `pages` pages at `base` that is not in use yet. `zeroed`: the pages read
    /// as zero.
    pub(crate) fn set_run(&self, base: *mut u8, pages: usize, zeroed: bool) {
        self.base.store(base, Relaxed);
        self.pages.store(pages as u32, Relaxed);
        self.headroom.store(0, Relaxed);
        self.zeroed.store(zeroed, Relaxed);
        self.owner.store(0, Relaxed);
        self.set_state(State::Free);
    }

    /// Cuts the run into objects of `class`, of which none is carved. The run has one of the
    /// class's lengths.
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

    /// Makes a retired, empty small span a span of `class`. If it had that class before, its
    /// objects are still on its free list.
    pub(crate) fn revive(&self, class: SizeClass) {
        if self.class() == Some(class) {
            self.set_state(State::Small);
        } else {
            self.set_dirty();
            self.init_small(class);
        }
    }

    /// Forgets the owner, which is gone and may have been interrupted anywhere. For the child after
    /// `fork`.
    ///
    /// All objects count as live. Objects that the program holds come back when it frees them;
    /// objects that only the owner knew are lost.
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

    /// Returns whether the run is a sampled object, and its slot in the profile (0: none yet).
    #[inline]
    pub(crate) fn sample(&self) -> (bool, u32) {
        let sample = self.sample.load(Relaxed);
        (sample & 1 != 0, sample >> 1)
    }

    /// Notes whether the run is a sampled object, and its slot. The caller holds the run.
    pub(crate) fn set_sample(&self, sampled: bool, slot: u32) {
        self.sample.store(slot << 1 | u32::from(sampled), Relaxed);
    }

    /// Gives the run to the collector as `objects` objects of `size` bytes. `tag` is the
    /// collector's record of the run.
    pub(crate) fn init_managed(&self, objects: u32, size: usize, tag: *mut u8) {
        self.objects.store(objects, Relaxed);
        self.live.store(objects, Relaxed);
        self.carved.store(objects, Relaxed);
        self.size.store(size, Relaxed);
        // A managed span has no free list.
        self.free.store(tag.cast(), Relaxed);
        self.set_state(State::Managed);
    }

    /// Returns the collector's record of a managed span; null for other spans.
    #[inline(always)]
    pub(crate) fn tag(&self) -> *mut u8 {
        if self.state() == State::Managed {
            self.free.load(Relaxed).cast()
        } else {
            null_mut()
        }
    }

    /// Limits the span to fewer objects than its class has. For the models.
    #[cfg(loom)]
    pub(crate) fn limit_objects(&self, objects: u32) {
        self.objects.store(objects, Relaxed);
    }

    /// Returns the use of the span.
    #[inline]
    pub(crate) fn state(&self) -> State {
        match self.state.load(Relaxed) {
            1 => State::Small,
            2 => State::Large,
            3 => State::Managed,
            _ => State::Free,
        }
    }

    pub(crate) fn set_state(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    /// Returns the first byte of the run, as the page heap made it: its provenance covers the whole
    /// run.
    #[inline]
    pub(crate) fn base(&self) -> *mut u8 {
        self.base.load(Relaxed)
    }

    /// Returns the number of pages in use.
    #[inline]
    pub(crate) fn pages(&self) -> usize {
        self.pages.load(Relaxed) as usize
    }

    /// Returns the number of bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        self.pages() * PAGE
    }

    /// Returns the number of pages behind those in use into which the span may grow.
    pub(crate) fn headroom(&self) -> usize {
        self.headroom.load(Relaxed) as usize
    }

    /// Sets the number of pages in use and of those behind them.
    pub(crate) fn set_pages(&self, pages: usize, headroom: usize) {
        self.pages.store(pages as u32, Relaxed);
        self.headroom.store(headroom as u32, Relaxed);
    }

    /// Returns the bytes of one object; for a large object, the bytes asked for.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.size.load(Relaxed)
    }

    /// Notes the new size that the holder of a large object asked for.
    pub(crate) fn set_large_size(&self, bytes: usize) {
        self.size.store(bytes, Relaxed);
    }

    /// Returns the class of a small span.
    #[inline]
    pub(crate) fn class(&self) -> Option<SizeClass> {
        SizeClass::from_index(self.class.load(Relaxed) as usize)
    }

    /// Returns the number of a small span's class.
    #[inline]
    pub(crate) fn class_index(&self) -> usize {
        self.class.load(Relaxed) as usize
    }

    /// Returns the number of objects that are not free (MSPAN-3).
    #[inline]
    pub(crate) fn live(&self) -> u32 {
        self.live.load(Relaxed)
    }

    /// Returns whether the free list holds an object.
    #[inline]
    pub(crate) fn has_free(&self) -> bool {
        !self.free.load(Relaxed).is_null()
    }

    /// Returns the number of all objects.
    pub(crate) fn objects(&self) -> u32 {
        self.objects.load(Relaxed)
    }

    /// Returns whether memory that was never carved reads as zero.
    pub(crate) fn zeroed(&self) -> bool {
        self.zeroed.load(Relaxed)
    }

    /// Notes that the run has been written to.
    pub(crate) fn set_dirty(&self) {
        self.zeroed.store(false, Relaxed);
    }

    /// Returns the central list that the span is on. The caller holds its class's lock.
    pub(crate) fn shelf(&self) -> u8 {
        self.shelf.load(Relaxed)
    }

    /// Notes the central list that the span is on. The caller holds its class's lock.
    pub(crate) fn set_shelf(&self, shelf: u8) {
        self.shelf.store(shelf, Relaxed);
    }

    /// Returns the number of pages whose page map entry names this span: all pages of a small or
    /// managed span, the first page of a large one.
    pub(crate) fn mapped_pages(&self) -> usize {
        if self.objects() > 1 || self.state() == State::Managed {
            self.pages()
        } else {
            1
        }
    }

    /// Returns whether the span can give out an object without a look at the remote list.
    pub(crate) fn has_room(&self) -> bool {
        !self.free.load(Relaxed).is_null() || self.carved.load(Relaxed) < self.objects()
    }

    /// Puts one freed object on the owner's free list. Returns the number of objects that stay
    /// live.
    ///
    /// # Safety
    /// The caller owns the span. `block` is one of its live objects, and no code uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn push_local(&self, block: *mut Block) -> u32 {
        let head = self.free.load(Relaxed);
        if head.is_null() {
            // SAFETY: the caller owns `block`, a free object of this span that is on no list.
            unsafe { Block::push_trunk(null_mut(), block, self.cut()) };
            self.free.store(block, Relaxed);
        } else {
            // SAFETY: the caller owns `block` and the list, which is not empty.
            self.free
                .store(unsafe { Block::push(head, block, self.cut()) }, Relaxed);
        }
        let live = self.live.load(Relaxed).wrapping_sub(1);
        self.live.store(live, Relaxed);
        live
    }

    /// Returns how the span is cut.
    #[inline(always)]
    pub(crate) fn cut(&self) -> Cut {
        Cut::new(self.base(), self.size())
    }

    /// Returns the number of objects on the free list: all carved ones that do not count as live
    /// (MSPAN-3).
    pub(crate) fn free_count(&self) -> u32 {
        self.carved.load(Relaxed) - self.live()
    }

    /// Takes `count` objects off the owner's free list, which has that many, and gives each to
    /// `put`. They count as live from here on.
    #[inline]
    pub(crate) fn take_free(&self, count: u32, put: impl FnMut(*mut Block)) {
        debug_assert!(count <= self.free_count());
        let head = self.free.load(Relaxed);
        let rest = if CHECKED {
            // SAFETY: the list is the owner's and holds `count` objects.
            unsafe { self.take_checked(head, count, put) }
        } else {
            // SAFETY: the list is the owner's and holds `count` objects.
            unsafe { Block::take(head, count, self.cut(), put) }
        };
        self.free.store(rest, Relaxed);
        self.live.store(self.live() + count, Relaxed);
    }

    /// Joins a remote list, which the owner has taken, to the owner's free list.
    pub(crate) fn absorb(&self, taken: Taken) {
        if taken.count == 0 {
            return;
        }
        let head = self.block(taken.head);
        let local = self.free.load(Relaxed);
        if !local.is_null() {
            // SAFETY: the list was sent whole, holds `count` objects and is the caller's now.
            let last = unsafe { self.last(head, taken.count) };
            // SAFETY: `last` is a trunk of the caller's list.
            unsafe { Block::set_next(last, local) };
        }
        self.free.store(head, Relaxed);
        self.live.store(self.live().wrapping_sub(taken.count), Relaxed);
    }

    /// Does what [`Block::take`] does on a list of this span, but follows only recognised links.
    ///
    /// # Safety
    /// The contract of `Block::take`.
    unsafe fn take_checked(&self, head: *mut Block, count: u32, mut put: impl FnMut(*mut Block)) -> *mut Block {
        if !head.is_null() && !self.is_free_object(head) {
            self.report_link(head);
        }
        let mut block = head;
        for _ in 0..count {
            if block.is_null() {
                // The list is shorter than the span's counters say.
                self.report_link(head);
            }
            // SAFETY: `block` is on the caller's list.
            let next = unsafe { self.next_free(block) };
            // SAFETY: `block` is on no list any more and is the caller's.
            unsafe { Block::unlink(block) };
            put(block);
            block = next;
        }
        block
    }

    /// Returns the last trunk of a list of `count` objects of this span.
    ///
    /// # Safety
    /// The list is the caller's.
    unsafe fn last(&self, head: *mut Block, count: u32) -> *mut Block {
        if !CHECKED {
            // SAFETY: the list is the caller's and holds `count` objects (contract of this
            // function).
            return unsafe { Block::last(head, count, self.cut()) };
        }
        if !self.is_free_object(head) {
            self.report_link(head);
        }
        let mut last = head;
        for _ in 1..count {
            // SAFETY: `last` is on the caller's list. A list that is too short was written over.
            let next = unsafe { self.next_free(last) };
            if next.is_null() {
                self.report_link(last);
            }
            last = next;
        }
        last
    }

    /// Returns the block behind `block` on a list of this span's free blocks. In a checked build, a
    /// link that was written over ends the process.
    ///
    /// # Safety
    /// `block` is on a list of this span's free blocks, and the list is the caller's.
    #[inline(always)]
    pub(crate) unsafe fn next_free(&self, block: *mut Block) -> *mut Block {
        // SAFETY: `block` is on the caller's list (contract of this function).
        let next = unsafe { Block::next(block) };
        if CHECKED && !next.is_null() && !self.is_free_object(next) {
            self.report_link(block);
        }
        next
    }

    /// Returns whether `block` is an object of this span and marked as free. Objects without a mark
    /// pass (FREEMARK-1).
    pub(crate) fn is_free_object(&self, block: *mut Block) -> bool {
        // SAFETY: the block is an object of this span of more than 8 bytes, so it has a second
        // word.
        self.is_object(block) && (self.size() <= 8 || unsafe { Block::is_marked(block) })
    }

    /// Returns whether a carved object of this small span begins at `ptr`.
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
            "the free block was written to after it was freed, or it was freed twice",
        )
    }

    /// Returns whether a thread keeps the large object for reuse.
    pub(crate) fn kept(&self) -> bool {
        self.kept.load(Relaxed)
    }

    /// Notes that the program holds the large object.
    pub(crate) fn clear_kept(&self) {
        self.kept.store(false, Relaxed);
    }

    /// Notes that the caller frees the large object. `true`: another thread did so before. Relaxed:
    /// the exchange alone decides which thread was first.
    pub(crate) fn keep(&self) -> bool {
        self.kept.swap(true, Relaxed)
    }

    /// Returns the block that `at` names, or null.
    pub(crate) fn block(&self, at: BlockRef) -> *mut Block {
        if at.0 == 0 {
            return null_mut();
        }
        self.base().wrapping_add((at.0 as usize - 1) * 8).cast()
    }

    /// Returns the name of `block`, an object of this span.
    pub(crate) fn block_ref(&self, block: *mut Block) -> BlockRef {
        BlockRef((Addr::of(block).offset_from(Addr::of(self.base())) / 8 + 1) as u16)
    }

    /// Takes up to `most` fresh objects in a row for the owner, without touching them. If the
    /// memory was never touched, takes at most about [`CARVE`] bytes. The objects count as live.
    ///
    /// Returns the first object and their number; 0 if all objects are carved.
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

    /// Marks the memory behind a short span's last object as a free object. A free that knows only
    /// the size class assumes a whole span.
    #[cold]
    fn mark_tail(&self) {
        let used = self.objects() as usize * self.size();
        let whole = self.class().map_or(0, SizeClass::span_pages);
        if self.pages() == whole || self.bytes() - used < 2 * size_of::<usize>() {
            return;
        }
        let tail: *mut Block = self.base().wrapping_add(used).cast();
        // SAFETY: the two words at `tail` lie in the owner's span, and no object covers them.
        if self.zeroed() && unsafe { Block::second(tail) } != 0 {
            self.report_link(tail);
        }
        // SAFETY: the two words at `tail` lie in the owner's span, and no object covers them.
        unsafe { Block::set_mark(tail) };
    }

    /// Takes one fresh object for the owner without writing to it. Returns null if the fresh memory
    /// is not known to read as zero, or if all objects are carved.
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
