//! Runs of set bits in a slice of words: the arithmetic of the page allocator.
//!
//! Bit 0 is the low bit of word 0. Indices out of range are clipped; they never panic.

#![forbid(unsafe_code)]

use core::cell::Cell;

/// A view of words as one row of bits. The words are `Cell`s because the tracker that holds them is
/// reached by shared reference. The page heap's lock orders all access.
#[derive(Clone, Copy)]
pub(crate) struct Bits<'a>(pub(crate) &'a [Cell<u64>]);

/// A run of set bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BitRun {
    pub(crate) start: usize,
    pub(crate) len: usize,
}

impl<'a> Bits<'a> {
    /// Returns the number of bits in the view.
    pub(crate) fn len(self) -> usize {
        self.0.len() * 64
    }

    /// Returns the first bit at or above `from` that equals `value`, or `len()`.
    fn next(self, from: usize, value: bool) -> usize {
        let mut word = from / 64;
        let mut keep = u64::MAX << (from % 64);
        while let Some(cell) = self.0.get(word) {
            let bits = (if value { cell.get() } else { !cell.get() }) & keep;
            if bits != 0 {
                return word * 64 + bits.trailing_zeros() as usize;
            }
            keep = u64::MAX;
            word += 1;
        }
        self.len()
    }

    /// Returns the runs of set bits, lowest first.
    pub(crate) fn runs(self) -> impl Iterator<Item = BitRun> + 'a {
        let mut at = 0;
        core::iter::from_fn(move || {
            let start = self.next(at, true);
            if start >= self.len() {
                return None;
            }
            at = self.next(start, false);
            Some(BitRun { start, len: at - start })
        })
    }

    /// Calls `f` with each word that `start..start + n` touches, and the mask of those bits in it.
    fn each_word(self, start: usize, n: usize, mut f: impl FnMut(&Cell<u64>, u64)) {
        let end = (start + n).min(self.len());
        let mut at = start;
        while at < end {
            let low = at % 64;
            let count = (64 - low).min(end - at);
            let mask = (u64::MAX >> (64 - count)) << low;
            if let Some(cell) = self.0.get(at / 64) {
                f(cell, mask);
            }
            at += count;
        }
    }

    /// Sets the bits `start..start + n`.
    pub(crate) fn set(self, start: usize, n: usize) {
        self.each_word(start, n, |cell, mask| cell.set(cell.get() | mask));
    }

    /// Clears the bits `start..start + n`.
    pub(crate) fn clear(self, start: usize, n: usize) {
        self.each_word(start, n, |cell, mask| cell.set(cell.get() & !mask));
    }

    /// Returns the number of set bits in `start..start + n`.
    pub(crate) fn count(self, start: usize, n: usize) -> usize {
        let mut total = 0;
        self.each_word(start, n, |cell, mask| {
            total += (cell.get() & mask).count_ones() as usize
        });
        total
    }

    /// Returns the length of the longest run.
    pub(crate) fn longest(self) -> usize {
        self.runs().map(|run| run.len).max().unwrap_or(0)
    }

    /// Returns the number of bits that are set from `start` on without a gap.
    pub(crate) fn run_at(self, start: usize) -> usize {
        self.next(start, false).saturating_sub(start)
    }

    /// Returns the number of set bits at the end without a gap.
    pub(crate) fn run_at_end(self) -> usize {
        let mut total = 0;
        for cell in self.0.iter().rev() {
            let ones = cell.get().leading_ones() as usize;
            total += ones;
            if ones < 64 {
                break;
            }
        }
        total
    }

    /// Finds the best fit: `n` bits inside the shortest run that holds them; among equal runs, the
    /// lowest. `start + phase` is a multiple of `align`, a power of two. Bits at or above `limit`
    /// do not count. Returns `start`.
    pub(crate) fn best_fit(self, n: usize, align: usize, phase: usize, limit: usize) -> Option<usize> {
        let mut best: Option<(usize, usize)> = None;
        for run in self.runs().take_while(|run| run.start < limit) {
            let end = (run.start + run.len).min(limit);
            let start = super::addr::align_up(run.start + phase, align) - phase;
            if start + n <= end && best.is_none_or(|(len, _)| run.len < len) {
                best = Some((run.len, start));
                if run.len == n {
                    break;
                }
            }
        }
        best.map(|(_, start)| start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(words: [u64; 4]) -> [Cell<u64>; 4] {
        words.map(Cell::new)
    }

    #[test]
    fn a_run_may_cross_words() {
        let words = row([0, 0, 0, 0]);
        let bits = Bits(&words);
        bits.set(60, 10);
        assert_eq!(bits.runs().collect::<Vec<_>>(), [BitRun { start: 60, len: 10 }]);
        assert_eq!((bits.count(0, 256), bits.count(64, 3), bits.longest()), (10, 3, 10));
        bits.clear(63, 2);
        let runs: Vec<_> = bits.runs().map(|r| (r.start, r.len)).collect();
        assert_eq!(runs, [(60, 3), (65, 5)]);
    }

    #[test]
    fn best_fit_takes_the_shortest_run_and_honours_alignment() {
        let words = row([0; 4]);
        let bits = Bits(&words);
        bits.set(1, 20);
        bits.set(100, 9);
        assert_eq!(bits.best_fit(8, 1, 0, 256), Some(100));
        assert_eq!(bits.best_fit(8, 8, 0, 256), Some(8));
        assert_eq!(bits.best_fit(8, 8, 4, 256), Some(100), "100 + 4 is a multiple of 8");
        assert_eq!(bits.best_fit(8, 8, 5, 256), Some(3));
        assert_eq!(bits.best_fit(21, 1, 0, 256), None);
        assert_eq!(
            bits.best_fit(9, 1, 0, 105),
            Some(1),
            "bits at or above the limit do not count"
        );
    }

    #[test]
    fn a_full_row_is_one_run() {
        let words = row([u64::MAX; 4]);
        let bits = Bits(&words);
        assert_eq!(
            (bits.longest(), bits.run_at(0), bits.run_at(255), bits.run_at(256)),
            (256, 256, 1, 0)
        );
        assert_eq!(bits.best_fit(256, 256, 0, 256), Some(0));
        assert_eq!(bits.run_at_end(), 256);
        bits.clear(100, 1);
        assert_eq!(bits.run_at_end(), 155);
        bits.clear(255, 1);
        assert_eq!(bits.run_at_end(), 0);
    }
}
