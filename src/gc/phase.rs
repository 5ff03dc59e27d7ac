//! The handshake machine: one word that all mutators follow, and the state of marking.
//!
//! ```text
//!  word:   IDLE ──H1──► PRE ──H2──► MARK ◄─wave─► MARK' ──H3──► IDLE (of the same cycle)
//!                                                              IDLE ◄────► HELD (the verifier: nobody may pin)
//!  state:  CLOSED ──► OPEN ◄──► TERMINATING ──► CLOSED
//! ```
//!
//! - P1. The collector changes the word, then looks at each mutator's status; a mutator publishes its status, then looks at the word again. A
//!   sequentially consistent fence stands between the two steps on both sides. So either the collector sees the pin, or the mutator
//!   the new word (Dekker).
//! - P2. The next request is made only when all have acknowledged the one before. A mutator that is not pinned counts as having done so: it
//!   holds nothing, and its next pin adopts the word.
//! - P3. A mutator's phase changes only in its own acknowledgement or pin. H1, waves and H3 are acknowledged between two operations;
//!   H2 and HELD only while nothing is pinned.
//! - P4. The state leaves OPEN and TERMINATING for CLOSED only by the collector's exchange, and TERMINATING for OPEN by whoever makes new grey work.
//! - P5. A thread that shuts the heap stores `shut`, then looks at each mutator's status; a mutator
//!   publishes its status, then looks at `shut`. The fences are those of P1. So either the thread
//!   sees the pin, or the mutator sees that the heap is shut.

use super::fault::broken;
use super::mutator::Record;
use super::workbuf::Queue;
use crate::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
    fence,
};
use crate::sync::lock::Lock;

/// A mutator's phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// No cycle: stores need no barrier, new objects are white.
    Idle,
    /// From H1: stores shade what they add and what they remove, new objects are white.
    Pre,
    /// From H2: stores shade what they remove, new objects are black.
    Mark,
}

/// A request: the number of a cycle, and the phase that its mutators are to be in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Word(pub(crate) u64);

const CODE: u64 = 7;
const PRE: u64 = 1;
const MARK: u64 = 2;
const MARK_AGAIN: u64 = 3;
const HELD: u64 = 4;

impl Word {
    pub(crate) fn idle(cycle: u64) -> Self {
        Self(cycle << 3)
    }

    pub(crate) fn pre(cycle: u64) -> Self {
        Self(cycle << 3 | PRE)
    }

    pub(crate) fn mark(cycle: u64) -> Self {
        Self(cycle << 3 | MARK)
    }

    pub(crate) fn held(cycle: u64) -> Self {
        Self(cycle << 3 | HELD)
    }

    /// The other of the two words of MARK: the request for a wave.
    pub(crate) fn wave(self) -> Self {
        Self(self.0 ^ (MARK ^ MARK_AGAIN))
    }

    pub(crate) fn cycle(self) -> u64 {
        self.0 >> 3
    }

    pub(crate) fn is_held(self) -> bool {
        self.0 & CODE == HELD
    }

    pub(crate) fn phase(self) -> Phase {
        match self.0 & CODE {
            PRE => Phase::Pre,
            MARK | MARK_AGAIN => Phase::Mark,
            _ => Phase::Idle,
        }
    }

    /// How many H3 there have been.
    pub(crate) fn ends(self) -> u64 {
        self.cycle() - u64::from(matches!(self.0 & CODE, PRE..=MARK_AGAIN))
    }

    /// The epoch of spans that a mutator under this word may allocate in: those that the running cycle will sweep, or where it is over,
    /// the next.
    pub(crate) fn epoch(self) -> u64 {
        self.ends() + 1
    }
}

/// How far marking is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum State {
    /// What is not marked is dead; or no cycle runs.
    Closed,
    Open,
    /// The collector found no grey object and asks the mutators for theirs.
    Terminating,
}

/// What collector and mutators share.
pub(crate) struct Protocol {
    word: AtomicU64,
    state: AtomicU32,
    /// No mutator may pin any more (P5); never taken back.
    shut: AtomicBool,
    /// The last cycle in which a mutator has pinned in MARK.
    in_mark: AtomicU64,
    /// All mutators that ever were.
    members: Lock<Vec<&'static Record>>,
    /// Grey objects that belong to nobody.
    pub(crate) queue: Queue,
}

