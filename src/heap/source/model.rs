//! Runs for the models of the collector: memory that is never given back, and a list of all runs
//! for each model.

use super::{Run, SpanSource};
use crate::base::geometry::PAGE;
use core::ptr::NonNull;
use std::cell::RefCell;

/// The source.
pub(crate) static SOURCE: Model = Model;

/// Runs have no name.
pub(super) type Name = ();

/// The runs of the models.
pub(crate) struct Model;

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
        Some(Run { base, name: () })
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
