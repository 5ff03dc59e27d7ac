//! [`Heap::verify`]: a walk over the whole graph while the world is held, for tests and for whoever doubts.
//!
//! Checks, of everything that roots lead to and of every span: edges lead to the beginning of allocated objects of this heap; nothing reachable
//! lies in a slot that a sweep freed; between cycles no mark is set and every span is of the next cycle.

use super::desc::Kind;
use super::ephemeron::Table;
#[cfg(not(loom))]
use super::heap::Heap;
use super::heap::Inner;
use super::span::Span;
use super::trace::Visitor;
use core::fmt;
use core::ptr::NonNull;
use std::collections::HashMap;

/// The first thing that [`Heap::verify`] found wrong.
#[derive(Clone, Debug)]
pub struct VerifyError {
    what: &'static str,
    address: usize,
    /// First address and size of the slots of the span, where there is one.
    span: Option<(usize, usize)>,
    /// Types from a root to the object with the bad edge.
    path: Vec<&'static str>,
}

impl VerifyError {
    /// The types on the way from a root to the object whose edge is wrong.
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

/// Objects seen, and from where.
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
                // SAFETY: checked before its edges were followed.
                path.push((unsafe { span.object(span.index(object)) }.desc.name)());
            }
            at = self.from.get(&object).copied().flatten();
        }
        path.reverse();
        let span = Span::find(address);
        VerifyError {
            what,
            address: address.as_ptr().addr(),
            span: span.map(|span| (span.slot_at(super::span::Index(0)).as_ptr().addr(), span.slot_bytes())),
            path,
        }
    }
}

impl Inner {
    /// The walk. The world is held.
    pub(crate) fn walk(&self) -> Result<usize, VerifyError> {
        let mut walk = Walk {
            from: HashMap::new(),
            open: Vec::new(),
            tables: Vec::new(),
        };
        let spaces = self.spaces.all();
        let next = self.protocol.cycle() + 1;
        for span in spaces.iter().flat_map(|space| space.spans()) {
            let first = span.slot_at(super::span::Index(0));
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
                    // SAFETY: checked when it was found.
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
        // SAFETY: allocated, so its header, if any, is written.
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
                // SAFETY: the object is allocated, and nobody writes to it while the world is held.
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

#[cfg(not(loom))]
impl Heap {
    /// Walks everything that is reachable and checks it, with all threads kept out of `enter` and no cycle running. For tests: it takes as long as
    /// a cycle, and nobody works meanwhile.
    ///
    /// # Errors
    /// The first thing found wrong: a broken collector, or a `Trace` that is not true.
    ///
    /// # Panics
    /// Inside `enter` of any heap: it would wait for this thread.
    pub fn verify(&self) -> Result<(), VerifyError> {
        assert!(
            !super::registry::is_pinned(),
            "greyspan::gc: `verify` inside `enter` would wait for itself"
        );
        self.inner().check_process();
        self.inner().hold(|| self.inner().walk()).map(drop)
    }
}
