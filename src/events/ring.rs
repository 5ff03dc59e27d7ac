//! A ring of the last events: any thread writes, any thread reads, nobody waits.
//!
//! Writers draw tickets; ticket `t` goes to slot `t % N`. A slot's state says whose event it holds, and guards its words as a sequence lock does:
//!
//! ```text
//!  0 ──► 2t + 1 ──► 2t + 2 ──► 2(t + N) + 1 ──► ..       nothing yet, being written, written, being written by a later ticket
//! ```
//!
//! - V1. A writer writes to a slot only after it has moved the state from an even value, which is older than its own, to its odd one. Where
//!   the state is odd, a slower writer is in it, perhaps interrupted by this very one; where it is newer, this one was slow. Either way it gives its
//!   event up and says so: readers count it as missed, and do not wait for it.
//! - V2. The words are read between two looks at the state that find the same even value: then they are all of that ticket. The writer's fence
//!   is between the odd state and the words, the reader's between the words and the second look, so that whoever reads a later word finds the odd
//!   state too.
//! - V3. After `fork` the child sets all states to nothing: a writer that is gone would hold its slot for ever. Its first ticket is the next one.

use crate::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

/// What an event is made of; less in the models, which try every order of accesses.
pub(crate) const WORDS: usize = if cfg!(loom) { 2 } else { 6 };
pub(crate) type Words = [u64; WORDS];

struct Slot {
    state: AtomicU64,
    /// One more than the last ticket that was given up here.
    given_up: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl Slot {
    crate::sync::const_unless_loom! {
        fn new() -> Self {
            Self { state: AtomicU64::new(0), given_up: AtomicU64::new(0), words: crate::sync::array_of!(AtomicU64::new(0); WORDS) }
        }
    }
}

/// The ring.
pub(crate) struct Ring<const N: usize> {
    /// The next ticket.
    next: AtomicU64,
    /// The first ticket of this process (V3).
    first: AtomicU64,
    slots: [Slot; N],
}

/// What a reader finds for a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Event(Words),
    /// Overwritten or given up; the next ticket worth a look.
    Gone(u64),
    /// Its writer is about to write it.
    Unfinished,
}

impl<const N: usize> Ring<N> {
    crate::sync::const_unless_loom! {
        /// Holds nothing.
        pub(crate) fn new() -> Self {
            Self { next: AtomicU64::new(0), first: AtomicU64::new(0), slots: crate::sync::array_of!(Slot::new(); N) }
        }
    }

    /// The ticket of the next event.
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Relaxed)
    }

    /// The ticket of the first event of this process.
    #[cfg(not(loom))]
    pub(crate) fn first(&self) -> u64 {
        self.first.load(Relaxed)
    }

    fn slot(&self, ticket: u64) -> &Slot {
        #[expect(clippy::indexing_slicing, reason = "a remainder by the array's length")]
        &self.slots[(ticket % N as u64) as usize]
    }

    /// Puts an event in, over the oldest.
    pub(crate) fn push(&self, words: Words) {
        let ticket = self.next.fetch_add(1, Relaxed);
        let slot = self.slot(ticket);
        let (writing, written) = (2 * ticket + 1, 2 * ticket + 2);
        let mut state = slot.state.load(Relaxed);
        loop {
            if state % 2 == 1 || state > writing {
                slot.given_up.fetch_max(ticket + 1, Relaxed);
                return;
            }
            // Acquire: pairs with the Release below of the writer before, whose words are then overwritten and not the other way about.
            match slot.state.compare_exchange_weak(state, writing, Acquire, Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        // Release: pairs with the Acquire fence in `read` (V2).
        #[cfg(not(greyspan_broken = "event_unfenced"))]
        fence(Release);
        for (place, word) in slot.words.iter().zip(words) {
            place.store(word, Relaxed);
        }
        // Release: pairs with the Acquire in `read`, for the words.
        let order = if cfg!(greyspan_broken = "event_relaxed") {
            Relaxed
        } else {
            Release
        };
        slot.state.store(written, order);
    }

    /// A writer that has begun and does nothing more, for tests.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn stop_in_the_middle(&self) {
        let ticket = self.next.fetch_add(1, Relaxed);
        self.slot(ticket).state.store(2 * ticket + 1, Relaxed);
    }

    /// The event of `ticket`, which was drawn.
    pub(crate) fn read(&self, ticket: u64) -> Read {
        let slot = self.slot(ticket);
        let written = 2 * ticket + 2;
        // Acquire: pairs with the Release in `push`.
        let state = slot.state.load(Acquire);
        if state < written {
            // Given up; or the ring has come round, and whoever drew the ticket will find that it was slow.
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
        // Acquire: pairs with the Release fence in `push` (V2).
        fence(Acquire);
        if !cfg!(greyspan_broken = "event_looked_at_once") && slot.state.load(Relaxed) != written {
            return self.gone(ticket);
        }
        Read::Event(words)
    }

    /// The ticket was overwritten: the oldest that may be there still.
    fn gone(&self, ticket: u64) -> Read {
        Read::Gone(self.next().saturating_sub(N as u64).max(ticket + 1))
    }

    /// After `fork`, in the child, which has one thread (V3). Whether there was any event.
    #[cfg(not(loom))]
    pub(crate) fn reset_in_child(&self) -> bool {
        let (first, next) = (self.first(), self.next());
        // What nobody wrote to stays untouched: pages that the child would have to copy.
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
