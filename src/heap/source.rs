//! The collector's door to the allocator: runs of pages, and memory for its tables.
//!
//! The collector keeps its own record of each run, and its own tables that lead from an address to
//! the record. It never goes around this trait.
//!
//! - SOURCE-1. A run is its holder's alone from `take` to `give`.
//! - SOURCE-2. A table is zero when it is taken, and costs no memory where it is not touched.

#[cfg_attr(not(greyspan_heap), path = "source/system.rs")]
#[cfg_attr(greyspan_loom, path = "source/model.rs")]
mod native;

use core::ptr::NonNull;

/// The source that the collector uses.
pub(crate) use native::SOURCE;

/// A run of pages that the collector holds.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// The first byte, on a page boundary, with provenance for the whole run.
    pub(crate) base: NonNull<u8>,
    /// The source's own name of the run.
    name: native::Name,
}

/// A source of runs.
///
/// # Safety
/// Implementations keep SOURCE-1 and SOURCE-2.
pub(crate) unsafe trait SpanSource {
    /// Takes a run of `pages` pages, to be cut into `objects` objects of `size` bytes. `None`:
    /// there is no memory, or the hard limit is reached.
    fn take(&self, pages: usize, objects: u32, size: usize) -> Option<Run>;

    /// Gives a run back.
    ///
    /// # Safety
    /// The caller holds the run, and nothing in it is in use.
    unsafe fn give(&self, run: Run);

    /// Takes `bytes` bytes for a table, aligned to a word. `None`: there is no memory.
    fn take_table(&self, bytes: usize) -> Option<NonNull<u8>>;

    /// Gives a table back.
    ///
    /// # Safety
    /// The caller has taken the table with this size, and no code uses it.
    unsafe fn give_table(&self, base: NonNull<u8>, bytes: usize);
}
