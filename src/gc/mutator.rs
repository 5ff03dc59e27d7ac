//! A mutator's record: how the mutator pins, acknowledges and unpins. There is one record per
//! thread and heap.
//!
//! - MUTATOR-1. Only the record's thread touches the fields that are not atomic. A record passes to
//!   another thread only while it is unpinned.
//! - MUTATOR-2. `control` is zero only if the phase is IDLE and no request is open. The collector
//!   sets it after it saw the mutator pinned under an old word. The mutator resets it only before
//!   it publishes the word that it answers, or it looks at the word again afterwards.
//! - MUTATOR-3. An unpinned mutator has no grey objects. The spans of its cache are its own until
//!   the next handshake H3. It forgets them at that H3 or at its first pin after it.

use super::atlas::Mark;
use super::cache::Cache;
use super::fault::broken;
use super::phase::{Member, Phase, Protocol, Word};
use super::span::{Space, Span};
use super::stats::Stint;
use super::workbuf::{BUFFER, Grey};
use super::world::World;
use crate::sync::CachePadded;
use crate::sync::atomic::AtomicBool;
use crate::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};
use core::cell::{Cell, UnsafeCell};
use core::ptr::NonNull;
use std::collections::HashSet;

/// The status of an unpinned mutator. The status of a pinned one is twice the word plus one.
const UNPINNED: u64 = 0;

/// Bytes of memory owned by a mutator's new objects that it may keep back from the heap's count.
const OWNED: usize = 32 << 10;

/// One mutator.
#[repr(C, align(128))]
pub(crate) struct Record {
    /// The word that the fast paths test (MUTATOR-2).
    control: AtomicU32,
    phase: Cell<Phase>,
    /// The word last acknowledged.
    word: Cell<Word>,
    /// Number of `enter` calls on the stack.
    depth: Cell<u32>,
    /// Number of write guards of `GcLock` that the mutator holds.
    pub(super) guards: Cell<u32>,
    /// Number of H3 handshakes that had passed when the cache was filled.
    filled_under: Cell<u64>,
    /// Bytes owned by new objects that the heap does not count yet. Zero while the thread is
    /// unpinned.
    owned: Cell<usize>,
    /// Nanoseconds of processor time spent on locks since the last acknowledgement or pin: to show
    /// their edges and to have their objects scanned again.
    shown_ns: Cell<u64>,
    pub(super) grey: UnsafeCell<Vec<Grey>>,
    /// Objects with locks that were written in PRE. They are scanned again when the mutator unpins
    /// (GCLOCK-1).
    again: UnsafeCell<HashSet<NonNull<u8>>>,
    /// The space that `has_space` last found to be the heap's, or null. The heap keeps its spaces
    /// to its end.
    known: Cell<*const Space>,
    pub(super) cache: Cache,
    heap: NonNull<World>,
    /// Whether an `enter` of this mutator found the heap shut. Every later `enter` is shut out too.
    /// No earlier one is left, because they nest.
    barred: AtomicBool,
    /// The status that the collector reads. It has a cache line for itself.
    status: CachePadded<AtomicU64>,
}

// SAFETY: MUTATOR-1: one thread at a time uses the plain fields; the collector uses the atomics
// only.
unsafe impl Send for Record {}
// SAFETY: MUTATOR-1: one thread at a time uses the plain fields; the collector uses the atomics
// only.
unsafe impl Sync for Record {}

fn pinned(word: Word) -> u64 {
    word.0 << 1 | 1
}

impl Member for Record {
    fn is_pinned(&self) -> bool {
        // Acquire: pairs with the Release in `unpin`.
        self.status.load(Acquire) != UNPINNED
    }

    fn follows(&self, word: Word) -> bool {
        // Acquire: pairs with the Releases in `pin`, `acknowledge` and `unpin`.
        let status = self.status.load(Acquire);
        let follows = status == UNPINNED || status == pinned(word);
        if !follows {
            self.control.store(1, Relaxed);
        }
        follows
    }

    fn is_barred(&self) -> bool {
        // Acquire: pairs with the Release in `bar`.
        self.barred.load(Acquire)
    }
}

impl Record {
    pub(crate) fn new(heap: NonNull<World>) -> Self {
        Self {
            control: AtomicU32::new(0),
            phase: Cell::new(Phase::Idle),
            word: Cell::new(Word::idle(0)),
            depth: Cell::new(0),
            guards: Cell::new(0),
            filled_under: Cell::new(0),
            owned: Cell::new(0),
            shown_ns: Cell::new(0),
            grey: UnsafeCell::new(Vec::new()),
            again: UnsafeCell::new(HashSet::new()),
            known: Cell::new(core::ptr::null()),
            cache: Cache::new(),
            heap,
            barred: AtomicBool::new(false),
            status: CachePadded(AtomicU64::new(UNPINNED)),
        }
    }

    #[inline(always)]
    pub(crate) fn heap(&self) -> &World {
        // SAFETY: the heap owns its records, so it lives longer than `self`.
        unsafe { self.heap.as_ref() }
    }

