//! Refilling a bin: the slow half of allocation, in the order of what is cheapest to get and best to use up.
//!
//! 1. the active span's free list; 2. its remote list; 3. the mailbox, which may give either; 4. fresh objects of the active span;
//! 5. other owned spans with room, the one longest out of use first, so that frees gather in the others; 6. the central lists;
//! 7. an empty span that rests there, or that the thread kept; 8. the page heap ([`length`](super::length) says how long a span).

use super::{MCache, Tiers, check};
use crate::mspan::{Block, CHECKED, FULL, MSpan};
use crate::size_class::SizeClass;
use crate::sync::atomic::Ordering::Relaxed;
use core::ptr::null_mut;

/// Refills, of any class, after which a class that had none is idle.
const IDLE_AFTER: u32 = 160;

impl MCache {
    /// An object of `class`, from its bin or by a refill; null when no memory is to be had. The cache is ready.
    pub(crate) fn take(&self, tiers: &Tiers, class: SizeClass) -> *mut Block {
        let block = self.pop(class);
        if block.is_null() {
            self.refill(tiers, class)
        } else {
            block
        }
    }

    /// An object of `class`, whose bin is empty; null when no memory is to be had. The cache is ready.
    #[cold]
    #[inline(never)]
    pub(crate) fn refill(&self, tiers: &Tiers, class: SizeClass) -> *mut Block {
        if CHECKED && self.holds_any(class) {
            // A signal handler may have brought some since the bin was found empty.
            let block = self.pop(class);
            if block.is_null() {
                self.report_youngest(class);
            }
            return block;
        }
        self.heed_purge(tiers);
        self.note_refill(tiers, class);
        self.open_bin(class);
        self.search_spans(tiers, class, Self::fill_from)
    }

    /// An object of `class` for the heap's own use, straight from a span; null when no memory is to be had. The cache is ready. No bin is touched:
    /// a signal handler that interrupts the fast path may need an array for large objects, while a bin is about to change.
    pub(super) fn take_past_bins(&self, tiers: &Tiers, class: SizeClass) -> *mut Block {
        let object = self.search_spans(tiers, class, Self::take_one);
        self.hand_out(class, object)
    }

    /// What `get` takes from the first span of this thread that has something; null when no memory is to be had.
    fn search_spans(
        &self,
        tiers: &Tiers,
        class: SizeClass,
        get: impl Fn(&Self, SizeClass, &'static MSpan) -> *mut Block,
    ) -> *mut Block {
        // Mail may empty, and so end, the active span.
        if self.active(class).get().is_some_and(|span| !span.has_free()) {
            self.collect_mail(tiers);
        }
        self.prefer_used(class);
        if let Some(span) = self.active(class).get() {
            let head = get(self, class, span);
            if !head.is_null() {
                return head;
            }
            self.retire_active(class, span);
        }
        self.collect_mail(tiers);
        while let Some(span) = self.next_span(tiers, class) {
            self.activate(class, span);
            let head = get(self, class, span);
            if !head.is_null() {
                return head;
            }
            self.retire_active(class, span);
        }
        null_mut()
    }

    /// Where the active span has untouched objects only, and another owned one has free objects, that one becomes active: memory that the
    /// program has used before comes first.
    fn prefer_used(&self, class: SizeClass) {
        let Some(span) = self
            .active(class)
            .get()
            .filter(|span| span.zeroed() && !span.has_free())
        else {
            return;
        };
        let partial = self.partial(class);
        let Some(used) = partial.first().filter(|used| used.has_free()) else {
            return;
        };
        partial.remove(used);
        partial.push_back(span);
        self.activate(class, used);
    }

    /// A zeroed object of `class`, straight from memory that was never touched; null when the active span has none.
    pub(crate) fn take_untouched(&self, class: SizeClass) -> *mut u8 {
        let Some(span) = self.active(class).get() else {
            return null_mut();
        };
        if span.has_free() {
            return null_mut();
        }
        let object = span.carve_zeroed();
        if !object.is_null() {
            self.tally(class.index()).add(1, 0);
        }
        object
    }

    /// Takes one object of the span; null when it has none.
    fn take_one(&self, class: SizeClass, span: &'static MSpan) -> *mut Block {
        if !span.has_free() {
            span.absorb(span.word.take());
        }
        let mut object = null_mut();
        if span.has_free() {
            span.take_free(1, |free| object = free);
        } else {
            object = span.carve(1).0.cast();
        }
        self.tally(class.index()).add(u32::from(!object.is_null()), 0);
        object
    }

    /// Moves what the span has ready into the bin and pops one.
    fn fill_from(&self, class: SizeClass, span: &'static MSpan) -> *mut Block {
        if !span.has_free() {
            span.absorb(span.word.take());
        }
        let batch = self.batch(class);
        let count = span.free_count().min(batch);
        if count > 0 {
            self.tally(class.index()).add(count, 0);
            return self.hand_out(class, self.fill_bin(class, count, |put| span.take_free(count, put)));
        }
        let (fresh, count) = span.carve(batch);
        if count == 0 {
            return null_mut();
        }
        self.tally(class.index()).add(count, 0);
        let objects = (0..count as usize).map(|index| {
            let object = fresh.wrapping_add(index * class.size()).cast();
            if CHECKED {
                check::fresh(span, object);
            }
            object
        });
        self.hand_out(class, self.fill_bin(class, count, |put| objects.for_each(put)))
    }

    /// `block` leaves the bins for the program.
    #[inline(always)]
    fn hand_out(&self, class: SizeClass, block: *mut Block) -> *mut Block {
        if CHECKED {
            check::hand_out(class, block);
        }
        block
    }

    /// The active span has nothing left.
    fn retire_active(&self, class: SizeClass, span: &'static MSpan) {
        self.active(class).set(None);
        span.owner.store(self.tag() | FULL, Relaxed);
        self.full(class).push(span);
    }

    /// Makes an owned span, which stands on no list, the active one.
    fn activate(&self, class: SizeClass, span: &'static MSpan) {
        span.owner.store(self.tag(), Relaxed);
        self.active(class).set(Some(span));
    }

    /// An owned span with room that stands on no list.
    fn next_span(&self, tiers: &Tiers, class: SizeClass) -> Option<&'static MSpan> {
        if let Some(span) = self.partial(class).pop() {
            return Some(span);
        }
        let me = self.mailbox().id();
        if let Some((span, taken)) = tiers.central(class).take(me) {
            span.absorb(taken);
            return Some(span);
        }
        let span = self.new_span(tiers, class)?;
        span.word.adopt_new(me);
        Some(span)
    }

    /// Counts the refill; now and then gives up the empty spans of classes that were not refilled since the last time, so that a program
    /// that changes its sizes does not keep memory for those it has left behind.
    #[inline]
    fn note_refill(&self, tiers: &Tiers, class: SizeClass) {
        self.refilled.set(self.refilled.get() | 1 << class.index());
        self.overflows.set(0);
        self.run_empty.set(self.run_empty.get() | 1 << class.index());
        let refills = self.refills.get() + 1;
        self.refills.set(refills);
        if refills == IDLE_AFTER {
            self.refills.set(0);
            self.end_idle(tiers, self.refilled.replace(0));
            self.end_idle_runs(tiers);
        }
    }

    /// Gives up what is kept where the program has asked for all memory back since this thread last looked.
    #[inline]
    pub(crate) fn heed_purge(&self, tiers: &Tiers) {
        let purges = tiers.purges.load(Relaxed);
        if purges != self.purges_seen.get() {
            self.purges_seen.set(purges);
            self.trim(tiers);
        }
    }
}
