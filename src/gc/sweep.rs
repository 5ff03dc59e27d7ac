//! The sweep of one span: arithmetic on its bits. The marks lie on a grid of 16 bytes of address,
//! the other bits on one of slots.
//!
//! The rules are those of [`span`](super::span). [`refill`](super::refill) says which thread sweeps
//! which span, and when.

use super::atlas::{self, GRAIN, STRIDE};
use super::fault::broken;
use super::span::{ALL, Index, Span, WORDS};
use crate::base::geometry::PAGE;
use crate::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// The result of a sweep.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Swept {
    pub(crate) live: u32,
    pub(crate) dead: u32,
    /// Slots by which the live bytes change.
    pub(crate) change: i64,
    /// Whether the span holds no object, not even one that waits for its drop.
    pub(crate) empty: bool,
    /// One bit per slot: the dead objects.
    pub(crate) corpses: [u64; WORDS],
}

/// The words of marks of a span of few pages.
type Grid = [u64; GRID];
const GRID: usize = 4 * WORDS_OF_A_PAGE;
const WORDS_OF_A_PAGE: usize = PAGE / STRIDE;

impl Span {
    /// Returns the words of marks that the slots use: all of the span, or the word of each slot if
    /// slots are larger than the reach of a word.
    fn mark_words(&self) -> impl Iterator<Item = &'static AtomicU64> + '_ {
        let far = self.slot >= STRIDE;
        let words = if far {
            self.objects as usize
        } else {
            self.pages * WORDS_OF_A_PAGE
        };
        (0..words).map(move |word| {
            if far {
                return self.mark(Index(word as u32)).word;
            }
            // SAFETY: the words of the span's pages.
            let address = unsafe { self.base.add(word * STRIDE) };
            // SAFETY: the run is held as long as the record lives.
            unsafe { atlas::word(address) }
        })
    }

    /// Returns a copy of the marks. `None`: the slots are few, and lie too far apart for one.
    fn grid(&self) -> Option<Grid> {
        let mut grid = [0; GRID];
        if self.slot >= STRIDE || self.pages * WORDS_OF_A_PAGE > GRID {
            return None;
        }
        for (copy, word) in grid.iter_mut().zip(self.mark_words()) {
            *copy = word.load(Relaxed);
        }
        Some(grid)
    }

    /// Returns the marks of the slots of word `word`, as bits. Slots that are not in `alloc` count
    /// as unmarked or not.
    fn marked_in(&self, grid: Option<&Grid>, word: usize, alloc: u64) -> u64 {
        let Some(grid) = grid else {
            return choose(alloc, |bit| self.mark(Index(word as u32 * 64 + bit)).is_set());
        };
        let grains = self.slot / GRAIN;
        if self.slot > 4 * GRAIN || !self.slot.is_power_of_two() {
            let place = |bit: u32| ((word * 64 + bit as usize) * self.slot + self.offset) / GRAIN;
            return choose(alloc, |bit| grid[place(bit) / 64 % GRID] >> (place(bit) % 64) & 1 != 0);
        }
        // Each of these words has the marks of 64, 32 or 16 slots.
        let words = grid.iter().skip(word * grains).take(grains).enumerate();
        words.fold(0, |marks, (part, word)| {
            marks | gather(word >> (self.offset / GRAIN), grains) << (part * (64 / grains))
        })
    }

    /// Returns whether any mark is set.
    pub(crate) fn has_marks(&self) -> bool {
        self.mark_words().any(|word| word.load(Relaxed) != 0)
    }

    /// Separates dead objects from live ones, and moves the span to the next cycle. `dropped`: dead
    /// objects must be dropped.
    ///
    /// Only the caller holds the span, and marking of the cycle `epoch` has closed.
    pub(crate) fn sweep(&self, epoch: u64, dropped: bool) -> Swept {
        let mut swept = Swept::default();
        let mut zombies = 0;
        let grid = self.grid();
        // Without a mark, no slot needs a look at its own.
        let dead = grid.is_some_and(|grid| grid.iter().all(|marks| *marks == 0));
        for word in 0..self.words() {
            let alloc = self.alloc[word].load(Relaxed);
            let marked = if dead {
                0
            } else {
                self.marked_in(grid.as_ref(), word, alloc)
            };
            let dead = alloc & !marked;
            swept.live += (alloc & marked).count_ones();
            swept.dead += dead.count_ones();
            self.alloc[word].store(alloc & marked, Relaxed);
            swept.corpses[word] = dead;
            if dropped {
                // Relaxed: the drop thread learns of them through its queue.
                self.zombie[word].fetch_or(dead, Relaxed);
            }
            // Acquire: pairs with the Release in `buried`.
            zombies += self.zombie[word].load(Acquire).count_ones();
        }
        if broken("clear_before_epoch") {
            self.clear_marks();
        }
        // Release: pairs with the Acquire in `epoch`.
        self.epoch.store(epoch + 1, Release);
        self.clear_marks();
        let counted = swept.live + zombies;
        let before = self.counted.swap(counted, Relaxed) & !ALL;
        swept.change = i64::from(counted) - i64::from(before);
        swept.empty = counted == 0;
        swept
    }

    fn clear_marks(&self) {
        for word in self.mark_words() {
            // Release: pairs with the Acquire in `is_marked`. A thread that sees the mark cleared
            // sees the epoch raised (GCSPAN-2).
            word.store(0, Release);
        }
    }
}

