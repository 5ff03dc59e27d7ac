//! Giving things up: when the thread exits, says that it will be idle, or is asked to trim.

use super::{MCache, Tiers};
use crate::base::geometry::PAGE;
use crate::mspan::{FULL, MSpan, SpanList, State};
use crate::size_class::SizeClass;
use crate::sync::atomic::Ordering::Relaxed;

impl MCache {
    /// Gives up everything for good: the thread ends. The mailbox closes first (R2 of `remote`), the spans follow.
    pub(crate) fn leave(&self, tiers: &Tiers) {
        self.empty_bins(tiers);
        self.flush_outbox(tiers);
        for span in self.mailbox().close() {
            self.accept(tiers, span);
        }
        self.share(tiers);
        self.ready.set(false);
    }

    /// Gives up everything for now: the thread will be idle. Its spans are there for others at once.
    pub(crate) fn idle(&self, tiers: &Tiers) {
        self.empty_bins(tiers);
        self.flush_outbox(tiers);
        self.collect_mail(tiers);
        self.share(tiers);
    }

    /// Gives free memory to the page heap and keeps what is in use. Returns the bytes given.
    pub(crate) fn trim(&self, tiers: &Tiers) -> usize {
        self.empty_bins(tiers);
        self.flush_outbox(tiers);
        self.collect_mail(tiers);
        self.end_idle(tiers, 0);
        self.empty_store(tiers)
    }

    /// Ends the empty spans of every class whose bit is not set in `busy`, the active ones included.
    pub(super) fn end_idle(&self, tiers: &Tiers, busy: u128) {
        for class in SizeClass::all().filter(|class| busy >> class.index() & 1 == 0) {
            self.empty_bin(tiers, class);
            self.forget_taken(class);
            self.deactivate(class);
            let partial = self.partial(class);
            let mut next = partial.first();
            while let Some(span) = next {
                next = partial.after(span);
                if span.live() == 0 {
                    self.end_span(tiers, span);
                }
            }
        }
    }

    /// All blocks in bins go back to their spans, or on their way there.
    fn empty_bins(&self, tiers: &Tiers) {
        // First: their arrays are blocks too.
        self.empty_runs(tiers);
        for class in SizeClass::all() {
            self.empty_bin(tiers, class);
        }
    }

    /// Puts the active span on the partial or the full list.
    fn deactivate(&self, class: SizeClass) {
        let Some(span) = self.active(class).take() else { return };
        if span.has_room() {
            self.partial(class).push(span);
        } else {
            span.owner.store(self.tag() | FULL, Relaxed);
            self.full(class).push(span);
        }
    }

    fn empty_store(&self, tiers: &Tiers) -> usize {
        let mut bytes = 0;
        for span in self.store.drain() {
            bytes += span.pages() * PAGE;
            tiers.mheap.give(span);
        }
        bytes
    }

    fn share(&self, tiers: &Tiers) {
        for class in SizeClass::all() {
            self.forget_taken(class);
            self.deactivate(class);
            self.give_up_all(tiers, class, self.partial(class));
            self.give_up_all(tiers, class, self.full(class));
        }
        for span in self.store.drain() {
            match span.class() {
                Some(class) => tiers.rest(class, span),
                None => tiers.mheap.give(span),
            }
        }
    }

    fn give_up_all(&self, tiers: &Tiers, class: SizeClass, list: &SpanList) {
        while let Some(span) = list.pop() {
            self.give_up(tiers, class, span);
        }
    }

    /// Gives up an owned span that stands on no list: to rest or to the page heap if it is empty, to the central list if it has room, and else
    /// to whoever frees into it first.
    fn give_up(&self, tiers: &Tiers, class: SizeClass, span: &'static MSpan) {
        let me = self.mailbox().id();
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
