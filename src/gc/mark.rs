//! The tracer: turns grey objects black. The collector's thread has one; a mutator that assists makes one for a moment.
//!
//! - X1. Who takes an object while it is grey scans it, and marks its edges before anything else
//!   may be asked of the tracer. So it holds no obligation that it does not know of. An object is
//!   scanned once a cycle, but for one with a lock that was written in PRE: each such writer makes
//!   it grey again (K1 of [`lock`](super::lock)), maybe while a tracer scans it. Scans of one
//!   object may overlap, as they share it, lock what can change as a whole, and mark each object
//!   that they find once. Weak cells and tables have no locks, so none is found twice.
//! - X2. Depth costs no stack: what is found goes on a list. Long slices are scanned in parts.
//! - X3. A panic in `trace` leaves marking half done, which nothing can mend: the process aborts, and names the type.

use super::crew::Crew;
use super::desc::{Kind, Object};
use super::ephemeron::Table;
use super::span::Span;
use super::trace::Visitor;
use super::weak::WeakCell;
use super::workbuf::{Grey, Queue};
use core::ptr::NonNull;
use std::collections::HashSet;

/// Values of a slice that are scanned at once.
const PART: usize = 2048;

/// One tracer.
pub(crate) struct Tracer {
    stack: Vec<Grey>,
    visitor: Visitor<'static>,
    /// Objects marked here.
    pub(crate) marked: u64,
    /// Weak cells and tables found.
    pub(crate) cells: Vec<NonNull<WeakCell>>,
    pub(crate) tables: Vec<NonNull<Table>>,
    /// Where set, every address that is marked goes in: what guardians bring back.
    pub(crate) revived: Option<HashSet<NonNull<u8>>>,
}

// SAFETY: what it points to are managed objects, which are `Send + Sync`.
unsafe impl Send for Tracer {}

/// Aborts if it is dropped while unwinding (X3).
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

    /// Marks the object at `address`, which is live in the cycle that is marking. `true`: it was white.
    #[inline]
    pub(crate) fn mark(&mut self, address: NonNull<u8>) -> bool {
        // SAFETY: addresses come from edges and roots, which lead to objects.
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

    /// Scans one grey object, or part of one. `false`: there is none.
    #[inline]
    pub(crate) fn step(&mut self) -> bool {
        let Some(grey) = self.stack.pop() else { return false };
        // SAFETY: the object is marked, so it is allocated and was published.
        let object = unsafe { grey.span.object(grey.index) };
        match object.desc.kind {
            Kind::Plain => self.scan(grey, object),
            Kind::Weak => self.cells.push(object.first.cast()),
            Kind::Table => self.tables.push(object.first.cast()),
        }
        true
    }

    /// Scans up to `most` grey objects. Whether some are left.
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
        // SAFETY: the value lies in the object.
        let at = unsafe { first.add(from * desc.size) };
        let tracing = Tracing(desc.name);
        // SAFETY: the values are initialised and shared; this is their descriptor.
        unsafe { (desc.trace)(at, count, &mut self.visitor) };
        core::mem::forget(tracing);
        let mut edges = core::mem::take(self.visitor.edges());
        for &edge in &edges {
            self.mark(edge);
        }
        edges.clear();
        *self.visitor.edges() = edges;
    }

    /// Takes grey objects of `queue`. Whether there were any.
    pub(crate) fn take(&mut self, queue: &Queue, most: usize) -> bool {
        queue.take(&mut self.stack, most)
    }

    /// Takes grey objects of the crew's shelves, `own` first. Whether there were any.
    pub(crate) fn steal(&mut self, crew: &Crew, own: usize) -> bool {
        crew.steal(own, &mut self.stack)
    }

    /// Puts a part on the shelf `own` if somebody is hungry.
    #[inline]
    pub(crate) fn share(&mut self, crew: &Crew, own: usize) {
        crew.share(own, &mut self.stack);
    }

    /// Hands all that is left over to `queue`.
    pub(crate) fn give(&mut self, queue: &Queue) {
        queue.give(&mut self.stack);
    }

    /// One round of the ephemerons' fixpoint. Whether it marked anything.
    pub(crate) fn mark_values(&mut self) -> bool {
        let mut values = Vec::new();
        for table in &self.tables {
            // SAFETY: a marked table.
            let table = unsafe { table.as_ref() };
            table.values(is_marked, |value| values.push(value));
        }
        values.into_iter().filter(|&value| self.mark(value)).count() > 0
    }
}

/// Whether the object at `address` is marked.
pub(crate) fn is_marked(address: NonNull<u8>) -> bool {
    // SAFETY: callers have addresses of objects that are not swept meanwhile.
    let span = unsafe { Span::of(address) };
    span.is_marked(span.index(address))
}

/// What the collector is to make of the object at `address`.
#[cfg(not(loom))]
pub(crate) fn kind_of(address: NonNull<u8>) -> Kind {
    // SAFETY: as in `is_marked`.
    let span = unsafe { Span::of(address) };
    // SAFETY: callers have addresses of objects that were published.
    unsafe { span.object(span.index(address)) }.desc.kind
}

/// Whether the object at `address` is dead, where cycle `cycle` has closed and its sweep has not begun.
pub(crate) fn is_dead(address: NonNull<u8>, cycle: u64) -> bool {
    // SAFETY: as in `is_marked`.
    let span = unsafe { Span::of(address) };
    span.epoch() == cycle && !span.is_marked(span.index(address))
}
