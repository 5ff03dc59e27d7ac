//! One cycle, step by step, on the collector's thread. At no moment do all mutators stand still.
//!
//! ```text
//!  0  all spans belong to this cycle, no mark is set, no object is grey           state = OPEN
//!  1  handshake H1, soft: each mutator goes to PRE.            T1: all have
//!     Only from T1 on the collector scans roots and traces objects. No object is black before.
//!  2  handshake H2, quiescent: each mutator goes to MARK while it is not pinned.  T2: all have
//!     This runs beside the tracing.
//!  3  trace until T2 has come, no object is grey here or in the queue, and the ephemerons are at
//!     their fixpoint
//!  4  state = TERMINATING
//!     a wave: each mutator hands over its grey objects; then the ephemerons once more
//!     if the queue is empty, exchange TERMINATING ─► CLOSED; otherwise OPEN, and back to 3
//!  5  from CLOSED on, unmarked objects are dead:
//!     clear weak cells, revive the objects that guardians watch, clear tables, queue cleanups
//!  6  handshake H3, soft: each mutator gives up its spans and goes to IDLE.       T3: all have
//!     So all spans of this cycle belong to the sweepers.
//!  7  sweep span by span, beside the mutators; a mutator that needs a slot sweeps too
//!     The next cycle begins when all spans are swept.
//! ```
//!
//! A pinned mutator acknowledges a soft handshake between two operations, and the quiescent one by
//! unpinning.
//!
//! T3 comes before the first sweep. So while a span is swept, no mutator is in MARK, no mutator
//! holds an unswept span, and no mutator is upgrading a weak reference to an object that is being
//! freed. A mutator that stays pinned and performs no operation delays the sweep, as it delays H2.

use super::crew::COLLECTOR;
use super::crew::HELPERS;
use super::fault::{at, broken};
use super::mark::{BATCH, Tracer, is_dead, is_marked};
use super::phase::{State, Word};
#[cfg(not(greyspan_loom))]
use super::process::processors;
#[cfg(not(greyspan_loom))]
use super::service::Service;
use super::stats::{Counters, nanos, thread_nanos};
use super::world::World;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::backoff::Backoff;
use std::time::{Duration, Instant};

/// Live bytes from which on the collector has helpers. Marking a smaller heap ends before they
/// wake.
const HELPED: usize = 4 << 20;

/// The time that one cycle took, in parts.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Times {
    pub(crate) t1: Duration,
    pub(crate) t2: Duration,
    pub(crate) mark: Duration,
    pub(crate) t3: Duration,
    pub(crate) sweep: Duration,
    /// Processor time of marking by assisting mutators.
    pub(crate) assists_ns: u64,
    /// Processor time of marking by the collector's thread.
    pub(crate) collector_ns: u64,
    /// Processor time of marking by helpers.
    pub(crate) helpers_ns: u64,
    /// Processor time of the whole cycle on the collector's thread.
    pub(crate) whole_ns: u64,
}

impl Times {
    /// Returns the processor time of the whole cycle, on all threads.
    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.whole_ns + self.helpers_ns + self.assists_ns)
    }
}

impl World {
    /// Makes all mutators follow `word`. Returns how long that took.
    fn handshake(&self, word: Word) -> Duration {
        let since = Instant::now();
        self.protocol.request(word);
        self.await_all(word);
        since.elapsed()
    }

    fn await_all(&self, word: Word) {
        let mut backoff = Backoff::new();
        while !self.protocol.acknowledged(word) {
            Self::wait_for_pins(&mut backoff);
        }
    }

    /// Waits a little for pinned threads. If that takes long, another thread serves the other
    /// heaps.
    fn wait_for_pins(backoff: &mut Backoff) {
        backoff.wait();
        #[cfg(not(greyspan_loom))]
        if backoff.is_long() {
            Service::get().relieve();
        }
    }

    /// Invites helpers if the heap has work for more than one thread: one for each processor that
    /// the heap's other threads do not need.
    fn invite_helpers(&self) {
        #[cfg(not(greyspan_loom))]
        if self.bytes.live.load(Relaxed) >= HELPED
            && let Some(host) = self.host().upgrade()
        {
            let free = processors().saturating_sub(1 + self.protocol.pinned());
            host.invite(free.min(HELPERS));
        }
    }

