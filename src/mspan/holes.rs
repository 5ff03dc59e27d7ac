//! Holes: pages of a small span that hold no live object, and whose memory went back to the system.
//!
//! ```text
//!  pages    │ kept    │ hole    │ hole    │ kept    │
//!  objects  │live│free│ sunk │ sunk │ sunk │free│live│
//! ```
//!
//! The free objects that touch a hole are *sunk*: they are on no list, because a list would write
//! to them. When the span has nothing else left, the owner *raises* the objects of one hole: they
//! join the free list, and the hole gets memory as they are used.
//!
//! - HOLE-1. `sunk` counts the carved objects that touch a page whose bit is set in `holes`. None
//!   of them is live, and no other object touches such a page.
//! - HOLE-2. In checked builds the first two words of a sunk object are zero. If they are not when
//!   it is raised, the program wrote to it or freed it again.

use super::{Block, CHECKED, MSpan};
use crate::sync::atomic::Ordering::Relaxed;

/// Most objects of a span that gets holes.
const MOST: usize = 4096;

/// A set of objects, by number.
struct Objects([u64; MOST / 64]);

impl Objects {
    fn insert(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    fn contains(&self, number: usize) -> bool {
        self.0
            .get(number / 64)
            .is_some_and(|word| word >> (number % 64) & 1 != 0)
    }
}

/// Divides without the check that would panic: no divisor here is 0.
fn div(number: usize, by: usize) -> usize {
    number.checked_div(by).unwrap_or(0)
}

/// Returns the set of the pages from `first` to `last`, both of 64.
fn pages(first: usize, last: usize) -> u64 {
    u64::MAX << first & u64::MAX >> (63 - last)
}

/// Calls `visit` with the first page and the number of each row of pages in `set`.
fn for_each_row(mut set: u64, mut visit: impl FnMut(usize, usize)) {
    while set != 0 {
        let first = set.trailing_zeros() as usize;
        let count = (set >> first).trailing_ones() as usize;
        visit(first, count);
        set &= !pages(first, first + count - 1);
    }
}

impl MSpan {
    /// Returns the number of sunk objects (HOLE-1).
    pub(crate) fn sunk(&self) -> u32 {
        self.sunk.load(Relaxed)
    }

    /// Forgets the holes of a span without live objects, which is about to be cut anew or given
    /// back. Returns how many there were.
    pub(crate) fn forget_holes(&self) -> usize {
        self.sunk.store(0, Relaxed);
        self.holes.swap(0, Relaxed).count_ones() as usize
    }

    /// Returns the pages of `unit` bytes that the object with this number touches.
    fn pages_of(&self, number: usize, unit: usize) -> u64 {
        let start = number * self.size();
        pages(div(start, unit), div(start + self.size() - 1, unit))
    }

    /// Returns whether a sunk object begins at `ptr`, where an object begins. For pages of `unit`
    /// bytes.
    pub(crate) fn is_sunk<T>(&self, ptr: *mut T, unit: usize) -> bool {
        self.pages_of(self.number(ptr.cast()), unit) & self.holes.load(Relaxed) != 0
    }

    fn object(&self, number: usize) -> *mut Block {
        self.base().wrapping_add(number * self.size()).cast()
    }

    fn number(&self, block: *mut Block) -> usize {
        div(block.addr() - self.base().addr(), self.size())
    }