    #[inline(always)]
    pub(crate) fn protocol(&self) -> &Protocol {
        &self.heap().protocol
    }

    #[inline(always)]
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    #[inline(always)]
    pub(crate) fn current(&self) -> Word {
        self.word.get()
    }

    /// Whether the fast paths may go on: the phase is IDLE and no request is open.
    #[inline(always)]
    pub(crate) fn is_calm(&self) -> bool {
        // Relaxed: the slow path reads the request from the word.
        self.control.load(Relaxed) == 0
    }

    /// Begins an `enter`. Returns `true` if it is the outermost one.
    #[inline]
    pub(crate) fn enter(&self) -> bool {
        let depth = self.depth.get();
        self.depth.set(depth + 1);
        if depth == 0 {
            self.pin();
        }
        depth == 0
    }

    /// Ends an `enter`.
    #[inline]
    pub(crate) fn leave(&self) {
        let depth = self.depth.get() - 1;
        self.depth.set(depth);
        if depth == 0 || broken("inner_leave_unpins") {
            self.unpin();
        }
    }

    /// Whether an `enter` is on the stack.
    pub(crate) fn is_entered(&self) -> bool {
        self.depth.get() > 0
    }

    /// Whether the `enter` that has just begun is the outermost one and the heap was shut before.
    #[inline]
    pub(crate) fn is_shut_out(&self) -> bool {
        self.depth.get() == 1 && self.protocol().is_shut()
    }

    /// Notes that the outermost `enter`, which has just begun, is shut out.
    pub(crate) fn bar(&self) {
        // Release: pairs with the Acquire in `is_barred`; publishes all work of earlier pins.
        self.barred.store(true, Release);
    }

    #[inline]
    fn pin(&self) {
        let protocol = self.protocol();
        let mut word = protocol.word();
        loop {
            if word.is_held() {
                // The verifier waits until no thread is pinned, so this thread waits unpinned.
                if !broken("wait_pinned") {
                    // Release: pairs with the Acquire in `is_pinned`.
                    self.status.store(UNPINNED, Release);
                }
                word = protocol.wait_while_held();
            }
            self.control.store(u32::from(word.phase() != Phase::Idle), Relaxed);
            // Release: pairs with the Acquire in `follows`. The collector may set `control` after
            // it.
            self.status.store(pinned(word), Release);
            if !broken("pin_without_fence") {
                // Pairs with the fence in `Protocol::request` (PHASE-1).
                fence(SeqCst);
            }
            let now = protocol.word();
            if now == word || broken("pin_without_recheck") {
                break;
            }
            word = now;
        }
        self.word.set(word);
        self.phase.set(word.phase());
        if word.phase() == Phase::Mark {
            protocol.note_mark(word.cycle());
        }
        if word.ends() != self.filled_under.get() {
            self.forget_cache(word);
        }
    }

    #[cold]
    fn forget_cache(&self, word: Word) {
        if !broken("pin_keeps_cache") {
            self.cache.forget();
        }
        self.filled_under.set(word.ends());
    }

    #[inline]
    fn unpin(&self) {
        // A leaked guard is out of reach from here on, and so is the value that it guards.
        self.guards.set(0);
        if self.phase.get() != Phase::Idle {
            self.give_again();
        }
        self.flush();
        // An object dies only in a cycle whose handshake H2 comes after this unpin. By then the
        // heap has counted the bytes that it owns.
        if self.owned.get() != 0 {
            self.tell_owned();
        }
        // Release: pairs with the Acquire in `follows`; publishes all work of this pin.
        self.status.store(UNPINNED, Release);
    }

    /// Counts `bytes` that a new object owns.
    #[inline]
    pub(super) fn own(&self, bytes: usize) {
        let owned = self.owned.get().saturating_add(bytes);
        self.owned.set(owned);
        if owned >= OWNED {
            self.tell_owned();
        }
    }

