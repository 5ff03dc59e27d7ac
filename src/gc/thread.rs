//! Control of one heap's collector: the program's requests, the cycles, and the end of the heap.
//! Cycles run on the threads of [`service`](super::service). Each heap has one drop thread, started
//! when it first has an object to drop or a cleanup to run.
//!
//! - GCTHREAD-1. Cycles and walks of the verifier run under the mutex `cycle`, so only one of them
//!   runs at a time.
//! - GCTHREAD-2. A request made before a cycle began is met by that cycle or a later one. `collect`
//!   waits for a cycle that began after the call.
//! - GCTHREAD-3. After the heap's handle has gone, the last cycle ends first, then the drop thread.
//!   The last of them drops the remaining objects.

use super::finalize::{guard, wait_by};
use super::heap::{Inner, far_beyond};
use super::pacer::Leeway;
use super::phase::Word;
#[cfg(not(loom))]
use super::service::Service;
use crate::sync::backoff::Backoff;
use crate::sync::blocking::{Arc, Condvar, Mutex};
use crate::sync::tally::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Requests {
    /// Numbers of cycles begun and ended.
    begun: u64,
    ended: u64,
    /// The number of the cycle asked for, and of the one that `collect` asked for.
    wanted: u64,
    forced: u64,
    /// Whether the heap stands in the service's line or the service runs a cycle of it.
    queued: bool,
    /// Whether the service has had the heap before.
    known: bool,
    /// Whether the handle is gone.
    end: bool,
    /// Makes the exit of the process wait for the remaining drops and cleanups. Set from the end of
    /// the heap on, or from the moment it was abandoned, if there is such work.
    #[cfg(not(loom))]
    ending: Option<super::process::Ending>,
}

/// The requests to the collector of one heap.
pub(crate) struct Control {
    requests: Mutex<Requests>,
    changed: Condvar,
    pub(crate) cycle: Mutex<()>,
    running: AtomicBool,
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
    fn share(&self, took: Duration) -> u32 {
        let since = core::mem::replace(&mut *guard(&self.ended_at), Instant::now()).elapsed();
        (took.as_secs_f64() * 100.0 / since.as_secs_f64().max(1e-9)).min(100.0) as u32
    }

    fn is_over(&self) -> bool {
        let requests = guard(&self.requests);
        requests.end && !requests.queued
    }
}

impl Inner {
    /// Asks for a cycle, unless one is asked for already.
    #[cold]
    pub(crate) fn ask_for_cycle(&self) {
        // The end of the cycle sets the trigger anew.
        self.trigger.store(usize::MAX, Relaxed);
        // Allocating threads may keep the processors from the collector's thread.
        let goal = self.goal.load(Relaxed);
        self.throttle_above.fetch_min(far_beyond(goal), Relaxed);
        let mut requests = guard(&self.control.requests);
        requests.wanted = requests.begun + 1;
        self.enqueue(&mut requests);
        #[cfg(not(loom))]
        if !requests.queued {
            // The system refuses a thread. The next request comes when the heap has grown by an
            // eighth.
            let weight = self.weight();
            self.throttle_above.store(usize::MAX, Relaxed);
            self.trigger
                .store(weight.saturating_add((weight / 8).max(1 << 20)), Relaxed);
        }
    }

    /// Waits for the end of a cycle that begins after this call. Returns `false` if it did not end
    /// before `deadline`.
    pub(crate) fn collect(&self, deadline: Option<Instant>) -> bool {
        let mut requests = guard(&self.control.requests);
        let number = requests.begun + 1;
        requests.wanted = number;
        requests.forced = number;
        self.enqueue(&mut requests);
        while requests.ended < number {
            if !requests.queued {
                // The system refuses a thread, so this thread runs the cycle.
                drop(requests);
                self.cycle();
                requests = guard(&self.control.requests);
                continue;
            }
            let in_time;
            (requests, in_time) = wait_by(&self.control.changed, requests, deadline);
            if !in_time {
                return false;
            }
        }
        true
    }

    /// Puts the heap in the service's line, unless it stands there already or the system refuses a
    /// thread. The models have no service.
    fn enqueue(&self, requests: &mut Requests) {
        #[cfg(not(loom))]
        if !requests.queued
            && !requests.end
            && let Some(inner) = self.weak().upgrade()
        {
            let is_new = !requests.known;
            requests.queued = Service::get().submit(inner, is_new);
            requests.known |= requests.queued;
        }
        #[cfg(loom)]
        let _ = requests;
    }

    /// Runs one cycle on a thread of the service, if one is still wanted. Further cycles wait
    /// behind the other heaps in line.
    #[cfg(not(loom))]
    pub(crate) fn serve(self: Arc<Self>) {
        if self.is_wanted() {
            let before = self.dropper.taken();
            self.cycle();
            // See GCHEAP-4.
            if self.dropper.taken() == before && self.dropper.is_at_rest() {
                self.report_if_abandoned();
            }
        }
        let mut requests = guard(&self.control.requests);
        let again = !requests.end && requests.wanted > requests.begun;
        requests.queued = again && Service::get().submit(Arc::clone(&self), false);
        let end = requests.end;
        drop(requests);
        // A waiting thread checks whether it must run the cycle itself.
        self.control.changed.notify_all();
        if end {
            end_of(self);
        }
    }

    #[cfg(not(loom))]
    fn is_wanted(&self) -> bool {
        let requests = guard(&self.control.requests);
        !requests.end && requests.wanted > requests.begun
    }

