//! Blocks on their way back: from a full bin to their spans, or to the threads that own those.
//!
//! If a bin ran empty a moment ago and runs over now, the program frees and allocates in batches
//! larger than the bin. Then the bin doubles, while all growth together stays small. Otherwise its
//! older half goes back. If the class was not refilled lately, the bin closes.
//!
//! A block of an owned span goes on the span's free list, and a span without live objects may end.
//! A block of another thread's span goes to the outbox. Large objects go to the page heap. A
//! pointer that is no block ends the process.

use super::bins::Slot;
use super::{MCache, check};
use crate::base::addr::Addr;
use crate::base::geometry::PINNING;
use crate::mspan::{Block, CHECKED, MSpan, State, Taken};
use crate::os::report::{ALREADY_FREE, NO_BLOCK, misuse};
use crate::remote::{Delivery, Outgoing, deliver};
use crate::size_class::SizeClass;
use crate::tiers::Tiers;
use core::ptr::null_mut;

impl MCache {
    /// Frees a block whose bin is full. The cache is ready.
    ///
    /// # Safety
    /// This heap handed `block` out, the program uses it no more, and it holds an object of
    /// `class` (BIN-1).
    #[cold]
    pub(crate) unsafe fn push_over(&self, tiers: &Tiers, class: SizeClass, block: *mut Block) {
        let bins = &self.bins;
        if bins.is_closed(class) {
            // SAFETY: the block is the caller's (contract of this function), and the cache is
            // ready.
            unsafe { self.free(tiers, block) };
            return;
        }
        // The fast path may have found the sentinel's bin full, and not this one.
        // SAFETY: the block is the caller's (contract of this function).
        if unsafe { bins.push(class, block) } {
            return;
        }
        if bins.is_narrow(class) {
            bins.widen(class, usize::MAX);
        } else if !self.grow_bin(tiers, class) {
            bins.window.note_overflow();
            if bins.window.is_refilled(class) {
                self.flush(tiers, class, bins.cap(class) / 2);
            } else {
                // The program only frees: blocks in bins would keep spans.
                self.empty_bin(tiers, class);
            }
        }
        // SAFETY: the block is the caller's (contract of this function).
        if !unsafe { self.bins.push(class, block) } {
            // SAFETY: the block is the caller's (contract of this function), and the cache is
            // ready.
            unsafe { self.free(tiers, block) };
        }
    }

    /// Doubles a bin. `false`: the bin may not grow, or there is no memory.
    fn grow_bin(&self, tiers: &Tiers, class: SizeClass) -> bool {
        let bins = &self.bins;
        let cap = bins.cap(class);
        let Some(slots) = bins.ask_growth(tiers, class) else {
            return false;
        };
        let array = self.take_array(tiers, slots).unwrap_or(null_mut());
        // Taking the array may have changed this very bin.
        let unchanged = bins.cap(class) == cap;
        let unused = if unchanged && !array.is_null() {
            let old = bins.grown_array(class);
            // SAFETY: the array has `slots` slots, and is this call's.
            unsafe { bins.move_to(class, array, cap) };
            old
        } else {
            bins.count_shrunk(tiers, class, cap * class.size());
            array
        };
        // SAFETY: the bin's former array, or the new one that it does not use; or null.
        unsafe { self.free_array(tiers, unused) };
        unchanged && !array.is_null()
    }

    /// Takes a block of the heap with room for `slots` slots.
    pub(super) fn take_array(&self, tiers: &Tiers, slots: usize) -> Option<*mut Slot> {
        let class = SizeClass::serving(slots * size_of::<Slot>(), align_of::<Slot>())?;
        let block = self.take_past_bins(tiers, class);
        (!block.is_null()).then_some(block.cast())
    }

    /// Frees a block of `take_array`; does nothing for null.
    ///
    /// # Safety
    /// `array` is null, or came from `take_array` of this heap and no code uses it any more.
    pub(super) unsafe fn free_array(&self, tiers: &Tiers, array: *mut Slot) {
        // SAFETY: a block of the heap's own, which is given up (contract of this function).
        unsafe { self.free(tiers, array.cast()) };
    }

    /// Gives all blocks of a bin but the youngest `keep` back to their spans.
    fn flush(&self, tiers: &Tiers, class: SizeClass, keep: usize) {
        self.bins.flush(class, keep, |block| {
            let Some(span) = tiers.mheap.map().span_of(Addr::of(block)) else {
                return self.free_foreign(block);
            };
            if CHECKED {
                check::flush(span, class, block);
            }
            // SAFETY: the block is free and this thread's (BIN-1). The cache is ready, so it is
            // taken.
            unsafe { self.free_in(tiers, span, block) };
        });
    }

