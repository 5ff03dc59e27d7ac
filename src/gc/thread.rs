//! What is asked of the collector by one heap's program, and the end of a heap. The threads are those of [`service`](super::service), and one
//! of the heap's own for drops, started when there is first something to drop.
//!
//! - B1. Cycles, and the verifier's walks, are run by whoever holds `cycle`: one at a time.
//! - B2. A request made before a cycle began is met by that cycle or a later one: `collect` waits for a cycle that began after it was called.
//! - B3. When the heap's handle goes, its last cycle ends first, then the drop thread; the last one drops what is left.

use super::finalize::{guard, wait_by};
use super::heap::{Inner, far_beyond};
use super::pacer::Leeway;
use super::phase::Word;
#[cfg(not(loom))]
use super::service::Service;
use crate::sync::blocking::{Arc, Condvar, Mutex};
use crate::sync::tally::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Requests {
    /// Cycles begun and ended.
    begun: u64,
    ended: u64,
    /// The number of the cycle that was asked for, and the one that `collect` asked for.
    wanted: u64,
    forced: u64,
    /// The service has the heap in line, or runs a cycle of it.
    queued: bool,
    /// The service has had it once.
    known: bool,
    /// The handle is gone.
    end: bool,
    /// From the end on, or since the heap was abandoned, where something is left to drop: the exit
    /// of the process waits for it.
    #[cfg(not(loom))]
    ending: Option<super::process::Ending>,
}

/// What is asked of the collector.
pub(crate) struct Control {
    requests: Mutex<Requests>,
    changed: Condvar,
    pub(crate) cycle: Mutex<()>,
    running: AtomicBool,
    /// When the last cycle ended, or the heap was made.
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

    /// A cycle that took so much processor time ends: its share of the time since the last one ended, in per cent.
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
        // The end of the cycle sets it anew.
        self.trigger.store(usize::MAX, Relaxed);
        // The collector's thread may have to wait for a processor, which those that allocate have.
        let goal = self.goal.load(Relaxed);
        self.throttle_above.fetch_min(far_beyond(goal), Relaxed);
        let mut requests = guard(&self.control.requests);
        requests.wanted = requests.begun + 1;
        self.enqueue(&mut requests);
        #[cfg(not(loom))]
        if !requests.queued {
            // The system refuses a thread: somebody asks again when the heap has grown by an eighth.
            let weight = self.weight();
            self.throttle_above.store(usize::MAX, Relaxed);
            self.trigger
                .store(weight.saturating_add((weight / 8).max(1 << 20)), Relaxed);
        }
    }

    /// One cycle that begins after this call, to its end. `false`: it did not end before
    /// `deadline`.
    pub(crate) fn collect(&self, deadline: Option<Instant>) -> bool {
        let mut requests = guard(&self.control.requests);
        let number = requests.begun + 1;
        requests.wanted = number;
        requests.forced = number;
        self.enqueue(&mut requests);
        while requests.ended < number {
            if !requests.queued {
                // The system refuses a thread: this one does it.
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

    /// Puts the heap in line, unless it stands there or the system refuses a thread. In the models nobody serves.
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

    /// The service's thread runs one cycle, if one is wanted still; more of them only after other heaps that stand in line.
    #[cfg(not(loom))]
    pub(crate) fn serve(self: Arc<Self>) {
        if self.is_wanted() {
            let before = self.dropper.taken();
            self.cycle();
            // H4 of `heap`.
            if self.dropper.taken() == before && self.dropper.is_at_rest() {
                self.report_if_abandoned();
            }
        }
        let mut requests = guard(&self.control.requests);
        let again = !requests.end && requests.wanted > requests.begun;
        requests.queued = again && Service::get().submit(Arc::clone(&self), false);
        let end = requests.end;
        drop(requests);
        // Whoever waits looks whether he must help himself.
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

    /// Cycles so far, and bytes ever allocated.
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

    /// Whether anything is to be dropped or run when the heap ends.
    pub(crate) fn has_last_work(&self) -> bool {
        self.dropper.unfinished() > 0 || !self.wills.is_empty() || self.spaces.all().iter().any(|space| space.dropped)
    }

    /// The exit of the process waits for what is left to drop and run, from here on.
    #[cfg(not(loom))]
    pub(crate) fn begin_end(&self) {
        guard(&self.control.requests)
            .ending
            .get_or_insert_with(super::process::Ending::begin);
    }

    /// All is dropped and run, or will never be.
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
                // Some roots may have gone with what was dropped.
                self.ask_for_cycle();
            }
        }
        self.demolish();
    }

    /// One cycle, with its books.
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

    /// Holds the world: no cycle runs, and nobody is pinned, while `look` looks.
    pub(crate) fn hold<R>(&self, look: impl FnOnce() -> R) -> R {
        let _alone = guard(&self.control.cycle);
        let cycle = self.protocol.cycle();
        let becomes_quiet = || {
            let mut backoff = super::cycle::Backoff::new();
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
            // A pinned thread may wait for one that is held back: those may enter for a while.
            self.protocol.request(Word::idle(cycle));
            std::thread::sleep(Duration::from_millis(1));
        }
        let release = Hold(self, cycle);
        let result = look();
        drop(release);
        result
    }
}

/// Lets the world go on, also by unwinding.
struct Hold<'a>(&'a Inner, u64);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.protocol.request(Word::idle(self.1));
    }
}

/// The handle of `inner` is gone: nobody can enter, and no root is left.
pub(crate) fn end(inner: Arc<Inner>) {
    if !inner.is_own_process() {
        // Its locks may be held by threads that this process does not have; its memory is the child's loss.
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
    // Else the service comes to the end when its cycle is over.
    if !queued {
        end_of(inner);
    }
}

/// No cycle of `inner` runs or will run: what is left is dropped, by the drop thread if there is something to drop.
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
