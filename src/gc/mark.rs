//! The tracer: it turns grey objects black. The collector's thread has one. A mutator that assists
//! makes one for the assist.
//!
//! - MARK-1. A tracer that takes a grey object scans it and marks its edges' objects before it does
//!   anything else. So its lists show all its open obligations.
//! - MARK-2. A deep graph needs no deep stack: found objects go on a list. Long slices are scanned
//!   in parts.
//! - MARK-3. A panic in `trace` leaves marking half done, and no code can mend that. The process
//!   names the type and aborts.
//! - MARK-4. An object is scanned once per cycle, except an object with a lock that was written in
//!   PRE: each such writer makes it grey again (GCLOCK-1), perhaps while a tracer scans it. Scans
//!   of one object may overlap: they read it shared, take the lock of a value that changes as a
//!   whole, and mark each found object once. Weak cells and tables have no locks, so none is
//!   found twice.

use super::crew::Crew;
use super::desc::{Kind, Object};
use super::span::Span;
use super::table::Table;
use super::visitor::Visitor;
use super::weak_cell::WeakCell;
use super::workbuf::{Grey, Queue};
use core::ptr::NonNull;
use std::collections::HashSet;

/// Number of values of a slice that one step scans.
const PART: usize = 2048;

/// Objects that are scanned between two looks at the protocol.
pub(crate) const BATCH: usize = if cfg!(greyspan_loom) { 8 } else { 1024 };

/// One tracer.
pub(crate) struct Tracer {
    stack: Vec<Grey>,
    visitor: Visitor<'static>,
    /// Number of objects marked by this tracer.
    pub(crate) marked: u64,
    /// Weak cells and tables found.
    pub(crate) cells: Vec<NonNull<WeakCell>>,
    pub(crate) tables: Vec<NonNull<Table>>,
    /// If set, collects every address that is marked: the objects that guardians bring back.
    pub(crate) revived: Option<HashSet<NonNull<u8>>>,
}

// SAFETY: all pointers lead to managed objects, which are `Send + Sync`.
unsafe impl Send for Tracer {}

/// Aborts the process if it is dropped while unwinding (MARK-3).
pub(crate) struct Tracing(pub(crate) fn() -> &'static str);

impl Drop for Tracing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            crate::os::report::warn(format_args!("gc: Trace of {} panicked; aborting", (self.0)()));
            std::process::abort();
        }
    }
}

impl Tracer {
    pub(crate) fn new(cycle: u64) -> Self {
        Self {
            stack: Vec::new(),
            visitor: Visitor::new(cycle),
            marked: 0,
            cells: Vec::new(),
            tables: Vec::new(),
            revived: None,
        }
    }

    /// Marks the object at `address`, which is live in the marking cycle. Returns `true` if it was
    /// white.
    #[inline]
    pub(crate) fn mark(&mut self, address: NonNull<u8>) -> bool {
        // SAFETY: the address comes from an edge or a root, so it leads to a live object.
        let span = unsafe { Span::of(address) };
        let index = span.index(address);
        let white = !span.is_marked(index) && span.mark(index);
        if white {
            self.marked += 1;
            if let Some(revived) = &mut self.revived {
                revived.insert(address);
            }
            if span.space.traced {
                self.stack.push(Grey::new(span, index));
            }
        }
        white
    }

    /// Scans one grey object, or part of one. Returns `false` if there is none.
    #[inline]
    pub(crate) fn step(&mut self) -> bool {
        let Some(grey) = self.stack.pop() else { return false };
        // SAFETY: the object is marked, so it is allocated and published.
        let object = unsafe { grey.span.object(grey.index) };
        match object.desc.kind {
            Kind::Plain => self.scan(grey, object),
            Kind::Weak => self.cells.push(object.first.cast()),
            Kind::Table => self.tables.push(object.first.cast()),
        }
        true
    }

    /// Scans up to `most` grey objects. Returns whether some are left.
    #[inline]
    pub(crate) fn steps(&mut self, most: usize) -> bool {
        (0..most).all(|_| self.step()) && !self.stack.is_empty()
    }

    #[inline]
    fn scan(&mut self, grey: Grey, object: Object) {
        let Object { desc, first, len } = object;
        let from = grey.from;
        let count = (len - from).min(PART);
        if from + count < len {
            self.stack.push(Grey {
                from: from + count,
                ..grey
            });
        }
        // SAFETY: `from` is below `len`, so the value lies in the object.
        let at = unsafe { first.add(from * desc.size) };
        let tracing = Tracing(desc.name);
        // SAFETY: the object's own descriptor traces its values, which are initialised and shared.
        unsafe { (desc.trace)(at, count, &mut self.visitor) };
        core::mem::forget(tracing);
        let mut edges = core::mem::take(self.visitor.edges());
        for &edge in &edges {
            self.mark(edge);
        }
        edges.clear();
        *self.visitor.edges() = edges;
    }

    /// Takes grey objects from `queue`. Returns whether there were any.
    pub(crate) fn take(&mut self, queue: &Queue, most: usize) -> bool {
        queue.take(&mut self.stack, most)
    }

    /// Takes grey objects from the crew's shelves, `own` first. Returns whether there were any.
    pub(crate) fn steal(&mut self, crew: &Crew, own: usize) -> bool {
        crew.steal(own, &mut self.stack)
    }

    /// Puts a part of the list on the shelf `own` if another tracer waits for work.
    #[inline]
    pub(crate) fn share(&mut self, crew: &Crew, own: usize) {
        crew.share(own, &mut self.stack);
    }

    /// Hands all remaining grey objects over to `queue`.
    pub(crate) fn give(&mut self, queue: &Queue) {
        queue.give(&mut self.stack);
    }

    /// Does one round of the ephemerons' fixpoint. Returns whether it marked an object.
    pub(crate) fn mark_values(&mut self) -> bool {
        let mut values = Vec::new();
        for table in &self.tables {
            // SAFETY: the table was found by marking, so it is live in this cycle.
            let table = unsafe { table.as_ref() };
            table.values(is_marked, |value| values.push(value));
        }
        values.into_iter().filter(|&value| self.mark(value)).count() > 0
    }
}

/// Whether the object at `address` is marked.
pub(crate) fn is_marked(address: NonNull<u8>) -> bool {
    // SAFETY: every caller passes the address of an object that no sweep frees meanwhile.
    let span = unsafe { Span::of(address) };
    span.is_marked(span.index(address))
}

/// Returns how the collector treats the object at `address`.
pub(crate) fn kind_of(address: NonNull<u8>) -> Kind {
    // SAFETY: every caller passes the address of an object that no sweep frees meanwhile.
    let span = unsafe { Span::of(address) };
    // SAFETY: every caller passes the address of an object that was published.
    unsafe { span.object(span.index(address)) }.desc.kind
}

/// Whether the object at `address` is dead. Cycle `cycle` must have closed, and its sweep must not
/// have begun.
pub(crate) fn is_dead(address: NonNull<u8>, cycle: u64) -> bool {
    // SAFETY: every caller passes the address of an object that no sweep frees meanwhile.
    let span = unsafe { Span::of(address) };
    span.epoch() == cycle && !span.is_marked(span.index(address))
}
