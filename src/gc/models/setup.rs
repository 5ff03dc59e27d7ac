//! Parts that several models use: the beginnings of schedules about locks, and a watched value.

use super::super::lock::GcLock;
use super::super::{Trace, Visitor};
use super::*;
use loom::cell::UnsafeCell;

/// Returns the object behind a handle: the table of a map, or the cell of a weak reference.
pub(super) fn behind<'gc>(handle: &impl Trace<'gc>) -> NonNull<u8> {
    let mut visitor = Visitor::new(0);
    handle.trace(&mut visitor);
    visitor.edges().pop().expect("an edge to a table or cell")
}

#[derive(Trace)]
pub(super) struct Shelf<'gc> {
    pub(super) items: GcLock<Vec<Gc<'gc, Node<'gc>>>>,
}

/// Plays this schedule: the first mutator, in PRE, puts an object into the lock that `items`
/// returns. No other edge leads to that object. The lock lies in a black object that only the two
/// mutators hold.
pub(super) fn write_in_pre<T: Trace<'static> + 'static>(
    items: impl Fn(&T) -> &GcLock<Vec<N>>,
    new: impl FnOnce() -> T,
) {
    let mut stage = Stage::new();
    let (one, m) = stage.pinned();
    let (two, n) = stage.pinned();
    let a = node(m, Some(node(m, None)));
    stage.root(a);
    stage.h1();
    one.respond();
    let o = a.next.get().expect("set above");
    a.next.set(n, None);
    two.leave();
    stage.h2();
    two.enter();
    let shelf = n.alloc(new());
    items(&shelf).write(m).push(o);
    one.leave();
    stage.scan_roots();
    stage.drain();
    stage.begin_wave();
    two.respond();
    if stage.close() {
        stage.check_marked(&[o]);
    }
}

/// Makes a writer in PRE and a thread in MARK at one lock. Roots lead to the lock's items only
/// through the lock.
pub(super) fn stage_of_two() -> (
    Stage,
    &'static Record,
    M,
    &'static Record,
    M,
    Gc<'static, Shelf<'static>>,
    N,
) {
    let mut stage = Stage::new();
    let (one, m) = stage.pinned();
    let (two, n) = stage.pinned();
    let shelf = m.alloc(Shelf {
        items: GcLock::new(Vec::new()),
    });
    stage.heap.roots.take(shelf.address(), None);
    let a = node(m, Some(node(m, None)));
    stage.h1();
    one.respond();
    let o = a.next.get().expect("set above");
    a.next.set(n, None);
    two.leave();
    stage.h2();
    two.enter();
    (stage, one, m, two, n, shelf, o)
}

/// A value whose accesses loom checks: no thread may write it beside another access.
pub(super) struct Watched(pub(super) UnsafeCell<u32>);

impl Watched {
    /// Makes one that stays.
    pub(super) fn new() -> &'static Self {
        Box::leak(Box::new(Self(UnsafeCell::new(0))))
    }
}

// SAFETY: loom checks each access to the cell.
unsafe impl Sync for Watched {}
// SAFETY: the value is a number, and loom checks each access to the cell.
unsafe impl Send for Watched {}
