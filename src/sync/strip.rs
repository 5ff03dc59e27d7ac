//! A strip of memory. Threads cut pieces from its front; once all pieces are back, it begins anew.
//!
//! For the few blocks that cannot come from a thread's cache (`heap::nested`). Its calls wait
//! neither for another thread nor for a call that they interrupted. The strip handles offsets only;
//! the memory is the caller's.
//!
//! - STRIP-1. One word holds the number of bytes cut and the number of pieces out, and each step
//!   replaces the whole word. Memory behind the cut part belongs to no piece. So a word that
//!   changed and became the same again is as good as one that stayed, and ABA does no harm.
//! - STRIP-2. The thread that brings the last piece back owns the whole strip until it renews it.
//!   No thread can cut a piece meanwhile.

use super::atomic::{
    AtomicU64,
    Ordering::{Acquire, Release},
};
use super::const_unless_loom;

/// Bits for the number of pieces that are out.
const COUNT_BITS: u32 = 20;
/// A number of pieces that is never out. It says that the strip is being renewed.
const RENEWED: u64 = (1 << COUNT_BITS) - 1;
/// Bytes per unit in which the cut part is counted.
pub(crate) const UNIT: usize = 16;

#[inline(always)]
fn renew_order() -> super::atomic::Ordering {
    if super::broken!("strip_renewed_relaxed") {
        super::atomic::Ordering::Relaxed
    } else {
        Release
    }
}

/// A strip of memory.
pub(crate) struct Strip(AtomicU64);

impl Strip {
    const_unless_loom! {
        /// Returns a strip of which nothing is cut.
        pub(crate) fn new() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    /// Cuts a piece. `fit` gets the number of bytes cut so far, a multiple of [`UNIT`], and returns
    /// the number after the cut, or `None` if the piece does not fit. Returns the argument of the
    /// successful `fit`.
    pub(crate) fn cut(&self, fit: impl Fn(usize) -> Option<usize>) -> Option<usize> {
        // Acquire: pairs with the Release in `renew`, for the earlier holders' writes to the
        // pieces.
        let mut word = self.0.load(Acquire);
        loop {
            let (cut, count) = (word >> COUNT_BITS, word & RENEWED);
            if count >= RENEWED - 1 {
                return None;
            }
            let before = usize::try_from(cut).ok()? * UNIT;
            let after = fit(before)?.div_ceil(UNIT) as u64;
            let next = after << COUNT_BITS | (count + 1);
            // Acquire: pairs with the Release in `renew`.
            match self.0.compare_exchange(word, next, Acquire, Acquire) {
                Ok(_) => return Some(before),
                Err(now) => word = now,
            }
        }
    }

    /// Brings a piece back. `true`: it was the last one, and the caller owns the strip until it
    /// calls [`renew`](Self::renew).
    pub(crate) fn bring_back(&self) -> bool {
        let mut word = self.0.load(Acquire);
        loop {
            let last = word & RENEWED == 1;
            let next = if last { RENEWED } else { word - 1 };
            // Release: this thread's writes to the piece, for the thread that brings the last one
            // back. Acquire: the same of the other threads' writes.
            match self
                .0
                .compare_exchange(word, next, super::atomic::Ordering::AcqRel, Acquire)
            {
                Ok(_) => return last,
                Err(now) => word = now,
            }
        }
    }

    /// Begins the strip anew. For the caller that owns it.
    pub(crate) fn renew(&self) {
        // Release: pairs with the Acquires in `cut`.
        self.0.store(0, renew_order());
    }
}

#[cfg(all(test, not(greyspan_loom)))]
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
