//! Drives one heap's collector: serves the program's requests, and runs the cycles.
//! Cycles run on the threads of [`service`](super::service). Each heap has one drop thread, started
//! when it first has an object to drop or a cleanup to run.
//!
//! - GCTHREAD-1. Cycles and walks of the verifier run under the mutex `cycle`, so only one of them
//!   runs at a time.
//! - GCTHREAD-2. A request made before a cycle began is met by that cycle or a later one. `collect`
//!   waits for a cycle that began after the call.
//! - GCTHREAD-3. After the heap's handle has gone, the last cycle ends first, then the drop thread.
//!   The last of them drops the remaining objects; see [`end`](super::end).

use super::bytes::far_beyond;
use super::collector::Collector;
use super::control::Requests;
use super::end::end_of;
use super::pacer::Leeway;
use super::phase::Word;
#[cfg(not(greyspan_loom))]
use super::service::{Client, Service};
#[cfg(not(greyspan_loom))]
use super::trace_line::Sizes;
use super::waiting::{guard, wait_by};
use super::world::{Host, World};
use crate::sync::backoff::Backoff;
use crate::sync::blocking::Arc;
use crate::sync::tally::Ordering::Relaxed;
use std::time::{Duration, Instant};

impl Host for Collector {
    fn world(&self) -> &World {
        self
    }

    fn ask_for_cycle(&self) {
        self.ask_for_cycle();
    }

    fn run_dropper(&self) {
        loop {
            self.dropper.wait(|| self.control.is_over());
            self.dropper.drain(&self.bytes);
            self.settle_owned();
            if self.control.is_over() && self.dropper.is_idle() {
                break;
            }
            #[cfg(not(greyspan_loom))]
            if self.used.is_abandoned() {
                // The drops may have removed roots.
                self.ask_for_cycle();
            }
        }
        self.demolish();
    }

    #[cfg(not(greyspan_loom))]
    fn invite(self: Arc<Self>, most: usize) {
        let client: Arc<dyn Client> = self;
        Service::get().invite(&client, most);
    }
}

#[cfg(not(greyspan_loom))]
impl Client for Collector {
    fn serve(self: Arc<Self>) {
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
        requests.queued = again && Service::get().submit(Arc::<Self>::clone(&self), false);
        let end = requests.end;
        drop(requests);
        // A waiting thread checks whether it must run the cycle itself.
        self.control.changed.notify_all();
        if end {
            end_of(self);
        }
    }

    fn help(&self, place: usize) {
        self.world().help(place);
    }

    fn progress(&self) -> (u64, usize) {
        (self.counters.cycles.load(Relaxed), self.bytes.allocated.load(Relaxed))
    }

    fn ask_for_cycle(&self) {
        self.ask_for_cycle();
    }
}

impl Collector {
    /// Asks for a cycle, unless one is asked for already.
    #[cold]
    pub(crate) fn ask_for_cycle(&self) {
        // The end of the cycle sets the trigger anew.
        self.bytes.trigger.store(usize::MAX, Relaxed);
        // Allocating threads may keep the processors from the collector's thread.
        let goal = self.bytes.goal.load(Relaxed);
        self.bytes.throttle_above.fetch_min(far_beyond(goal), Relaxed);
        let mut requests = guard(&self.control.requests);
        requests.wanted = requests.begun + 1;
        self.enqueue(&mut requests);
        if !requests.queued {
            // The system refuses a thread. The next request comes when the heap has grown by an
            // eighth.
            let weight = self.bytes.weight();
            self.bytes.throttle_above.store(usize::MAX, Relaxed);
            self.bytes
                .trigger
                .store(weight.saturating_add((weight / 8).max(1 << 20)), Relaxed);
        }
    }

    /// Notes that the program has dropped its last handle while roots are left.
    #[cfg(not(greyspan_loom))]
    pub(crate) fn abandon(&self) {
        self.used.abandon();
        // If there is nothing to drop or run, no root can lie in an object or a cleanup.
        if self.has_last_work() {
            self.begin_end();
            self.ask_for_cycle();
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
        #[cfg(not(greyspan_loom))]
        if !requests.queued
            && !requests.end
            && let Some(inner) = self.weak().upgrade()
        {
            let is_new = !requests.known;
            requests.queued = Service::get().submit(inner, is_new);
            requests.known |= requests.queued;
        }
        #[cfg(greyspan_loom)]
        let _ = requests;
    }

    fn is_wanted(&self) -> bool {
        let requests = guard(&self.control.requests);
        !requests.end && requests.wanted > requests.begun
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
        self.bytes.trigger.store(usize::MAX, Relaxed);
        let before = self.bytes.live.load(Relaxed);
        let allocated = self.bytes.allocated.load(Relaxed);
        self.bytes.allocated_before.store(allocated, Relaxed);
        #[cfg(not(greyspan_loom))]
        let goal = self.bytes.goal.load(Relaxed);
        let Leeway { assist, throttle } = self.pacer.lock().leeway(before, self.dropper.behind.bytes());
        self.bytes.assist_above.store(assist, Relaxed);
        self.bytes.throttle_above.store(throttle, Relaxed);
        let times = self.run_cycle();
        self.count_cycle(&times, forced);
        self.bytes.assist_above.store(usize::MAX, Relaxed);
        let marked = self.counters.marked_bytes.load(Relaxed) as usize;
        let marked = (marked + self.roots.bytes()).saturating_add_signed(self.bytes.external.load(Relaxed));
        let allocated = self.bytes.allocated.load(Relaxed).wrapping_sub(allocated);
        let share = self.control.share(times.cpu());
        let owned = self.bytes.guess_owned(self.dropper.behind.bytes());
        self.pacer.lock().end_cycle(marked, owned, allocated, share);
        self.control.running.store(false, Relaxed);
        if self.dropper.behind.bytes() == 0 {
            self.settle_owned();
        }
        self.replan();
        #[cfg(not(greyspan_loom))]
        self.note_cycle(&times, forced);
        #[cfg(not(greyspan_loom))]
        if self.traced {
            self.write_line(&times, &Sizes { before, goal }, number, forced);
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
struct Hold<'a>(&'a Collector, u64);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.protocol.request(Word::idle(self.1));
    }
}
