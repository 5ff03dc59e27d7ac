//! The collector's door to the allocator: runs of pages, and the run that an address lies in.
//!
//! The collector keeps its own record of each run and hands a pointer to that record down as the
//! run's tag. It never goes around this trait.
//!
//! - SOURCE-1. A run is its holder's alone from `take` to `give`.
//! - SOURCE-2. While a run is held, `tag_of` an address in it is the tag it was taken with.

#[cfg(not(greyspan_heap))]
#[path = "source/system.rs"]
mod system;

#[cfg(all(greyspan_heap, not(loom)))]
use super::HEAP;
#[cfg(all(greyspan_heap, not(loom)))]
use crate::base::addr::Addr;
#[cfg(all(greyspan_heap, not(loom)))]
use crate::mspan::MSpan;
use core::ptr::NonNull;

/// The source that the collector uses.
#[cfg(all(greyspan_heap, not(loom)))]
pub(crate) static SOURCE: Native = Native;
/// The source that the collector uses.
#[cfg(not(greyspan_heap))]
pub(crate) static SOURCE: system::System = system::System::new();
/// The source that the models use.
#[cfg(loom)]
pub(crate) static SOURCE: Model = Model;

/// A run of pages that the collector holds.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// The first byte, on a page boundary, with provenance for the whole run.
    pub(crate) base: NonNull<u8>,
    #[cfg(all(greyspan_heap, not(loom)))]
    span: &'static MSpan,
    #[cfg(not(greyspan_heap))]
    pages: usize,
}

/// A source of runs.
///
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

/// The process's heap as a source.
#[cfg(all(greyspan_heap, not(loom)))]
pub(crate) struct Native;

#[cfg(all(greyspan_heap, not(loom)))]
// SAFETY: a managed span is handed out once (SOURCE-1). The page map leads to its record, which
// carries the tag until `give` (SOURCE-2).
unsafe impl SpanSource for Native {
    fn take(&self, pages: usize, objects: u32, size: usize, tag: NonNull<u8>) -> Option<Run> {
        HEAP.set_up();
        let Some(span) = HEAP.tiers.mheap.take_managed(pages, objects, size, tag.as_ptr()) else {
            HEAP.tiers.mheap.name_hard_limit();
            return None;
        };
        HEAP.after_alloc();
        Some(Run {
            base: NonNull::new(span.base())?,
            span,
        })
    }

    unsafe fn give(&self, run: Run) {
        HEAP.tiers.mheap.give(run.span);
        HEAP.after_free();
    }

    #[inline(always)]
    fn tag_of(&self, address: NonNull<u8>) -> *mut u8 {
        let span = HEAP.tiers.mheap.map().span_of(Addr::of(address.as_ptr()));
        span.map_or(core::ptr::null_mut(), MSpan::tag)
    }
}

/// Runs for the models: memory that is never given back, and a list of all runs for each model.
#[cfg(loom)]
pub(crate) struct Model;

#[cfg(loom)]
mod model {
    use super::{Model, NonNull, Run, SpanSource};
    use crate::base::geometry::PAGE;
    use std::cell::RefCell;

    thread_local! {
        /// First address, bytes and tag of each run. The threads of a model are one to the system.
        static RUNS: RefCell<Vec<(usize, usize, *mut u8)>> = const { RefCell::new(Vec::new()) };
    }

    impl Model {
        /// Forgets all runs: another execution of the model begins.
        pub(crate) fn reset(&self) {
            RUNS.with_borrow_mut(Vec::clear);
        }
    }

    // SAFETY: memory is handed out once (SOURCE-1), and the list leads to its tag (SOURCE-2).
    unsafe impl SpanSource for Model {
        fn take(&self, pages: usize, _: u32, _: usize, tag: NonNull<u8>) -> Option<Run> {
            let memory = vec![0u64; pages * PAGE / 8].into_boxed_slice();
            let base = NonNull::from(Box::leak(memory)).cast::<u8>();
            RUNS.with_borrow_mut(|runs| runs.push((base.as_ptr().addr(), pages * PAGE, tag.as_ptr())));
            Some(Run { base })
        }

        unsafe fn give(&self, run: Run) {
            RUNS.with_borrow_mut(|runs| runs.retain(|&(base, ..)| base != run.base.as_ptr().addr()));
        }

        fn tag_of(&self, address: NonNull<u8>) -> *mut u8 {
            let address = address.as_ptr().addr();
            RUNS.with_borrow(|runs| {
                let run = runs
                    .iter()
                    .find(|&&(base, bytes, _)| address.wrapping_sub(base) < bytes);
                run.map_or(core::ptr::null_mut(), |&(.., tag)| tag)
            })
        }
    }
}
