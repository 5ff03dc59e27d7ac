//! The collector's door to the allocator: runs of pages, and the run that an address lies in.
//!
//! The collector keeps its own record of each run and hands a pointer to that record down as the
//! run's tag. It never goes around this trait.
//!
//! - SOURCE-1. A run is its holder's alone from `take` to `give`.
//! - SOURCE-2. While a run is held, `tag_of` an address in it is the tag it was taken with.

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
    fn take(&self, pages: usize, objects: u32, size: usize, tag: NonNull<u8>) -> Option<Run>;

    /// Gives a run back.
    ///
    /// # Safety
    /// The caller holds the run, and nothing in it is in use.
    unsafe fn give(&self, run: Run);

    /// Returns the tag of the run that `address` lies in, or null.
    fn tag_of(&self, address: NonNull<u8>) -> *mut u8;
}