    /// Runs one whole cycle. No other thread runs a cycle of this heap meanwhile.
    pub(crate) fn run_cycle(&self) -> Times {
        let mut times = Times::default();
        let cycle = self.protocol.cycle() + 1;
        self.roots.free_dropped();
        debug_assert!(self.protocol.queue.is_empty());
        let (begun, cpu) = (Instant::now(), thread_nanos());
        let counted = |counters: &Counters| (counters.assists_ns.load(Relaxed), counters.helpers_ns.load(Relaxed));
        let before = counted(&self.counters);
        self.protocol.set_state(State::Open);
        if !broken("one_handshake") {
            times.t1 = self.handshake(Word::pre(cycle));
        }
        let mut tracer = Tracer::new(cycle);
        self.mark(&mut tracer, cycle, &mut times);
        times.mark = begun.elapsed();
        times.collector_ns = thread_nanos() - cpu;
        let after = counted(&self.counters);
        (times.assists_ns, times.helpers_ns) = (after.0 - before.0, after.1 - before.1);
        self.counters.marked_objects.fetch_add(tracer.marked, Relaxed);
        self.settle_wills(tracer, cycle);
        if broken("sweep_before_t3") {
            self.protocol.request(Word::idle(cycle));
        } else {
            times.t3 = self.handshake(Word::idle(cycle));
        }
        let since = Instant::now();
        self.sweep(cycle);
        times.sweep = since.elapsed();
        times.whole_ns = thread_nanos() - cpu;
        times
    }

    /// Runs steps 2 to 4: marking.
    pub(super) fn mark(&self, tracer: &mut Tracer, cycle: u64, times: &mut Times) {
        let since = Instant::now();
        let mut word = Word::mark(cycle);
        self.protocol.request(word);
        let mut all_in_mark = false;
        let mut backoff = Backoff::new();
        // Checks whether all mutators are in MARK, until they are. Then it notes the time.
        let asked = word;
        let mut look = |times: &mut Times| {
            if !all_in_mark && self.protocol.acknowledged(asked) {
                all_in_mark = true;
                times.t2 = since.elapsed();
            }
            all_in_mark
        };
        self.roots.scan(|target| {
            tracer.mark(target);
        });
        self.crew.open();
        self.invite_helpers();
        loop {
            self.drain(tracer, || {
                look(times);
            });
            if !look(times) {
                Self::wait_for_pins(&mut backoff);
                continue;
            }
            // If the gate shuts below, no other thread takes grey objects until it opens again
            // (CREW-2 of `crew`).
            if self.mark_values(tracer) {
                continue;
            }
            at("looked");
            if !self.crew.shut() {
                continue;
            }
            self.protocol.set_state(State::Terminating);
            word = word.wave();
            if !broken("no_wave") {
                self.handshake(word);
            }
            let marked = !broken("look_once") && self.mark_values(tracer);
            if !marked && self.protocol.queue.is_empty() && self.protocol.close() {
                return;
            }
            self.protocol.set_state(State::Open);
            self.crew.open();
        }
    }

    /// Scans all grey objects here, on the shelves and in the queue, until no helper has any
    /// either. While others have some and this thread has none, it counts as hungry.
    fn drain(&self, tracer: &mut Tracer, mut between: impl FnMut()) {
        let mut backoff = Backoff::new();
        let mut hunger = None;
        loop {
            while tracer.steps(BATCH / 8) {
                tracer.share(&self.crew, COLLECTOR);
                between();
            }
            if tracer.steal(&self.crew, COLLECTOR) || tracer.take(&self.protocol.queue, BATCH) {
                hunger = None;
                backoff = Backoff::new();
            } else if self.crew.is_idle() {
                return;
            } else {
                hunger.get_or_insert_with(|| self.crew.hunger());
                backoff.wait();
            }
        }
    }

    /// Runs one round of the ephemerons' fixpoint. Returns whether it marked anything.
    fn mark_values(&self, tracer: &mut Tracer) -> bool {
        if !broken("found_joined_late") {
            self.join_cells(tracer);
        }
        tracer.mark_values()
    }

