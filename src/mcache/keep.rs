//! When a thread keeps runs of large objects, and when it gives them to the page heap.

use super::MCache;
use super::runs::{Bin, MOST};
use crate::base::addr::Addr;
use crate::base::geometry::{PAGE, SMALL_HEAP};
use crate::mspan::{Block, State};
use crate::os::report::{NO_BLOCK, misuse};
use crate::size_class::RunClass;
use crate::sync::atomic::Ordering::Relaxed;
use crate::tiers::Tiers;
use core::ptr::null_mut;

/// How many run classes above the wanted one may serve it: at most half as many pages more.
const TOLERANCE: usize = 2;

/// The most runs that one allocation gives up so that the heap need not grow, beyond
/// [`SMALL_HEAP`].
const SOME: u32 = 4;

impl MCache {
    /// Returns the bytes of all runs kept.
    #[inline(always)]
    fn held_runs(&self) -> usize {
        self.shared.run_bytes.load(Relaxed)
    }

    /// Sets the bytes of all runs kept (RUNS-2).
    // Relaxed: other threads read it for statistics only.
    #[inline(always)]
    fn set_held_runs(&self, bytes: usize) {
        self.shared.run_bytes.store(bytes, Relaxed);
    }

    /// Takes a run of `class` from its bin. Returns null if the bin is empty.
    #[inline]
    pub(crate) fn pop_run(&self, class: RunClass) -> *mut Block {
        let run = self.runs.pop(class);
        if !run.is_null() {
            self.set_held_runs(self.held_runs() - class.size());
        }
        run
    }

    /// Puts a run on the bin of `class`. `false`: the bin is full, nothing was done.
    ///
    /// # Safety
    /// `block` is a large object of this heap that the program uses no more, and has at least the
    /// class's size.
    #[inline]
    pub(crate) unsafe fn push_run(&self, class: RunClass, block: *mut Block) -> bool {
        let done = self.runs.push(class, block);
        if done {
            self.set_held_runs(self.held_runs() + class.size());
        }
        done
    }

    /// Takes a run of a class somewhat longer than `class`, whose own bin is empty. Returns null if
    /// there is none, or if the heap is not small: many blocks longer than need be would take more
    /// memory than the idle pages that they spare.
    pub(crate) fn pop_longer_run(&self, tiers: &Tiers, class: RunClass) -> *mut Block {
        self.runs.note_missed(class);
        if self.held_runs() == 0 || self.runs.are_mostly_untouched() || !is_small(tiers) {
            return null_mut();
        }
        let mut longer = class;
        for _ in 0..TOLERANCE {
            let Some(next) = longer.longer() else { break };
            longer = next;
            let run = self.pop_run(longer);
            if !run.is_null() {
                cut_run(tiers, run, class);
                return run;
            }
        }
        null_mut()
    }

    /// Frees a run whose bin is full. The cache is ready.
    ///
    /// # Safety
    /// As for [`push_run`](Self::push_run).
    #[cold]
    pub(crate) unsafe fn push_run_over(&self, tiers: &Tiers, class: RunClass, block: *mut Block) {
        if !self.grow_runs(tiers, class, block) {
            let half = self.runs.bin(class).cap().div_ceil(2);
            self.give_runs(tiers, class, half);
        }
        // SAFETY: the run is the caller's, and of the class's size (contract of this function).
        if !unsafe { self.push_run(class, block) } {
            self.give_run(tiers, block);
        }
        self.end_idle_runs(tiers);
    }

    /// Doubles a bin into which `run` does not fit. `false`: the bin may not grow, or there is no
    /// memory.
    fn grow_runs(&self, tiers: &Tiers, class: RunClass, run: *mut Block) -> bool {
        let Some(growth) = self.runs.ask_growth(tiers, class, run) else {
            return false;
        };
        let done = self.widen_runs(tiers, self.runs.bin(class), growth.0);
        if done {
            self.runs.grow(class, growth);
        } else {
            tiers.room.give_back(growth.1);
        }
        done
    }

    /// Gives the bin an array of `cap` slots. `false`: there is no memory, or the bin has changed
    /// meanwhile.
    fn widen_runs(&self, tiers: &Tiers, bin: &Bin, cap: u32) -> bool {
        if bin.fits(cap) {
            return true;
        }
        let before = bin.cap();
        let array: *mut *mut Block = self.take_array(tiers, Bin::slots(cap)).unwrap_or(null_mut());
        // Taking the array may have changed this very bin.
        let done = bin.cap() == before && !array.is_null();
        let unused = if done {
            // SAFETY: a new array, with room for more than `before` runs.
            unsafe { bin.move_to(array) }
        } else {
            array
        };
        // SAFETY: the bin's former array, or the new one that it does not use; or null.
        unsafe { self.free_array(tiers, unused) };
        done
    }

