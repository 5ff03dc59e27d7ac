//! The barriers: the work of a mutator when it changes an edge, and the colour of new objects.
//!
//! | phase | a store | a new object |
//! |---|---|---|
//! | IDLE | stores | white |
//! | PRE | shades the new value, then as MARK | white |
//! | MARK | shades the old value **before** it removes it, by compare-and-exchange | black |
//!
//! Why the shading comes first, and why by compare-and-exchange: no handshake sees a value that is
//! removed but not shaded yet. With a swap and then a shade, objects are lost like this:
//!
//! ```text
//!  mutator 1 (wave acknowledged)   mutator 2                    collector
//!                                  swap(slot, null) takes v
//!                                                               scans slot: null; queue empty;
//!                                                               asks for a wave
//!  stores v back, takes it again,
//!  shades v into its own buffer
//!                                  shade(v): marked already;
//!                                  acknowledges, buffer empty
//!                                                               queue empty: closes the cycle;
//!                                                               the children of v are lost
//! ```
//!
//! With load, shade, store, an IDLE thread may store a value between the load and the store. That
//! value would be overwritten and never shaded.
//!
//! - BARRIER-1. No barrier lets the mutator acknowledge a request between its first step and its
//!   last.
//! - BARRIER-2. A shade that finds its object white in TERMINATING first calls the end off, and
//!   then marks. After marking has ended, a shade marks nothing.
//! - BARRIER-3. An IDLE mutator never shades.

use super::atlas::{self, Mark};
use super::fault::{at, broken};
use super::mutator::Record;
use super::phase::{Phase, State};
use super::span::{Index, Span};
use super::workbuf::Grey;
use crate::sync::atomic::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire, Release},
};
use core::ptr::NonNull;

/// An edge in memory.
pub(crate) type Slot = AtomicPtr<u8>;

impl Record {
    /// Stores `new` in `slot`.
    #[inline(always)]
    pub(crate) fn store(&self, slot: &Slot, new: *mut u8) {
        if self.is_calm() {
            // Release: pairs with the Acquire of a thread that follows the edge.
            slot.store(new, Release);
        } else {
            self.swap_slow(slot, new);
        }
    }

    /// Stores `new` in `slot` and returns the previous value.
    #[inline]
    pub(crate) fn swap(&self, slot: &Slot, new: *mut u8) -> *mut u8 {
        if self.is_calm() {
            // AcqRel: publishes the new object's contents and acquires the old one's.
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
            // AcqRel: publishes the new object's contents and acquires the old one's.
            if slot.compare_exchange(old, new, AcqRel, Acquire).is_ok() {
                return old;
            }
        }
    }

    /// Stores `new` in `slot` if it holds `current`. Otherwise returns the held value as an error.
    #[inline]
    pub(crate) fn exchange(&self, slot: &Slot, current: *mut u8, new: *mut u8) -> Result<*mut u8, *mut u8> {
        if !self.is_calm() {
            self.shade_for_exchange(current, new);
        }
        // AcqRel: publishes the new object's contents and acquires the old one's.
        slot.compare_exchange(current, new, AcqRel, Acquire)
    }

    /// Shades before an exchange. If the exchange then fails, one more object lives until the next
    /// cycle.
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

    /// Makes the object at `address` grey if it is white. Ignores null.
    #[inline]
    pub(crate) fn shade(&self, address: *mut u8) {
        let Some(address) = NonNull::new(address) else { return };
        // SAFETY: this pinned thread can reach the object, or it was in a slot of a reachable
        // object.
        let mark = unsafe { Mark::of(address) };
        if !mark.is_set() {
            self.shade_white(address, mark);
        }
    }

    #[cold]
    fn shade_white(&self, address: NonNull<u8>, mark: Mark) {
        let protocol = self.protocol();
        let state = protocol.state();
        at("shading");
        let open = match state {
            State::Closed => false,
            // BARRIER-2: the exchange of the state comes before the mark.
            State::Terminating if !broken("shade_in_silence") => protocol.reopen(),
            _ => true,
        };
        if !open && !broken("mark_when_closed") {
            return;
        }
        if mark.set() {
            // SAFETY: the object is one that this thread can reach, or was in a slot of one.
            let layout = unsafe { atlas::layout(address) };
            if layout.is_traced() {
                self.push(Grey::new(address));
            }
        }
    }

    /// Whether the target of a weak reference may be used. Once one thread has got `false`, every
    /// thread gets `false`.
    ///
    /// The order of the three loads matters: mark, state, epoch. A thread that sees the mark
    /// cleared also sees the raised epoch. An epoch read before the state could be old and meet the
    /// OPEN of the next cycle. After `true` the caller must load its reference again.
    pub(crate) fn revives(&self, address: NonNull<u8>) -> bool {
        // SAFETY: the reference was not cleared, so the object is not swept before this thread
        // acknowledges H3.
        let span = unsafe { Span::of(address) };
        // SAFETY: the reference was not cleared, so the object is not swept before this thread
        // acknowledges H3.
        let mark = unsafe { Mark::of(address) };
        let protocol = self.protocol();
        loop {
            if mark.is_set() {
                return true;
            }
            let state = protocol.state();
            // The span is swept already or is newer, so no cycle that this thread takes part in
            // decides about the object. An IDLE mutator always returns here.
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

    /// Gives a new object its colour: black if the mutator is in MARK and this cycle will sweep the
    /// span.
    #[inline]
    pub(crate) fn colour(&self, span: &Span, index: Index) {
        let black = self.phase() == Phase::Mark || (broken("black_from_h1") && self.phase() == Phase::Pre);
        if black && span.epoch() == self.current().cycle() {
            span.mark(index).set();
        }
    }
}
