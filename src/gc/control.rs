//! The requests to the collector of one heap, and whether the program still has a handle of the
//! heap. The rules are those of [`driver`](super::driver).

#[cfg(not(greyspan_loom))]
use super::process::Ending;
use super::waiting::guard;
use crate::sync::blocking::{Condvar, Mutex};
use crate::sync::tally::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

#[derive(Default)]
pub(super) struct Requests {
    /// Numbers of cycles begun and ended.
    pub(super) begun: u64,
    pub(super) ended: u64,
    /// The number of the cycle asked for, and of the one that `collect` asked for.
    pub(super) wanted: u64,
    pub(super) forced: u64,
    /// Whether the heap stands in the service's line or the service runs a cycle of it.
    pub(super) queued: bool,
    /// Whether the service has had the heap before.
    pub(super) known: bool,
    /// Whether the handle is gone.
    pub(super) end: bool,
    /// Makes the exit of the process wait for the remaining drops and cleanups. Set from the end of
    /// the heap on, or from the moment it was abandoned, if there is such work.
    #[cfg(not(greyspan_loom))]
    pub(super) ending: Option<Ending>,
}

/// The requests to the collector of one heap.
pub(crate) struct Control {
    pub(super) requests: Mutex<Requests>,
    pub(super) changed: Condvar,
    pub(crate) cycle: Mutex<()>,
    pub(super) running: AtomicBool,
    /// The moment when the last cycle ended or the heap was made.
    ended_at: Mutex<Instant>,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self {
            requests: Mutex::new(Requests::default()),
            changed: Condvar::new(),
            cycle: Mutex::new(()),
            running: AtomicBool::new(false),
            ended_at: Mutex::new(Instant::now()),
        }
    }

    /// Whether a cycle runs.
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Relaxed)
    }

    /// Notes the end of a cycle that took `took` of processor time. Returns its share of the time
    /// since the last cycle ended, in per cent, at most 100.
    pub(super) fn share(&self, took: Duration) -> u32 {
        let since = core::mem::replace(&mut *guard(&self.ended_at), Instant::now()).elapsed();
        (took.as_secs_f64() * 100.0 / since.as_secs_f64().max(1e-9)).min(100.0) as u32
    }

    pub(super) fn is_over(&self) -> bool {
        let requests = guard(&self.requests);
        requests.end && !requests.queued
    }
}