    /// Runs step 5: weak cells, guardians, tables and cleanups.
    pub(super) fn settle_wills(&self, mut tracer: Tracer, cycle: u64) {
        self.join_cells(&mut tracer);
        if broken("cells_uncleared") {
            tracer.cells.clear();
        }
        if broken("revive_first") {
            self.revive(&mut tracer, cycle);
        }
        for cell in core::mem::take(&mut tracer.cells) {
            // SAFETY: the cell is marked, so it is a live object.
            unsafe { cell.as_ref() }.clear_if(|target| is_dead(target, cycle));
        }
        self.revive(&mut tracer, cycle);
        for table in &tracer.tables {
            // SAFETY: the table is marked, so it is a live object.
            unsafe { table.as_ref() }.clear(|key| is_marked(key) || !is_dead(key, cycle));
        }
        self.bequeath(self.wills.cleanups(|target| is_dead(target, cycle)));
    }

    /// Marks the dead objects that guardians watch, with all that they lead to, and hands them
    /// over.
    fn revive(&self, tracer: &mut Tracer, cycle: u64) {
        let watched = self.wills.watched(|target| is_dead(target, cycle));
        if !watched.is_empty() {
            tracer.revived = Some(std::collections::HashSet::new());
            for &(target, _) in &watched {
                tracer.mark(target);
            }
            at("reviving");
            loop {
                while tracer.step() {}
                if !tracer.mark_values() || broken("revive_one_round") {
                    break;
                }
            }
            // A weak cell that came back is cleared if its target was not marked before the
            // revival: the target was dead then.
            let revived = tracer.revived.take().unwrap_or_default();
            for cell in core::mem::take(&mut tracer.cells) {
                // SAFETY: the cell is marked, so it is a live object.
                unsafe { cell.as_ref() }.clear_if(|target| {
                    is_dead(target, cycle) || (revived.contains(&target) && !broken("returned_cells_kept"))
                });
            }
            for (_, hand_over) in watched {
                hand_over(&self.roots);
            }
        }
    }

    /// Runs step 7: sweeps all spans of `cycle`.
    fn sweep(&self, cycle: u64) {
        self.counters.marked_bytes.store(0, Relaxed);
        self.bytes.kept.store(0, Relaxed);
        let spaces = self.spaces.all();
        for space in &spaces {
            space.begin_sweep(cycle);
        }
        for space in &spaces {
            while space.sweep_one(self, cycle) {}
        }
        let mut backoff = Backoff::new();
        while !spaces.iter().all(|space| space.is_swept()) {
            backoff.wait();
        }
    }

    /// Adds a cycle's times to the heap's counters.
    pub(crate) fn count_cycle(&self, times: &Times, forced: bool) {
        let counters = &self.counters;
        counters.cycles.fetch_add(1, Relaxed);
        counters.forced.fetch_add(u64::from(forced), Relaxed);
        counters.mark_ns.fetch_add(nanos(times.mark), Relaxed);
        counters.sweep_ns.fetch_add(nanos(times.sweep), Relaxed);
        let cpu = nanos(times.cpu());
        counters.cpu_ns.fetch_add(cpu, Relaxed);
        let longest = times.t1.max(times.t2).max(times.t3);
        counters.longest_pin_ns.fetch_max(nanos(longest), Relaxed);
        crate::stats::TOTALS.count_cycle(forced, cpu);
    }

    /// Reports a finished cycle, and the goal of the next one, to the process's statistics and
    /// events.
    pub(crate) fn note_cycle(&self, times: &Times, forced: bool) {
        let goal = self.bytes.goal.load(Relaxed) as u64;
        crate::stats::TOTALS.next_gc.store(goal, Relaxed);
        crate::events::note(crate::events::EventKind::GcCycle {
            cycle: crate::stats::TOTALS.num_gc.load(Relaxed),
            live: self.counters.marked_bytes.load(Relaxed),
            goal,
            forced,
            took: times.mark + times.t3 + times.sweep,
        });
    }
}
