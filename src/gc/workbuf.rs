//! Grey objects on their way: marked, and not scanned yet. Mutators fill buffers of their own and hand them over whole; the tracers take them.
//!
//! - Q1. Who marks an object first puts it somewhere, and who takes it scans it. So it is grey in
//!   one place at a time, but for an object with a lock that was written in PRE: each such writer
//!   puts it somewhere once more (K1 of [`lock`](super::lock)), and it may be grey in several
//!   places. Each of them leads to a scan (X1 of [`mark`](super::mark)).

use super::span::{Index, Span};
use crate::sync::lock::Lock;

/// Grey objects that a mutator keeps before it hands them over.
pub(crate) const BUFFER: usize = if cfg!(loom) { 2 } else { 256 };

/// One grey object, or what is left to scan of a long slice.
#[derive(Clone, Copy)]
pub(crate) struct Grey {
    pub(crate) span: &'static Span,
    pub(crate) index: Index,
    /// Values of a slice that were scanned.
    pub(crate) from: usize,
}

impl Grey {
    /// An object that was just marked.
    pub(crate) fn new(span: &'static Span, index: Index) -> Self {
        Self { span, index, from: 0 }
    }
}

/// Grey objects that belong to nobody.
pub(crate) struct Queue(Lock<Vec<Grey>>);

impl Queue {
    pub(crate) fn new() -> Self {
        Self(Lock::new(Vec::new()))
    }

    /// Hands over all of `buffer`.
    pub(crate) fn give(&self, buffer: &mut Vec<Grey>) {
        if !buffer.is_empty() {
            self.0.lock().append(buffer);
        }
    }

    /// Takes up to `most` into `into`. Whether there were any. Within a shift, or by the collector.
    pub(crate) fn take(&self, into: &mut Vec<Grey>, most: usize) -> bool {
        let mut queue = self.0.lock();
        if queue.is_empty() {
            return false;
        }
        let rest = queue.len().saturating_sub(most);
        into.extend(queue.drain(rest..));
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}
