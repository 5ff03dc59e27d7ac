//! Selects the allocations to sample: a Poisson process over the bytes that a thread allocates.
//!
//! A thread's cache owns a sampler. The hot path subtracts each request from the bytes until the
//! next sample; the rest is here and cold.
//!
//! - SAMPLER-1. The number of bytes until the next sample is exponentially distributed, with mean
//!   `rate`. The process is memoryless, so earlier allocations do not matter. A request of `size`
//!   bytes is sampled with probability `1 - exp(-size / rate)`, and a sample stands for the inverse
//!   of that many requests.
//! - SAMPLER-2. The process also runs while no profile runs, at a separate rate. So a profile
//!   that starts finds every thread in a valid state. A thread counts its first sample at the rate
//!   that the sample was drawn at.
//! - SAMPLER-3. If the rate is [`PATIENT`] or more, samples take at most about half a per cent of
//!   a thread's time. A thread that allocates faster doubles its rate, repeatedly up to a limit.
//!   The same holds for its looks while no profile runs. The next draw depends only on the past, so
//!   SAMPLER-1 stays true for every sample.
//! - SAMPLER-4. Small and large requests have separate processes. Buffers that come and go by the
//!   gigabyte raise only the rate of their own process, and hide no leak of small objects.

#![forbid(unsafe_code)]

mod budget;
mod countdown;
#[cfg(test)]
mod tests;

use super::unwind::Memory;
use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::cell::Cell;
use core::ptr::null_mut;
use countdown::Countdown;

/// Mean bytes between samples; 0 while no profile runs.
static RATE: AtomicUsize = AtomicUsize::new(0);

/// The last rate other than 0.
static PERIOD: AtomicUsize = AtomicUsize::new(super::DEFAULT_RATE);

/// The rate at which threads look for a profile while none runs.
const IDLE_RATE: usize = super::DEFAULT_RATE;

/// An odd number without a pattern: 2^64 over the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The least rate at which SAMPLER-3 holds. A program that asks for a lower rate accepts its cost.
const PATIENT: usize = 128 << 10;

/// Sets the mean bytes between samples; 0 ends sampling.
pub(super) fn set_rate(rate: usize) {
    if rate != 0 {
        PERIOD.store(rate, Relaxed);
    }
    RATE.store(rate, Relaxed);
}

/// Returns the rate of the profile that runs, or of the last one.
pub(super) fn period() -> usize {
    PERIOD.load(Relaxed)
}

/// Returns the mean bytes between samples; 0 while no profile runs.
pub(crate) fn rate() -> usize {
    RATE.load(Relaxed)
}

/// The largest request, in bytes, that counts as small (SAMPLER-4).
const SMALL: usize = 1 << 10;

/// One thread's processes (SAMPLER-4) and its memory of stacks.
pub(crate) struct Sampler {
    small: Countdown,
    large: Countdown,
    /// The thread's memory of its stacks; null before its first sample.
    pub(super) memory: Cell<*mut Memory>,
}

impl Sampler {
    /// Creates a sampler that has counted nothing. No thread writes to the sampler of a cache that
    /// stands in for one.
    pub(crate) const fn new() -> Self {
        Self {
            small: Countdown::new(8, 4),
            large: Countdown::new(12, 7),
            memory: Cell::new(null_mut()),
        }
    }

    #[inline(always)]
    fn of(&self, size: usize) -> &Countdown {
        if size <= SMALL { &self.small } else { &self.large }
    }

    /// Counts a request. `true`: the caller asks [`hit`](Self::hit).
    #[inline(always)]
    pub(crate) fn count(&self, size: usize) -> bool {
        self.of(size).count(size)
    }

    /// Handles a request that was counted below zero. Returns the rate to sample it at, or `None`.
    #[cold]
    pub(crate) fn hit(&self, size: usize) -> Option<usize> {
        let rate = self.of(size).hit_at(rate(), size);
        rate.filter(|_| !(cfg!(feature = "profiling") && super::own::is_own()))
    }

    /// Charges the time of a sample of a request of `size` bytes, taken between these two ticks
    /// (SAMPLER-3).
    pub(crate) fn took(&self, size: usize, began: u64, ended: u64) {
        self.of(size).budget.spend(began, ended);
    }

    /// Charges the extra ticks that the end of a sampled request of `size` bytes took (SAMPLER-3).
    pub(crate) fn ended(&self, size: usize, ticks: u64) {
        let spent = &self.of(size).budget.spent;
        spent.set(spent.get().saturating_add(ticks));
    }

    /// Returns bits that look random if the thread allocates between calls.
    #[inline]
    pub(crate) fn noise(&self) -> u32 {
        let left = self.small.left.get() ^ self.large.left.get();
        ((left as u64).wrapping_mul(GOLDEN) >> 32) as u32
    }

    /// Stops sampling until [`resume`](Self::resume), which takes this function's result.
    pub(crate) fn pause(&self) -> [isize; 2] {
        [&self.small, &self.large].map(|process| process.left.replace(isize::MAX))
    }

    /// Ends a pause.
    pub(crate) fn resume(&self, left: [isize; 2]) {
        self.small.left.set(left[0]);
        self.large.left.set(left[1]);
    }

    /// Draws anew after a change of the rate.
    pub(crate) fn renew(&self) {
        for process in [&self.small, &self.large] {
            if process.rate.get() != 0 {
                process.budget.start_over();
                process.draw(rate());
            }
        }
    }

    /// Makes all further draws depend only on `seed` and the rate.
    pub(crate) fn reseed(&self, seed: u64) {
        for (process, seed) in [(&self.small, seed), (&self.large, !seed)] {
            process.random.set(seed);
            process.budget.steady.set(true);
            process.draw(rate());
        }
    }
}