    /// Gives runs up because the heap is about to grow by `pages` pages. Does nothing if the runs
    /// kept seem to have less memory than that. Runs of which the program touched little are worth
    /// more here: the next object touches the same pages.
    ///
    /// In a small heap all runs go. Otherwise the shortest that has as many pages goes, or a few of
    /// the longest, which may lie beside free pages.
    pub(super) fn give_runs_for(&self, tiers: &Tiers, pages: usize) {
        let (held, bytes) = (self.held_runs(), pages * PAGE);
        if held < bytes {
            return;
        }
        let fit = self.runs.shortest(pages);
        let Some(class) = fit.or_else(|| self.runs.longest()) else {
            return;
        };
        if self.runs.memory(tiers, class, held) < bytes {
            return;
        }
        if is_small(tiers) {
            return self.give_all_runs(tiers);
        }
        if fit.is_some() {
            return self.give_runs(tiers, class, 1);
        }
        let mut left = SOME;
        while let Some(class) = self.runs.longest().filter(|_| left > 0) {
            let goes = left.min(self.runs.bin(class).held());
            self.give_runs(tiers, class, goes);
            left -= goes;
        }
    }

    /// Gives the oldest `count` runs of a bin to the page heap.
    fn give_runs(&self, tiers: &Tiers, class: RunClass, count: u32) {
        let gone = self.runs.bin(class).take_oldest(count, |run| self.give_run(tiers, run));
        self.set_held_runs(self.held_runs() - gone as usize * class.size());
    }

    /// Gives a run of at least `pages` pages to the page heap, of the longest class that is kept.
    pub(super) fn give_long_run(&self, tiers: &Tiers, pages: usize) {
        if self.held_runs() < pages * PAGE {
            return;
        }
        if let Some(class) = self.runs.longest().filter(|class| class.pages() >= pages) {
            self.give_run(tiers, self.pop_run(class));
        }
    }

    /// Gives all runs to the page heap, and keeps the room.
    pub(super) fn give_all_runs(&self, tiers: &Tiers) {
        if self.held_runs() > 0 {
            RunClass::all().for_each(|class| self.give_runs(tiers, class, MOST));
        }
    }

    /// Gives all runs and all room back.
    pub(super) fn empty_runs(&self, tiers: &Tiers) {
        self.give_all_runs(tiers);
        for class in RunClass::all() {
            let array = self.runs.shrink(tiers, class, 0);
            // SAFETY: the array that the bin had, or null.
            unsafe { self.free_array(tiers, array) };
        }
    }

    /// Gives up the runs that no allocation reached for a whole purge delay, once in each delay.
    pub(super) fn end_idle_runs(&self, tiers: &Tiers) {
        let Some(delay) = tiers.mheap.purge_delay() else { return };
        if !self.runs.is_time_to_look(delay) {
            return;
        }
        for class in RunClass::all() {
            let bin = self.runs.bin(class);
            let idle = bin.take_idle_count();
            if idle > 0 {
                self.give_runs(tiers, class, idle);
                let array = self.runs.shrink(tiers, class, bin.cap() - idle);
                // SAFETY: the array that the bin had, or null.
                unsafe { self.free_array(tiers, array) };
            }
        }
    }

    /// Gives a run of a bin to the page heap.
    fn give_run(&self, tiers: &Tiers, run: *mut Block) {
        match tiers.mheap.map().span_of(Addr::of(run)) {
            Some(span) if span.state() == State::Large => self.free_large(tiers, span, run.cast()),
            _ => misuse("free", run.addr(), 0, NO_BLOCK),
        }
    }
}

/// Whether the heap is so small that memory counts more than the tail of the latency.
fn is_small(tiers: &Tiers) -> bool {
    tiers.mheap.grown_bytes() <= SMALL_HEAP
}

/// Gives the tail of a run that serves `class` back, if the tail is long. A run may have come to
/// the bin of a shorter class as this one does, and so on from class to class.
fn cut_run(tiers: &Tiers, run: *mut Block, class: RunClass) {
    let Some(span) = tiers.mheap.map().span_of(Addr::of(run)) else {
        return;
    };
    if span.pages() > class.pages() + class.pages() / 2 {
        tiers.mheap.shrink_in_place(span, class.pages());
    }
}
