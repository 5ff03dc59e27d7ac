//! The tiers below the thread caches: central lists, page heap, mailboxes, and resting spans.
//!
//! One value belongs to a heap, and all threads share it. An empty span that no thread keeps rests
//! with its class for a while before its pages return to the page heap. A thread that needs a span
//! of that class takes it at once.
//!
//! - TIERS-1. `resting` is never below the bytes of the spans that rest.

mod room;

use crate::base::geometry::PAGE;
use crate::mcentral::MCentral;
use crate::mheap::MHeap;
use crate::mspan::MSpan;
use crate::os::Os;
use crate::remote::Directory;
use crate::size_class::{COUNT, SizeClass};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
pub(crate) use room::Room;

/// Milliseconds that an empty span rests with its class.
const REST_MILLIS: u64 = 500;

/// Returns the entry of `class` in an array that has one per class.
#[inline(always)]
pub(crate) fn of_class<T>(array: &[T; COUNT], class: SizeClass) -> &T {
    // SAFETY: a class's index is below COUNT (SIZE-1).
    unsafe { array.get_unchecked(class.index()) }
}

/// Everything below the thread caches.
pub(crate) struct Tiers {
    pub(crate) mheap: MHeap,
    pub(crate) central: [MCentral; COUNT],
    pub(crate) directory: Directory,
    /// Grows when the program asks for all memory back. Each cache then trims itself at its next
    /// refill.
    pub(crate) purges: AtomicUsize,
    /// Room for free medium and large objects in the thread caches.
    pub(crate) room: Room,
    /// Bytes of the spans that rest with their classes.
    resting: AtomicUsize,
    /// When resting spans last went to the page heap, in coarse milliseconds.
    rest_ended: AtomicU64,
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
                room: Room::new(),
                resting: AtomicUsize::new(0),
                rest_ended: AtomicU64::new(0),
            }
        }
    }

    /// Returns the central lists of `class`.
    pub(crate) fn central(&self, class: SizeClass) -> &MCentral {
        of_class(&self.central, class)
    }

    /// Lets an empty, retired span rest with its class, or gives it to the page heap.
    pub(crate) fn rest(&self, class: SizeClass, span: &'static MSpan) {
        let bytes = span.pages() * PAGE;
        // TIERS-1. Relaxed: a count that guards no memory.
        self.resting.fetch_add(bytes, Relaxed);
        if !self.mheap.keeps_free_pages() || !self.central(class).rest(span) {
            self.resting.fetch_sub(bytes, Relaxed);
            self.mheap.give(span);
        }
    }

    /// Takes a span that rests with `class`, if there is one.
    pub(crate) fn take_resting(&self, class: SizeClass) -> Option<&'static MSpan> {
        let span = self.central(class).take_resting()?;
        self.resting.fetch_sub(span.pages() * PAGE, Relaxed);
        Some(span)
    }

    /// Gives all resting spans to the page heap, if they have as many bytes as it is about to grow
    /// by.
    pub(crate) fn end_rest_for(&self, bytes: usize) {
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

    /// Gives resting spans to the page heap, once in each `REST_MILLIS`. From there they reach
    /// other classes, and in time the system.
    pub(crate) fn end_long_rest(&self) {
        let now = crate::os::coarse_millis();
        let last = self.rest_ended.load(Relaxed);
        if now.saturating_sub(last) < REST_MILLIS {
            return;
        }
        // One thread does it. Relaxed: the lists have locks.
        if self.rest_ended.compare_exchange(last, now, Relaxed, Relaxed).is_ok() {
            self.end_rest();
        }
    }
}

#[cfg(all(test, not(greyspan_loom)))]
mod tests;