    /// Empties the bin of `class` and closes it.
    pub(super) fn empty_bin(&self, tiers: &Tiers, class: SizeClass) {
        self.flush(tiers, class, 0);
        self.bins.count_shrunk(tiers, class, self.bins.growth(class));
        let array = self.bins.grown_array(class);
        self.bins.close(class);
        // SAFETY: the array of a bin that has grown and that does not use it any more; or null.
        unsafe { self.free_array(tiers, array) };
    }

    /// Returns a block to its span, past the bins. `false`: a sentinel cannot, nothing was done.
    ///
    /// # Safety
    /// This heap handed `block` out, and the program uses it no more.
    #[inline(always)]
    pub(crate) unsafe fn free(&self, tiers: &Tiers, block: *mut Block) -> bool {
        let Some(span) = tiers.mheap.map().span_of(Addr::of(block)) else {
            self.free_foreign(block);
            return true;
        };
        if CHECKED {
            // SAFETY: the block is the caller's (contract of this function).
            unsafe { check::leave(span, block) };
        }
        // SAFETY: the block is the caller's (contract of this function).
        unsafe { self.free_in(tiers, span, block) }
    }

    /// Returns a block, which is marked in checked builds, to `span`. `false`: a sentinel cannot,
    /// nothing was done.
    ///
    /// # Safety
    /// As for [`free`](Self::free); the block is one of `span`.
    #[inline(always)]
    unsafe fn free_in(&self, tiers: &Tiers, span: &'static MSpan, block: *mut Block) -> bool {
        if self.spans.owns_with_room(span) {
            self.tally(span.class_index()).add(0, 1);
            // SAFETY: SPANS-1: this thread owns the span; the block is its live object.
            if unsafe { span.push_local(block) } == 0 {
                self.emptied(tiers, span);
            }
            return true;
        }
        // A cache that is not ready gathers nothing. If the span has become this thread's
        // meanwhile, it gets its blocks when the chain is sent.
        // SAFETY: the block is the caller's (contract of this function).
        if unsafe { self.shared.outbox.add(span, block) } {
            return true;
        }
        if !self.handover.has_owner() {
            return false;
        }
        // SAFETY: the block is the caller's (contract of this function), and the cache is ready.
        unsafe { self.free_slow(tiers, span, block) };
        true
    }

    /// Puts a block whose bin is closed on its span's free list in the usual case: this thread owns
    /// the span and has it on no full list, and other objects stay live. `false`: nothing was done.
    ///
    /// # Safety
    /// `block` is a live object of `span`, and the program uses it no more. The caller has entered
    /// a slow operation.
    #[inline(always)]
    pub(crate) unsafe fn free_home(&self, span: &MSpan, block: *mut Block) -> bool {
        if !self.spans.owns_with_room(span) || span.live() < 2 {
            return false;
        }
        if CHECKED {
            // SAFETY: the block is the caller's (contract of this function).
            unsafe { check::leave(span, block) };
        }
        self.tally(span.class_index()).add(0, 1);
        // SAFETY: SPANS-1: this thread owns the span; the block is its live object.
        unsafe { span.push_local(block) };
        true
    }

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
        if !span.word.retire(self.shared.mailbox.id()) {
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
    #[inline]
    pub(super) unsafe fn free_remote(&self, tiers: &Tiers, span: &'static MSpan, block: *mut Block) {
        // SAFETY: the block is the caller's (contract of this function).
        unsafe { self.shared.outbox.begin(span, block, |chain| self.send(tiers, chain)) };
    }

    #[inline(never)]
    fn send(&self, tiers: &Tiers, chain: Outgoing) {
        let span = chain.span;
        // Gathered blocks count as live until they are sent.
        self.tally(span.class_index()).add(0, chain.count);
        if let Some(taken) = chain.send(&tiers.directory, self.shared.mailbox.id()) {
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
        if self.shared.mailbox.is_empty() {
            return;
        }
        for span in self.shared.mailbox.take_all() {
            self.accept(tiers, span);
        }
    }

    /// Accepts a span from the mailbox, whose token this thread now holds.
    pub(super) fn accept(&self, tiers: &Tiers, span: &'static MSpan) {
        if let Delivery::Mine(taken) = deliver(&tiers.directory, self.shared.mailbox.id(), span) {
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
