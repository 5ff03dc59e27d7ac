//! The runs of freed large objects that a thread keeps, a bin for each run class.
//!
//! Owned by one cache and reached by its thread alone. As with small objects, a run goes to the bin of the size it is freed with and is
//! handed out again from there, without a look at its span: it stays a large span in use, as far as the page heap knows.
//!
//! - N1. A bin's runs are this thread's alone, and hold at least its class's size.
//! - N2. `run_bytes` counts the bytes of all bins by their classes.
//! - N3. A bin's capacity was granted out of [`Room`](super::room::Room), by the memory that its runs seem to have and not by their length: a
//!   run whose pages were never touched costs the process nothing, so it may lie here.
//!
//! A bin has no room at first. It doubles where it runs over though its class was missed since it last grew: the program then frees and
//! allocates in turn, in batches larger than the bin. Runs are of use to one class and one thread only while they lie here, so all of
//! them go to the page heap before the heap takes untouched memory for this thread, if they have enough; those that no
//! allocation reached for a whole purge delay go too, and the room with them.

use super::{MCache, Tiers};
use crate::base::addr::Addr;
use crate::base::geometry::PAGE;
use crate::mspan::Block;
#[cfg_attr(any(test, loom), allow(unused_imports, reason = "there `Os` is the trait itself"))]
use crate::os::PageSource;
use crate::size_class::{RUN_CLASSES, RunClass};
use crate::sync::atomic::Ordering::Relaxed;
use core::cell::Cell;
use core::ptr::null_mut;

/// Runs in a bin at the most, and in its first array.
const MOST: u32 = 1024;
const FEW: u32 = 4;

/// Tries to grow a bin between two looks at how much memory its runs have, which is a system call; and questions for that of all bins.
const TRIES: u32 = 16;

/// Parts of a whole.
const SHARES: usize = 256;

/// How many run classes above the wanted one may serve it: half as many pages more at the most.
const TOLERANCE: usize = 2;

/// The runs of one class, oldest first.
struct Bin {
    /// An array of `cap` pointers, in a block of the heap's own; null if `cap` is 0.
    array: Cell<*mut *mut Block>,
    held: Cell<u32>,
    cap: Cell<u32>,
    /// The fewest runs there were since the last look for idle ones.
    low: Cell<u32>,
    /// Bytes of the room of all caches that this bin's `cap` has (N3).
    room: Cell<usize>,
    /// What [`memory_of`] last said of a run of the class, and how many tries to grow that still holds for.
    memory: Cell<usize>,
    holds_for: Cell<u32>,
}

/// The bins of one cache.
pub(super) struct Runs {
    bins: [Bin; RUN_CLASSES],
    /// Classes that were missed since their bins last grew or were refused room.
    missed: Cell<u64>,
    /// Bytes of room of all bins.
    room: Cell<usize>,
    /// When idle runs were last looked for, in coarse milliseconds.
    looked_at: Cell<u64>,
    /// How many pages in [`SHARES`] of all runs kept seemed to have memory, and how many questions that still holds for.
    share: Cell<usize>,
    share_holds_for: Cell<u32>,
}

impl Runs {
    crate::sync::const_unless_loom! {
        /// Keeps nothing and has no room.
        pub(super) fn new() -> Self {
            Self {
                bins: [const {
                    Bin {
                        array: Cell::new(null_mut()), held: Cell::new(0), cap: Cell::new(0), low: Cell::new(0), room: Cell::new(0),
                        memory: Cell::new(0), holds_for: Cell::new(0),
                    }
                }; RUN_CLASSES],
                missed: Cell::new(0),
                room: Cell::new(0),
                looked_at: Cell::new(0),
                share: Cell::new(SHARES),
                share_holds_for: Cell::new(0),
            }
        }
    }

    #[inline(always)]
    fn bin(&self, class: RunClass) -> &Bin {
        // SAFETY: a run class's index is below RUN_CLASSES.
        unsafe { self.bins.get_unchecked(class.index()) }
    }
}

impl MCache {
    /// Bytes of all runs kept.
    #[inline(always)]
    fn held_runs(&self) -> usize {
        self.shared.run_bytes.load(Relaxed)
    }

    /// Whether the runs kept seem to have `bytes` bytes of memory, so that giving them up spares the heap as much. Runs of which the program
    /// touched little are worth more here, where the next object touches the same pages, than anywhere else.
    pub(super) fn runs_seem_to_have(&self, tiers: &Tiers, bytes: usize) -> bool {
        let held = self.held_runs();
        if held < bytes {
            return false;
        }
        if self.runs.share_holds_for.get() == 0 {
            self.runs.share.set(self.share_with_memory(tiers));
            self.runs.share_holds_for.set(TRIES);
        }
        self.runs.share_holds_for.set(self.runs.share_holds_for.get() - 1);
        held / SHARES * self.runs.share.get() >= bytes
    }