impl Protocol {
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU64::new(Word::idle(0).0),
            state: AtomicU32::new(State::Closed as u32),
            shut: AtomicBool::new(false),
            in_mark: AtomicU64::new(0),
            members: Lock::new(Vec::new()),
            queue: Queue::new(),
        }
    }

    /// The word.
    #[inline(always)]
    pub(crate) fn word(&self) -> Word {
        // Acquire: pairs with the Release in `request`, for the state that was set before.
        Word(self.word.load(Acquire))
    }

    /// The state of marking.
    #[inline]
    pub(crate) fn state(&self) -> State {
        // Acquire: pairs with the releases of the state's writers.
        match self.state.load(Acquire) {
            0 => State::Closed,
            1 => State::Open,
            _ => State::Terminating,
        }
    }

    /// The collector sets the state where nobody else may.
    pub(crate) fn set_state(&self, state: State) {
        // Release: pairs with the Acquire in `state`.
        self.state.store(state as u32, Release);
    }

    /// Whoever makes grey work calls the end of marking off. `false`: too late, marking has ended.
    #[inline]
    pub(crate) fn reopen(&self) -> bool {
        let (from, to) = (State::Terminating as u32, State::Open as u32);
        // AcqRel: pairs with the exchange in `close`.
        let was = self.state.compare_exchange(from, to, AcqRel, Acquire);
        was != Err(State::Closed as u32)
    }

    /// The end of marking. `false`: somebody made grey work.
    pub(crate) fn close(&self) -> bool {
        let (from, to) = (State::Terminating as u32, State::Closed as u32);
        // AcqRel: pairs with the exchange in `reopen`.
        self.state.compare_exchange(from, to, AcqRel, Acquire).is_ok()
    }

    /// Asks all mutators to follow `word`.
    pub(crate) fn request(&self, word: Word) {
        // Release: pairs with the Acquire in `word`.
        self.word.store(word.0, Release);
        if !broken("request_without_fence") {
            // Pairs with the fence of `Record::pin` (P1).
            fence(SeqCst);
        }
    }

    /// Whether all mutators follow `word`, or are not pinned; those that do not are told. For a word that they may acknowledge while pinned.
    pub(crate) fn acknowledged(&self, word: Word) -> bool {
        let members = self.members.lock();
        // To the end, so that all are told.
        members.iter().filter(|member| !member.follows(word)).count() == 0
    }

    /// A mutator that would pin waits for the verifier. The word after that.
    #[cold]
    pub(crate) fn wait_while_held(&self) -> Word {
        let mut backoff = super::cycle::Backoff::new();
        loop {
            let word = self.word();
            if !word.is_held() {
                return word;
            }
            backoff.wait();
        }
    }

    /// A mutator has pinned in MARK of `cycle`, and holds nothing yet.
    #[inline]
    pub(crate) fn note_mark(&self, cycle: u64) {
        // Relaxed, here and in `in_mark`: the lock that passed from a reader to a writer orders
        // them (K1 of `lock`). Read first, so that the line stays shared.
        if self.in_mark.load(Relaxed) != cycle && !broken("mark_unnoted") {
            self.in_mark.store(cycle, Relaxed);
        }
    }

    /// The last cycle in which a mutator has pinned in MARK.
    #[inline]
    pub(crate) fn in_mark(&self) -> u64 {
        self.in_mark.load(Relaxed)
    }

    /// Lets no mutator pin any more; those that are pinned stay so.
    pub(crate) fn shut(&self) {
        // Relaxed: the fences order it (P5).
        self.shut.store(true, Relaxed);
        if !broken("shut_without_fence") {
            // Pairs with the fence of `Record::pin`.
            fence(SeqCst);
        }
    }

    /// Whether mutators may not pin any more. After the pin, for the answer to be reliable (P5).
    #[inline]
    pub(crate) fn is_shut(&self) -> bool {
        // Relaxed: the fences order it (P5).
        self.shut.load(Relaxed)
    }

    /// Whether nobody is pinned.
    pub(crate) fn quiet(&self) -> bool {
        self.members.lock().iter().all(|member| !member.is_pinned())
    }

    /// How many mutators are pinned, as of some moment.
    #[cfg(not(loom))]
    pub(crate) fn pinned(&self) -> usize {
        self.members.lock().iter().filter(|member| member.is_pinned()).count()
    }

    /// How many mutators of a shut heap are in a pin that may have begun before it was shut.
    #[cfg(not(loom))]
    pub(crate) fn inside(&self) -> usize {
        let members = self.members.lock();
        members
            .iter()
            .filter(|member| member.is_pinned() && !member.is_barred())
            .count()
    }

    /// Enters a mutator. Its first pin comes after, so either `acknowledged` finds it or it finds the word: both take the lock.
    pub(crate) fn enlist(&self, record: &'static Record) {
        self.members.lock().push(record);
    }

    /// All mutators, for the end of the heap.
    pub(crate) fn dismiss_all(&self) -> Vec<&'static Record> {
        core::mem::take(&mut *self.members.lock())
    }

    /// How many mutators there are.
    pub(crate) fn members(&self) -> usize {
        self.members.lock().len()
    }

    /// The word as of some moment, for figures.
    pub(crate) fn cycle(&self) -> u64 {
        Word(self.word.load(Relaxed)).cycle()
    }
}
