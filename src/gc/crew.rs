//! Who marks in a cycle: the collector, its helpers, and mutators that assist; and how they share grey objects.
//!
//! A helper that has nothing to scan says so (`hungry`), and whoever has much puts a part of it on a shelf, from where the hungry steal.
//! Nobody shares where nobody is hungry, so marking with one thread costs nothing for it.
//!
//! - Y1. Whoever but the collector takes grey objects has a [`Shift`], from before it takes the first until it has none, in its hands or on its shelf.
//! - Y2. Nobody gets a shift while the gate is shut. The collector shuts it when no shift runs, before it asks for a wave, and opens it after: so
//!   during a wave only mutators have grey objects, in the buffers that the wave empties.

use super::fault::broken;
use super::workbuf::Grey;
use crate::sync::lock::Lock;
use crate::sync::tally::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// Helpers of a cycle, at the most.
pub(crate) const HELPERS: usize = if cfg!(loom) { 1 } else { 15 };
/// Grey objects that are stolen at a time.
const CHUNK: usize = if cfg!(loom) { 1 } else { 256 };
/// Chunks that a shelf holds.
const CHUNKS: usize = 8;

struct Gate {
    open: bool,
    shifts: usize,
}

/// The crew of a heap.
pub(crate) struct Crew {
    gate: Lock<Gate>,
    /// Helpers that have nothing to scan.
    hungry: AtomicUsize,
    /// A mutator that assisted found nothing.
    asked: AtomicBool,
    /// Chunks on all shelves: where it is 0 for a thread, that thread's own shelf is empty.
    shelved: AtomicUsize,
    /// One for each helper, and the collector's.
    shelves: [Lock<Vec<Vec<Grey>>>; HELPERS + 1],
}

/// The right to scan grey objects (Y1); ends when it is dropped.
pub(crate) struct Shift<'a>(&'a Crew);

impl Drop for Shift<'_> {
    fn drop(&mut self) {
        self.0.gate.lock().shifts -= 1;
    }
}

impl Crew {
    pub(crate) fn new() -> Self {
        Self {
            gate: Lock::new(Gate { open: false, shifts: 0 }),
            hungry: AtomicUsize::new(0),
            asked: AtomicBool::new(false),
            shelved: AtomicUsize::new(0),
            shelves: core::array::from_fn(|_| Lock::new(Vec::new())),
        }
    }

    /// A shift, unless the gate is shut.
    pub(crate) fn begin(&self) -> Option<Shift<'_>> {
        let mut gate = self.gate.lock();
        (gate.open || broken("assist_in_wave")).then(|| {
            gate.shifts += 1;
            Shift(self)
        })
    }

    /// Lets others take part.
    pub(crate) fn open(&self) {
        self.gate.lock().open = true;
    }

    /// Nobody begins a shift any more. `false`: somebody is in one, and the gate stays open.
    pub(crate) fn shut(&self) -> bool {
        let mut gate = self.gate.lock();
        let idle = gate.shifts == 0 || broken("shut_in_a_shift");
        gate.open &= !idle;
        idle
    }

    /// Whether nobody is in a shift.
    pub(crate) fn is_idle(&self) -> bool {
        self.gate.lock().shifts == 0
    }

    /// A helper has nothing to scan, or has again.
    pub(crate) fn count_hungry(&self, hungry: bool) {
        if hungry {
            self.hungry.fetch_add(1, Relaxed);
        } else {
            self.hungry.fetch_sub(1, Relaxed);
        }
    }

    /// A mutator would assist, and found nothing to take.
    pub(crate) fn ask(&self) {
        self.asked.store(true, Relaxed);
    }

    /// Whether something lies on a shelf, as a hint.
    pub(crate) fn has_shelved(&self) -> bool {
        self.shelved.load(Relaxed) > 0
    }

    /// Puts the older half of `stack` on the shelf `own`, in chunks, if somebody is hungry and `stack` is long.
    #[inline]
    pub(crate) fn share(&self, own: usize, stack: &mut Vec<Grey>) {
        if (self.hungry.load(Relaxed) > 0 || self.asked.load(Relaxed)) && stack.len() >= 2 * CHUNK {
            self.share_some(own, stack);
        }
    }

    #[cold]
    fn share_some(&self, own: usize, stack: &mut Vec<Grey>) {
        let Some(shelf) = self.shelves.get(own) else { return };
        self.asked.store(false, Relaxed);
        let mut shelf = shelf.lock();
        let room = CHUNKS.saturating_sub(shelf.len());
        let chunks = (stack.len() / 2 / CHUNK).min(room);
        let mut shared = stack.drain(..chunks * CHUNK);
        for _ in 0..chunks {
            shelf.push(shared.by_ref().take(CHUNK).collect());
        }
        self.shelved.fetch_add(chunks, Relaxed);
    }

    /// Takes chunks: the newest of the shelf `own`, or half of another's. Whether there were any. Within a shift, or by the collector.
    pub(crate) fn steal(&self, own: usize, into: &mut Vec<Grey>) -> bool {
        if !self.has_shelved() {
            return false;
        }
        let places = self.shelves.len();
        for at in (0..places).map(|step| (own + step) % places) {
            let Some(shelf) = self.shelves.get(at) else { continue };
            let taken: Vec<Vec<Grey>> = {
                let mut shelf = shelf.lock();
                if shelf.is_empty() {
                    continue;
                }
                let taken = if at == own { 1 } else { shelf.len().div_ceil(2) };
                self.shelved.fetch_sub(taken, Relaxed);
                if at == own {
                    shelf.pop().into_iter().collect()
                } else {
                    shelf.drain(..taken).collect()
                }
            };
            taken.iter().for_each(|chunk| into.extend_from_slice(chunk));
            return true;
        }
        false
    }
}
