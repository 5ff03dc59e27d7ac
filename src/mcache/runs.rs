//! The runs of freed large objects that a thread keeps: one bin per run class.
//!
//! A run goes to the bin of the size that it is freed with. From there it is handed out again
//! without a look at its span. For the page heap it stays a large span in use.
//!
//! A bin has no room at first. If it runs over, and its class was missed since it last grew, the
//! program frees and allocates in batches larger than the bin. Then the bin doubles
//! ([`keep`](super::keep)). A run in a bin serves one class and one thread only. So all runs go to
//! the page heap before the heap takes untouched memory for this thread, if they have as much. Runs
//! that no allocation reached for a whole purge delay go too, with their room.
//!
//! - RUNS-1. A bin's runs are this thread's alone, and hold at least its class's size.
//! - RUNS-2. `Shared::run_bytes` counts the bytes of all bins by their classes.
//! - RUNS-3. A bin's capacity was granted out of [`Room`](crate::tiers::Room), by the memory that
//!   its runs seem to have and not by their length. A run whose pages were never touched costs the
//!   process nothing, so it may lie here.

use crate::base::geometry::PAGE;
use crate::mspan::Block;
use crate::os::PageSource;
use crate::size_class::{RUN_CLASSES, RunClass};
use crate::tiers::Tiers;
use core::cell::Cell;
use core::ptr::null_mut;

/// The most runs in a bin, and the slots of its first array.
pub(super) const MOST: u32 = 1024;
const FEW: u32 = 4;

/// For how many tries to grow a bin, or questions about all bins, one look at the memory of runs
/// holds: a look is a system call.
const TRIES: u32 = 16;

/// Runs have one part in so many of the heap for room. More room would keep more memory idle, and
/// serve few more requests, where sizes are many.
const PART: usize = 16;

/// Parts of a whole.
pub(super) const SHARES: usize = 256;

/// The runs of one class, oldest first.
pub(super) struct Bin {
    /// An array of at least `cap` pointers, in a block of the heap; null before the first.
    array: Cell<*mut *mut Block>,
    held: Cell<u32>,
    cap: Cell<u32>,
    /// The fewest runs held since the last look for idle ones.
    low: Cell<u32>,
    /// Bytes of the room of all caches that this bin's `cap` has (RUNS-3).
    room: Cell<usize>,
    /// The answer of the last [`memory_of`] a run of the class, and for how many tries to grow it
    /// still holds.
    memory: Cell<usize>,
    holds_for: Cell<u32>,
}

impl Bin {
    /// Returns the number of runs in the bin.
    pub(super) fn held(&self) -> u32 {
        self.held.get()
    }

    /// Returns the number of runs that the bin may hold.
    pub(super) fn cap(&self) -> u32 {
        self.cap.get()
    }

    /// Whether the bin's array has `cap` slots.
    pub(super) fn fits(&self, cap: u32) -> bool {
        cap <= FEW && !self.array.get().is_null()
    }

    /// Returns the slots of an array for `cap` runs.
    pub(super) fn slots(cap: u32) -> usize {
        cap.max(FEW) as usize
    }

    /// Lays the bin's runs into `array`. Returns the array before, or null.
    ///
    /// # Safety
    /// `array` is apart from the bin's own and has room for its runs; or it is null, and the bin
    /// holds none.
    pub(super) unsafe fn move_to(&self, array: *mut *mut Block) -> *mut *mut Block {
        // SAFETY: the runs lie in the old array and fit the new one (contract of this function).
        unsafe { self.array.get().copy_to_nonoverlapping(array, self.held() as usize) };
        self.array.replace(array)
    }

    /// Returns the newest run, if there is one.
    fn newest(&self) -> Option<*mut Block> {
        let below = self.held().checked_sub(1)?;
        // SAFETY: the slots below `held` hold the bin's runs.
        Some(unsafe { *self.array.get().wrapping_add(below as usize) })
    }

    /// Takes the newest run. Returns null if the bin is empty.
    #[inline(always)]
    fn pop(&self) -> *mut Block {
        let Some(held) = self.held().checked_sub(1) else {
            return null_mut();
        };
        self.held.set(held);
        if held < self.low.get() {
            self.low.set(held);
        }
        // SAFETY: the slots below the former `held` hold the bin's runs.
        unsafe { *self.array.get().wrapping_add(held as usize) }
    }

