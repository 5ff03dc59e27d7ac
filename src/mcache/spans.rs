//! The spans that one thread owns, by class and by how full they are.
//!
//! ```text
//!  active[class]   the span that the bin is refilled from
//!  partial[class]  other owned spans with room, oldest first
//!  full[class]     owned spans without room
//!  store           empty spans, ready for any class
//! ```
//!
//! Nothing here takes a lock or asks another tier. [`refill`](super::refill), [`free`](super::free)
//! and [`exit`](super::exit) move spans between these lists, the central lists and the page heap.
//!
//! - SPANS-1. An owned span's tag is the address of its owner's `Spans`; with `FULL` added exactly
//!   if the span stands on the full list. So one compare tells whether a block may be pushed on
//!   its span without further steps.
//! - SPANS-2. An owned span is the active one of its class or stands on one list, never both.

use crate::base::geometry::{PAGE, SPARE_BYTES};
use crate::mspan::{Block, CHECKED, FULL, MSpan, SpanList, Taken};
use crate::size_class::{COUNT, SizeClass};
use crate::sync::tally::{AtomicUsize, Ordering::Relaxed};
use crate::tiers::of_class;
use core::cell::Cell;
use core::ptr::null_mut;

/// The spans of one thread.
pub(super) struct Spans {
    active: [Cell<Option<&'static MSpan>>; COUNT],
    partial: [SpanList; COUNT],
    full: [SpanList; COUNT],
    /// New spans that the thread took of each class since it last left that class
    /// ([`refill`](super::refill)).
    taken: [Cell<u8>; COUNT],
    pub(super) store: Store,
}

impl Spans {
    crate::sync::const_unless_loom! {
        /// Returns spans of a thread that owns none.
        pub(super) fn new() -> Self {
            Self {
                active: [const { Cell::new(None) }; COUNT],
                partial: [const { SpanList::new() }; COUNT],
                full: [const { SpanList::new() }; COUNT],
                taken: [const { Cell::new(0) }; COUNT],
                store: Store::new(),
            }
        }
    }

    /// Returns the tag of an owned span that has room (SPANS-1).
    #[inline(always)]
    fn tag(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// Whether this thread owns `span` and has it on no full list.
    #[inline(always)]
    pub(super) fn owns_with_room(&self, span: &MSpan) -> bool {
        span.owner.load(Relaxed) == self.tag()
    }

    /// Whether this thread owns `span` and has it on a full list.
    pub(super) fn owns_full(&self, span: &MSpan) -> bool {
        span.owner.load(Relaxed) == self.tag() | FULL
    }

    /// Returns the span that the bin of `class` is refilled from.
    pub(super) fn active(&self, class: SizeClass) -> Option<&'static MSpan> {
        of_class(&self.active, class).get()
    }

    pub(super) fn is_active(&self, class: SizeClass, span: &MSpan) -> bool {
        self.active(class).is_some_and(|active| core::ptr::eq(active, span))
    }

    /// Whether `span` is the only one on its partial list.
    pub(super) fn is_only_partial(&self, class: SizeClass, span: &MSpan) -> bool {
        let partial = of_class(&self.partial, class);
        partial
            .first()
            .is_some_and(|first| core::ptr::eq(first, span) && partial.after(span).is_none())
    }

    /// Makes an owned span, or one that the caller has just claimed, the active one. It stands on
    /// no list.
    pub(super) fn activate(&self, class: SizeClass, span: &'static MSpan) {
        span.owner.store(self.tag(), Relaxed);
        of_class(&self.active, class).set(Some(span));
    }

    /// Moves the active span, which has no object left, to the full list.
    pub(super) fn retire_active(&self, class: SizeClass, span: &'static MSpan) {
        of_class(&self.active, class).set(None);
        self.put_full(class, span);
    }

