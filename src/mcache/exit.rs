//! Giving things up: when the thread exits, says that it will be idle, is found idle by the keeper,
//! or is asked to trim.

use super::{MCache, SLOTS_BYTES};
use crate::base::geometry::PAGE;
use crate::mspan::{MSpan, State};
use crate::size_class::SizeClass;
use crate::sync::atomic::Ordering::Relaxed;
use crate::tiers::Tiers;

impl MCache {
    /// Gives up everything for good: the thread ends. The mailbox closes first (REMOTE-2), the
    /// spans follow.
    pub(crate) fn leave(&self, tiers: &Tiers) {
        self.empty_bins(tiers);
        self.flush_outbox(tiers);
        for span in self.shared.mailbox.close() {
            self.accept(tiers, span);
        }
        self.share(tiers);
        self.handover.end();
    }

    /// Gives up everything for now: the thread will be idle. Other threads can have its spans at
    /// once.
    pub(crate) fn idle(&self, tiers: &Tiers) {
        self.empty_bins(tiers);
        self.flush_outbox(tiers);
        self.collect_mail(tiers);
        self.share(tiers);
    }

    /// Gives up everything while the thread is parked and at rest, and the memory of the bins and
    /// the outbox too.
    pub(crate) fn rest(&self, tiers: &Tiers) {
        self.idle(tiers);
        self.bins.give_slots(tiers.mheap.os(), SLOTS_BYTES);
    }

    /// Gives free memory to the page heap and keeps the spans in use. Returns the bytes given.
    pub(crate) fn trim(&self, tiers: &Tiers) -> usize {
        self.empty_bins(tiers);
        self.flush_outbox(tiers);
        self.collect_mail(tiers);
        SizeClass::all().for_each(|class| self.end_idle(tiers, class, usize::MAX));
        let mut bytes = 0;
        for span in self.spans.store.drain() {
            bytes += span.pages() * PAGE;
            tiers.mheap.give(span);
        }
        bytes
    }

    /// Closes the bin of `class` and ends the empty spans among the class's first `most` partial
    /// ones and the active one.
    pub(super) fn end_idle(&self, tiers: &Tiers, class: SizeClass, most: usize) {
        self.empty_bin(tiers, class);
        self.spans.forget_taken(class);
        self.spans.deactivate(class);
        self.spans
            .for_each_empty(class, most, |span| self.end_span(tiers, span));
    }

    /// Returns all blocks in bins to their spans, or sends them there.
    fn empty_bins(&self, tiers: &Tiers) {
        // First: their arrays are blocks too.
        self.empty_runs(tiers);
        for class in SizeClass::all() {
            self.empty_bin(tiers, class);
        }
    }

    fn share(&self, tiers: &Tiers) {
        for class in SizeClass::all() {
            self.spans.forget_taken(class);
            self.spans.deactivate(class);
            while let Some(span) = self.spans.pop_any(class) {
                self.give_up(tiers, class, span);
            }
        }
        for span in self.spans.store.drain() {
            match span.class() {
                Some(class) => tiers.rest(class, span),
                None => tiers.mheap.give(span),
            }
        }
    }

    /// Gives the memory of the pages back that hold no live object, in one of the central spans
    /// that no thread has wanted since the last look (`aged`) or ever. Returns the bytes. `None`:
    /// there is no such span.
    pub(crate) fn sink_one(&self, tiers: &Tiers, class: SizeClass, aged: bool) -> Option<usize> {
        let (span, taken) = tiers.central(class).take_cold(self.shared.mailbox.id(), aged)?;
        span.absorb(taken);
        let bytes = if span.live() > 0 { tiers.mheap.sink(span) } else { 0 };
        self.give_up(tiers, class, span);
        Some(bytes)
    }

    /// Gives up an owned span that stands on no list. An empty span goes to rest or to the page
    /// heap, one with room to the central list. A full one goes to the first thread that frees
    /// into it.
    fn give_up(&self, tiers: &Tiers, class: SizeClass, span: &'static MSpan) {
        let me = self.shared.mailbox.id();
        span.owner.store(0, Relaxed);
        loop {
            span.absorb(span.word.take());
            if span.live() == 0 && span.word.retire(me) {
                span.set_state(State::Free);
                tiers.mheap.note_use(span);
                tiers.rest(class, span);
                return;
            }
            let gone = if span.live() == 0 {
                span.word.leave_to_token(me)
            } else if span.has_room() {
                tiers.central(class).put(span, me)
            } else {
                span.word.abandon(me, false)
            };
            if gone {
                return;
            }
        }
    }
}
