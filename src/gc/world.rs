//! [`World`]: the data of one heap that mutators, marking, sweeping and handles share.
//!
//! The [`Collector`](super::collector) lies above: it owns the world and decides when a cycle runs.
//! The world reaches it only through [`Host`].

use super::bytes::Bytes;
use super::crew::Crew;
use super::dropper::{Dropper, Work};
use super::pacer::Plan;
use super::phase::Protocol;
#[cfg(not(greyspan_loom))]
use super::process;
use super::roots::RootTable;
use super::space::Spaces;
use super::stats::Counters;
use super::table::Table;
use super::weak_cell::WeakCell;
use super::wills::Wills;
use crate::sync::blocking::Arc;
use crate::sync::blocking::Weak;
use crate::sync::lock::Lock;
use core::ptr::NonNull;

/// Returns the number of this process: the count of forks. The models have one process, number 0.
#[inline]
fn current_process() -> usize {
    #[cfg(not(greyspan_loom))]
    return process::current();
    #[cfg(greyspan_loom)]
    0
}

/// The owner of a world. The world calls it on slow paths only.
pub(crate) trait Host: Send + Sync {
    /// Returns the world.
    fn world(&self) -> &World;
    /// Asks for a cycle, unless one is asked for already.
    fn ask_for_cycle(&self);
    /// Runs the drop thread until the heap ends.
    fn run_dropper(&self);
    /// Invites up to `most` helpers to the running cycle.
    #[cfg(not(greyspan_loom))]
    fn invite(self: Arc<Self>, most: usize);
}

/// The shared data of one heap.
pub(crate) struct World {
    /// Identifies the heap. No number is used twice.
    pub(crate) number: u64,
    /// The number of the process that made the heap; see `current_process`.
    process: usize,
    pub(crate) protocol: Protocol,
    pub(crate) spaces: Spaces,
    pub(crate) roots: RootTable,
    pub(crate) wills: Wills,
    pub(crate) dropper: Dropper,
    pub(crate) crew: Crew,
    pub(crate) counters: Counters,
    pub(crate) bytes: Bytes,
    /// Weak cells and tables that helpers and assisting mutators found, for the collector.
    pub(crate) found: Lock<Found>,
    host: Weak<dyn Host>,
}

/// Weak cells and tables that helpers and assisting mutators found.
pub(crate) struct Found(pub(crate) Vec<NonNull<WeakCell>>, pub(crate) Vec<NonNull<Table>>);

// SAFETY: the pointers lead to managed objects, which are `Send + Sync`.
unsafe impl Send for Found {}

impl World {
    pub(crate) fn new(number: u64, plan: &Plan, host: Weak<dyn Host>) -> Self {
        Self {
            number,
            process: current_process(),
            protocol: Protocol::new(),
            spaces: Spaces::new(),
            roots: RootTable::new(number),
            wills: Wills::new(),
            dropper: Dropper::new(number),
            crew: Crew::new(),
            counters: Counters::new(),
            bytes: Bytes::new(plan),
            found: Lock::new(Found(Vec::new(), Vec::new())),
            host,
        }
    }

    pub(crate) fn host(&self) -> Weak<dyn Host> {
        self.host.clone()
    }

    /// Returns whether this process made the heap. A `fork` child did not.
    #[inline]
    pub(crate) fn is_own_process(&self) -> bool {
        self.process == current_process()
    }

    /// Panics unless this process made the heap. Callers check this before they take a lock that a
    /// thread of the parent may have held at the fork.
    #[inline]
    pub(crate) fn check_process(&self) {
        assert!(
            self.is_own_process(),
            "greyspan::gc: this heap was made before a fork and has no collector in the child; make a new one there"
        );
    }

    /// Adds `bytes` to the live bytes.
    pub(crate) fn count_live(&self, bytes: usize) {
        self.bytes.allocate(bytes);
        self.consider();
    }

    /// Changes the bytes that objects keep elsewhere. An increase can start a cycle.
    pub(crate) fn count_external(&self, bytes: isize) {
        self.bytes.change_external(bytes);
        self.consider();
    }

    /// Counts `bytes` that new objects own.
    pub(crate) fn count_owned(&self, bytes: usize) {
        self.bytes.own(bytes);
        self.consider();
    }

    /// Asks for a cycle if the trigger is reached and a cycle can help.
    pub(crate) fn consider(&self) {
        if self.bytes.is_due(self.dropper.behind.bytes())
            && let Some(host) = self.host.upgrade()
        {
            host.ask_for_cycle();
        }
    }

    /// Gives work to the drop thread, and starts that thread if it does not run.
    pub(crate) fn bequeath(&self, work: impl IntoIterator<Item = Work>) {
        let mut work = work.into_iter().peekable();
        if work.peek().is_some() {
            self.dropper.give(work, &self.bytes.live);
            self.start_dropper();
        }
    }

    /// Starts the drop thread, unless it runs.
    fn start_dropper(&self) {
        if self.dropper.claim()
            && let Some(host) = self.host.upgrade()
        {
            let thread = std::thread::Builder::new().name("greyspan-drop".into());
            if thread.spawn(move || host.run_dropper()).is_err() {
                self.dropper.unclaim();
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for record in self.protocol.dismiss_all() {
            let record = core::ptr::from_ref(record).cast_mut();
            // SAFETY: `Collector::take_record` leaked the record's `Box`. Threads use a record only
            // while its heap exists.
            drop(unsafe { Box::from_raw(record) });
        }
        // SAFETY: no `Arc` of the heap is left, so no thread uses its spaces; `demolish` gave the
        // spans back.
        unsafe { self.spaces.free() };
        // SAFETY: each root keeps the handle, which is gone, so no root is left.
        unsafe { self.roots.free() };
    }
}