    /// Puts a run on the bin. `false`: the bin is full, nothing was done.
    #[inline(always)]
    fn push(&self, run: *mut Block) -> bool {
        let held = self.held();
        if held == self.cap() {
            return false;
        }
        // SAFETY: slots below `cap` are the array's.
        unsafe { *self.array.get().wrapping_add(held as usize) = run };
        self.held.set(held + 1);
        true
    }

    /// Takes the oldest runs, `count` of them or all, and passes them to `give`. Returns how many.
    pub(super) fn take_oldest(&self, count: u32, give: impl Fn(*mut Block)) -> u32 {
        let (array, held) = (self.array.get(), self.held());
        let goes = count.min(held);
        if goes == 0 {
            return 0;
        }
        for index in 0..goes as usize {
            // SAFETY: the slot lies below `held`, so it holds one of the bin's runs.
            give(unsafe { *array.wrapping_add(index) });
        }
        let stay = held - goes;
        // SAFETY: both ranges lie in the bin's array.
        unsafe { array.wrapping_add(goes as usize).copy_to(array, stay as usize) };
        self.held.set(stay);
        self.low.set(self.low.get().min(stay));
        goes
    }

    /// Returns the number of runs that no allocation reached since the last call.
    pub(super) fn take_idle_count(&self) -> u32 {
        self.low.replace(self.held())
    }
}

/// The bins of runs of one thread.
pub(super) struct Runs {
    bins: [Bin; RUN_CLASSES],
    /// Classes that were missed since their bins last grew or were refused room.
    missed: Cell<u64>,
    /// Bytes of room of all bins.
    room: Cell<usize>,
    /// When idle runs were last looked for, in coarse milliseconds.
    looked_at: Cell<u64>,
    /// How many pages in [`SHARES`] of the runs kept seemed to have memory, the last look most, and
    /// for how many questions that still holds.
    share: Cell<Option<usize>>,
    share_holds_for: Cell<u32>,
}

impl Runs {
    crate::sync::const_unless_loom! {
        /// Returns bins that keep nothing and have no room.
        pub(super) fn new() -> Self {
            Self {
                bins: [const {
                    Bin {
                        array: Cell::new(null_mut()), held: Cell::new(0), cap: Cell::new(0), low: Cell::new(0),
                        room: Cell::new(0), memory: Cell::new(0), holds_for: Cell::new(0),
                    }
                }; RUN_CLASSES],
                missed: Cell::new(0),
                room: Cell::new(0),
                looked_at: Cell::new(0),
                share: Cell::new(None),
                share_holds_for: Cell::new(0),
            }
        }
    }

    #[inline(always)]
    pub(super) fn bin(&self, class: RunClass) -> &Bin {
        // SAFETY: a run class's index is below RUN_CLASSES.
        unsafe { self.bins.get_unchecked(class.index()) }
    }

    /// Takes a run of `class` from its bin. Returns null if the bin is empty.
    #[inline(always)]
    pub(super) fn pop(&self, class: RunClass) -> *mut Block {
        self.bin(class).pop()
    }

    /// Puts a run on the bin of `class` (RUNS-1). `false`: the bin is full, nothing was done.
    #[inline(always)]
    pub(super) fn push(&self, class: RunClass, run: *mut Block) -> bool {
        self.bin(class).push(run)
    }

    /// Notes that the bin of `class` was empty when a run was wanted.
    pub(super) fn note_missed(&self, class: RunClass) {
        self.missed.set(self.missed.get() | 1 << class.index());
    }

    /// Whether the class was missed since this was last asked of it.
    fn take_missed(&self, class: RunClass) -> bool {
        let bit = 1 << class.index();
        self.missed.get() & bit != 0 && {
            self.missed.set(self.missed.get() & !bit);
            true
        }
    }

    /// Asks for room to double the bin of `class`, into which `run` does not fit. Returns the bin's
    /// new capacity and the bytes of room, or `None`: the class was not missed, or there is no
    /// room.
    pub(super) fn ask_growth(&self, tiers: &Tiers, class: RunClass, run: *mut Block) -> Option<(u32, usize)> {
        let bin = self.bin(class);
        let cap = bin.cap();
        // One try per miss.
        if cap >= MOST || !self.take_missed(class) {
            return None;
        }
        let wider = (cap * 2).max(1);
        // A look at the memory costs more than all the rest.
        let least = (wider - cap) as usize * least_memory(class);
        if !tiers.room.has(&tiers.mheap, least, PART) {
            return None;
        }
        if bin.holds_for.get() == 0 {
            bin.memory.set(memory_of(tiers, class, run));
            bin.holds_for.set(TRIES);
        }
        bin.holds_for.set(bin.holds_for.get() - 1);
        let more = (wider - cap) as usize * bin.memory.get();
        tiers.room.ask(&tiers.mheap, more, PART).then_some((wider, more))
    }

