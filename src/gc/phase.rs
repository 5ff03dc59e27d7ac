//! The handshake machine: one word that all mutators follow, and the state of marking.
//!
//! ```text
//!  word:   IDLE ──H1──► PRE ──H2──► MARK ◄─wave─► MARK' ──H3──► IDLE (of the same cycle)
//!          IDLE ◄──► HELD (for the verifier: no thread may pin)
//!  state:  CLOSED ──► OPEN ◄──► TERMINATING ──► CLOSED
//! ```
//!
//! H1, H2 and H3 are the handshakes of a cycle. MARK and MARK' ask for the same phase: the change
//! from one to the other requests a wave.
//!
//! - PHASE-1. The collector changes the word, then looks at each mutator's status. A mutator
//!   publishes its status, then looks at the word again. On both sides a sequentially consistent
//!   fence stands between the two steps. So either the collector sees the pin, or the mutator sees
//!   the new word (Dekker's algorithm).
//! - PHASE-2. The collector makes the next request only when all mutators have acknowledged the
//!   last one. A mutator that is not pinned counts as having done so: it holds no object, and its
//!   next pin adopts the word.
//! - PHASE-3. A mutator's phase changes only when the mutator acknowledges or pins. It acknowledges
//!   handshake H1, waves and handshake H3 between two operations. It acknowledges H2 and HELD only
//!   while it is not pinned.
//! - PHASE-4. Only the collector's exchange changes the state from TERMINATING to CLOSED. A thread
//!   that makes new grey work changes it from TERMINATING back to OPEN, and so does the collector
//!   if marking is not over.
//! - PHASE-5. A thread that shuts the heap stores `shut`, then looks at each mutator's status. A
//!   mutator publishes its status, then looks at `shut`. The fences are those of PHASE-1. So either
//!   the thread sees the pin, or the mutator sees that the heap is shut.

use super::fault::broken;
use super::workbuf::Queue;
use crate::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
    fence,
};
use crate::sync::backoff::Backoff;
use crate::sync::lock::Lock;

/// A mutator's phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// No cycle marks: stores need no barrier, and new objects are white.
    Idle,
    /// From handshake H1 on: stores shade the edges that they add and remove; new objects are
    /// white.
    Pre,
    /// From handshake H2 on: stores shade the edges that they remove; new objects are black.
    Mark,
}

/// A request: the number of a cycle, and the phase that its mutators should enter.
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

    /// Returns the other word of MARK: the request for a wave.
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

    /// Returns how many handshakes H3 there have been.
    pub(crate) fn ends(self) -> u64 {
        self.cycle() - u64::from(matches!(self.0 & CODE, PRE..=MARK_AGAIN))
    }

    /// Returns the epoch of the spans that a mutator under this word may allocate in. The running
    /// cycle will sweep these spans; after its handshake H3, the next cycle.
    pub(crate) fn epoch(self) -> u64 {
        self.ends() + 1
    }
}

/// The progress of marking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum State {
    /// Unmarked objects are dead, or no cycle runs.
    Closed,
    Open,
    /// The collector found no grey object and asks the mutators for theirs.
    Terminating,
}

/// A mutator, as the handshake machine sees it.
pub(crate) trait Member: Sync {
    /// Whether the mutator follows `word` or is unpinned. If neither, tells the mutator. For the
    /// collector.
    fn follows(&self, word: Word) -> bool;
    /// Whether the mutator is pinned.
    fn is_pinned(&self) -> bool;
    /// Whether every pin that began before the heap was shut has ended.
    fn is_barred(&self) -> bool;
}

/// The data that the collector and all mutators share.
pub(crate) struct Protocol {
    word: AtomicU64,
    state: AtomicU32,
    /// No mutator may pin any more (PHASE-5). Never reset.
    shut: AtomicBool,
    /// The last cycle in which a mutator has pinned in MARK.
    in_mark: AtomicU64,
    /// All mutators that the heap ever had.
    members: Lock<Vec<&'static dyn Member>>,
    /// Grey objects that no thread holds.
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

    /// Returns the word.
    #[inline(always)]
    pub(crate) fn word(&self) -> Word {
        // Acquire: pairs with the Release in `request`, for the state that was set before.
        Word(self.word.load(Acquire))
    }

    /// Returns the state of marking.
    #[inline]
    pub(crate) fn state(&self) -> State {
        // Acquire: pairs with the Release stores and exchanges of the state.
        match self.state.load(Acquire) {
            0 => State::Closed,
            1 => State::Open,
            _ => State::Terminating,
        }
    }

