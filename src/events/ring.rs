//! A ring of the last events. Any thread writes, any thread reads, no thread waits.
//!
//! A writer draws a ticket; ticket `t` goes to slot `t % N`. A slot's state names the ticket whose
//! event it holds, and guards its words like a sequence lock:
//!
//! ```text
//!  0 ──► 2t + 1 ──► 2t + 2 ──► 2(t + N) + 1 ──► ..
//!  │       │          │          └ a later ticket is being written
//!  │       │          └ written
//!  │       └ being written
//!  └ empty
//! ```
//!
//! - EVENT-1. A writer first moves the state from an even value, older than its own, to its own odd
//!   value; then it writes the words. An odd state means that a slower writer is in the slot,
//!   perhaps interrupted by this very writer. A newer state means that this writer was slow. In
//!   both cases it gives its event up and notes that, so that readers count it as missed and do not
//!   wait for it.
//! - EVENT-2. A reader reads the words between two reads of the state. If both find the same even
//!   value, all words are of that ticket. The writer's fence lies between the odd state and the
//!   words; the reader's lies between the words and the second read. So a reader that reads a later
//!   word also finds the odd state.
//! - EVENT-3. After `fork`, the child sets all states to empty, because a writer that is gone would
//!   hold its slot for ever. The child's first ticket is the next one.

use crate::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

/// Words of an event.
pub(crate) const WORDS: usize = 6;
pub(crate) type Words = [u64; WORDS];

struct Slot<const W: usize> {
    state: AtomicU64,
    /// One more than the last ticket that was given up here.
    given_up: AtomicU64,
    words: [AtomicU64; W],
}

impl<const W: usize> Slot<W> {
    crate::sync::const_unless_loom! {
        fn new() -> Self {
            Self { state: AtomicU64::new(0), given_up: AtomicU64::new(0), words: crate::sync::array_of!(AtomicU64::new(0); W) }
        }
    }
}

/// A ring of `N` events, each of `W` words. The models use fewer words, because they try every
/// order of accesses.
pub(crate) struct Ring<const N: usize, const W: usize = WORDS> {
    /// The next ticket.
    next: AtomicU64,
    /// The first ticket of this process (EVENT-3).
    first: AtomicU64,
    slots: [Slot<W>; N],
}

/// The result of reading a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read<const W: usize = WORDS> {
    Event([u64; W]),
    /// Overwritten or given up. Holds the next ticket that may be readable.
    Gone(u64),
    /// The writer has not finished.
    Unfinished,
}

impl<const N: usize, const W: usize> Ring<N, W> {
    crate::sync::const_unless_loom! {
        /// Returns an empty ring.
        pub(crate) fn new() -> Self {
            Self { next: AtomicU64::new(0), first: AtomicU64::new(0), slots: crate::sync::array_of!(Slot::new(); N) }
        }
    }

    /// Returns the ticket of the next event.
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Relaxed)
    }

    /// Returns the ticket of this process's first event.
    pub(crate) fn first(&self) -> u64 {
        self.first.load(Relaxed)
    }

    fn slot(&self, ticket: u64) -> &Slot<W> {
        #[expect(clippy::indexing_slicing, reason = "a remainder by the array's length")]
        &self.slots[(ticket % N as u64) as usize]
    }

    /// Puts an event in, over the oldest one.
    pub(crate) fn push(&self, words: [u64; W]) {
        let ticket = self.next.fetch_add(1, Relaxed);
        let slot = self.slot(ticket);
        let (writing, written) = (2 * ticket + 1, 2 * ticket + 2);
        let mut state = slot.state.load(Relaxed);
        loop {
            if state % 2 == 1 || state > writing {
                slot.given_up.fetch_max(ticket + 1, Relaxed);
                return;
            }
            // Acquire: pairs with the Release below of the slot's previous writer, so that this
            // writer's words come after those.
            match slot.state.compare_exchange_weak(state, writing, Acquire, Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        // Release: pairs with the Acquire fence in `read` (EVENT-2).
        if !crate::sync::broken!("event_unfenced") {
            fence(Release);
        }
        for (place, word) in slot.words.iter().zip(words) {
            place.store(word, Relaxed);
        }
        // Release: pairs with the Acquire in `read`, for the words.
        let order = if crate::sync::broken!("event_relaxed") {
            Relaxed
        } else {
            Release
        };
        slot.state.store(written, order);
    }

    /// Begins to write an event and stops, for tests.
    #[cfg(test)]
    pub(crate) fn stop_in_the_middle(&self) {
        let ticket = self.next.fetch_add(1, Relaxed);
        self.slot(ticket).state.store(2 * ticket + 1, Relaxed);
    }

    /// Reads the event of `ticket`, which has been drawn.
    pub(crate) fn read(&self, ticket: u64) -> Read<W> {
        let slot = self.slot(ticket);
        let written = 2 * ticket + 2;
        // Acquire: pairs with the Release in `push`.
        let state = slot.state.load(Acquire);
        if state < written {
            // The event was given up. Or the ring has come round, and the ticket's writer will find
            // that it was too slow.
            return if slot.given_up.load(Relaxed) > ticket || self.next() > ticket + N as u64 {
                Read::Gone(ticket + 1)
            } else {
                Read::Unfinished
            };
        }
        if state > written {
            return self.gone(ticket);
        }
        let words = core::array::from_fn(|index| slot.words.get(index).map_or(0, |word| word.load(Relaxed)));
        // Acquire: pairs with the Release fence in `push` (EVENT-2).
        fence(Acquire);
        if !crate::sync::broken!("event_looked_at_once") && slot.state.load(Relaxed) != written {
            return self.gone(ticket);
        }
        Read::Event(words)
    }

    /// Returns `Gone` with the oldest ticket that may still be there.
    fn gone(&self, ticket: u64) -> Read<W> {
        Read::Gone(self.next().saturating_sub(N as u64).max(ticket + 1))
    }

    /// Empties the ring in the child after `fork`, which has one thread (EVENT-3). Returns whether
    /// there was any event.
    pub(crate) fn reset_in_child(&self) -> bool {
        let (first, next) = (self.first(), self.next());
        // An unused ring stays untouched, because the child would have to copy its pages.
        if first == next {
            return false;
        }
        for ticket in first.max(next.saturating_sub(N as u64))..next {
            self.slot(ticket).state.store(0, Relaxed);
        }
        self.first.store(next, Relaxed);
        true
    }
}
