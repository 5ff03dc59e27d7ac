//! An intrusive stack. Many threads push to it, one thread takes it whole, and it can be closed.
//!
//! - STACK-1. An item is on at most one stack at a time. The thread that pushes an item has the
//!   right to its link until the item is taken.
//! - STACK-2. Items are taken all at once, so there is no ABA problem.
//! - STACK-3. `CLOSED` is an address that no item has. A closed stack holds no item.

use super::atomic::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use super::const_unless_loom;
use core::ptr::{null_mut, without_provenance_mut};

/// An item with room for the stack's link.
pub(crate) trait Linked: Sized + 'static {
    /// Returns the link.
    fn link(&self) -> &AtomicPtr<Self>;
}

/// The stack.
pub(crate) struct Inbox<T: Linked> {
    head: AtomicPtr<T>,
}

const CLOSED: usize = 1;

#[inline(always)]
fn push_order() -> super::atomic::Ordering {
    if super::broken!("inbox_push_relaxed") {
        Relaxed
    } else {
        Release
    }
}

fn is_closed<T>(head: *mut T) -> bool {
    head.addr() == CLOSED
}

impl<T: Linked> Inbox<T> {
    const_unless_loom! {
        /// Returns an open, empty stack.
        pub(crate) fn new() -> Self {
            Self { head: AtomicPtr::new(null_mut()) }
        }
    }

    /// Pushes `item`. `false`: the stack is closed, and nothing changed.
    pub(crate) fn push(&self, item: &'static T) -> bool {
        let node = core::ptr::from_ref(item).cast_mut();
        let mut head = self.head.load(Relaxed);
        loop {
            if is_closed(head) {
                return false;
            }
            item.link().store(head, Relaxed);
            // Release: pairs with the Acquire in `take_all` and `close`, for the link and all
            // earlier writes of this thread.
            match self.head.compare_exchange_weak(head, node, push_order(), Relaxed) {
                Ok(_) => return true,
                Err(now) => head = now,
            }
        }
    }

    /// Takes all items. A closed stack stays closed and yields none.
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

    /// Closes the stack and takes all items.
    pub(crate) fn close(&self) -> Chain<T> {
        // Acquire: pairs with the Release in `push`. Release: orders the close before the caller's
        // work on the items.
        let head = self.head.swap(without_provenance_mut(CLOSED), AcqRel);
        Chain(if is_closed(head) { null_mut() } else { head })
    }

    /// Opens a closed stack.
    pub(crate) fn reopen(&self) {
        // Relaxed: the first push orders itself.
        self.head.store(null_mut(), Relaxed);
    }

    /// Returns whether the stack holds no item, as of some moment.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let head = self.head.load(Relaxed);
        head.is_null() || is_closed(head)
    }
}

/// Items taken off a stack, the last pushed first.
pub(crate) struct Chain<T: Linked>(*mut T);

// SAFETY: the chain owns the items' links (STACK-1), and hands out shared references to the items.
unsafe impl<T: Linked + Sync> Send for Chain<T> {}

impl<T: Linked> Chain<T> {
    /// Returns a chain without items.
    pub(crate) const fn empty() -> Self {
        Self(null_mut())
    }
}

impl<T: Linked> Iterator for Chain<T> {
    type Item = &'static T;
    fn next(&mut self) -> Option<&'static T> {
        // SAFETY: null, or made from a `&'static T` in `push`.
        let item = unsafe { self.0.as_ref() }?;
        // The link is read before the item is handed out: its next holder may push it elsewhere.
        self.0 = item.link().load(Relaxed);
        Some(item)
    }
}