    /// Counts that an object owns `now` bytes instead of `before`.
    pub(super) fn own_instead(&self, before: usize, now: usize) {
        if now >= before {
            self.own(now - before);
        } else {
            self.tell_owned();
            if self.heap().is_own_process() {
                self.heap().bytes.own_less(before - now);
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_owned(&self) {
        let owned = self.owned.take();
        if self.heap().is_own_process() {
            self.heap().count_owned(owned);
        }
    }

    /// Notes that the object around `place` must be scanned again after this pin, if it is marked
    /// by then. Returns `false` if no object of this heap lies there.
    pub(super) fn scan_again(&self, place: NonNull<u8>) -> bool {
        if !self.heap().is_own_process() {
            // A fork child has no marking thread, and the spaces' lock may be held for ever there.
            return true;
        }
        let Some(span) = Span::find(place) else { return false };
        let object = span.payload(span.index(place));
        // SAFETY: MUTATOR-1: the set is this thread's; the reference does not outlive the call.
        let again = unsafe { &mut *self.again.get() };
        if again.contains(&object) {
            return true;
        }
        let since = Stint::begin();
        let own = self.has_space(span.space);
        if own {
            again.insert(object);
        }
        self.count_shown(since);
        own
    }

    /// Counts work for locks that began at `since`. All such work since the last acknowledgement or
    /// pin counts as one stall.
    pub(super) fn count_shown(&self, since: Stint) {
        let (ns, counters) = (since.nanos(), &self.heap().counters);
        counters.stall_of(ns);
        self.shown_ns.set(self.shown_ns.get() + ns);
        counters.stalls_of(self.shown_ns.get());
    }

    /// Whether `space` belongs to the heap. Remembers the last space found.
    fn has_space(&self, space: &'static Space) -> bool {
        let known = core::ptr::eq(self.known.get(), space);
        if !known && self.heap().spaces.has(space) {
            self.known.set(space);
            return true;
        }
        known
    }

    /// At the end of a pin, makes the objects of `again` grey if they are marked. A white object
    /// needs no second scan: if it is scanned at all, then later.
    #[cold]
    fn give_again(&self) {
        // SAFETY: MUTATOR-1: the set is this thread's; the reference does not outlive the
        // statement.
        let again = core::mem::take(unsafe { &mut *self.again.get() });
        if again.is_empty() || broken("lock_not_scanned_again") {
            self.shown_ns.set(0);
            return;
        }
        let since = Stint::begin();
        if !broken("lock_again_unfenced") {
            // Pairs with the fence in `GcLock::trace`: a tracer has passed over a lock that this
            // mutator held.
            fence(SeqCst);
        }
        for object in again {
            // SAFETY: the object was reachable in this pin, and since then the mutator has
            // acknowledged no end of a cycle.
            if unsafe { Mark::of(object) }.is_set() {
                self.push(Grey::new(object));
            }
        }
        self.count_shown(since);
        self.shown_ns.set(0);
    }

    /// Puts a grey object into the buffer.
    pub(crate) fn push(&self, grey: Grey) {
        // SAFETY: MUTATOR-1: the buffer is this thread's; the reference does not outlive the
        // statement.
        let buffer = unsafe { &mut *self.grey.get() };
        if buffer.capacity() == 0 {
            buffer.reserve_exact(BUFFER);
        }
        buffer.push(grey);
        if buffer.len() >= BUFFER {
            self.hand_over(buffer);
        }
    }

    /// Hands the grey objects over to the queue.
    #[inline]
    pub(super) fn flush(&self) {
        // SAFETY: MUTATOR-1: the buffer is this thread's; the reference does not outlive the call.
        let grey = unsafe { &mut *self.grey.get() };
        if !grey.is_empty() {
            self.hand_over(grey);
        }
    }

    /// Hands `grey` over to the queue. In a fork child, discards it: the queue's lock may be held
    /// for ever there, and no thread marks.
    #[cold]
    pub(super) fn hand_over(&self, grey: &mut Vec<Grey>) {
        if self.heap().is_own_process() {
            self.protocol().queue.give(grey);
        } else {
            grey.clear();
        }
    }

    /// Answers an open request between two operations, if a pinned mutator may answer it.
    #[cold]
    pub(crate) fn respond(&self) {
        let protocol = self.protocol();
        let now = protocol.word();
        let mine = self.word.get();
        if now == mine {
            // The collector set `control` after this thread had answered. Reset it and look again
            // (MUTATOR-2).
            self.control.store(u32::from(self.phase() != Phase::Idle), Relaxed);
            // Pairs with the fence in `Protocol::request`.
            fence(SeqCst);
            if protocol.word() != mine {
                self.control.store(1, Relaxed);
            }
            return;
        }
        if now.is_held() || (self.guards.get() > 0 && !broken("acknowledge_with_guard")) {
            return;
        }
        // Handshake H2 is acknowledged by unpinning. Until then every slow path comes here, so this
        // must cost nothing.
        let soft = (self.phase(), now.phase()) != (Phase::Pre, Phase::Mark) || broken("soft_h2");
        if !soft {
            return;
        }
        let since = Stint::begin();
        match (self.phase(), now.phase()) {
            (Phase::Idle, Phase::Pre) => self.acknowledge(now),
            (Phase::Mark, Phase::Mark) => {
                if !broken("wave_without_flush") {
                    self.flush();
                }
                self.acknowledge(now);
            }
            (Phase::Mark, Phase::Idle) => {
                self.flush();
                self.cache.forget();
                self.filled_under.set(now.ends());
                self.acknowledge(now);
            }
            (Phase::Pre, Phase::Mark) if broken("soft_h2") => self.acknowledge(now),
            (Phase::Idle, Phase::Mark) if broken("one_handshake") => self.acknowledge(now),
            _ => return,
        }
        self.heap().counters.stall(since);
    }

    fn acknowledge(&self, word: Word) {
        self.shown_ns.set(0);
        self.word.set(word);
        self.phase.set(word.phase());
        self.control.store(u32::from(word.phase() != Phase::Idle), Relaxed);
        // Release: pairs with the Acquire in `follows`.
        self.status.store(pinned(word), Release);
    }
}
