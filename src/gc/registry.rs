//! The records that a thread uses: one per heap.
//!
//! - MUTATORS-1. A record belongs to one thread, from the time the thread takes it to the end of
//!   its thread-local storage. Then it goes back to its heap with its cache, for the next thread.
//! - MUTATORS-2. A thread whose thread-local storage is gone takes a record for one `enter`.
//!
//! No heap's number is used twice. So a thread never looks at a remembered record whose heap is
//! gone.

use super::collector::Collector;
use super::mutator::Record;
use crate::sync::blocking::Weak;
use core::cell::{Cell, RefCell};
use core::ptr::null;

struct Entry {
    heap: u64,
    inner: Weak<Collector>,
    record: &'static Record,
}

/// The thread's records.
struct Mine(RefCell<Vec<Entry>>);

impl Drop for Mine {
    fn drop(&mut self) {
        LAST.set((0, null()));
        for entry in self.0.take() {
            let Some(inner) = entry.inner.upgrade() else {
                continue;
            };
            if inner.is_own_process() {
                inner.give_record(entry.record);
            } else {
                // Threads that this process does not have may hold its locks.
                core::mem::forget(inner);
            }
        }
    }
}

thread_local! {
    /// The heap that the thread entered last, and the thread's record of it.
    static LAST: Cell<(u64, *const Record)> = const { Cell::new((0, null())) };
    static MINE: Mine = const { Mine(RefCell::new(Vec::new())) };
    /// The number of heaps that the thread is pinned in.
    static PINS: Cell<usize> = const { Cell::new(0) };
}

/// A record for one `enter`. If it is not the thread's own, it goes back to the heap at the end.
pub(crate) struct Lease<'a> {
    heap: &'a Collector,
    record: &'static Record,
    own: bool,
}

impl<'a> Lease<'a> {
    /// Returns the calling thread's record of `heap`.
    #[inline]
    pub(crate) fn new(heap: &'a Collector) -> Self {
        let (number, record) = LAST.get();
        if number == heap.number {
            // SAFETY: the numbers are equal, so `heap` owns the record. `heap` exists, so the
            // record does.
            let record = unsafe { &*record };
            return Self {
                heap,
                record,
                own: true,
            };
        }
        Self::find(heap)
    }

    #[cold]
    fn find(heap: &'a Collector) -> Self {
        let found = MINE.try_with(|mine| {
            let mut mine = mine.0.borrow_mut();
            let known = mine
                .iter()
                .find(|entry| entry.heap == heap.number)
                .map(|entry| entry.record);
            known.unwrap_or_else(|| {
                // Removes the records of heaps that are gone.
                mine.retain(|entry| entry.inner.strong_count() > 0);
                let record = heap.take_record();
                mine.push(Entry {
                    heap: heap.number,
                    inner: heap.weak(),
                    record,
                });
                record
            })
        });
        match found {
            Ok(record) => {
                LAST.set((heap.number, record));
                Self {
                    heap,
                    record,
                    own: true,
                }
            }
            Err(_) => Self {
                heap,
                record: heap.take_record(),
                own: false,
            },
        }
    }

    pub(crate) fn record(&self) -> &'static Record {
        self.record
    }

    /// Pins the thread until the value is dropped.
    #[inline]
    pub(crate) fn pin(&self) -> Pin<'_> {
        if self.record.enter() {
            PINS.set(PINS.get() + 1);
        }
        Pin(self.record)
    }
}

impl Drop for Lease<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.own {
            self.heap.give_record(self.record);
        }
    }
}

/// A pinned thread. Dropping the value unpins it, also while unwinding.
pub(crate) struct Pin<'a>(&'a Record);

impl Drop for Pin<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.leave();
        if !self.0.is_entered() {
            PINS.set(PINS.get() - 1);
        }
    }
}

/// Returns whether the thread is inside `enter` of any heap.
pub(crate) fn is_pinned() -> bool {
    PINS.get() > 0
}