    /// Puts the active span on the partial or the full list.
    pub(super) fn deactivate(&self, class: SizeClass) {
        if let Some(span) = of_class(&self.active, class).take() {
            if span.has_room() {
                of_class(&self.partial, class).push(span);
            } else {
                self.put_full(class, span);
            }
        }
    }

    fn put_full(&self, class: SizeClass, span: &'static MSpan) {
        span.owner.store(self.tag() | FULL, Relaxed);
        of_class(&self.full, class).push(span);
    }

    fn put_partial(&self, class: SizeClass, span: &'static MSpan) {
        span.owner.store(self.tag(), Relaxed);
        of_class(&self.partial, class).push_back(span);
    }

    /// Puts a span that the thread has just claimed, and that stands on no list, on one.
    pub(super) fn adopt(&self, class: SizeClass, span: &'static MSpan) {
        if span.has_room() {
            self.put_partial(class, span);
        } else {
            self.put_full(class, span);
        }
    }

    /// Moves an owned span from the full list to the partial one.
    pub(super) fn unfull(&self, class: SizeClass, span: &'static MSpan) {
        of_class(&self.full, class).remove(span);
        self.put_partial(class, span);
    }

    /// Takes the partial span that was longest out of use.
    pub(super) fn pop_partial(&self, class: SizeClass) -> Option<&'static MSpan> {
        of_class(&self.partial, class).pop()
    }

    /// Takes any span but the active one.
    pub(super) fn pop_any(&self, class: SizeClass) -> Option<&'static MSpan> {
        of_class(&self.partial, class)
            .pop()
            .or_else(|| of_class(&self.full, class).pop())
    }

    /// Takes an owned span, the active one or a partial one, off its place: the thread gives it up.
    pub(super) fn detach(&self, class: SizeClass, span: &'static MSpan) {
        if self.is_active(class, span) {
            of_class(&self.active, class).set(None);
        } else {
            of_class(&self.partial, class).remove(span);
        }
        span.owner.store(0, Relaxed);
    }

    /// Calls `end` with each of the first `most` partial spans that has no live object. `end` may
    /// detach it.
    pub(super) fn for_each_empty(&self, class: SizeClass, most: usize, end: impl Fn(&'static MSpan)) {
        let partial = of_class(&self.partial, class);
        let (mut next, mut left) = (partial.first(), most);
        while let Some(span) = next.filter(|_| left > 0) {
            (next, left) = (partial.after(span), left - 1);
            if span.live() == 0 {
                end(span);
            }
        }
    }

    /// Makes another owned span active, if the active one has untouched objects only and the other
    /// has free objects: memory that the program has used before comes first.
    pub(super) fn prefer_used(&self, class: SizeClass) {
        let Some(span) = self.active(class).filter(|span| span.zeroed() && !span.has_free()) else {
            return;
        };
        let partial = of_class(&self.partial, class);
        let Some(used) = partial.first().filter(|used| used.has_free()) else {
            return;
        };
        partial.remove(used);
        partial.push_back(span);
        self.activate(class, used);
    }

    /// Takes a zeroed object of `class` from memory that was never touched. Returns null if the
    /// active span has none, or has free objects.
    pub(super) fn take_untouched(&self, class: SizeClass) -> *mut u8 {
        match self.active(class) {
            Some(span) if !span.has_free() => span.carve_zeroed(),
            _ => null_mut(),
        }
    }

    /// Returns how many new spans of `class` the thread took since it last left the class.
    pub(super) fn taken(&self, class: SizeClass) -> u8 {
        of_class(&self.taken, class).get()
    }

    pub(super) fn note_taken(&self, class: SizeClass) {
        let taken = of_class(&self.taken, class);
        taken.set(taken.get().saturating_add(1));
    }

    /// Resets that number: the thread has left `class` behind.
    pub(super) fn forget_taken(&self, class: SizeClass) {
        of_class(&self.taken, class).set(0);
    }

    /// Joins a remote list to a span that this thread owns by its word, perhaps only since it took
    /// the list. Returns whether the thread has claimed the span just now, so that it stood on no
    /// list of a thread.
    pub(super) fn join(&self, class: SizeClass, span: &'static MSpan, taken: Taken) -> bool {
        span.absorb(taken);
        if self.owns_with_room(span) {
            return false;
        }
        if !self.owns_full(span) {
            return true;
        }
        if span.has_room() {
            self.unfull(class, span);
        }
        false
    }
}

