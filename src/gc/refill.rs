//! How a mutator gets a span with free slots, and how a span is swept: by the collector, or by the
//! mutator that needs a slot. The rules are those of [`space`](super::space).

use super::dropper::Work;
use super::fault::broken;
use super::mutator::Record;
use super::phase::{Phase, State};
use super::span::{Space, Span};
use super::stats::Stint;
use super::sweep::Swept;
use super::world::World;
use crate::base::geometry::PAGE;
use crate::sync::atomic::Ordering::Relaxed;

/// A mutator sweeps at most one span more than this before it takes a fresh one.
const SWEEPS: usize = 4;

impl Space {
    /// Returns a span with a free slot. The mutator holds it from here on. `None`: there is no
    /// memory.
    pub(crate) fn refill(&'static self, record: &Record) -> Option<&'static Span> {
        let heap = record.heap();
        let epoch = record.current().epoch();
        let span = self
            .find(heap, epoch)
            .or_else(|| self.fresh(heap, epoch, self.slot, self.geometry()))?;
        heap.count_live(span.count_all() as usize * span.slot_bytes());
        if record.phase() == Phase::Mark && heap.protocol.state() == State::Open {
            heap.assist(record);
        }
        Some(span)
    }

    fn find(&'static self, heap: &World, epoch: u64) -> Option<&'static Span> {
        let mut since = None;
        let found = self.find_or_sweep(heap, epoch, &mut since);
        if let Some(since) = since {
            heap.counters.stall(since);
        }
        found
    }

    /// Finds a span with a free slot, and sweeps some if necessary. `since` is set to the beginning
    /// of the first sweep.
    fn find_or_sweep(&'static self, heap: &World, epoch: u64, since: &mut Option<Stint>) -> Option<&'static Span> {
        for _ in 0..=SWEEPS {
            let span = {
                let mut lists = self.lists.lock();
                while let Some(span) = lists.partial.pop() {
                    // A span of another epoch waits on `all` for its sweep (SPACE-3).
                    if span.epoch() == epoch || broken("refill_any_epoch") {
                        return Some(span);
                    }
                }
                let span = lists.unswept.pop()?;
                lists.sweeping += 1;
                span
            };
            since.get_or_insert_with(Stint::begin);
            let swept = heap.sweep_span(span, epoch - 1);
            let keep = !swept.empty && span.has_free();
            self.done(heap, span, &swept, keep);
            if keep {
                return Some(span);
            }
        }
        None
    }

    /// Makes a new span. `None`: there is no memory.
    fn fresh(
        &'static self,
        heap: &World,
        epoch: u64,
        slot: usize,
        (pages, objects): (usize, u32),
    ) -> Option<&'static Span> {
        let span = Span::take(self, slot, pages, objects, epoch)?;
        let mut lists = self.lists.lock();
        if !lists.has_room() {
            drop(lists);
            // SAFETY: the span is on no list, so no other thread has it, and no object is in it.
            unsafe { span.give() };
            return None;
        }
        heap.bytes.mapped.fetch_add(pages * PAGE, Relaxed);
        span.place.store(lists.all.len(), Relaxed);
        lists.all.push(span);
        Some(span)
    }

    /// Makes a span for one large object of `bytes`. `None`: there is no memory.
    pub(crate) fn take_large(&'static self, heap: &World, epoch: u64, bytes: usize) -> Option<&'static Span> {
        let pages = bytes.div_ceil(PAGE);
        let span = self.fresh(heap, epoch, pages * PAGE, (pages, 1))?;
        heap.count_live(span.count_all() as usize * span.slot_bytes());
        Some(span)
    }

    /// Ends a sweep. An empty span goes back to the page heap. A span with free slots goes to
    /// `partial`, unless its sweeper keeps it (`keep`).
    fn done(&self, heap: &World, span: &'static Span, swept: &Swept, keep: bool) {
        {
            let mut lists = self.lists.lock();
            lists.sweeping -= 1;
            if swept.empty {
                let place = span.place.load(Relaxed);
                lists.all.swap_remove(place);
                if let Some(moved) = lists.all.get(place) {
                    moved.place.store(place, Relaxed);
                }
            } else if !keep && span.has_free() {
                lists.partial.push(span);
            }
        }
        if swept.empty {
            heap.bytes.mapped.fetch_sub(span.pages() * PAGE, Relaxed);
            // SAFETY: its sweeper held it, it is on no list, and it holds no object. No thread has
            // a dead object's address (GCSPAN-3).
            unsafe { span.give() };
        }
    }

    /// Sweeps one span. Returns `false` if none waits. Mutators may still be sweeping others.
    pub(crate) fn sweep_one(&self, heap: &World, epoch: u64) -> bool {
        let span = {
            let mut lists = self.lists.lock();
            let Some(span) = lists.unswept.pop() else { return false };
            lists.sweeping += 1;
            span
        };
        let swept = heap.sweep_span(span, epoch);
        self.done(heap, span, &swept, false);
        true
    }
}

impl World {
    /// Sweeps one span of cycle `cycle`. The caller holds the span.
    pub(crate) fn sweep_span(&self, span: &'static Span, cycle: u64) -> Swept {
        let dropped = span.space.dropped;
        let swept = span.sweep(cycle, dropped);
        let slot = span.slot_bytes();
        self.bytes.change_live(swept.change * slot as i64);
        self.counters
            .marked_bytes
            .fetch_add(u64::from(swept.live) * slot as u64, Relaxed);
        self.counters.freed_objects.fetch_add(u64::from(swept.dead), Relaxed);
        if dropped {
            self.bytes.kept.fetch_add(swept.live as usize * slot, Relaxed);
        }
        if swept.dead > 0 && dropped {
            let words = swept.corpses.iter().enumerate().filter(|(_, mask)| **mask != 0);
            self.bequeath(words.map(|(word, &mask)| Work::Bury(span, word, mask)));
        } else if cfg!(debug_assertions) && !dropped && !swept.empty {
            span.poison_all(&swept.corpses);
        }
        swept
    }
}
