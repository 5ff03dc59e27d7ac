//! The tracer: it turns grey objects black. The collector's thread has one. A mutator that assists
//! makes one for the assist.
//!
//! Memory is slow beside marking, so a tracer never waits for the object that it has just found:
//!
//! ```text
//!  scan ──► edges ──► mark, page entry      near ──► scan
//!           (ring)    one exchange for      (ring)
//!                     a word of marks  ──►  stack
//!    prefetches the mark and the entry      prefetches the object
//! ```
//!
//! - MARK-1. An edge that a tracer has found obliges it to mark the object, and a grey object that
//!   it has taken obliges it to scan the object. Its rings and its stack hold all obligations.
//!   `step` and `steps` say that none is left only when all three are empty. The collector looks at
//!   ephemerons, shuts the gate and asks for a wave only then, and a shift ends only then or after
//!   `give`, which leaves none. An edge may be marked late: a mutator that removes the edge
//!   meanwhile shades its object, and marking cannot close while a tracer is at work.
//! - MARK-2. A deep graph needs no deep stack: found objects go on a list. Long slices are scanned
//!   in parts, as far as an entry can name the part.
//! - MARK-3. A panic in `trace` leaves marking half done, and no code can mend that. The process
//!   names the type and aborts.
//! - MARK-4. An object is scanned once per cycle, except an object with a lock that was written in
//!   PRE: each such writer makes it grey again (GCLOCK-1), perhaps while a tracer scans it. Scans
//!   of one object may overlap: they read it shared, take the lock of a value that changes as a
//!   whole, and mark each found object once. Weak cells and tables have no locks, so none is
//!   found twice.

use super::atlas::{self, Mark};
use super::crew::Crew;
use super::desc::{Kind, Object};
use super::fault::broken;
use super::ring::Ring;
use super::span::{Span, object_at};
use super::table::Table;
use super::visitor::Visitor;
use super::weak_cell::WeakCell;
use super::workbuf::{Grey, PARTS, Queue};
use crate::base::prefetch::prefetch_to_read;
use crate::sync::IS_MODEL;
use core::ptr::NonNull;
use std::collections::HashSet;

/// Number of values of a slice that one step scans.
const PART: usize = 2048;

/// Objects that are scanned between two looks at the protocol.
pub(crate) const BATCH: usize = if IS_MODEL { 8 } else { 1024 };

/// Edges whose marks are on their way to the processor.
const EDGES: usize = if IS_MODEL { 2 } else { 32 };
/// Grey objects that are on their way to the processor.
const NEAR: usize = if IS_MODEL { 2 } else { 64 };
/// The number of objects on their way from which on the tracer scans the oldest.
const ENOUGH: usize = NEAR / 4 + 1;