    /// How many pages in [`SHARES`] of all runs kept seem to have memory, by the newest run of each bin.
    fn share_with_memory(&self, tiers: &Tiers) -> usize {
        let (mut all, mut there) = (0, 0);
        for class in RunClass::all() {
            let bin = self.runs.bin(class);
            let held = bin.held.get() as usize;
            if let Some(newest) = held.checked_sub(1) {
                // SAFETY: the slots below what is held hold the bin's runs.
                let run = unsafe { *bin.array.get().wrapping_add(newest) };
                all += held * class.size();
                there += held * seen_memory(tiers, class, run);
            }
        }
        (there / SHARES)
            .checked_div(all / SHARES / SHARES)
            .unwrap_or(SHARES)
            .min(SHARES)
    }

    /// Relaxed: other threads read it for statistics only.
    #[inline(always)]
    fn set_held_runs(&self, bytes: usize) {
        self.shared.run_bytes.store(bytes, Relaxed);
    }

    /// Takes a run of `class` from its bin; null when the bin is empty.
    #[inline]
    pub(crate) fn pop_run(&self, class: RunClass) -> *mut Block {
        let bin = self.runs.bin(class);
        let Some(held) = bin.held.get().checked_sub(1) else {
            return null_mut();
        };
        bin.held.set(held);
        if held < bin.low.get() {
            bin.low.set(held);
        }
        self.set_held_runs(self.held_runs() - class.size());
        // SAFETY: the slots below what was held hold the bin's runs.
        unsafe { *bin.array.get().wrapping_add(held as usize) }
    }

    /// Puts a run on the bin of `class`. `false`: the bin is full, nothing was done.
    ///
    /// # Safety
    /// `block` is a large object of this heap that nobody uses any more, and has at least the class's size.
    #[inline]
    pub(crate) unsafe fn push_run(&self, class: RunClass, block: *mut Block) -> bool {
        let bin = self.runs.bin(class);
        let held = bin.held.get();
        if held == bin.cap.get() {
            return false;
        }
        // SAFETY: slots below the bin's room are its array's.
        unsafe { *bin.array.get().wrapping_add(held as usize) = block };
        bin.held.set(held + 1);
        self.set_held_runs(self.held_runs() + class.size());
        true
    }

    /// Takes a run of a class somewhat longer than `class`, whose own bin is empty; null where there is none.
    pub(crate) fn pop_longer_run(&self, tiers: &Tiers, class: RunClass) -> *mut Block {
        self.runs.missed.set(self.runs.missed.get() | 1 << class.index());
        if self.held_runs() == 0 || self.runs.share.get() < SHARES / 4 {
            return null_mut();
        }
        let mut longer = class;
        for _ in 0..TOLERANCE {
            let Some(next) = longer.longer() else { break };
            longer = next;
            let run = self.pop_run(longer);
            if !run.is_null() {
                Self::cut_run(tiers, run, class);
                return run;
            }
        }
        null_mut()
    }

    /// Gives the tail of a run that serves `class` back, if that is long: a run may have come to the bin of a shorter class as this one does,
    /// and so on from class to class.
    fn cut_run(tiers: &Tiers, run: *mut Block, class: RunClass) {
        let Some(span) = tiers.mheap.map().span_of(Addr::of(run)) else {
            return;
        };
        if span.pages() > class.pages() + class.pages() / 2 {
            tiers.mheap.shrink_in_place(span, class.pages());
        }
    }

    /// Frees a run whose bin is full. The cache is ready.
    ///
    /// # Safety
    /// As for [`push_run`](Self::push_run).
    #[cold]
    pub(crate) unsafe fn push_run_over(&self, tiers: &Tiers, class: RunClass, block: *mut Block) {
        if !self.grow_runs(tiers, class, block) {
            let cap = self.runs.bin(class).cap.get();
            self.give_runs(tiers, class, cap.div_ceil(2));
        }
        // SAFETY: as the caller promised.
        if !unsafe { self.push_run(class, block) } {
            self.give_run(tiers, block);
        }
        self.end_idle_runs(tiers);
    }

    /// Doubles a bin, where `run` does not fit, if its class was missed since it last grew and there is room for all.
    fn grow_runs(&self, tiers: &Tiers, class: RunClass, run: *mut Block) -> bool {
        let (bit, bin) = (1 << class.index(), self.runs.bin(class));
        let cap = bin.cap.get();
        if self.runs.missed.get() & bit == 0 || cap >= MOST {
            return false;
        }
        // One try a miss.
        self.runs.missed.set(self.runs.missed.get() & !bit);
        let wider = (cap * 2).max(1);
        if bin.holds_for.get() == 0 {
            bin.memory.set(memory_of(tiers, class, run));
            bin.holds_for.set(TRIES);
        }
        bin.holds_for.set(bin.holds_for.get() - 1);
        let more = (wider - cap) as usize * bin.memory.get();
        if !tiers.room.ask(&tiers.mheap, more) {
            return false;
        }
        if !self.widen(tiers, bin, wider) {
            tiers.room.give_back(more);
            return false;
        }
        bin.cap.set(wider);
        bin.room.set(bin.room.get() + more);
        self.runs.room.set(self.runs.room.get() + more);
        true
    }

