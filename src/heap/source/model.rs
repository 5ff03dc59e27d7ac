//! Runs for the models of the collector: memory that is never given back.

use super::{Run, SpanSource};
use crate::base::geometry::PAGE;
use core::alloc::Layout;
use core::ptr::NonNull;

/// The source.
pub(crate) static SOURCE: Model = Model;

/// Runs have no name.
pub(super) type Name = ();

/// The runs of the models.
pub(crate) struct Model;

// SAFETY: memory is handed out once (SOURCE-1), and zeroed (SOURCE-2).
unsafe impl SpanSource for Model {
    fn take(&self, pages: usize, _: u32, _: usize) -> Option<Run> {
        self.take_table(pages * PAGE).map(|base| Run { base, name: () })
    }

    unsafe fn give(&self, _: Run) {}

    fn take_table(&self, bytes: usize) -> Option<NonNull<u8>> {
        let layout = Layout::from_size_align(bytes, PAGE).ok()?;
        // SAFETY: runs and tables are not empty.
        NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })
    }

    unsafe fn give_table(&self, _: NonNull<u8>, _: usize) {}
}
