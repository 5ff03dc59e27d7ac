//! [`Builder`]: the options of a [`Heap`].

use super::heap::{Heap, Inner};
use super::process;

/// Options of a [`Heap`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    percent: Option<u32>,
    limit: Option<usize>,
    traced: bool,
}

impl Default for Builder {
    fn default() -> Self {
        let options = process::options();
        Self {
            percent: options.gc_percent,
            limit: None,
            traced: options.trace_gc,
        }
    }
}

impl Builder {
    /// As [`Heap::set_gc_percent`].
    pub fn gc_percent(mut self, percent: Option<u32>) -> Self {
        self.percent = percent;
        self
    }

    /// As [`Heap::set_memory_limit`].
    pub fn memory_limit(mut self, bytes: Option<usize>) -> Self {
        self.limit = bytes;
        self
    }

    /// Whether each cycle writes a line to standard error, as `GREYSPAN_TRACE=gc` does for all
    /// heaps.
    pub fn trace(mut self, on: bool) -> Self {
        self.traced = on;
        self
    }

    /// The heap. It starts no thread before it needs one.
    pub fn build(self) -> Heap {
        Heap::around(Inner::new(
            process::next_number(),
            self.percent,
            self.limit,
            self.traced,
        ))
    }
}
