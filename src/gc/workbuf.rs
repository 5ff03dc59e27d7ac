//! Grey objects on their way: marked, and not scanned yet. Each mutator fills a buffer and hands it
//! over as a whole; tracers take objects from the queue.
//!
//! - WORKBUF-1. The thread that marks an object puts it somewhere, and the thread that takes it
//!   scans it. So an object is grey in one place at a time. The exception is an object with a lock
//!   that was written in PRE. Each such writer puts it somewhere once more (GCLOCK-1 of
//!   [`lock`](super::lock)), so it may be grey in several places. Each of them leads to a scan
//!   (MARK-1 of [`mark`](super::mark)).

use super::span::{Index, Span};
use crate::sync::lock::Lock;

/// Grey objects that a mutator keeps before it hands them over.
pub(crate) const BUFFER: usize = if cfg!(greyspan_loom) { 2 } else { 256 };

/// One grey object, or the part of a long slice that is left to scan.
#[derive(Clone, Copy)]
pub(crate) struct Grey {
    pub(crate) span: &'static Span,
    pub(crate) index: Index,
    /// Values of a slice that were scanned.
    pub(crate) from: usize,
}

impl Grey {
    /// Makes the entry of an object that was just marked.
    pub(crate) fn new(span: &'static Span, index: Index) -> Self {
        Self { span, index, from: 0 }
    }
}

/// Grey objects that no thread holds.
pub(crate) struct Queue(Lock<Vec<Grey>>);

impl Queue {
    pub(crate) fn new() -> Self {
        Self(Lock::new(Vec::new()))
    }

    /// Takes over all objects of `buffer`.
    pub(crate) fn give(&self, buffer: &mut Vec<Grey>) {
        if !buffer.is_empty() {
            self.0.lock().append(buffer);
        }
    }

    /// Moves up to `most` objects to `into`. Returns whether there were any. The caller holds a
    /// shift or is the collector.
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
