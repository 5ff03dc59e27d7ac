//! Intrusive doubly linked lists of records that live for ever.
//!
//! Records are type-stable: they are never returned to the system, so a `&'static` to one stays
//! valid. A list has one owner at a time: a thread, or the holder of a lock. Only the owner walks
//! or changes the list. This ownership carries the ordering, so the links are relaxed atomics. A
//! record is on at most one list per kind of link it has.
//!
//! - LIST-1. Each link, `head` and `tail` is null or made from a `&'static T`.

use crate::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use core::marker::PhantomData;

/// The two links of a record (LIST-1).
pub(crate) struct Links<T: 'static> {
    next: AtomicPtr<T>,
    prev: AtomicPtr<T>,
}

impl<T: 'static> Links<T> {
    crate::sync::const_unless_loom! {
        /// Returns the links of a record that is on no list.
        pub(crate) fn new() -> Self {
            Self { next: AtomicPtr::new(core::ptr::null_mut()), prev: AtomicPtr::new(core::ptr::null_mut()) }
        }
    }
}

/// Names one kind of links of a record.
pub(crate) trait Linked: Sized + 'static {
    /// The record.
    type Node: 'static;
    /// Returns the links of this kind inside `node`.
    fn links(node: &Self::Node) -> &Links<Self::Node>;
}

/// A list of records joined by the links `L` (LIST-1).
pub(crate) struct List<L: Linked> {
    head: AtomicPtr<L::Node>,
    tail: AtomicPtr<L::Node>,
    kind: PhantomData<fn(L)>,
}

fn get<T>(cell: &AtomicPtr<T>) -> Option<&'static T> {
    // SAFETY: LIST-1: the pointer is null or came from a `&'static T`.
    unsafe { cell.load(Relaxed).as_ref() }
}

fn put<T>(cell: &AtomicPtr<T>, node: Option<&'static T>) {
    cell.store(
        node.map_or(core::ptr::null_mut(), |node| core::ptr::from_ref(node).cast_mut()),
        Relaxed,
    );
}

impl<L: Linked> List<L> {
    crate::sync::const_unless_loom! {
        /// Returns an empty list.
        pub(crate) fn new() -> Self {
            Self {
                head: AtomicPtr::new(core::ptr::null_mut()),
                tail: AtomicPtr::new(core::ptr::null_mut()),
                kind: PhantomData,
            }
        }
    }

    /// Returns the first record.
    #[inline]
    pub(crate) fn first(&self) -> Option<&'static L::Node> {
        get(&self.head)
    }

    /// Returns the record behind `node`.
    #[inline]
    pub(crate) fn after(&self, node: &L::Node) -> Option<&'static L::Node> {
        get(&L::links(node).next)
    }

    /// Returns whether the list is empty.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Relaxed).is_null()
    }

    /// Puts `node`, which is on no list of this kind, first.
    pub(crate) fn push(&self, node: &'static L::Node) {
        let first = self.first();
        let links = L::links(node);
        put(&links.next, first);
        put(&links.prev, None);
        match first {
            Some(first) => put(&L::links(first).prev, Some(node)),
            None => put(&self.tail, Some(node)),
        }
        put(&self.head, Some(node));
    }

    /// Puts `node`, which is on no list of this kind, last.
    pub(crate) fn push_back(&self, node: &'static L::Node) {
        let last = get(&self.tail);
        let links = L::links(node);
        put(&links.prev, last);
        put(&links.next, None);
        match last {
            Some(last) => put(&L::links(last).next, Some(node)),
            None => put(&self.head, Some(node)),
        }
        put(&self.tail, Some(node));
    }

    /// Removes `node`, which is on this list.
    pub(crate) fn remove(&self, node: &'static L::Node) {
        let links = L::links(node);
        let (next, prev) = (get(&links.next), get(&links.prev));
        match prev {
            Some(prev) => put(&L::links(prev).next, next),
            None => put(&self.head, next),
        }
        match next {
            Some(next) => put(&L::links(next).prev, prev),
            None => put(&self.tail, prev),
        }
    }

    /// Removes and returns the first record.
    pub(crate) fn pop(&self) -> Option<&'static L::Node> {
        let node = self.first()?;
        self.remove(node);
        Some(node)
    }
}
