//! [`Heap::verify`]: a walk over the whole graph while no thread works. For tests and for
//! debugging.
//!
//! The walk checks all objects that roots lead to, and all spans:
//!
//! - Every edge leads to the beginning of an allocated object of this heap.
//! - No reachable object lies in a slot that a sweep has freed.
//! - Between cycles no mark is set, and every span belongs to the next cycle.

use super::desc::Kind;
use super::heap::Heap;
#[cfg(not(greyspan_loom))]
use super::registry::is_pinned;
use super::span::{Index, Span};
use super::table::Table;
use super::visitor::Visitor;
use super::world::World;
use core::fmt;
use core::ptr::NonNull;
use std::collections::HashMap;

/// The first error that [`Heap::verify`] has found. Its `Display` names the error, the address and
/// the path of types. See the example of [`Heap::verify`]. Needs the feature `gc`.
#[derive(Clone, Debug)]
pub struct VerifyError {
    what: &'static str,
    address: usize,
    /// Address of the first slot of the span, and bytes per slot, if the address lies in a span.
    span: Option<(usize, usize)>,
    /// The types on the path from a root to the object with the wrong edge.
    path: Vec<&'static str>,
}

impl VerifyError {
    /// Returns the types on the path from a root to the object with the wrong edge. See the example
    /// of [`Heap::verify`].
    pub fn path(&self) -> &[&'static str] {
        &self.path
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:#x}", self.what, self.address)?;
        if let Some((base, slot)) = self.span {
            write!(f, ", in the span at {base:#x} with slots of {slot} bytes")?;
        }
        f.write_str("; reached by root")?;
        self.path.iter().try_for_each(|name| write!(f, " -> {name}"))
    }
}

impl std::error::Error for VerifyError {}

/// The objects seen, each with the object whose edge led to it.
struct Walk {
    from: HashMap<NonNull<u8>, Option<NonNull<u8>>>,
    open: Vec<NonNull<u8>>,
    tables: Vec<NonNull<Table>>,
}

impl Walk {
    fn see(&mut self, address: NonNull<u8>, from: Option<NonNull<u8>>) {
        if let std::collections::hash_map::Entry::Vacant(place) = self.from.entry(address) {
            place.insert(from);
            self.open.push(address);
        }
    }

    fn error(&self, what: &'static str, address: NonNull<u8>) -> VerifyError {
        let mut path = Vec::new();
        let mut at = self.from.get(&address).copied().flatten();
        while let Some(object) = at {
            if let Some(span) = Span::find(object) {
                // SAFETY: the object was checked before its edges were followed.
                path.push((unsafe { span.object(span.index(object)) }.desc.name)());
            }
            at = self.from.get(&object).copied().flatten();
        }
        path.reverse();
        let span = Span::find(address);
        VerifyError {
            what,
            address: address.as_ptr().addr(),
            span: span.map(|span| (span.slot_at(Index(0)).as_ptr().addr(), span.slot_bytes())),
            path,
        }
    }
}

impl World {
    /// Walks the graph and returns the number of objects. The caller holds the world.
    pub(crate) fn walk(&self) -> Result<usize, VerifyError> {
        let mut walk = Walk {
            from: HashMap::new(),
            open: Vec::new(),
            tables: Vec::new(),
        };
        let spaces = self.spaces.all();
        let next = self.protocol.cycle() + 1;
        for span in spaces.iter().flat_map(|space| space.spans()) {
            let first = span.slot_at(Index(0));
            if span.epoch() != next {
                return Err(walk.error("a span that was not swept", first));
            }
            if span.has_marks() {
                return Err(walk.error("a mark between two cycles", first));
            }
        }
        self.roots.scan(|target| walk.see(target, None));
        loop {
            while let Some(address) = walk.open.pop() {
                self.check(&mut walk, address)?;
            }
            let entries: Vec<_> = walk
                .tables
                .iter()
                .flat_map(|table| {
                    // SAFETY: `check` has found the table to be an allocated object.
                    unsafe { table.as_ref() }.entries()
                })
                .collect();
            for (key, value) in entries {
                if walk.from.contains_key(&key) {
                    walk.see(value, Some(key));
                }
            }
            if walk.open.is_empty() {
                return Ok(walk.from.len());
            }
        }
    }

    fn check(&self, walk: &mut Walk, address: NonNull<u8>) -> Result<(), VerifyError> {
        let Some(span) = Span::find(address) else {
            return Err(walk.error("an edge out of the managed heap", address));
        };
        let index = span.index(address);
        if !span.is_allocated(index) {
            return Err(walk.error("an edge to a free slot", address));
        }
        // SAFETY: the slot is allocated, so the object's header, if it has one, is written.
        let object = unsafe { span.object(index) };
        if object.first != address {
            return Err(walk.error("an edge into the middle of an object", address));
        }
        if !self.spaces.all().iter().any(|space| core::ptr::eq(*space, span.space)) {
            return Err(walk.error("an edge into another heap", address));
        }
        match object.desc.kind {
            Kind::Plain => {
                let mut visitor = Visitor::new(0);
                // SAFETY: the object is allocated, and no thread writes to it while the world is
                // held.
                unsafe { (object.desc.trace)(object.first, object.len, &mut visitor) };
                for edge in visitor.edges().drain(..) {
                    walk.see(edge, Some(address));
                }
            }
            Kind::Weak => {}
            Kind::Table => walk.tables.push(address.cast()),
        }
        Ok(())
    }
}

#[cfg(not(greyspan_loom))]
impl Heap {
    /// Walks all reachable objects and checks them. Meanwhile no thread is inside `enter` and no
    /// cycle runs. For tests: the walk takes as long as a cycle, and all threads that enter wait
    /// for it.
    ///
    /// # Errors
    /// The first error found. It shows a fault of the collector or of a `Trace` implementation.
    ///
    /// # Panics
    /// - Inside `enter` of any heap, because the walk would wait for this thread.
    /// - In a `fork` child, if the heap belongs to its parent.
    ///
    /// ```
    /// use greyspan::gc::{Heap, Root, Rootable};
    ///
    /// // The test of a type with a `Trace` of its own ends so.
    /// let heap = Heap::new();
    /// let root: Root<Rootable![u64]> = heap.enter(|m| Root::new(m, m.alloc(7)));
    /// heap.collect();
    /// if let Err(error) = heap.verify() {
    ///     panic!("{error}: {:?}", error.path());
    /// }
    /// # drop(root);
    /// ```
    pub fn verify(&self) -> Result<(), VerifyError> {
        assert!(
            !is_pinned(),
            "greyspan::gc: `verify` inside `enter` would wait for itself"
        );
        self.inner().check_process();
        self.inner().hold(|| self.inner().walk()).map(drop)
    }
}
