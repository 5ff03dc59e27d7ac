//! The barriers: what a mutator does when it changes an edge, and the colour of what it allocates.
//!
//! | phase | a store | a new object |
//! |---|---|---|
//! | IDLE | stores | white |
//! | PRE | shades the new value, then as MARK | white |
//! | MARK | shades the old value **before** it removes it, by compare-and-exchange | black |
//!
//! Why before, and why by exchange. A removed value that is not shaded yet is an obligation that no handshake sees:
//!
//! ```text
//!  mutator 1 (wave acknowledged)        mutator 2                          collector
//!                                       swap(slot, null) takes out v
//!                                                                          scans the slot: null; queue empty; asks for a wave
//!  stores v back, takes it out again,
//!  shades v into its own buffer
//!                                       shade(v): already marked; acknowledges with an empty buffer
//!                                                                          queue empty: closes. v's children are lost
//! ```
//!
//! And with load, shade, store instead of an exchange, a value stored in between by an IDLE thread is overwritten and never shaded.
//!
//! - B1. Nothing here lets the mutator acknowledge a request between its first step and its last.
//! - B2. A shade that finds its object white while marking terminates calls the end off before it marks; and once marking has ended it marks nothing.
//! - B3. An IDLE mutator never shades.

use super::fault::{at, broken};
use super::mutator::Record;
use super::phase::{Phase, State};
use super::span::{Index, Span};
use super::workbuf::{BUFFER, Grey};
use crate::sync::atomic::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire, Release},
};
use core::ptr::NonNull;

/// An edge as it stands in memory.
pub(crate) type Slot = AtomicPtr<u8>;

impl Record {
    /// Stores `new` in `slot`.
    #[inline(always)]
    pub(crate) fn store(&self, slot: &Slot, new: *mut u8) {
        if self.is_calm() {
            // Release: pairs with the Acquire of whoever follows the edge.
            slot.store(new, Release);
        } else {
            self.swap_slow(slot, new);
        }
    }

    /// Stores `new` in `slot` and returns what was there.
    #[inline]
    pub(crate) fn swap(&self, slot: &Slot, new: *mut u8) -> *mut u8 {
        if self.is_calm() {
            // AcqRel: as in `store`, both ways.
            slot.swap(new, AcqRel)
        } else {
            self.swap_slow(slot, new)
        }
    }

    #[cold]
    #[inline(never)]
    fn swap_slow(&self, slot: &Slot, new: *mut u8) -> *mut u8 {
        self.respond();
        match self.phase() {
            Phase::Idle => return slot.swap(new, AcqRel),
            Phase::Pre if !broken("no_insertion_barrier") => self.shade(new),
            _ => {}
        }
        if broken("swap_then_shade") {
            let old = slot.swap(new, AcqRel);
            at("removed");
            self.shade(old);
            return old;
        }
        loop {
            let old = slot.load(Acquire);
            self.shade(old);
            at("shaded");
            if broken("torn_barrier") {
                slot.store(new, Release);
                return old;
            }
            // AcqRel: as in `swap`.
            if slot.compare_exchange(old, new, AcqRel, Acquire).is_ok() {
                return old;
            }
        }
    }

    /// Stores `new` in `slot` if it holds `current`; else returns what it holds.
    #[inline]
    pub(crate) fn exchange(&self, slot: &Slot, current: *mut u8, new: *mut u8) -> Result<*mut u8, *mut u8> {
        if !self.is_calm() {
            self.shade_for_exchange(current, new);
        }
        // AcqRel: as in `swap`.
        slot.compare_exchange(current, new, AcqRel, Acquire)
    }

    /// A failed exchange leaves one object more alive until the next cycle.
    #[cold]
    fn shade_for_exchange(&self, current: *mut u8, new: *mut u8) {
        self.respond();
        if self.phase() == Phase::Pre && !broken("exchange_new_unshaded") {
            self.shade(new);
        }
        if self.phase() != Phase::Idle && !broken("exchange_old_unshaded") {
            self.shade(current);
        }
    }

    /// Makes the object at `address` grey if it is white; null is nothing.
    #[inline]
    pub(crate) fn shade(&self, address: *mut u8) {
        let Some(address) = NonNull::new(address) else { return };
        // SAFETY: the object is reachable by this pinned thread, or stood in a slot of one that is.
        let span = unsafe { Span::of(address) };
        let index = span.index(address);
        if !span.is_marked(index) {
            self.shade_white(span, index);
        }
    }

    #[cold]
    fn shade_white(&self, span: &'static Span, index: Index) {
        let protocol = self.protocol();
        let state = protocol.state();
        at("shading");
        let open = match state {
            State::Closed => false,
            // B2; the exchange comes before the mark.
            State::Terminating if !broken("shade_in_silence") => protocol.reopen(),
            _ => true,
        };
        if !open && !broken("mark_when_closed") {
            return;
        }
        if span.mark(index) && span.space.traced {
            self.push(Grey::new(span, index));
        }
    }

    /// Keeps a grey object.
    pub(crate) fn push(&self, grey: Grey) {
        // SAFETY: the record is this thread's (M1), and the reference does not outlive the statement.
        let buffer = unsafe { &mut *self.grey.get() };
        buffer.push(grey);
        if buffer.len() >= BUFFER {
            self.hand_over(buffer);
        }
    }

    /// Whether the target of a weak reference may be used: whoever gets `false` once gets it for ever, and so does everybody else.
    ///
    /// The order of the three looks matters: the mark, the state, the epoch. A cleared mark shows the raised epoch; and an epoch read before the
    /// state could be old and meet the next cycle's OPEN. The caller must look at its reference again after `true`.
    pub(crate) fn revives(&self, address: NonNull<u8>) -> bool {
        // SAFETY: the reference was not cleared, so the object is not swept while this thread does not acknowledge H3.
        let span = unsafe { Span::of(address) };
        let index = span.index(address);
        let protocol = self.protocol();
        loop {
            if span.is_marked(index) {
                return true;
            }
            let state = protocol.state();
            // Swept already, or made since: no cycle that this thread takes part in says anything about it. An IDLE mutator ends here.
            if span.epoch() > self.current().cycle() && !broken("idle_shades") {
                return true;
            }
            match state {
                State::Closed => return false,
                State::Terminating if !broken("upgrade_in_silence") => {
                    protocol.reopen();
                }
                _ => {
                    self.shade(address.as_ptr());
                    return true;
                }
            }
        }
    }

    /// Gives a new object its colour: black in MARK, where the span is one that this cycle sweeps.
    #[inline]
    pub(crate) fn colour(&self, span: &Span, index: Index) {
        let black = self.phase() == Phase::Mark || (broken("black_from_h1") && self.phase() == Phase::Pre);
        if black && span.epoch() == self.current().cycle() {
            span.mark(index);
        }
    }
}
