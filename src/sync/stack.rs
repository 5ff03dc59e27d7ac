//! An intrusive stack that many threads push to and one takes whole, and that can be closed.
//!
//! - S1. An item is on at most one stack at a time; who pushes it has the right to its link until it is taken.
//! - S2. Items are taken all at once, so there is no ABA.
//! - S3. `CLOSED` is an address that no item has; a closed stack holds nothing.

use super::atomic::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use super::const_unless_loom;
use core::ptr::{null_mut, without_provenance_mut};

/// An item with room for the stack's link.
pub(crate) trait Linked: Sized + 'static {
    /// The link.
    fn link(&self) -> &AtomicPtr<Self>;
}

/// The stack.
pub(crate) struct Inbox<T: Linked> {
    head: AtomicPtr<T>,
}

const CLOSED: usize = 1;

const PUSH: super::atomic::Ordering = if cfg!(greyspan_broken = "inbox_push_relaxed") {
    Relaxed
} else {
    Release
};

fn is_closed<T>(head: *mut T) -> bool {
    head.addr() == CLOSED
}

impl<T: Linked> Inbox<T> {
    const_unless_loom! {
        /// Open and empty.
        pub(crate) fn new() -> Self {
            Self { head: AtomicPtr::new(null_mut()) }
        }
    }

    /// Pushes `item`. `false`: the stack is closed, nothing was done.
    pub(crate) fn push(&self, item: &'static T) -> bool {
        let node = core::ptr::from_ref(item).cast_mut();
        let mut head = self.head.load(Relaxed);
        loop {
            if is_closed(head) {
                return false;
            }
            item.link().store(head, Relaxed);
            // Release: pairs with the Acquire in `take_all` and `close`, for the link and all that the pusher did before.
            match self.head.compare_exchange_weak(head, node, PUSH, Relaxed) {
                Ok(_) => return true,
                Err(now) => head = now,
            }
        }
    }

    /// Takes everything; a closed stack stays closed and yields nothing.
    pub(crate) fn take_all(&self) -> Chain<T> {
        let mut head = self.head.load(Relaxed);
        while !head.is_null() && !is_closed(head) {
            // Acquire: pairs with the Release in `push`.
            match self.head.compare_exchange_weak(head, null_mut(), Acquire, Relaxed) {
                Ok(_) => return Chain(head),
                Err(now) => head = now,
            }
        }
        Chain(null_mut())
    }

    /// Closes the stack and takes everything.
    pub(crate) fn close(&self) -> Chain<T> {
        // Acquire: pairs with the Release in `push`. Release: orders the close before what its caller does to the items.
        let head = self.head.swap(without_provenance_mut(CLOSED), AcqRel);
        Chain(if is_closed(head) { null_mut() } else { head })
    }

    /// Opens a closed stack.
    pub(crate) fn reopen(&self) {
        // Relaxed: the first push orders itself.
        self.head.store(null_mut(), Relaxed);
    }

    /// Whether there is nothing to take, as of some moment.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let head = self.head.load(Relaxed);
        head.is_null() || is_closed(head)
    }
}

/// Items that were taken, the last pushed first.
pub(crate) struct Chain<T: Linked>(*mut T);

// SAFETY: the chain owns the items' links (S1), and hands out shared references to the items.
unsafe impl<T: Linked + Sync> Send for Chain<T> {}

impl<T: Linked> Chain<T> {
    /// Without an item.
    #[cfg(feature = "gc")]
    pub(crate) const fn empty() -> Self {
        Self(null_mut())
    }
}

impl<T: Linked> Iterator for Chain<T> {
    type Item = &'static T;
    fn next(&mut self) -> Option<&'static T> {
        // SAFETY: null, or made from a `&'static T` in `push`.
        let item = unsafe { self.0.as_ref() }?;
        // Read before the item is handed out: its next holder may push it elsewhere.
        self.0 = item.link().load(Relaxed);
        Some(item)
    }
}
