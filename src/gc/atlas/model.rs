//! The atlas of a model: a list of runs, each with its own marks. Runs begin on page boundaries and
//! no address is used twice.

use crate::gc::atlas::{Page, STRIDE};
use crate::sync::atomic::AtomicU64;
use crate::sync::tally::AtomicPtr;
use core::ptr::{NonNull, null_mut};
use std::cell::RefCell;

/// One run.
struct Held {
    base: usize,
    bytes: usize,
    marks: &'static [AtomicU64],
    /// The entry of all its pages.
    page: &'static Page,
}

thread_local! {
    /// The threads of a model are one to the system.
    static RUNS: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
}

/// Calls `look` with the run of `address`.
fn find<R>(address: NonNull<u8>, look: impl FnOnce(&Held, usize) -> R) -> Option<R> {
    let address = address.as_ptr().addr();
    RUNS.with_borrow(|runs| {
        // The newest first: runs of earlier executions stay on the list.
        let mut newest = runs.iter().rev();
        let run = newest.find(|run| address.wrapping_sub(run.base) < run.bytes)?;
        Some(look(run, address - run.base))
    })
}

/// Returns the word of marks around `address`.
///
/// # Safety
/// The address lies in a run that is held.
pub(super) unsafe fn word(address: NonNull<u8>) -> &'static AtomicU64 {
    find(address, |run, offset| &run.marks[offset / STRIDE]).expect("a managed address")
}

/// Returns the entry of the page of `address`.
///
/// # Safety
/// The address lies in a run that is held.
pub(super) unsafe fn page(address: NonNull<u8>) -> &'static Page {
    page_if_any(address).expect("a managed address")
}

/// Does nothing: a model has no caches.
///
/// # Safety
/// The address lies in a run that is held.
pub(super) unsafe fn prefetch(_: NonNull<u8>) {}

/// Returns the entry of the page of any address, or `None` where no run ever lay.
pub(crate) fn page_if_any(address: NonNull<u8>) -> Option<&'static Page> {
    find(address, |run, _| run.page)
}

/// Makes room for a run.
pub(crate) fn prepare(base: NonNull<u8>, bytes: usize) -> bool {
    let marks: Vec<AtomicU64> = (0..bytes / STRIDE).map(|_| AtomicU64::new(0)).collect();
    let page = Page {
        span: AtomicPtr::new(null_mut()),
        layout: AtomicPtr::new(null_mut()),
    };
    let run = Held {
        base: base.as_ptr().addr(),
        bytes,
        marks: Box::leak(marks.into_boxed_slice()),
        page: Box::leak(Box::new(page)),
    };
    RUNS.with_borrow_mut(|runs| runs.push(run));
    true
}
