//! The central lists: for each size class, the spans that nobody owns and that have room.
//!
//! A span comes here when its owner exits or goes idle, or when a thread frees into a span that nobody owns and does not keep it.
//! A span whose objects are all in use and that nobody owns stands on no list: the first thread that frees into it claims it.
//! Empty spans of threads that end rest here for a while, so that threads that come and go use the same pages again and again: by way of the
//! page heap other classes would get them, and in time touch every page that any class ever had.
//!
//! - C1. A span is on the list of its class exactly when it was put there and not yet taken off, all under the class's lock; `listed`
//!   in its ownership word says that it was put there, and the thread that takes the ownership with that flag takes it off.
//! - C2. The lock is held from giving up the ownership to the listing, so whoever claims meanwhile finds the span listed once it has
//!   the lock.
//! - C3. A resting span is empty, free and nobody's: no word names it, and no thread can reach it but through the list.
//! - C4. Lock order: a class's lock comes before the page heap's. No two classes' locks are held together, except around `fork`.

use crate::base::geometry::PAGE;
use crate::mspan::{MSpan, OwnerId, SpanList, Taken};
use crate::sync::CachePadded;
use crate::sync::lock::{Lock, Patience};
use core::cell::Cell;

/// Lists by how full a span is, in quarters; fuller ones are given out first, so that the emptier ones drain.
const FULLNESS: usize = 4;

/// Bytes of spans of a class that rest, beyond which none comes to rest.
const REST_BYTES: usize = 256 << 10;

/// The unowned spans of one size class.
pub(crate) struct MCentral {
    lists: CachePadded<Lock<Lists>>,
}

struct Lists {
    by_fullness: [SpanList; FULLNESS],
    resting: SpanList,
    resting_bytes: Cell<usize>,
}

fn shelf(span: &MSpan) -> usize {
    (span.live() as usize * FULLNESS / (span.objects() as usize + 1)).min(FULLNESS - 1)
}

impl Lists {
    fn list(&self, shelf: usize) -> &SpanList {
        #[expect(clippy::indexing_slicing, reason = "the index is clipped to the array's length")]
        &self.by_fullness[shelf.min(FULLNESS - 1)]
    }
}

impl MCentral {
    crate::sync::const_unless_loom! {
        /// Holds no span.
        pub(crate) fn new() -> Self {
            Self { lists: CachePadded(Lock::new(Lists {
                by_fullness: crate::sync::array_of!(SpanList::new(); FULLNESS),
                resting: SpanList::new(),
                resting_bytes: Cell::new(0),
            })) }
        }
    }

    /// The owner `me` gives up a span that has room and whose remote list it took. `false`: blocks have come meanwhile.
    pub(crate) fn put(&self, span: &'static MSpan, me: OwnerId) -> bool {
        if cfg!(greyspan_broken = "listed_after_release") && !span.word.abandon(me, true) {
            return false;
        }
        let lists = self.lists.lock();
        let shelf = shelf(span);
        // The shelf is read by whoever takes the span off, after it has claimed it; so it is written before the word is released.
        span.set_shelf(shelf as u8);
        if !cfg!(greyspan_broken = "listed_after_release") && !span.word.abandon(me, true) {
            span.set_shelf(MSpan::NO_SHELF);
            return false;
        }
        lists.list(shelf).push(span);
        true
    }

    /// A span with room, claimed for `me`, with its remote list; the fullest there is, roughly.
    pub(crate) fn take(&self, me: OwnerId) -> Option<(&'static MSpan, Taken)> {
        let lists = self.lists.lock();
        for shelf in (0..FULLNESS).rev() {
            while let Some(span) = lists.list(shelf).pop() {
                span.set_shelf(MSpan::NO_SHELF);
                // A span that a freeing thread claimed first is that thread's: it finds it off the list.
                if let Some(taken) = span.word.claim(me) {
                    return Some((span, taken));
                }
            }
        }
        None
    }

    /// Keeps an empty span that was retired, in the class's shape still. `false`: enough of them rest here already.
    pub(crate) fn rest(&self, span: &'static MSpan) -> bool {
        let lists = self.lists.lock();
        let bytes = lists.resting_bytes.get();
        if bytes >= REST_BYTES {
            return false;
        }
        lists.resting.push(span);
        lists.resting_bytes.set(bytes + span.pages() * PAGE);
        true
    }

    /// A resting span, if there is one: that which came last. It is the caller's alone.
    pub(crate) fn take_resting(&self) -> Option<&'static MSpan> {
        let lists = self.lists.lock();
        let span = lists.resting.pop()?;
        lists.resting_bytes.set(lists.resting_bytes.get() - span.pages() * PAGE);
        Some(span)
    }

    /// Takes a span off the list that its new owner claimed while it was listed, unless `take` did so already.
    pub(crate) fn remove(&self, span: &'static MSpan) {
        let lists = self.lists.lock();
        let shelf = span.shelf();
        if shelf != MSpan::NO_SHELF {
            lists.list(shelf as usize).remove(span);
            span.set_shelf(MSpan::NO_SHELF);
        }
    }

    /// Before `fork`: holds the lock.
    pub(crate) fn before_fork(&self, patience: &mut Patience) {
        self.lists.hold_for_fork(patience);
    }

    /// After `fork`, in the parent, or in a child that gives back what a fork around its own took.
    ///
    /// # Safety
    /// The caller is in the thread that forks, and has its turn.
    pub(crate) unsafe fn after_fork_in_parent(&self) {
        // SAFETY: as the caller promised; nothing of the value is in use.
        unsafe { self.lists.release_after_fork() };
    }

    /// After `fork`, in the child; the thread keeps the lock for a fork around this one, or it is
    /// free.
    ///
    /// # Safety
    /// The caller is the child's only thread, and its parent called `before_fork`.
    pub(crate) unsafe fn after_fork_in_child(&self, keep: bool) {
        // SAFETY: as the caller promised.
        unsafe { self.lists.reset_in_child(keep) };
    }
}
