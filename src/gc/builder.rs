//! [`Builder`]: the options of a [`Heap`].

use super::collector::Collector;
use super::heap::Heap;
use super::process;

/// The options of a [`Heap`]. Needs the feature `gc`.
///
/// ```
/// use greyspan::gc::Heap;
///
/// let heap = Heap::builder()
///     .gc_percent(Some(50))
///     .memory_limit(Some(64 << 20))
///     .trace(false)
///     .build();
/// heap.enter(|m| assert_eq!(*m.alloc(7), 7));
/// ```
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
    /// Sets by how many percent the heap may grow before it collects; see [`Heap::set_gc_percent`].
    /// The default comes from `GREYSPAN_GC`, or is 100. See the example of [`Builder`].
    pub fn gc_percent(mut self, percent: Option<u32>) -> Self {
        self.percent = percent;
        self
    }

    /// Sets the number of bytes that the heap should stay below; see [`Heap::set_memory_limit`].
    /// The default is no limit. See the example of [`Builder`].
    pub fn memory_limit(mut self, bytes: Option<usize>) -> Self {
        self.limit = bytes;
        self
    }

    /// Sets whether each cycle writes a line to standard error. `GREYSPAN_TRACE=gc` sets this for
    /// all heaps. See the example of [`Builder`].
    pub fn trace(mut self, on: bool) -> Self {
        self.traced = on;
        self
    }

    /// Makes the heap. It starts no thread before it needs one. See the example of [`Builder`].
    pub fn build(self) -> Heap {
        Heap::around(Collector::new(
            process::next_number(),
            self.percent,
            self.limit,
            self.traced,
        ))
    }
}

impl Heap {
    /// Makes a heap that collects as `GREYSPAN_GC` says. Without that variable it collects whenever
    /// it has doubled. See the example of [`Heap`].
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a [`Builder`] with the default options. See the example of [`Builder`].
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}
