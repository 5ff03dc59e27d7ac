//! A heap's two threads, each started when there is first something for it to do: the collector, which runs cycles, and the drop thread.
//!
//! - B1. Cycles, and the verifier's walks, are run by whoever holds `cycle`: one at a time.
//! - B2. A request made before a cycle began is met by that cycle or a later one: `collect` waits for a cycle that began after it was called.
//! - B3. When the heap's handle goes, the collector ends first, then the drop thread; the last one drops what is left.

use super::finalize::guard;
use super::heap::Inner;
use super::phase::Word;
#[cfg(not(loom))]
use crate::os;
use crate::sync::blocking::{Arc, Condvar, Mutex, PoisonError};
use crate::sync::tally::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A heap that nobody asks to collect does so once in this time, if anything was allocated.
const PERIOD: Duration = Duration::from_secs(120);

#[derive(Default)]
struct Requests {
    /// Cycles begun and ended.
    begun: u64,
    ended: u64,
    /// The number of the cycle that was asked for, and the one that `collect` asked for.
    wanted: u64,
    forced: u64,
    /// The collector's thread: started, over.
    started: bool,
    over: bool,
    /// The handle is gone.
    end: bool,
}

/// What is asked of the collector.
pub(crate) struct Control {
    requests: Mutex<Requests>,
    changed: Condvar,
    pub(crate) cycle: Mutex<()>,
    running: AtomicBool,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self {
            requests: Mutex::new(Requests::default()),
            changed: Condvar::new(),
            cycle: Mutex::new(()),
            running: AtomicBool::new(false),
        }
    }

    /// Whether a cycle runs.
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Relaxed)
    }

    fn is_over(&self) -> bool {
        let requests = guard(&self.requests);
        requests.end && (requests.over || !requests.started)
    }
}

impl Inner {
    /// Asks for a cycle, unless one is asked for already.
    #[cold]
    pub(crate) fn ask_for_cycle(&self) {
        // The end of the cycle sets it anew.
        self.trigger.store(usize::MAX, Relaxed);
        let mut requests = guard(&self.control.requests);
        requests.wanted = requests.begun + 1;
        self.start_collector(&mut requests);
        drop(requests);
        self.control.changed.notify_all();
    }

    /// One cycle that begins after this call, to its end.
    pub(crate) fn collect(&self) {
        let mut requests = guard(&self.control.requests);
        let number = requests.begun + 1;
        requests.wanted = number;
        requests.forced = number;
        self.start_collector(&mut requests);
        self.control.changed.notify_all();
        while requests.ended < number {
            if !requests.started {
                // The system refuses a thread: this one does it.
                drop(requests);
                self.cycle();
                requests = guard(&self.control.requests);
                continue;
            }
            requests = self
                .control
                .changed
                .wait(requests)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn start_collector(&self, requests: &mut Requests) {
        if !requests.started
            && let Some(inner) = self.weak().upgrade()
        {
            let thread = std::thread::Builder::new().name("greyspan-gc".into());
            requests.started = thread.spawn(move || inner.run_collector()).is_ok();
        }
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

    fn run_collector(&self) {
        let _whole = Whole;
        let mut at_last = 0;
        loop {
            let mut requests = guard(&self.control.requests);
            while !requests.end && requests.wanted <= requests.begun {
                let (woken, late) = self
                    .control
                    .changed
                    .wait_timeout(requests, PERIOD)
                    .unwrap_or_else(PoisonError::into_inner);
                requests = woken;
                let allocated = self.allocated.load(Relaxed);
                if late.timed_out() && allocated != at_last {
                    requests.wanted = requests.begun + 1;
                }
            }
            if requests.end {
                requests.over = true;
                break;
            }
            drop(requests);
            self.cycle();
            at_last = self.allocated.load(Relaxed);
        }
        self.dropper.wake();
        if !self.dropper.is_started() {
            self.dropper.drain();
            self.demolish();
        }
    }

    fn run_dropper(&self) {
        loop {
            self.dropper.wait(|| self.control.is_over());
            self.dropper.drain();
            if self.control.is_over() && self.dropper.is_idle() {
                break;
            }
        }
        self.demolish();
    }

    /// One cycle, with its books.
    fn cycle(&self) {
        let running = guard(&self.control.cycle);
        let number = {
            let mut requests = guard(&self.control.requests);
            requests.begun += 1;
            if requests.forced == requests.begun {
                self.counters.forced.fetch_add(1, Relaxed);
            }
            requests.begun
        };
        self.control.running.store(true, Relaxed);
        self.trigger.store(usize::MAX, Relaxed);
        let (before, allocated) = (self.live.load(Relaxed), self.allocated.load(Relaxed));
        let goal = self.goal.load(Relaxed);
        // Half of what the plan leaves for the cycle is the mutators' for nothing; beyond the goal they wait a little when they enter.
        self.assist_above
            .store(before + goal.saturating_sub(before) / 2, Relaxed);
        self.throttle_above.store(goal.saturating_add(goal / 8), Relaxed);
        let since = Instant::now();
        let times = self.run_cycle();
        self.count_cycle(&times);
        self.assist_above.store(usize::MAX, Relaxed);
        self.throttle_above.store(usize::MAX, Relaxed);
        let marked = self.counters.marked_bytes.load(Relaxed) as usize;
        let beside = self.roots.count() * size_of::<usize>() * 4;
        let marked = (marked + beside).saturating_add_signed(self.external.load(Relaxed));
        self.pacer
            .lock()
            .end_cycle(marked, self.allocated.load(Relaxed).wrapping_sub(allocated));
        self.control.running.store(false, Relaxed);
        self.replan();
        #[cfg(not(loom))]
        if self.traced {
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            let mb = |bytes: usize| bytes >> 20;
            let age = self.born.elapsed();
            let share = 100.0 * since.elapsed().as_secs_f64() / age.as_secs_f64().max(1e-9);
            os::report::text(&format_args!(
                "gc {number} @{:.3}s {share:.0}%: {:.3}+{:.3}+{:.3}+{:.3} ms clock, {}->{}->{} MB, {} MB goal, {} P\n",
                age.as_secs_f64(),
                ms(times.t1),
                ms(times.mark),
                ms(times.t3),
                ms(times.sweep),
                mb(before),
                mb(self.live.load(Relaxed)),
                mb(marked),
                mb(goal),
                self.mutators(),
            ));
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
        self.protocol.request(Word::held(cycle));
        let mut backoff = super::cycle::Backoff::new();
        while !self.protocol.quiet() {
            backoff.wait();
        }
        let release = Hold(self, cycle);
        let result = look();
        drop(release);
        result
    }
}

/// A collector that panics has found its heap broken, and everybody would wait for it: the process ends.
struct Whole;

impl Drop for Whole {
    fn drop(&mut self) {
        if std::thread::panicking() {
            crate::os::report::warn(format_args!("gc: the collector panicked; aborting"));
            std::process::abort();
        }
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
    let started = {
        let mut requests = guard(&inner.control.requests);
        requests.end = true;
        requests.started
    };
    inner.control.changed.notify_all();
    inner.dropper.wake();
    if started || inner.dropper.is_started() {
        return;
    }
    let drops = inner.spaces.all().iter().any(|space| space.dropped);
    if drops {
        let own = Arc::clone(&inner);
        let thread = std::thread::Builder::new().name("greyspan-drop".into());
        if thread.spawn(move || own.demolish()).is_ok() {
            return;
        }
    }
    inner.demolish();
}
