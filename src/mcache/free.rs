//! The slow half of freeing: full spans, empty spans, other threads' spans, large objects, and
//! pointers that are no block.

use super::MCache;
use crate::base::geometry::PINNING;
use crate::mspan::{Block, MSpan, State, Taken};
use crate::os::report::{ALREADY_FREE, NO_BLOCK, misuse};
use crate::remote::{Delivery, Outgoing, deliver};
use crate::tiers::Tiers;

impl MCache {
    /// Frees a block of a span that this thread does not own, or has on a full list.
    ///
    /// # Safety
    /// `block` is a live object of `span`, and the program uses it no more. The cache is ready.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn free_slow(&self, tiers: &Tiers, span: &'static MSpan, block: *mut Block) {
        match (span.state(), span.class()) {
            (State::Small, Some(class)) if self.spans.owns_full(span) => {
                self.tally(class.index()).add(0, 1);
                self.spans.unfull(class, span);
                // SAFETY: SPANS-1: this thread owns the span; the block is its live object.
                if unsafe { span.push_local(block) } == 0 {
                    self.emptied(tiers, span);
                }
            }
            // SAFETY: the block is the caller's (contract of this function), and the cache is
            // ready.
            (State::Small, _) => unsafe { self.free_remote(tiers, span, block) },
            (State::Large, _) => self.free_large(tiers, span, block.cast()),
            (State::Free, _) => misuse("free", block.addr(), 0, ALREADY_FREE),
            (State::Managed, _) => misuse("free", block.addr(), 0, "the collector manages this object"),
        }
    }

    /// Ends the process: the pointer lies in no span. Null is allowed.
    #[cold]
    pub(super) fn free_foreign(&self, block: *mut Block) {
        if !block.is_null() {
            misuse("free", block.addr(), 0, NO_BLOCK);
        }
    }

    /// Handles an owned span, the active one or a partial one, that has no live object left.
    #[cold]
    #[inline(never)]
    pub(super) fn emptied(&self, tiers: &Tiers, span: &'static MSpan) {
        let Some(class) = span.class() else { return };
        // The active span of small objects and one more stay. Otherwise a program that frees a
        // little and allocates a little would end and make a span each time.
        let stays = self.spans.is_active(class, span) || self.spans.is_only_partial(class, span);
        if class.size() >= PINNING || !stays {
            self.end_span(tiers, span);
        }
    }

    /// Ends an owned, empty span, the active one or a partial one, unless its token is out. The
    /// thread's store keeps some such spans ready.
    pub(super) fn end_span(&self, tiers: &Tiers, span: &'static MSpan) {
        let Some(class) = span.class() else { return };
        if !span.word.retire(self.mailbox().id()) {
            return;
        }
        self.spans.detach(class, span);
        span.set_state(State::Free);
        tiers.mheap.note_use(span);
        if !self.spans.store.put_spare(span) {
            tiers.rest(class, span);
        }
    }

    /// Frees a block of a span that another thread owns, or no thread.
    ///
    /// # Safety
    /// As for `free_slow`.
    unsafe fn free_remote(&self, tiers: &Tiers, span: &'static MSpan, block: *mut Block) {
        // SAFETY: the block is the caller's (contract of this function).
        if let Some(chain) = unsafe { self.shared.outbox.begin(span, block) } {
            self.send(tiers, chain);
        }
    }

    fn send(&self, tiers: &Tiers, chain: Outgoing) {
        let span = chain.span;
        // Gathered blocks count as live until they are sent.
        self.tally(span.class_index()).add(0, chain.count);
        if let Some(taken) = chain.send(&tiers.directory, self.mailbox().id()) {
            self.receive(tiers, span, taken);
        }
    }

    /// Sends all gathered blocks.
    pub(super) fn flush_outbox(&self, tiers: &Tiers) {
        for chain in self.shared.outbox.drain() {
            self.send(tiers, chain);
        }
    }

    /// Takes the lists of the spans that other threads posted.
    pub(super) fn collect_mail(&self, tiers: &Tiers) {
        if self.mailbox().is_empty() {
            return;
        }
        for span in self.mailbox().take_all() {
            self.accept(tiers, span);
        }
    }

    /// Accepts a span from the mailbox, whose token this thread now holds.
    pub(super) fn accept(&self, tiers: &Tiers, span: &'static MSpan) {
        if let Delivery::Mine(taken) = deliver(&tiers.directory, self.mailbox().id(), span) {
            self.receive(tiers, span, taken);
        }
    }

    /// Joins a remote list to a span that this thread owns by its word, perhaps only since it took
    /// the list.
    fn receive(&self, tiers: &Tiers, span: &'static MSpan, taken: Taken) {
        let Some(class) = span.class() else { return };
        let listed = taken.listed;
        if self.spans.join(class, span, taken) {
            if listed {
                tiers.central(class).remove(span);
            }
            self.spans.adopt(class, span);
        }
        if span.live() == 0 {
            self.emptied(tiers, span);
        }
    }
}
