//! The slow half of freeing: full spans, empty spans, other threads' spans, large objects and pointers that are nobody's.

use super::{MCache, Tiers};
use crate::base::geometry::PINNING;
use crate::mspan::{Block, FULL, MSpan, State, Taken};
use crate::os::report::fatal;
use crate::remote::{Delivery, Outgoing, deliver};
use crate::size_class::SizeClass;
use crate::sync::atomic::Ordering::Relaxed;

impl MCache {
    /// Frees a block of a span whose tag is not this cache's.
    ///
    /// # Safety
    /// `block` is a live object of `span` that nobody uses any more. The cache is ready.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn free_slow(&self, tiers: &Tiers, span: &'static MSpan, block: *mut Block) {
        match span.state() {
            State::Small if span.owner.load(Relaxed) == self.tag() | FULL => {
                self.tally(span.class_index()).add(0, 1);
                self.unfull(span);
                // SAFETY: the tag says that this thread owns the span; the block is its live object.
                if unsafe { span.push_local(block) } == 0 {
                    self.emptied(tiers, span);
                }
            }
            // SAFETY: as the caller promised.
            State::Small => unsafe { self.free_remote(tiers, span, block) },
            State::Large => self.free_large(tiers, span, block.cast()),
            State::Free => fatal("free of a block whose span is free: freed twice?", block.addr()),
            #[cfg(feature = "gc")]
            State::Managed => fatal("free of an object that the collector manages", block.addr()),
        }
    }

    /// A pointer into no span.
    #[cold]
    pub(super) fn free_foreign(&self, block: *mut Block) {
        if !block.is_null() {
            fatal("free of a pointer that this heap did not hand out", block.addr());
        }
    }

    /// Moves an owned span from the full list to the partial one.
    fn unfull(&self, span: &'static MSpan) {
        let Some(class) = span.class() else { return };
        span.owner.store(self.tag(), Relaxed);
        self.full(class).remove(span);
        self.partial(class).push_back(span);
    }

    /// An owned span, the active one or one of the partial list, has no live object left.
    #[cold]
    #[inline(never)]
    pub(super) fn emptied(&self, tiers: &Tiers, span: &'static MSpan) {
        let Some(class) = span.class() else { return };
        // Of small objects the active span and one more are kept as they are: a program that frees a little and allocates a little
        // would otherwise end and make a span each time.
        let partial = self.partial(class);
        let only = partial
            .first()
            .is_some_and(|first| core::ptr::eq(first, span) && partial.after(span).is_none());
        if class.size() >= PINNING || !(only || self.is_active(class, span)) {
            self.end_span(tiers, span);
        }
    }

    fn is_active(&self, class: SizeClass, span: &MSpan) -> bool {
        self.active(class)
            .get()
            .is_some_and(|active| core::ptr::eq(active, span))
    }

    /// Ends an owned, empty span, the active one or one of the partial list; leaves it there if its token is out. The thread's store keeps
    /// some such spans ready for their class.
    pub(super) fn end_span(&self, tiers: &Tiers, span: &'static MSpan) {
        let Some(class) = span.class() else { return };
        if !span.word.retire(self.mailbox().id()) {
            return;
        }
        if self.is_active(class, span) {
            self.active(class).set(None);
        } else {
            self.partial(class).remove(span);
        }
        span.owner.store(0, Relaxed);
        span.set_state(State::Free);
        tiers.mheap.note_use(span);
        if !self.store.put_spare(span) {
            tiers.rest(class, span);
        }
    }

    /// Frees a block of a span that another thread owns, or nobody.
    ///
    /// # Safety
    /// As for `free_slow`.
    unsafe fn free_remote(&self, tiers: &Tiers, span: &'static MSpan, block: *mut Block) {
        // SAFETY: as the caller promised.
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

    /// Sends everything gathered.
    pub(super) fn flush_outbox(&self, tiers: &Tiers) {
        for chain in self.shared.outbox.drain() {
            self.send(tiers, chain);
        }
    }

    /// Takes the lists of the spans that were posted.
    pub(super) fn collect_mail(&self, tiers: &Tiers) {
        if self.mailbox().is_empty() {
            return;
        }
        for span in self.mailbox().take_all() {
            self.accept(tiers, span);
        }
    }

    /// Deals with a span from the mailbox, whose token this thread now holds.
    pub(super) fn accept(&self, tiers: &Tiers, span: &'static MSpan) {
        if let Delivery::Mine(taken) = deliver(&tiers.directory, self.mailbox().id(), span) {
            self.receive(tiers, span, taken);
        }
    }

    /// Joins a remote list to a span that this thread owns, by its word: for long, or since it took the list.
    fn receive(&self, tiers: &Tiers, span: &'static MSpan, taken: Taken) {
        let Some(class) = span.class() else { return };
        span.absorb(taken);
        let tag = span.owner.load(Relaxed);
        if tag & !FULL != self.tag() {
            // Claimed just now: it stands on no list of a thread.
            if taken.listed {
                tiers.central(class).remove(span);
            }
            if span.has_room() {
                span.owner.store(self.tag(), Relaxed);
                self.partial(class).push_back(span);
            } else {
                span.owner.store(self.tag() | FULL, Relaxed);
                self.full(class).push(span);
            }
        } else if tag & FULL != 0 && span.has_room() {
            self.unfull(span);
        }
        if span.live() == 0 {
            self.emptied(tiers, span);
        }
    }
}
