//! Intrusive doubly linked lists of records that live for ever.
//!
//! Records are type-stable: they are never returned to the system, so a `&'static` to one is always good. The links are relaxed
//! atomics: whoever owns a list (a thread, or the holder of a lock) is the only one that walks or changes it, and that ownership,
//! not the links, carries the ordering. A record is on at most one list for each kind of link it has.

use crate::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use core::marker::PhantomData;

/// The two links of a record. Invariant L1: each is null or made from a `&'static T`.
pub(crate) struct Links<T: 'static> {
    next: AtomicPtr<T>,
    prev: AtomicPtr<T>,
}

impl<T: 'static> Links<T> {
    crate::sync::const_unless_loom! {
        /// Links of a record that is on no list.
        pub(crate) fn new() -> Self {
            Self { next: AtomicPtr::new(core::ptr::null_mut()), prev: AtomicPtr::new(core::ptr::null_mut()) }
        }
    }
}

/// Names one of the links that a record has.
pub(crate) trait Linked: Sized + 'static {
    /// The record.
    type Node: 'static;
    /// The links of this kind inside `node`.
    fn links(node: &Self::Node) -> &Links<Self::Node>;
}

/// A list of records joined by the links `L`. Invariant L1 holds for `head` and `tail` too.
pub(crate) struct List<L: Linked> {
    head: AtomicPtr<L::Node>,
    tail: AtomicPtr<L::Node>,
    kind: PhantomData<fn(L)>,
}

fn get<T>(cell: &AtomicPtr<T>) -> Option<&'static T> {
    // SAFETY: by L1 the pointer is null or came from a `&'static T`.
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
        /// An empty list.
        pub(crate) fn new() -> Self {
            Self {
                head: AtomicPtr::new(core::ptr::null_mut()),
                tail: AtomicPtr::new(core::ptr::null_mut()),
                kind: PhantomData,
            }
        }
    }

    /// The first record.
    #[inline]
    pub(crate) fn first(&self) -> Option<&'static L::Node> {
        get(&self.head)
    }

    /// The record behind `node`.
    #[inline]
    pub(crate) fn after(&self, node: &L::Node) -> Option<&'static L::Node> {
        get(&L::links(node).next)
    }

    /// Whether nothing is on the list.
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

    /// Takes `node`, which is on this list, off it.
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

    /// Takes the first record off the list.
    pub(crate) fn pop(&self) -> Option<&'static L::Node> {
        let node = self.first()?;
        self.remove(node);
        Some(node)
    }
}
