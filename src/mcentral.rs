//! The central lists: per size class, the unowned spans that have room.
//!
//! - A span with room comes here when its owner exits, goes idle, or is parked.
//! - An unowned span whose objects are all in use is on no list. The first thread that frees into
//!   it claims it and keeps it.
//! - Empty spans rest here for a while: those of threads that end or go idle, and those for which a
//!   thread's store has no room. So short-lived threads reuse the same pages. Through the page
//!   heap, other classes would get the spans. In time each class would touch every page that any
//!   class ever had.
//!
//! A listed span has an *age*. It is `NEW` until a look of the keeper finds it, then `COLD`. At a
//! later look, the keeper takes a cold span, gives back the pages without live objects
//! (`mspan::holes`), and lists it again as `DONE`, behind the others. A thread that takes the span
//! makes it `NEW`.
//!
//! Rules:
//!
//! - CENTRAL-1. A span is on its class's list from its listing to its removal; both happen under
//!   the class's lock. `listed` in the ownership word says that the span was listed. The thread
//!   that takes the ownership with that flag removes the span from the list.
//! - CENTRAL-2. The lock is held from the release of the ownership to the listing. So a thread that
//!   claims the span in between finds it listed once it has the lock.
//! - CENTRAL-3. A resting span is empty, free and unowned. Threads reach it only through the list.
//! - CENTRAL-4. Lock order: a class's lock comes before the page heap's. No thread holds two
//!   classes' locks, except around `fork`.

use crate::base::geometry::PAGE;
use crate::mspan::{MSpan, OwnerId, SpanList, Taken};
use crate::sync::CachePadded;
use crate::sync::lock::{Lock, Patience};
use core::cell::Cell;

/// The number of lists, one per quarter of fullness. Fuller spans are given out first, so that
/// emptier ones drain.
const FULLNESS: usize = 4;

/// If the resting spans of a class have this many bytes, no further span comes to rest.
const REST_BYTES: usize = 256 << 10;