    /// Sees that the bin's array has `cap` slots. `false`: no memory, or the bin has changed meanwhile.
    fn widen(&self, tiers: &Tiers, bin: &Bin, cap: u32) -> bool {
        if cap <= FEW && !bin.array.get().is_null() {
            return true;
        }
        let before = bin.cap.get();
        let array: *mut *mut Block = self.take_array(tiers, cap.max(FEW) as usize).unwrap_or(null_mut());
        // Taking the array may have changed this very bin.
        let same = bin.cap.get() == before;
        let old = if same && !array.is_null() {
            // SAFETY: the runs lie in the old array and fit the new one, which is apart from it.
            unsafe { bin.array.get().copy_to_nonoverlapping(array, bin.held.get() as usize) };
            bin.array.replace(array)
        } else {
            array
        };
        // SAFETY: null, or a block that came from `take_array` and is not used any more.
        unsafe { self.free(tiers, old.cast()) };
        same && !array.is_null()
    }

    /// Gives the oldest `count` runs of a bin to the page heap.
    fn give_runs(&self, tiers: &Tiers, class: RunClass, count: u32) {
        let bin = self.runs.bin(class);
        let (array, held) = (bin.array.get(), bin.held.get());
        let goes = count.min(held);
        if goes == 0 {
            return;
        }
        for index in 0..goes as usize {
            // SAFETY: the slot holds one of the bin's runs.
            self.give_run(tiers, unsafe { *array.wrapping_add(index) });
        }
        let stay = held - goes;
        // SAFETY: both ranges lie in the bin's array.
        unsafe { array.wrapping_add(goes as usize).copy_to(array, stay as usize) };
        bin.held.set(stay);
        bin.low.set(bin.low.get().min(stay));
        self.set_held_runs(self.held_runs() - goes as usize * class.size());
    }

    /// Gives a run of at least `pages` pages to the page heap, if there is one: of the longest that are kept.
    pub(super) fn give_long_run(&self, tiers: &Tiers, pages: usize) {
        if self.held_runs() < pages * PAGE {
            return;
        }
        let mut long = None;
        for class in RunClass::all() {
            if class.pages() >= pages && self.runs.bin(class).held.get() > 0 {
                long = Some(class);
            }
        }
        if let Some(class) = long {
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
        RunClass::all().for_each(|class| self.shrink_runs(tiers, class, 0));
    }

    /// Lets a bin that holds at most `cap` runs have room for no more.
    fn shrink_runs(&self, tiers: &Tiers, class: RunClass, cap: u32) {
        let bin = self.runs.bin(class);
        let less = bin.cap.get().saturating_sub(cap);
        if less > 0 {
            // All of it with the last slot, whatever the divisions before have left.
            let each = bin.room.get() / bin.cap.get() as usize;
            let room = if cap == 0 { bin.room.get() } else { each * less as usize };
            tiers.room.give_back(room);
            bin.room.set(bin.room.get() - room);
            self.runs.room.set(self.runs.room.get() - room);
            bin.cap.set(bin.cap.get() - less);
        }
        if cap == 0 && !bin.array.get().is_null() {
            // SAFETY: the array came from `take_array`, and is not used any more.
            unsafe { self.free(tiers, bin.array.replace(null_mut()).cast()) };
        }
    }

    /// Bytes of room that the bins of runs have.
    pub(super) fn run_room(&self) -> usize {
        self.runs.room.get()
    }

    /// Gives up what no allocation reached for a whole purge delay, now and then.
    pub(super) fn end_idle_runs(&self, tiers: &Tiers) {
        let Some(delay) = tiers.mheap.purge_delay() else { return };
        let now = crate::os::coarse_millis();
        if now.saturating_sub(self.runs.looked_at.get()) < delay {
            return;
        }
        self.runs.looked_at.set(now);
        for class in RunClass::all() {
            let bin = self.runs.bin(class);
            let idle = bin.low.get();
            if idle > 0 {
                self.give_runs(tiers, class, idle);
                self.shrink_runs(tiers, class, bin.cap.get() - idle);
            }
            bin.low.set(bin.held.get());
        }
    }
}

/// Bytes of memory that a run of `class` counts for: never less than a sixteenth, so that what lies in bins is bounded in length too.
fn memory_of(tiers: &Tiers, class: RunClass, run: *mut Block) -> usize {
    seen_memory(tiers, class, run).max(class.size() / 16)
}

/// Bytes of memory that a run of `class` seems to have: a sample of a sixteenth, in its middle, speaks for all of it.
fn seen_memory(tiers: &Tiers, class: RunClass, run: *mut Block) -> usize {
    let (os, bytes) = (tiers.mheap.os(), class.size());
    if os.page_size() > PAGE {
        return bytes;
    }
    let sample = (class.pages() / 16).max(1) * PAGE;
    let middle = run.cast::<u8>().wrapping_add(class.pages() / 2 * PAGE);
    let seen = core::ptr::NonNull::new(middle).and_then(|middle| os.resident(middle, sample));
    let there = seen.unwrap_or(sample);
    // Without a division or a bound that the compiler would have to check.
    bytes
        .checked_div(sample)
        .map_or(bytes, |parts| (parts * there).min(bytes))
}
