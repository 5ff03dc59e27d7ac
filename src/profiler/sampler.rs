//! Which allocations are sampled: a Poisson process over the bytes that a thread allocates.
//!
//! Owned by a thread's cache. The hot path subtracts each request from what is left until the next sample; the rest is here and cold.
//!
//! - P1. What is left is exponentially distributed, by `rate` in the mean, whatever was allocated before: a request of `size` bytes is sampled
//!   with a probability of `1 - exp(-size / rate)`, and stands for the inverse of that many.
//! - P2. The process runs while nobody profiles, too, at a rate of its own. So a profile that starts finds every thread in a state that fits, and
//!   what a thread samples first it counts at the rate that it had.

#![forbid(unsafe_code)]

use super::math::ln;
use super::unwind::Memory;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use core::cell::Cell;
use core::ptr::null_mut;

/// Mean bytes between samples; 0 while nobody profiles.
static RATE: AtomicUsize = AtomicUsize::new(0);

/// The rate that was set last.
static PERIOD: AtomicUsize = AtomicUsize::new(super::DEFAULT_RATE);

/// The rate at which threads look while nobody profiles, and so notice when somebody does.
const IDLE_RATE: usize = 128 << 10;

/// What the next thread's random numbers begin with.
static SEED: AtomicU64 = AtomicU64::new(0x8c5f_21d3_7a6b_9e01);

/// Sets the mean bytes between samples; 0 to end.
pub(super) fn set_rate(rate: usize) {
    if rate != 0 {
        PERIOD.store(rate, Relaxed);
    }
    RATE.store(rate, Relaxed);
}

/// The rate of the profile, which may have ended.
pub(super) fn period() -> usize {
    PERIOD.load(Relaxed)
}

/// The mean bytes between samples; 0 while nobody profiles.
pub(crate) fn rate() -> usize {
    RATE.load(Relaxed)
}

/// One thread's countdown.
pub(crate) struct Sampler {
    left: Cell<isize>,
    /// The rate that `left` was drawn at; 0 before the first time.
    rate: Cell<usize>,
    random: Cell<u64>,
    /// What the thread remembers of its stacks; null before its first sample.
    pub(super) memory: Cell<*mut Memory>,
}

impl Sampler {
    /// Has not counted yet. Nobody writes to that of a cache that stands in for one.
    pub(crate) const fn new() -> Self {
        Self {
            left: Cell::new(0),
            rate: Cell::new(0),
            random: Cell::new(0),
            memory: Cell::new(null_mut()),
        }
    }

    /// Counts a request. `true`: [`hit`](Self::hit) has a word on it.
    #[inline(always)]
    pub(crate) fn count(&self, size: usize) -> bool {
        let left = self.left.get().wrapping_sub(size.cast_signed());
        self.left.set(left);
        left < 0
    }

    /// What to do with a request that was counted below zero: the rate to sample it at, or nothing.
    #[cold]
    pub(crate) fn hit(&self, size: usize) -> Option<usize> {
        let drawn_at = self.rate.get();
        if drawn_at == 0 {
            // The first request of all: `left` was no draw.
            self.random.set(SEED.fetch_add(GOLDEN, Relaxed));
            self.draw();
            if !self.count(size) {
                return None;
            }
            return self.hit(size);
        }
        self.draw();
        (rate() != 0).then_some(drawn_at)
    }

    /// From here on nothing is sampled, until [`resume`](Self::resume) with what this returns.
    pub(crate) fn pause(&self) -> isize {
        self.left.replace(isize::MAX)
    }

    /// Ends a pause.
    pub(crate) fn resume(&self, left: isize) {
        self.left.set(left);
    }

    /// The rate has changed.
    #[cfg(feature = "profiling")]
    pub(crate) fn renew(&self) {
        if self.rate.get() != 0 {
            self.draw();
        }
    }

    /// Makes what comes a matter of `seed` and the rate alone.
    #[cfg(feature = "profiling")]
    pub(crate) fn reseed(&self, seed: u64) {
        self.random.set(seed);
        self.draw();
    }

    fn draw(&self) {
        let rate = match rate() {
            0 => IDLE_RATE,
            rate => rate,
        };
        self.rate.set(rate);
        // In (0, 1], by 53 bits.
        let uniform = ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        // Saturates. A request of exactly so many bytes is not sampled yet.
        self.left.set((-ln(uniform) * rate as f64) as isize);
    }

    /// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014): SplitMix64.
    fn next(&self) -> u64 {
        let state = self.random.get().wrapping_add(GOLDEN);
        self.random.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