/// Returns every bit of `bits` at a multiple of `grains`, which is 1, 2 or 4, side by side.
fn gather(bits: u64, grains: usize) -> u64 {
    let halve = |bits: u64| {
        let bits = bits & 0x5555_5555_5555_5555;
        let bits = (bits | bits >> 1) & 0x3333_3333_3333_3333;
        let bits = (bits | bits >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
        let bits = (bits | bits >> 4) & 0x00ff_00ff_00ff_00ff;
        let bits = (bits | bits >> 8) & 0x0000_ffff_0000_ffff;
        (bits | bits >> 16) & 0xffff_ffff
    };
    match grains {
        1 => bits,
        2 => halve(bits),
        _ => halve(halve(bits)),
    }
}

/// Returns the bits of `alloc` for which `is_marked` holds.
fn choose(alloc: u64, is_marked: impl Fn(u32) -> bool) -> u64 {
    let (mut left, mut marks) = (alloc, 0);
    while left != 0 {
        let bit = left.trailing_zeros();
        left &= left - 1;
        marks |= u64::from(is_marked(bit)) << bit;
    }
    marks
}

#[cfg(all(test, not(greyspan_loom)))]
mod tests {
    use super::super::atlas::Layout;
    use super::super::desc::Header;
    use super::super::span::Space;
    use super::*;

    /// A random number generator (splitmix64).
    struct Bits(u64);

    impl Bits {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed ^ mixed >> 29
        }
    }

    /// Sweeps a span with slots of `slot` bytes and payloads at `offset`, and compares the result
    /// with the bits, slot by slot. Some slots are allocated, and some of these are marked.
    fn check(slot: usize, offset: usize, bits: &mut Bits) {
        let space: &'static Space = Box::leak(Box::new(Space::new(None, (slot, offset), true, false)));
        let (slot, (pages, objects)) = match slot {
            0 => (5 * PAGE, (5, 1)),
            slot => (slot, space.geometry()),
        };
        let span = Span::take(space, slot, pages, objects, 1).expect("memory");
        let mut expected = vec![(false, false); objects as usize];
        for (number, (allocated, marked)) in expected.iter_mut().enumerate() {
            let index = Index(number as u32);
            *allocated = !bits.next().is_multiple_of(4);
            *marked = *allocated && bits.next().is_multiple_of(2);
            if *allocated {
                span.alloc_word(number / 64).fetch_or(1 << (number % 64), Relaxed);
            }
            assert!(!*marked || span.mark(index).set());
            assert_eq!(span.index(span.payload(index)), index);
        }
        assert_eq!(span.has_marks(), expected.iter().any(|(_, marked)| *marked));
        let swept = span.sweep(1, false);
        let dead = |(allocated, marked): (bool, bool)| allocated && !marked;
        assert_eq!(
            swept.live as usize,
            expected.iter().filter(|(_, marked)| *marked).count()
        );
        assert_eq!(swept.dead as usize, expected.iter().filter(|bits| dead(**bits)).count());
        for (number, &bits) in expected.iter().enumerate() {
            let corpse = swept.corpses[number / 64] >> (number % 64) & 1 != 0;
            assert_eq!(corpse, dead(bits), "slot {number} of {slot} bytes, payload at {offset}");
            assert_eq!(span.is_allocated(Index(number as u32)), bits.1);
        }
        assert!(!span.has_marks() && span.epoch() == 2);
        // SAFETY: no object was written, and no other code has the span.
        unsafe { span.give() };
    }

    #[test]
    fn a_sweep_finds_the_dead_in_slots_of_each_size() {
        let mut bits = Bits(1);
        for round in 0..20 {
            for slot in [
                16, 24, 32, 40, 48, 64, 72, 80, 96, 128, 200, 512, 1000, 1016, 1024, 1032, 2048, 9000,
            ] {
                check(slot, 0, &mut bits);
            }
            // With headers: as large as payloads of these alignments need.
            for (slot, offset) in [
                (24, 16),
                (32, 16),
                (48, 16),
                (64, 16),
                (64, 32),
                (1024, 16),
                (4096, 2048),
            ] {
                check(slot, offset, &mut bits);
            }
            check(0, [16, 32, 4096][round % 3], &mut bits);
        }
    }

    #[test]
    fn objects_with_headers_are_found_from_their_payload() {
        let space: &'static Space = Box::leak(Box::new(Space::new(None, (64, 32), true, false)));
        let (pages, objects) = space.geometry();
        let span = Span::take(space, 64, pages, objects, 1).expect("memory");
        let desc = <u64 as super::super::described::Described<'_>>::DESC;
        let last = Index(objects - 1);
        let header = span.slot_at(last).cast::<Header>();
        // SAFETY: the slot has room for a header, and no other code has it.
        unsafe { header.write(Header { desc, len: 4 }) };
        // SAFETY: the header is written.
        let object = unsafe { span.object(last) };
        assert!(core::ptr::eq(object.desc, desc) && object.len == 4);
        assert_eq!(object.first, span.payload(last));
        assert_eq!(object.first.addr().get() - span.slot_at(last).addr().get(), 32);
        // SAFETY: the span's run is held.
        let layout = unsafe { atlas::layout(object.first) };
        assert!(matches!(
            layout,
            Layout::Headed {
                offset: 32,
                traced: true
            }
        ));
        // SAFETY: no object is in use, and no other code has the span.
        unsafe { span.give() };
    }
}
