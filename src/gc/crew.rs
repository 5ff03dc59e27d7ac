//! The threads that mark in a cycle (the collector's, its helpers, and mutators that assist), and
//! how they share grey objects.
//!
//! A helper without grey objects counts itself as hungry ([`Hunger`]), and so does the collector's
//! thread while another thread has a shift. A thread with some grey objects then puts the older
//! half of them on a shelf, and hungry threads steal from there. If no thread is hungry, no thread
//! shares. So marking with one thread pays nothing for sharing.
//!
//! A mutator that wanted to assist and found nothing only asks. Small pieces of work do not pay for
//! an assist, so the other threads share with it only if they have many grey objects.
//!
//! - CREW-1. A thread that takes grey objects holds a [`Shift`], unless it is the collector's. The
//!   shift lasts from before it takes the first object until it has none, in its tracer (rings
//!   included, MARK-1) or on its shelf.
//! - CREW-2. No thread gets a shift while the gate is shut. The collector shuts the gate when no
//!   shift runs, before it asks for a wave. It opens the gate after the wave, if marking goes on.
//!   So during a wave only mutators have grey objects, in the buffers that the wave empties.

use super::fault::broken;
use super::workbuf::Grey;
use crate::sync::IS_MODEL;
use crate::sync::lock::Lock;
use crate::sync::tally::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// The most helpers of a cycle.
pub(crate) const HELPERS: usize = if IS_MODEL { 1 } else { 15 };
/// The collector's place in the crew.
pub(crate) const COLLECTOR: usize = 0;
/// Grey objects of a chunk, the unit of stealing.
const CHUNK: usize = if IS_MODEL { 1 } else { 256 };
/// The most chunks on a shelf.
const CHUNKS: usize = 8;
/// The least number of grey objects of a thread that shares with a hungry one.
const LEAST: usize = if IS_MODEL { 2 } else { 32 };

struct Gate {
    open: bool,
    shifts: usize,
}

/// The crew of a heap.
pub(crate) struct Crew {
    gate: Lock<Gate>,
    /// Threads of the collector that have nothing to scan while others may have.
    hungry: AtomicUsize,
    /// Whether a mutator that wanted to assist found nothing.
    asked: AtomicBool,
    /// Chunks on all shelves. If a thread reads 0, that thread's shelf is empty.
    shelved: AtomicUsize,
    /// One shelf per helper, and the collector's.
    shelves: [Lock<Vec<Vec<Grey>>>; HELPERS + 1],
}

/// The right to take and scan grey objects (CREW-1). Ends when it is dropped.
pub(crate) struct Shift<'a>(&'a Crew);

impl Drop for Shift<'_> {
    fn drop(&mut self) {
        self.0.gate.lock().shifts -= 1;
    }
}

/// Counts a thread of the collector as hungry until it is dropped.
pub(crate) struct Hunger<'a>(&'a Crew);

impl Drop for Hunger<'_> {
    fn drop(&mut self) {
        self.0.hungry.fetch_sub(1, Relaxed);
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

    /// Begins a shift. `None`: the gate is shut.
    pub(crate) fn begin(&self) -> Option<Shift<'_>> {
        let mut gate = self.gate.lock();
        (gate.open || broken("assist_in_wave")).then(|| {
            gate.shifts += 1;
            Shift(self)
        })
    }

    /// Opens the gate: other threads may take part.
    pub(crate) fn open(&self) {
        self.gate.lock().open = true;
    }

    /// Shuts the gate. Returns `false` if a shift runs: then the gate stays open.
    pub(crate) fn shut(&self) -> bool {
        let mut gate = self.gate.lock();
        let idle = gate.shifts == 0 || broken("shut_in_a_shift");
        gate.open &= !idle;
        idle
    }

    /// Returns whether no shift runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.gate.lock().shifts == 0
    }

    /// Counts the calling thread as hungry, as long as the result lives.
    pub(crate) fn hunger(&self) -> Hunger<'_> {
        self.hungry.fetch_add(1, Relaxed);
        Hunger(self)
    }

    /// Asks for grey objects, for a mutator that wanted to assist and found none.
    pub(crate) fn ask(&self) {
        self.asked.store(true, Relaxed);
    }

    /// Returns whether a chunk lies on a shelf. A hint only.
    pub(crate) fn has_shelved(&self) -> bool {
        self.shelved.load(Relaxed) > 0
    }

    /// Moves the older half of `stack` to the shelf `own`, in chunks, if a thread is hungry, or if
    /// a mutator has asked and `stack` is long.
    #[inline]
    pub(crate) fn share(&self, own: usize, stack: &mut Vec<Grey>) {
        let least = if self.hungry.load(Relaxed) > 0 {
            LEAST
        } else if self.asked.load(Relaxed) {
            2 * CHUNK
        } else {
            return;
        };
        if stack.len() >= least {
            self.share_some(own, stack);
        }
    }

    #[cold]
    fn share_some(&self, own: usize, stack: &mut Vec<Grey>) {
        let Some(shelf) = self.shelves.get(own) else { return };
        self.asked.store(false, Relaxed);
        let mut shelf = shelf.lock();
        let room = CHUNKS.saturating_sub(shelf.len());
        let half = stack.len() / 2;
        let chunk = half.min(CHUNK);
        let chunks = (half / chunk).min(room);
        let mut shared = stack.drain(..chunks * chunk);
        for _ in 0..chunks {
            shelf.push(shared.by_ref().take(chunk).collect());
        }
        self.shelved.fetch_add(chunks, Relaxed);
    }

    /// Takes the newest chunk of the shelf `own`, or half of the chunks of another shelf. Returns
    /// whether there were any. The caller holds a shift or is the collector.
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

#[cfg(all(test, not(greyspan_loom)))]
mod tests {
    use super::*;
    use core::ptr::NonNull;

    fn stack(len: usize) -> Vec<Grey> {
        let grey = |number: usize| NonNull::<u64>::dangling().map_addr(|at| at.saturating_add(16 * number));
        (0..len).map(|number| Grey::new(grey(number).cast())).collect()
    }

    #[test]
    fn a_small_stack_is_shared_with_a_hungry_thread_only() {
        let (crew, mut small) = (Crew::new(), stack(LEAST));
        crew.share(1, &mut small);
        crew.ask();
        crew.share(1, &mut small);
        assert!(small.len() == LEAST && !crew.has_shelved());
        let mut large = stack(2 * CHUNK);
        crew.share(1, &mut large);
        assert_eq!(large, stack(2 * CHUNK)[CHUNK..], "the older half goes");
        let mut taken = Vec::new();
        assert!(crew.steal(1, &mut taken) && taken == stack(CHUNK));
        let hunger = crew.hunger();
        crew.share(1, &mut small);
        assert_eq!(small, stack(LEAST)[LEAST / 2..]);
        drop(hunger);
        taken.clear();
        // Another place steals it.
        assert!(crew.steal(2, &mut taken) && taken == stack(LEAST / 2));
        let mut again = stack(LEAST);
        crew.share(1, &mut again);
        assert_eq!(again.len(), LEAST, "no thread is hungry any more");
    }
}
