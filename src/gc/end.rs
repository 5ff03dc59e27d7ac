//! The end of a heap whose handle is gone (GCHEAP-2 of [`heap`](super::heap)).

use super::collector::Collector;
#[cfg(not(greyspan_loom))]
use super::process::Ending;
use super::waiting::guard;
use crate::sync::blocking::Arc;

impl Collector {
    /// Whether the end of the heap has an object to drop or a cleanup to run.
    pub(crate) fn has_last_work(&self) -> bool {
        self.dropper.unfinished() > 0 || !self.wills.is_empty() || self.spaces.all().iter().any(|space| space.dropped)
    }

    /// From here on, makes the exit of the process wait for the remaining drops and cleanups.
    #[cfg(not(greyspan_loom))]
    pub(crate) fn begin_end(&self) {
        guard(&self.control.requests).ending.get_or_insert_with(Ending::begin);
    }

    /// Lets the process exit: all drops and cleanups are done, or will never be.
    pub(crate) fn end_is_over(&self) {
        #[cfg(not(greyspan_loom))]
        drop(guard(&self.control.requests).ending.take());
    }

    /// Drops all remaining objects and gives all pages back. Every object is dead, and the
    /// collector's threads and the drop thread's queue are done (GCHEAP-2).
    pub(crate) fn demolish(&self) {
        self.dropper.give(self.wills.cleanups(|_| true), &self.bytes.live);
        self.dropper.drain(&self.bytes);
        for space in self.spaces.all() {
            for span in space.take_all() {
                if space.dropped {
                    for index in span.allocated() {
                        // SAFETY: the slot is allocated, so its header, if the span has headers, is
                        // written.
                        let object = unsafe { span.object(index) };
                        // SAFETY: every object is dead. This one has not been dropped: the drop
                        // thread's queue is empty, and dropped objects are not allocated.
                        unsafe { self.dropper.bury(object) };
                    }
                }
                // SAFETY: the span's objects are dead and dropped, and no thread uses the heap any
                // more (GCHEAP-2).
                unsafe { span.give() };
            }
        }
        self.end_is_over();
    }
}

/// Ends a heap whose handle is gone: no thread can enter it, and no root is left.
pub(crate) fn end(inner: Arc<Collector>) {
    if !inner.is_own_process() {
        // Threads that the child does not have may hold the locks. The child leaks the heap's
        // memory.
        core::mem::forget(inner);
        return;
    }
    let queued = {
        #[cfg(not(greyspan_loom))]
        if inner.has_last_work() {
            inner.begin_end();
        }
        let mut requests = guard(&inner.control.requests);
        requests.end = true;
        requests.queued
    };
    // If the heap is queued, the service ends it after the cycle.
    if !queued {
        end_of(inner);
    }
}

/// Ends a heap of which no cycle runs or will run. Drops the remaining objects, on the drop thread
/// if there are any.
pub(super) fn end_of(inner: Arc<Collector>) {
    if inner.dropper.is_started() {
        inner.dropper.wake();
        return;
    }
    inner.dropper.drain(&inner.bytes);
    if inner.has_last_work() {
        let own = Arc::clone(&inner);
        let thread = std::thread::Builder::new().name("greyspan-drop".into());
        if thread.spawn(move || own.demolish()).is_ok() {
            return;
        }
    }
    inner.demolish();
}
