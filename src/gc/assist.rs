//! Marking beside the collector's thread: by helpers, for a whole cycle, and by mutators that
//! assist, for a moment.

use super::crew::COLLECTOR;
use super::fault::{at, broken};
use super::mark::{BATCH, Tracer};
use super::mutator::Record;
use super::phase::Phase;
use super::stats::{Stint, thread_nanos};
use super::world::World;
use crate::sync::backoff::Backoff;
use crate::sync::tally::Ordering::Relaxed;
use std::time::{Duration, Instant};

impl World {
    /// Helps to mark until the cycle's marking is over. Runs on a helper's thread with the shelf
    /// `own`.
    pub(crate) fn help(&self, own: usize) {
        let cycle = self.protocol.cycle();
        let mut tracer = Tracer::new(cycle);
        let mut backoff = Backoff::new();
        let mut hunger = Some(self.crew.hunger());
        while self.protocol.word().cycle() == cycle && self.protocol.word().phase() != Phase::Idle {
            if (self.crew.has_shelved() || !self.protocol.queue.is_empty())
                && let Some(shift) = self.crew.begin()
                && (tracer.steal(&self.crew, own) || tracer.take(&self.protocol.queue, BATCH))
            {
                drop(hunger.take());
                let cpu = thread_nanos();
                loop {
                    while tracer.steps(BATCH / 8) {
                        tracer.share(&self.crew, own);
                    }
                    if !tracer.steal(&self.crew, own) && !tracer.take(&self.protocol.queue, BATCH) {
                        break;
                    }
                }
                self.report(&mut tracer);
                self.counters.helpers_ns.fetch_add(thread_nanos() - cpu, Relaxed);
                drop(shift);
                hunger = Some(self.crew.hunger());
                backoff = Backoff::new();
            }
            at("helped");
            backoff.wait();
        }
        drop(hunger);
    }

    /// Passes on the finds and counts of a helper's or mutator's tracer.
    fn report(&self, tracer: &mut Tracer) {
        self.counters
            .marked_objects
            .fetch_add(core::mem::take(&mut tracer.marked), Relaxed);
        if !tracer.cells.is_empty() || !tracer.tables.is_empty() {
            let mut found = self.found.lock();
            if !broken("found_cells_lost") {
                found.0.append(&mut tracer.cells);
            }
            if !broken("found_tables_lost") {
                found.1.append(&mut tracer.tables);
            }
        }
    }

    /// Helps to mark for a moment, on a mutator in MARK, if the heap has outgrown its plan. This
    /// happens between two acknowledgements of the mutator, so a wave finds the objects that it
    /// leaves in the queue. It happens in a shift, so it hides no grey object from a wave.
    #[cold]
    pub(crate) fn assist(&self, record: &Record) {
        const LIMIT: Duration = Duration::from_micros(50);
        if self.bytes.live.load(Relaxed) < self.bytes.assist_above.load(Relaxed) {
            return;
        }
        let Some(shift) = self.crew.begin() else { return };
        let (since, work) = (Instant::now(), Stint::begin());
        let mut tracer = Tracer::new(record.current().cycle());
        if tracer.take(&self.protocol.queue, 64) || tracer.steal(&self.crew, COLLECTOR) {
            at("assisting");
            while tracer.steps(16) && since.elapsed() < LIMIT {}
            tracer.give(&self.protocol.queue);
            self.counters.assists.fetch_add(1, Relaxed);
            self.report(&mut tracer);
            self.counters.assists_ns.fetch_add(work.nanos(), Relaxed);
            self.counters.stall(work);
        } else {
            self.crew.ask();
        }
        drop(shift);
    }

    /// Takes over the weak cells and tables that helpers and assisting mutators found.
    pub(super) fn join_cells(&self, tracer: &mut Tracer) {
        let mut found = self.found.lock();
        tracer.cells.append(&mut found.0);
        tracer.tables.append(&mut found.1);
    }
}