/// Takes the remote list of a span whose own list is empty.
pub(super) fn fetch_remote(span: &MSpan) {
    if !span.has_free() {
        span.absorb(span.word.take());
    }
}

/// Takes one object of the span. Returns null if it has none.
pub(super) fn take_one(span: &MSpan) -> *mut Block {
    fetch_remote(span);
    let mut object = null_mut();
    if span.has_free() {
        span.take_free(1, |free| object = free);
        if CHECKED && !span.is_free_object(object) {
            span.report_link(object);
        }
    } else {
        object = span.carve(1).0.cast();
    }
    object
}

/// Pages of the longest span of small objects.
const LONGEST: usize = {
    let (mut class, mut longest) = (0, 0);
    while class < COUNT {
        let pages = SizeClass::from_number(class).span_pages();
        longest = if pages > longest { pages } else { longest };
        class += 1;
    }
    longest
};

/// The empty spans that a thread keeps for reuse, by their length.
///
/// They keep their records, page map entries and (dirty) pages, so reuse costs a few loads and
/// stores. The store has a bound in bytes. Spans beyond it go to the page heap.
pub(super) struct Store {
    /// By pages.
    spares: [SpanList; LONGEST + 1],
    /// Other threads read it for the statistics. It orders nothing, so it is relaxed throughout.
    spare_bytes: AtomicUsize,
}

impl Store {
    crate::sync::const_unless_loom! {
        /// Returns a store that keeps nothing.
        pub(super) fn new() -> Self {
            Self {
                spares: [const { SpanList::new() }; LONGEST + 1],
                spare_bytes: AtomicUsize::new(0),
            }
        }
    }

    /// Keeps an empty span that no thread owns. `false`: there is no room.
    pub(super) fn put_spare(&self, span: &'static MSpan) -> bool {
        let bytes = self.bytes() + span.pages() * PAGE;
        match self.spares.get(span.pages()) {
            Some(list) if bytes <= SPARE_BYTES => {
                list.push(span);
                self.spare_bytes.store(bytes, Relaxed);
                true
            }
            _ => false,
        }
    }

    /// Takes an empty span of `pages` pages for `class`. Prefers one that was of the class before,
    /// if it is among the last few kept.
    pub(super) fn take_spare(&self, class: SizeClass, pages: usize) -> Option<&'static MSpan> {
        let list = self.spares.get(pages)?;
        let of_class = core::iter::successors(list.first(), |span| list.after(span))
            .take(4)
            .find(|span| span.class() == Some(class));
        let span = match of_class {
            Some(span) => {
                list.remove(span);
                span
            }
            None => list.pop()?,
        };
        self.note_gone(span);
        Some(span)
    }

    /// Takes everything out, one by one.
    pub(super) fn drain(&self) -> impl Iterator<Item = &'static MSpan> {
        let spares = self.spares.iter();
        spares
            .flat_map(|list| core::iter::from_fn(|| list.pop()))
            .inspect(|span| self.note_gone(span))
    }

    fn note_gone(&self, span: &MSpan) {
        self.spare_bytes.store(self.bytes() - span.pages() * PAGE, Relaxed);
    }

    /// Returns the bytes of all spans kept. Any thread may ask.
    pub(super) fn bytes(&self) -> usize {
        self.spare_bytes.load(Relaxed)
    }
}

#[cfg(test)]
#[path = "spans_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "store_tests.rs"]
mod store_tests;