/// One tracer.
pub(crate) struct Tracer {
    /// Grey objects beyond those in `near`.
    stack: Vec<Grey>,
    /// Edges whose objects are not marked yet.
    edges: Ring<NonNull<u8>, EDGES>,
    /// Grey objects to scan next.
    near: Ring<Grey, NEAR>,
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
            edges: Ring::new(NonNull::dangling()),
            near: Ring::new(Grey::new(NonNull::dangling())),
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
        let mark = unsafe { Mark::of(address) };
        let white = !mark.is_set() && mark.set();
        if white {
            self.greyed(address);
        }
        white
    }

    /// Takes over an object that this tracer has just marked.
    #[inline(always)]
    fn greyed(&mut self, address: NonNull<u8>) {
        self.marked += 1;
        if let Some(revived) = &mut self.revived {
            revived.insert(address);
        }
        // SAFETY: the object is live in the marking cycle.
        let layout = unsafe { atlas::layout(address) };
        if !layout.is_traced() {
            return;
        }
        let grey = Grey::new(address);
        if self.near.is_full() {
            self.stack.push(grey);
        } else {
            // Of an object with a header, the header is read first.
            prefetch_to_read(address.as_ptr().wrapping_sub(layout.offset()));
            self.near.push(grey);
        }
    }

    /// Takes over an edge to the object at `address`, which is live in the marking cycle.
    #[inline(always)]
    fn found(&mut self, address: NonNull<u8>) {
        if self.edges.is_full() {
            self.settle();
        }
        // SAFETY: the edge leads to a live object.
        unsafe { atlas::prefetch(address) };
        self.edges.push(address);
    }

    /// Marks the objects of the oldest edges, as far as their marks share a word. Returns `false`
    /// if there is no edge.
    #[inline(always)]
    fn settle(&mut self) -> bool {
        let Some(oldest) = self.edges.pop() else { return false };
        let (mut bits, mut count) = (atlas::bit(oldest), 1);
        while let Some(next) = self.edges.oldest().filter(|next| atlas::share_a_word(oldest, *next)) {
            bits |= atlas::bit(next);
            count += 1;
            self.edges.pop();
        }
        // SAFETY: the edges lead to live objects.
        let mark = unsafe { Mark::of(oldest) };
        let mut white = Mark { bit: bits, ..mark }.set_all();
        for back in (1..=count).rev() {
            let edge = self.edges.taken(back);
            // Two edges may lead to one object.
            if white & atlas::bit(edge) != 0 {
                white &= !atlas::bit(edge);
                self.greyed(edge);
            }
        }
        true
    }

    /// Returns the grey object to scan next. While few are near, brings others.
    #[inline(always)]
    fn next(&mut self) -> Option<Grey> {
        while self.near.len() < ENOUGH {
            if let Some(grey) = self.stack.pop() {
                prefetch_to_read(grey.address().as_ptr());
                self.near.push(grey);
            } else if !self.settle() {
                break;
            }
        }
        self.near.pop()
    }

    /// Scans one grey object, or part of one. Returns `false` if there is none, and no edge.
    #[inline]
    pub(crate) fn step(&mut self) -> bool {
        let Some(grey) = self.next() else { return false };
        // SAFETY: the object is marked, so it is allocated and published.
        let object = unsafe { object_at(grey.address()) };
        match object.desc.kind {
            Kind::Plain => self.scan(grey, object),
            Kind::Weak => self.cells.push(object.first.cast()),
            Kind::Table => self.tables.push(object.first.cast()),
        }
        true
    }

    /// Whether an obligation is left (MARK-1).
    #[inline(always)]
    fn has_work(&self) -> bool {
        let in_rings = !self.near.is_empty() || !self.edges.is_empty();
        !self.stack.is_empty() || (in_rings && !broken("rings_unseen"))
    }

    /// Scans up to `most` grey objects. Returns whether an obligation is left.
    #[inline]
    pub(crate) fn steps(&mut self, most: usize) -> bool {
        (0..most).all(|_| self.step()) && self.has_work()
    }

    #[inline(always)]
    fn scan(&mut self, grey: Grey, object: Object) {
        let Object { desc, first, len } = object;
        let (from, count) = part(len, grey.part());
        if from + count < len {
            self.stack.push(grey.next_part());
        }
        // SAFETY: `from` is below `len`, so the value lies in the object.
        let at = unsafe { first.add(from * desc.size) };
        let tracing = Tracing(desc.name);
        // SAFETY: the object's own descriptor traces its values, which are initialised and shared.
        unsafe { (desc.trace)(at, count, &mut self.visitor) };
        core::mem::forget(tracing);
        let edges = self.visitor.edges().len();
        if edges == 1 && !self.has_work() {
            // On a list there is nothing else to do while the mark is on its way.
            if let Some(edge) = self.visitor.edges().pop() {
                self.mark(edge);
            }
            return;
        }
        for number in 0..edges {
            let edge = self.visitor.edges()[number];
            self.found(edge);
        }
        self.visitor.edges().clear();
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

    /// Hands all obligations over to `queue`: marks the objects of the edges, and gives all grey
    /// objects (MARK-1).
    pub(crate) fn give(&mut self, queue: &Queue) {
        while !broken("edges_kept") && self.settle() {}
        while let Some(grey) = self.near.pop().filter(|_| !broken("near_kept")) {
            self.stack.push(grey);
        }
        queue.give(&mut self.stack);
    }

    /// Does one round of the ephemerons' fixpoint. Returns whether it marked an object. No
    /// obligation is left (MARK-1).
    pub(crate) fn mark_values(&mut self) -> bool {
        debug_assert!(!self.has_work(), "a key may be found and not marked yet");
        let mut values = Vec::new();
        for table in &self.tables {
            // SAFETY: the table was found by marking, so it is live in this cycle.
            let table = unsafe { table.as_ref() };
            table.values(is_marked, |value| values.push(value));
        }
        values.into_iter().filter(|&value| self.mark(value)).count() > 0
    }
}

/// Returns the first value, and the number of values, of part `number` of a slice of `len` values.
/// No slice has more parts than an entry can name.
#[inline(always)]
fn part(len: usize, number: usize) -> (usize, usize) {
    if len <= PART {
        return (0, len);
    }
    let most = PART.max(len.div_ceil(PARTS));
    let from = number * most;
    (from, (len - from).min(most))
}

/// Whether the object at `address` is marked.
pub(crate) fn is_marked(address: NonNull<u8>) -> bool {
    // SAFETY: every caller passes the address of an object that no sweep frees meanwhile.
    unsafe { Mark::of(address) }.is_set()
}

/// Returns how the collector treats the object at `address`.
pub(crate) fn kind_of(address: NonNull<u8>) -> Kind {
    // SAFETY: every caller passes the address of an object that was published, and that no sweep
    // frees meanwhile.
    unsafe { object_at(address) }.desc.kind
}

/// Whether the object at `address` is dead. Cycle `cycle` must have closed, and its sweep must not
/// have begun.
pub(crate) fn is_dead(address: NonNull<u8>, cycle: u64) -> bool {
    // SAFETY: every caller passes the address of an object that no sweep frees meanwhile.
    let span = unsafe { Span::of(address) };
    span.epoch() == cycle && !is_marked(address)
}

#[cfg(all(test, not(greyspan_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_slice_are_the_slice_and_an_entry_can_name_each() {
        for len in [
            0,
            1,
            PART,
            PART + 1,
            5 * PART - 1,
            PART * PARTS,
            PART * PARTS + 1,
            usize::MAX / 2,
        ] {
            let (mut from, mut number) = (0, 0);
            loop {
                let (first, count) = part(len, number);
                assert!(first == from && (count > 0 || len == 0), "{len}");
                from += count;
                if from == len {
                    break;
                }
                number += 1;
                assert!(number < PARTS, "{len}: an entry cannot name part {number}");
            }
        }
    }
}
