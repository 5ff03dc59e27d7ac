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
//! The methods lie in four files: the record and its fields here, the objects of a small span in
//! `objects`, its pages without memory in `holes`, and the one object of a large span in `large`.
//!
//! Rules:
//!
//! - MSPAN-1. `base`, `pages`, `size`, `class` and `objects` are fixed while the span's pages are
//!   in the page map. Exception: the thread that holds the one object of a large span changes its
//!   `pages` and `size`.
//! - MSPAN-2. Objects `0..carved` have been handed out (at least to a bin), are on a free list, or
//!   are sunk. Objects from `carved` on are untouched since the span was made.
//! - MSPAN-3. `live` counts the carved objects that are neither on `free`, nor sunk ([`holes`]),
//!   nor in a remote list that the owner has taken. These are the objects that the program holds,
//!   those in bins, and those on their way through other threads.
//! - MSPAN-4. `free` and the remote list have the form that [`free_list`] defines.

mod free_list;
#[cfg(test)]
mod free_list_tests;
mod holes;
mod large;
mod mark;
#[cfg(greyspan_loom)]
mod models;
mod objects;
mod word;
#[cfg(test)]
mod word_tests;

pub(crate) use free_list::{Block, Cut};
pub(crate) use mark::CHECKED;
pub(crate) use mark::draw_early;
pub(crate) use word::{BlockRef, OWNER_MAX, OwnerId, Sent, Settled, Taken, Word};

use crate::base::geometry::{CACHE_LINE, PAGE};
use crate::base::list::{Linked, Links, List};
use crate::size_class::SizeClass;
use crate::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering::Relaxed};
use crate::sync::tally;
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
    /// Address of the owner's `Spans`, plus [`FULL`] (SPANS-1). 0: the span is unowned or large.
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
    /// For the keeper: how long the span has lain on a central list.
    age: tally::AtomicU8,
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
    /// The pages that are holes, and the number of sunk objects (HOLE-1).
    holes: tally::AtomicU64,
    sunk: tally::AtomicU32,
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
            age: tally::AtomicU8::new(0),
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
            holes: tally::AtomicU64::new(0),
            sunk: tally::AtomicU32::new(0),
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

    /// Forgets the owner, which is gone and may have been interrupted anywhere. For the child after
    /// `fork`.
    ///
    /// All objects count as live. Objects that the program holds come back when it frees them;
    /// objects that only the owner knew are lost.
    pub(crate) fn orphan_in_child(&self) {
        self.owner.store(0, Relaxed);
        self.forget_holes();
        self.free.store(null_mut(), Relaxed);
        self.carved.store(self.objects(), Relaxed);
        self.live.store(self.objects(), Relaxed);
        self.word.reset_in_child();
    }

    /// Gives the run to the collector as `objects` objects of `size` bytes.
    pub(crate) fn init_managed(&self, objects: u32, size: usize) {
        self.objects.store(objects, Relaxed);
        self.live.store(objects, Relaxed);
        self.carved.store(objects, Relaxed);
        self.size.store(size, Relaxed);
        // A managed span has no free list.
        self.free.store(null_mut(), Relaxed);
        self.set_state(State::Managed);
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

    /// Returns the bytes of one object; for a large object, the bytes asked for.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.size.load(Relaxed)
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

    /// Returns how long the span has lain on a central list. The caller holds its class's lock.
    pub(crate) fn age(&self) -> u8 {
        self.age.load(Relaxed)
    }

    /// Notes how long the span has lain on a central list. The caller holds its class's lock, or is
    /// about to list the span.
    pub(crate) fn set_age(&self, age: u8) {
        self.age.store(age, Relaxed);
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
}