    /// Returns the number of cycles so far and the bytes ever allocated.
    #[cfg(not(loom))]
    pub(crate) fn progress(&self) -> (u64, usize) {
        (self.counters.cycles.load(Relaxed), self.allocated.load(Relaxed))
    }

    pub(crate) fn start_dropper(&self) {
        if self.dropper.claim()
            && let Some(inner) = self.weak().upgrade()
        {
            let thread = std::thread::Builder::new().name("greyspan-drop".into());
            if thread.spawn(move || inner.run_dropper()).is_err() {
                self.dropper.unclaim();
            }
        }
    }

    /// Whether the end of the heap has an object to drop or a cleanup to run.
    pub(crate) fn has_last_work(&self) -> bool {
        self.dropper.unfinished() > 0 || !self.wills.is_empty() || self.spaces.all().iter().any(|space| space.dropped)
    }

    /// From here on, makes the exit of the process wait for the remaining drops and cleanups.
    #[cfg(not(loom))]
    pub(crate) fn begin_end(&self) {
        guard(&self.control.requests)
            .ending
            .get_or_insert_with(super::process::Ending::begin);
    }

    /// Lets the process exit: all drops and cleanups are done, or will never be.
    pub(crate) fn end_is_over(&self) {
        #[cfg(not(loom))]
        drop(guard(&self.control.requests).ending.take());
    }

    fn run_dropper(&self) {
        loop {
            self.dropper.wait(|| self.control.is_over());
            self.dropper.drain(self);
            self.settle_owned();
            if self.control.is_over() && self.dropper.is_idle() {
                break;
            }
            #[cfg(not(loom))]
            if self.is_abandoned() {
                // The drops may have removed roots.
                self.ask_for_cycle();
            }
        }
        self.demolish();
    }

    /// Runs one cycle and updates the heap's figures.
    fn cycle(&self) {
        let running = guard(&self.control.cycle);
        let (number, forced) = {
            let mut requests = guard(&self.control.requests);
            requests.begun += 1;
            (requests.begun, requests.forced == requests.begun)
        };
        self.control.running.store(true, Relaxed);
        self.trigger.store(usize::MAX, Relaxed);
        let before = self.live.load(Relaxed);
        let allocated = self.allocated.load(Relaxed);
        self.allocated_before.store(allocated, Relaxed);
        #[cfg(not(loom))]
        let goal = self.goal.load(Relaxed);
        let Leeway { assist, throttle } = self.pacer.lock().leeway(before, self.dropper.behind.bytes());
        self.assist_above.store(assist, Relaxed);
        self.throttle_above.store(throttle, Relaxed);
        let times = self.run_cycle();
        self.count_cycle(&times, forced);
        self.assist_above.store(usize::MAX, Relaxed);
        let marked = self.counters.marked_bytes.load(Relaxed) as usize;
        let marked = (marked + self.roots.bytes()).saturating_add_signed(self.external.load(Relaxed));
        let allocated = self.allocated.load(Relaxed).wrapping_sub(allocated);
        let share = self.control.share(times.cpu());
        let owned = self.guess_owned();
        self.pacer.lock().end_cycle(marked, owned, allocated, share);
        self.control.running.store(false, Relaxed);
        if self.dropper.behind.bytes() == 0 {
            self.settle_owned();
        }
        self.replan();
        #[cfg(not(loom))]
        self.note_cycle(&times, forced);
        #[cfg(not(loom))]
        if self.traced {
            self.write_line(&times, &super::trace_line::Sizes { before, goal }, number, forced);
        }
        drop(running);
        let mut requests = guard(&self.control.requests);
        requests.ended = requests.ended.max(number);
        drop(requests);
        self.control.changed.notify_all();
    }

    /// Holds the world while `look` runs: no cycle runs, and no thread is pinned.
    pub(crate) fn hold<R>(&self, look: impl FnOnce() -> R) -> R {
        let _alone = guard(&self.control.cycle);
        let cycle = self.protocol.cycle();
        let becomes_quiet = || {
            let mut backoff = Backoff::new();
            (0..256).any(|_| {
                self.protocol.quiet() || {
                    backoff.wait();
                    false
                }
            })
        };
        loop {
            self.protocol.request(Word::held(cycle));
            if becomes_quiet() {
                break;
            }
            // A pinned thread may wait for a thread that is held back. So let threads enter for a
            // while.
            self.protocol.request(Word::idle(cycle));
            std::thread::sleep(Duration::from_millis(1));
        }
        let release = Hold(self, cycle);
        let result = look();
        drop(release);
        result
    }
}

/// Lets the world go on when it is dropped, also by unwinding.
struct Hold<'a>(&'a Inner, u64);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.protocol.request(Word::idle(self.1));
    }
}

/// Ends a heap whose handle is gone: no thread can enter it, and no root is left.
pub(crate) fn end(inner: Arc<Inner>) {
    if !inner.is_own_process() {
        // Threads that the child does not have may hold the locks. The child leaks the heap's
        // memory.
        core::mem::forget(inner);
        return;
    }
    let queued = {
        #[cfg(not(loom))]
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
fn end_of(inner: Arc<Inner>) {
    if inner.dropper.is_started() {
        inner.dropper.wake();
        return;
    }
    inner.dropper.drain(&inner);
    if inner.has_last_work() {
        let own = Arc::clone(&inner);
        let thread = std::thread::Builder::new().name("greyspan-drop".into());
        if thread.spawn(move || own.demolish()).is_ok() {
            return;
        }
    }
    inner.demolish();
}
