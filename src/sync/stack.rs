//! [`Inbox`]: a lock-free intrusive stack that many threads push on, one thread empties, and that can be closed.
//!
//! - Owns: the head word and, while an item is in the inbox, the item's link.
//! - Callers: whoever sends records between threads. Items are `'static`: records live in memory that is never
//!   unmapped.
//! - Locks and ordering: none; a push is one Release CAS that pairs with the Acquire of `take_all` and `close`.
//!
//! ```text
//!   push(b):    b.link = head          head ──► b ──► a ──► null      open, two items (newest first)
//!               head   = b  (CAS)      head ──► null                  open, empty
//!                                      head ──► CLOSED                closed: push refuses
//! ```
//!
//! Invariants:
//! 1. The head is null, `CLOSED`, or points to an item that was pushed and not yet taken; each such item's link is null
//!    or points to the item pushed before it. `CLOSED` is never in a link and never dereferenced.
//! 2. An item is in at most one inbox, once, and only the inbox writes its link while it is there (the pusher's
//!    promise).
//! 3. Only `close` turns the head into `CLOSED` and only `reopen` turns it back.

use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::ptr;

use super::atomic::{AtomicPtr, Ordering};
use super::const_unless_loom;

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;

/// A record that can stand in an [`Inbox`].
///
/// The contract that implementations keep: `link` always returns the same field of `self`, a field that starts null and
/// that nobody writes but [`Inbox`] (invariant 2).
pub(crate) trait Linked: Sized + 'static {
    /// The field that holds the next item.
    fn link(&self) -> &AtomicPtr<Self>;
}

/// The order of the CAS that publishes a pushed item.
const PUBLISH: Ordering = if cfg!(greyspan_broken = "inbox_push_relaxed") {
    Ordering::Relaxed
} else {
    Ordering::Release
};

/// A stack of `&'static T`: many producers, one consumer.
pub(crate) struct Inbox<T: Linked> {
    head: AtomicPtr<T>,
    /// What passes between threads, so that the inbox is `Send` and `Sync` only where `&T` is `Send`.
    items: PhantomData<&'static T>,
}

impl<T: Linked> Inbox<T> {
    /// The head of a closed inbox. No object lies there: it would have to end beyond the address space.
    const CLOSED: *mut T = {
        assert!(size_of::<T>() >= size_of::<*mut T>(), "an item holds its own link");
        ptr::without_provenance_mut(usize::MAX)
    };

    const_unless_loom! {
        /// An open and empty inbox.
        pub(crate) const fn new() -> Self {
            Self { head: AtomicPtr::new(ptr::null_mut()), items: PhantomData }
        }
    }

    /// Puts `item` in. False if the inbox is closed: the item was not pushed and its link is as it was or stale.
    ///
    /// The item must be in no inbox (invariant 2).
    #[inline]
    pub(crate) fn push(&self, item: &'static T) -> bool {
        // Acquire, here and on failure: pairs with the Release of `close`, so that who is refused sees what the closer
        // did before.
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            if head == Self::CLOSED {
                return false;
            }
            item.link().store(head, Ordering::Relaxed);
            let new = ptr::from_ref(item).cast_mut();
            // Release: pairs with the Acquire of `take_all` and `close`; it publishes the item and its link. A later
            // push by another thread continues the release sequence, so one Acquire of the head covers all items.
            match self.head.compare_exchange_weak(head, new, PUBLISH, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => head = now,
            }
        }
    }

    /// Takes everything out and leaves the inbox empty and open. A closed inbox stays closed and yields nothing.
    pub(crate) fn take_all(&self) -> Chain<T> {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head.is_null() || head == Self::CLOSED {
                return Chain { next: ptr::null_mut() };
            }
            // Acquire: pairs with the Release of `push`. A CAS, not a swap: a swap could open an inbox that another
            // thread closes between the test above and the swap (invariant 3).
            match self
                .head
                .compare_exchange_weak(head, ptr::null_mut(), Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return Chain { next: head },
                Err(now) => head = now,
            }
        }
    }

    /// Closes the inbox and yields what was in it; nothing if it was closed already.
    pub(crate) fn close(&self) -> Chain<T> {
        // Acquire: pairs with the Release of `push`. Release: pairs with the Acquire of a push that is refused.
        let head = self.head.swap(Self::CLOSED, Ordering::AcqRel);
        Chain {
            next: if head == Self::CLOSED { ptr::null_mut() } else { head },
        }
    }

    /// Opens a closed inbox, empty. An open one is left as it is.
    pub(crate) fn reopen(&self) {
        // Release: pairs with the Acquire load of `push`, so that who pushes into the reopened inbox sees what was done
        // while it was closed.
        let _ = self
            .head
            .compare_exchange(Self::CLOSED, ptr::null_mut(), Ordering::Release, Ordering::Relaxed);
    }

    /// Whether there is nothing to take, as of a moment ago; a closed inbox counts as empty.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        head.is_null() || head == Self::CLOSED
    }
}

/// Items that were taken out of an [`Inbox`], newest first. Dropping it forgets those not yet yielded.
#[must_use = "the items are out of the inbox and only this chain still knows them"]
pub(crate) struct Chain<T: Linked> {
    /// Null, or an item of the chain whose link leads to the rest (invariant 1 of the module, `CLOSED` excluded).
    next: *mut T,
}

// SAFETY: a chain is a list of `&'static T`, and those may move between threads where `T: Sync`.
unsafe impl<T: Linked + Sync> Send for Chain<T> {}

impl<T: Linked> Iterator for Chain<T> {
    type Item = &'static T;

    fn next(&mut self) -> Option<&'static T> {
        if self.next.is_null() {
            return None;
        }
        // SAFETY: a non-null `next` was made from a `&'static T` by `push` (invariant 1), so it is valid for ever, and
        // the Acquire that made this chain ordered the pusher's writes before this read.
        let item: &'static T = unsafe { &*self.next };
        // Before the item is yielded: from then on the consumer may push it again, and its link is another inbox's.
        self.next = item.link().load(Ordering::Relaxed);
        Some(item)
    }
}

impl<T: Linked> FusedIterator for Chain<T> {}
