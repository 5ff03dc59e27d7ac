//! A strip of memory from whose front threads cut pieces, and which begins anew when all of them
//! are back.
//!
//! For the few blocks that cannot come from a thread's cache (`heap::nested`). Neither waits for
//! another thread nor for the call that it interrupted. Knows places only; the memory is the
//! caller's.
//!
//! - T1. One word tells how much is cut and how many pieces are out, and each step replaces all of
//!   it. A place at or behind what is cut is no piece's, so a word that became the same again is as
//!   good as one that stayed.
//! - T2. The thread that brings the last piece back has the whole strip until it renews it. Nothing
//!   is cut meanwhile.

use super::atomic::{
    AtomicU64,
    Ordering::{Acquire, Release},
};
use super::const_unless_loom;

/// Bits for the number of pieces that are out.
const COUNT_BITS: u32 = 20;
/// As many pieces as this are never out: the strip is being renewed.
const RENEWED: u64 = (1 << COUNT_BITS) - 1;
/// What is cut is counted in units of so many bytes.
pub(crate) const UNIT: usize = 16;

const RENEW: super::atomic::Ordering = if cfg!(greyspan_broken = "strip_renewed_relaxed") {
    super::atomic::Ordering::Relaxed
} else {
    Release
};

/// A strip of memory.
pub(crate) struct Strip(AtomicU64);

impl Strip {
    const_unless_loom! {
        /// Nothing is cut.
        pub(crate) fn new() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    /// Cuts a piece: `fit` gets how many bytes are cut, a multiple of [`UNIT`], and says how many
    /// shall be; `None` where the piece does not fit. Gives what `fit` got.
    pub(crate) fn cut(&self, fit: impl Fn(usize) -> Option<usize>) -> Option<usize> {
        // Acquire: pairs with the Release in `renew`, for what those who had the pieces before did
        // to them.
        let mut word = self.0.load(Acquire);
        loop {
            let (cut, count) = (word >> COUNT_BITS, word & RENEWED);
            if count >= RENEWED - 1 {
                return None;
            }
            let before = usize::try_from(cut).ok()? * UNIT;
            let after = fit(before)?.div_ceil(UNIT) as u64;
            let next = after << COUNT_BITS | (count + 1);
            // Acquire: likewise.
            match self.0.compare_exchange(word, next, Acquire, Acquire) {
                Ok(_) => return Some(before),
                Err(now) => word = now,
            }
        }
    }

    /// Brings a piece back. `true`: it was the last, and the caller has the strip until it calls
    /// [`renew`](Self::renew).
    pub(crate) fn bring_back(&self) -> bool {
        let mut word = self.0.load(Acquire);
        loop {
            let last = word & RENEWED == 1;
            let next = if last { RENEWED } else { word - 1 };
            // Release: what this thread did to the piece, for the thread that brings the last one
            // back. Acquire: the same of the others'.
            match self
                .0
                .compare_exchange(word, next, super::atomic::Ordering::AcqRel, Acquire)
            {
                Ok(_) => return last,
                Err(now) => word = now,
            }
        }
    }

    /// The strip begins anew. For the caller that has it.
    pub(crate) fn renew(&self) {
        // Release: pairs with the Acquires in `cut`.
        self.0.store(0, RENEW);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn pieces_lie_behind_each_other_until_all_are_back() {
        let strip = Strip::new();
        let fit = |cut: usize| (cut + 40 <= 100).then_some(cut + 40);
        assert_eq!(
            [strip.cut(fit), strip.cut(fit), strip.cut(fit)],
            [Some(0), Some(48), None]
        );
        assert!(!strip.bring_back());
        assert_eq!(
            strip.cut(fit),
            None,
            "a place that came back is not cut again while others are out"
        );
        assert!(strip.bring_back());
        assert_eq!(strip.cut(fit), None, "the strip is the caller's");
        strip.renew();
        assert_eq!(strip.cut(fit), Some(0));
    }
}