/// Ages of a listed span: it was listed since the last look for cold spans; one look found it; the
/// keeper has taken and listed it again, and will not again.
const NEW: u8 = 0;
const COLD: u8 = 1;
const DONE: u8 = 2;
/// Spans that one search for a cold one passes over at most.
const STEPS: usize = 256;

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
        /// Returns lists without spans.
        pub(crate) fn new() -> Self {
            Self { lists: CachePadded(Lock::new(Lists {
                by_fullness: crate::sync::array_of!(SpanList::new(); FULLNESS),
                resting: SpanList::new(),
                resting_bytes: Cell::new(0),
            })) }
        }
    }

    /// Lists a span with room that its owner `me` gives up; `me` has taken its remote list.
    /// `false`: blocks have come meanwhile, and the span is still owned.
    pub(crate) fn put(&self, span: &'static MSpan, me: OwnerId) -> bool {
        if crate::sync::broken!("listed_after_release") && !span.word.abandon(me, true) {
            return false;
        }
        let lists = self.lists.lock();
        let shelf = shelf(span);
        // The thread that claims the span reads the shelf to take it off its list. So the shelf is
        // written before the word is released.
        span.set_shelf(shelf as u8);
        if !crate::sync::broken!("listed_after_release") && !span.word.abandon(me, true) {
            span.set_shelf(MSpan::NO_SHELF);
            return false;
        }
        if span.age() == DONE {
            // Taken last: it may have holes.
            lists.list(shelf).push_back(span);
        } else {
            lists.list(shelf).push(span);
        }
        true
    }

    /// Claims a span with room for `me` that no thread has wanted for a while, for the keeper, who
    /// gives it up again. `aged`: at the last look, it lay here already.
    pub(crate) fn take_cold(&self, me: OwnerId, aged: bool) -> Option<(&'static MSpan, Taken)> {
        let lists = self.lists.lock();
        // The lock is held meanwhile, so a search has a bound. The next look goes on.
        let mut steps = 0;
        for list in &lists.by_fullness {
            let mut next = list.first();
            // Those that are done lie at the end.
            while let Some(span) = next.filter(|span| span.age() != DONE && steps < STEPS) {
                next = list.after(span);
                if aged && span.age() != COLD {
                    steps += 1;
                    continue;
                }
                list.remove(span);
                span.set_shelf(MSpan::NO_SHELF);
                span.set_age(NEW);
                if let Some(taken) = span.word.claim(me) {
                    span.set_age(DONE);
                    return Some((span, taken));
                }
            }
        }
        None
    }

    /// Notes that a look has found the spans that are listed now.
    pub(crate) fn grow_old(&self) {
        let lists = self.lists.lock();
        for list in &lists.by_fullness {
            let mut next = list.first();
            while let Some(span) = next.filter(|span| span.age() != DONE) {
                next = list.after(span);
                span.set_age(COLD);
            }
        }
    }

    /// Claims a span with room for `me`, roughly the fullest. Returns it with its remote list.
    pub(crate) fn take(&self, me: OwnerId) -> Option<(&'static MSpan, Taken)> {
        let lists = self.lists.lock();
        for shelf in (0..FULLNESS).rev() {
            while let Some(span) = lists.list(shelf).pop() {
                span.set_shelf(MSpan::NO_SHELF);
                span.set_age(NEW);
                // If a freeing thread claimed the span first, that thread will find it off the
                // list.
                if let Some(taken) = span.word.claim(me) {
                    return Some((span, taken));
                }
            }
        }
        None
    }

    /// Keeps an empty, retired span, still cut for its class. `false`: enough spans of the class
    /// rest already.
    pub(crate) fn rest(&self, span: &'static MSpan) -> bool {
        let lists = self.lists.lock();
        let bytes = lists.resting_bytes.get();
        span.set_age(NEW);
        if bytes >= REST_BYTES {
            return false;
        }
        lists.resting.push(span);
        lists.resting_bytes.set(bytes + span.pages() * PAGE);
        true
    }

    /// Takes the resting span that came last, if there is one. It is the caller's alone.
    pub(crate) fn take_resting(&self) -> Option<&'static MSpan> {
        let lists = self.lists.lock();
        let span = lists.resting.pop()?;
        lists.resting_bytes.set(lists.resting_bytes.get() - span.pages() * PAGE);
        Some(span)
    }

    /// Takes a span off its list, for the new owner that claimed it while it was listed. Does
    /// nothing if `take` removed it first.
    pub(crate) fn remove(&self, span: &'static MSpan) {
        let lists = self.lists.lock();
        let shelf = span.shelf();
        if shelf != MSpan::NO_SHELF {
            lists.list(shelf as usize).remove(span);
            span.set_shelf(MSpan::NO_SHELF);
            span.set_age(NEW);
        }
    }

    /// Holds the lock. To be called before `fork`.
    pub(crate) fn before_fork(&self, patience: &mut Patience) {
        self.lists.hold_for_fork(patience);
    }

    /// Releases the lock after `fork`: in the parent, or in a child that releases the locks of an
    /// outer fork.
    ///
    /// # Safety
    /// The caller is the thread that forks, and has the turn.
    pub(crate) unsafe fn after_fork_in_parent(&self) {
        // SAFETY: the caller has the turn (contract of this function), and no code uses the lists.
        unsafe { self.lists.release_after_fork() };
    }

    /// Resets the lock in the child after `fork`. `keep`: the thread keeps the lock for a fork
    /// around this one; otherwise the lock is free.
    ///
    /// # Safety
    /// The caller is the child's only thread, and its parent called `before_fork`.
    pub(crate) unsafe fn after_fork_in_child(&self, keep: bool) {
        // SAFETY: the caller is the child's only thread, and the parent held this lock around the
        // fork.
        unsafe { self.lists.reset_in_child(keep) };
    }
}

#[cfg(all(test, not(greyspan_loom)))]
mod tests;