    /// Grants the bin of `class` the capacity and the room that `ask_growth` got. Its array fits.
    pub(super) fn grow(&self, class: RunClass, (cap, room): (u32, usize)) {
        let bin = self.bin(class);
        bin.cap.set(cap);
        bin.room.set(bin.room.get() + room);
        self.room.set(self.room.get() + room);
    }

    /// Lets a bin that holds at most `cap` runs have room for no more. Returns its array, which
    /// nothing uses any more, if `cap` is 0, or null.
    pub(super) fn shrink(&self, tiers: &Tiers, class: RunClass, cap: u32) -> *mut *mut Block {
        let bin = self.bin(class);
        let less = bin.cap().saturating_sub(cap);
        if less > 0 {
            // The last slot takes all of it, whatever the divisions before have left.
            let each = bin.room.get() / bin.cap() as usize;
            let room = if cap == 0 { bin.room.get() } else { each * less as usize };
            tiers.room.give_back(room);
            bin.room.set(bin.room.get() - room);
            self.room.set(self.room.get() - room);
            bin.cap.set(bin.cap() - less);
        }
        if cap == 0 {
            bin.array.replace(null_mut())
        } else {
            null_mut()
        }
    }

    /// Bytes of room that the bins have.
    pub(super) fn room(&self) -> usize {
        self.room.get()
    }

    /// Whether most pages of the runs seemed to have no memory, as of the last looks.
    pub(super) fn are_mostly_untouched(&self) -> bool {
        self.share.get().is_some_and(|share| share < SHARES / 4)
    }

    /// Returns the shortest class of at least `pages` pages of which runs are kept.
    pub(super) fn shortest(&self, pages: usize) -> Option<RunClass> {
        self.kept().find(|class| class.pages() >= pages)
    }

    /// Returns the longest class of which runs are kept.
    pub(super) fn longest(&self) -> Option<RunClass> {
        self.kept().last()
    }

    /// Returns the classes of which runs are kept, shortest first.
    fn kept(&self) -> impl Iterator<Item = RunClass> {
        RunClass::all().filter(|class| self.bin(*class).held() > 0)
    }

    /// Bytes of memory that runs of `held` bytes seem to have. Looks at one run of `class` now and
    /// then, so that no question takes long.
    pub(super) fn memory(&self, tiers: &Tiers, class: RunClass, held: usize) -> usize {
        if self.share_holds_for.get() == 0
            && let Some(run) = self.bin(class).newest()
        {
            let seen = seen_memory(tiers, class, run) * SHARES;
            let seen = seen.checked_div(class.size()).unwrap_or(SHARES);
            let share = self.share.get().map_or(seen, |share| share.midpoint(seen));
            self.share.set(Some(share));
            self.share_holds_for.set(TRIES);
        }
        self.share_holds_for.set(self.share_holds_for.get().saturating_sub(1));
        held / SHARES * self.share.get().unwrap_or(SHARES)
    }

    /// Whether it is time to look for idle runs, `delay` milliseconds after the last look.
    pub(super) fn is_time_to_look(&self, delay: u64) -> bool {
        let now = crate::os::coarse_millis();
        let is_time = now.saturating_sub(self.looked_at.get()) >= delay;
        if is_time {
            self.looked_at.set(now);
        }
        is_time
    }
}

/// Returns the bytes of memory that a run of `class` counts for: at least a sixteenth of it, so the
/// runs in bins have a bound in length too.
fn memory_of(tiers: &Tiers, class: RunClass, run: *mut Block) -> usize {
    seen_memory(tiers, class, run).max(least_memory(class))
}

/// Returns the fewest bytes that a run of `class` counts for.
fn least_memory(class: RunClass) -> usize {
    class.size() / 16
}

/// Returns the bytes of memory that a run of `class` seems to have: a sample of a sixteenth, in its
/// middle, stands for all of it.
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

#[cfg(test)]
#[path = "runs_tests.rs"]
mod tests;