    /// Sets the state. Only the collector calls this. A concurrent `reopen` stores `Open` too, or
    /// changes nothing.
    pub(crate) fn set_state(&self, state: State) {
        // Release: pairs with the Acquire in `state`.
        self.state.store(state as u32, Release);
    }

    /// Calls the end of marking off, because the caller makes grey work. Returns `false` if marking
    /// has already ended.
    #[inline]
    pub(crate) fn reopen(&self) -> bool {
        let (from, to) = (State::Terminating as u32, State::Open as u32);
        // AcqRel: pairs with the exchange in `close`.
        let was = self.state.compare_exchange(from, to, AcqRel, Acquire);
        was != Err(State::Closed as u32)
    }

    /// Ends marking. Returns `false` if a thread has made grey work.
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
            // Pairs with the fence of `Record::pin` (PHASE-1).
            fence(SeqCst);
        }
    }

    /// Returns whether each mutator follows `word` or is not pinned, and tells those that do not.
    /// For the words of handshakes and waves; `quiet` serves HELD.
    pub(crate) fn acknowledged(&self, word: Word) -> bool {
        let members = self.members.lock();
        // Counts to the end, so that all are told.
        members.iter().filter(|member| !member.follows(word)).count() == 0
    }

    /// Waits until the verifier lets mutators pin again. Returns the word after that.
    #[cold]
    pub(crate) fn wait_while_held(&self) -> Word {
        let mut backoff = Backoff::new();
        loop {
            let word = self.word();
            if !word.is_held() {
                return word;
            }
            backoff.wait();
        }
    }

    /// Notes that a mutator has pinned in MARK of `cycle`. The mutator holds no object yet.
    #[inline]
    pub(crate) fn note_mark(&self, cycle: u64) {
        // Relaxed, here and in `in_mark`: the lock that passes from a reader to a writer orders the
        // two (GCLOCK-1 of `lock`). Reads first, so that the cache line stays shared.
        if self.in_mark.load(Relaxed) != cycle && !broken("mark_unnoted") {
            self.in_mark.store(cycle, Relaxed);
        }
    }

    /// Returns the last cycle in which a mutator has pinned in MARK.
    #[inline]
    pub(crate) fn in_mark(&self) -> u64 {
        self.in_mark.load(Relaxed)
    }

    /// Shuts the heap: no mutator may pin any more. Pinned mutators stay pinned.
    pub(crate) fn shut(&self) {
        // Relaxed: the fences order it (PHASE-5).
        self.shut.store(true, Relaxed);
        if !broken("shut_without_fence") {
            // Pairs with the fence of `Record::pin` (PHASE-5).
            fence(SeqCst);
        }
    }

    /// Returns whether mutators may not pin any more. Reliable only after the caller's pin
    /// (PHASE-5).
    #[inline]
    pub(crate) fn is_shut(&self) -> bool {
        // Relaxed: the fences order it (PHASE-5).
        self.shut.load(Relaxed)
    }

    /// Returns whether no mutator is pinned.
    pub(crate) fn quiet(&self) -> bool {
        self.members.lock().iter().all(|member| !member.is_pinned())
    }

    /// Returns how many mutators are pinned, as of some moment.
    pub(crate) fn pinned(&self) -> usize {
        self.members.lock().iter().filter(|member| member.is_pinned()).count()
    }

    /// Returns how many mutators of a shut heap are in a pin that may have begun before it was
    /// shut.
    pub(crate) fn inside(&self) -> usize {
        let members = self.members.lock();
        members
            .iter()
            .filter(|member| member.is_pinned() && !member.is_barred())
            .count()
    }

    /// Adds a mutator, before its first pin. Both this function and `acknowledged` take the lock.
    /// So either `acknowledged` finds the mutator, or the mutator finds the word.
    pub(crate) fn enlist(&self, record: &'static dyn Member) {
        self.members.lock().push(record);
    }

    /// Removes and returns all mutators, at the end of the heap.
    pub(crate) fn dismiss_all(&self) -> Vec<&'static dyn Member> {
        core::mem::take(&mut *self.members.lock())
    }

    /// Returns the number of mutators.
    pub(crate) fn members(&self) -> usize {
        self.members.lock().len()
    }

    /// Returns the number of the cycle as of some moment, for statistics.
    pub(crate) fn cycle(&self) -> u64 {
        Word(self.word.load(Relaxed)).cycle()
    }
}
