//! [`Meter`]: measures how much memory of the global allocator a value owns. So an object counts
//! with the memory that is freed when it is dropped.
//!
//! - METER-1. A value that does not change measures the same when it is allocated and before it is
//!   dropped. The heap adds the first result and subtracts the second.
//! - METER-2. A measurement looks at few values. In a container it extrapolates from the first
//!   values, and it goes no deeper than 32 containers. So `alloc` of a large value stays cheap, and
//!   a long chain of boxes costs no stack.
//!   - In a sparse hash table, the search for the first values may cross all its memory. Its length
//!     and capacity do not tell: removed entries may leave marks that count as used.
//!   - An object's hash tables are searched twice: when the object is made and before it is
//!     dropped.
//!   - A writer of a lock may come often, so its measurement does not search. Behind a lock a hash
//!     table counts with its own memory, without the memory of its entries.
//! - METER-3. The value behind a `GcLock` changes, so the lock stores its [`Share`] of the bytes
//!   that the heap counts for the object.
//!   - The first measurement sets the share. Each writer changes it and tells the heap the
//!     difference. The last measurement reads it. Shares are never extrapolated.
//!   - A writer with the mutator of another heap changes nothing, because that heap does not count
//!     the object. The next writer of the object's heap makes up for it.

use crate::sync::tally::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The most values of one container that are looked at.
pub(super) const SAMPLE: usize = 256;

/// The bytes that the heap counts for the value of one lock (METER-3).
pub(crate) struct Share {
    pub(super) bytes: AtomicUsize,
    /// The number of the heap that counts `bytes`.
    pub(super) heap: AtomicU64,
}

/// No share: the lock is in no object, or in a value that no measurement looked at.
pub(super) const NOT_COUNTED: usize = usize::MAX;

impl Share {
    pub(crate) fn new() -> Self {
        Self {
            bytes: AtomicUsize::new(NOT_COUNTED),
            heap: AtomicU64::new(0),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// An object of the heap with this number is made.
    New(u64),
    /// A dead object is about to be dropped.
    Dead,
    /// A writer measures the value behind a lock.
    Look,
}

/// Adds up the memory of the global allocator that values own, for
/// [`Trace::measure`](super::Trace::measure). Needs the feature `gc`.
///
/// ```
/// use greyspan::gc::{Heap, Meter, Trace, Visitor};
///
/// /// Pages of text, with an index that another library holds in the global allocator's memory.
/// struct Book {
///     pages: Vec<String>,
///     index_bytes: usize,
/// }
///
/// // SAFETY: the type has no edges.
/// unsafe impl<'gc> Trace<'gc> for Book {
///     const NEEDS_TRACE: bool = false;
///     fn trace(&self, _: &mut Visitor<'gc>) {}
///     fn measure(&self, meter: &mut Meter) {
///         meter.add(self.pages.capacity() * size_of::<String>() + self.index_bytes);
///         meter.add_each(self.pages.len(), &self.pages);
///     }
/// }
///
/// let heap = Heap::new();
/// heap.enter(|m| {
///     let book = m.alloc(Book { pages: vec!["x".repeat(5000); 10], index_bytes: 30_000 });
///     assert!(heap.stats().owned_bytes >= 80_000, "{} pages", book.pages.len());
/// });
/// ```
#[derive(Debug)]
pub struct Meter {
    pub(super) bytes: usize,
    /// The part that locks own.
    pub(super) shares: usize,
    pub(super) purpose: Purpose,
    /// Number of values that may still be looked at.
    pub(super) left: usize,
    pub(super) depth: usize,
}

impl Meter {
    /// Adds the bytes that a value behind a lock owns (METER-3). `look` measures the value.
    pub(crate) fn add_share(&mut self, share: &Share, look: impl FnOnce(&mut Self)) {
        if self.purpose == Purpose::Look {
            // This lock lies in another lock, which has the share of both.
            return look(self);
        }
        if let Purpose::New(heap) = self.purpose {
            let mut inner = Self {
                bytes: 0,
                shares: 0,
                purpose: Purpose::Look,
                left: SAMPLE / 8,
                depth: self.depth,
            };
            look(&mut inner);
            share.bytes.store(inner.bytes.min(NOT_COUNTED - 1), Relaxed);
            share.heap.store(heap, Relaxed);
        }
        let counted = share.bytes.load(Relaxed);
        if counted != NOT_COUNTED {
            self.shares = self.shares.saturating_add(counted);
        }
    }

    /// Adds `bytes` of memory. See the example of [`Meter`].
    #[inline]
    pub fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }
}