    /// Gives the memory of all pages of `unit` bytes back by which no live object and no fresh one
    /// would lose anything: `release` does it for a row of pages, given by its first byte and its
    /// bytes. Returns the number of new holes; 0 also if the span has holes already. The caller
    /// owns the span.
    pub(crate) fn sink(&self, unit: usize, release: impl Fn(*mut u8, usize) -> bool) -> usize {
        let (carved, all) = (self.carved.load(Relaxed) as usize, div(self.bytes(), unit));
        if self.holes.load(Relaxed) != 0 || self.objects() as usize > MOST || all == 0 || all > 64 {
            return 0;
        }
        let mut free = Objects([0; MOST / 64]);
        let count = self.free_count();
        self.take_free(count, |block| {
            // A leaf's mark was not looked at yet.
            if CHECKED && (!self.is_free_object(block) || free.contains(self.number(block))) {
                self.report_link(block);
            }
            free.insert(self.number(block));
        });
        let live = (0..carved).filter(|&number| !free.contains(number));
        let kept = live.fold(0, |kept, number| kept | self.pages_of(number, unit));
        // Fresh objects, and in checked builds the mark behind the last object.
        let fresh = carved * self.size();
        let kept = if fresh < self.bytes() {
            kept | pages(div(fresh, unit), all - 1)
        } else {
            kept
        };
        let holes = pages(0, all - 1) & !kept;
        let is_sunk = |number: usize, holes: u64| self.pages_of(number, unit) & holes != 0;
        if CHECKED {
            let sunk = (0..carved).filter(|&number| free.contains(number) && is_sunk(number, holes));
            sunk.for_each(|number| self.wipe(self.object(number)));
        }
        let mut done = 0;
        for_each_row(holes, |first, count| {
            if release(self.base().wrapping_add(first * unit), count * unit) {
                done |= pages(first, first + count - 1);
            }
        });
        if done != holes {
            // An object may touch several rows: all or none.
            done = 0;
        }
        self.holes.store(done, Relaxed);
        let mut sunk = 0;
        for number in (0..carved).rev().filter(|&number| free.contains(number)) {
            if is_sunk(number, done) {
                sunk += 1;
            } else {
                if CHECKED && is_sunk(number, holes) {
                    // The system refused, and the object may hold anything.
                    self.wipe(self.object(number));
                    self.mark(self.object(number));
                }
                // SAFETY: the object was on the free list above, and the caller owns the span.
                unsafe { self.push_local(self.object(number)) };
            }
        }
        // The sunk objects still count as live from when they left the list.
        self.live.store(self.live() - sunk, Relaxed);
        self.sunk.store(sunk, Relaxed);
        done.count_ones() as usize
    }

    /// Puts the sunk objects of the first row of holes on the free list. Returns the number of
    /// holes that are none any more. The caller owns the span, whose pages have `unit` bytes.
    pub(crate) fn raise(&self, unit: usize) -> usize {
        let holes = self.holes.load(Relaxed);
        let mut row = 0;
        for_each_row(holes, |first, count| {
            if row == 0 {
                row = pages(first, first + count - 1);
            }
        });
        if row == 0 {
            return 0;
        }
        let first = div(row.trailing_zeros() as usize * unit, self.size());
        let end = div(
            (64 - row.leading_zeros() as usize) * unit + self.size() - 1,
            self.size(),
        );
        let end = end.min(self.carved.load(Relaxed) as usize);
        let count = (end - first) as u32;
        // They count as live until they are on the list.
        self.live.store(self.live() + count, Relaxed);
        self.sunk.store(self.sunk() - count, Relaxed);
        self.holes.store(holes & !row, Relaxed);
        for number in (first..end).rev() {
            if CHECKED {
                self.mark(self.object(number));
            }
            // SAFETY: HOLE-1: a free object on no list, and the caller owns the span.
            unsafe { self.push_local(self.object(number)) };
        }
        row.count_ones() as usize
    }

    /// Clears the first two words of a free object that is on no list (HOLE-2).
    fn wipe(&self, block: *mut Block) {
        // SAFETY: the object is free, on no list, and of a span that the caller owns.
        unsafe { Block::unlink(block) };
        if self.size() > 8 {
            // SAFETY: the same object, which has a second word.
            unsafe { Block::clear_mark(block) };
        }
    }

    /// Marks a free object that was wiped. Ends the process if it was written to (HOLE-2).
    fn mark(&self, block: *mut Block) {
        if self.size() > 8 {
            // SAFETY: the object is free, and of a span that the caller owns; it has a second word.
            if unsafe { Block::second(block) } != 0 {
                self.report_link(block);
            }
            // SAFETY: the same object.
            unsafe { Block::set_mark(block) };
        }
    }
}
