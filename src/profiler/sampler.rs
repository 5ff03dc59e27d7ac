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

use super::math::ln;
use super::unwind::Memory;
use crate::os::ticks;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use core::cell::Cell;
use core::ptr::null_mut;

/// Mean bytes between samples; 0 while no profile runs.
static RATE: AtomicUsize = AtomicUsize::new(0);

/// The last rate other than 0.
static PERIOD: AtomicUsize = AtomicUsize::new(super::DEFAULT_RATE);

/// The rate at which threads look for a profile while none runs.
const IDLE_RATE: usize = super::DEFAULT_RATE;

/// The seed of the next thread's random numbers.
static SEED: AtomicU64 = AtomicU64::new(0x8c5f_21d3_7a6b_9e01);

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
        #[cfg(feature = "profiling")]
        let rate = rate.filter(|_| !super::own::is_own());
        rate
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
    #[cfg(feature = "profiling")]
    pub(crate) fn renew(&self) {
        for process in [&self.small, &self.large] {
            if process.rate.get() != 0 {
                process.budget.start_over();
                process.draw(rate());
            }
        }
    }

    /// Makes all further draws depend only on `seed` and the rate.
    #[cfg(feature = "profiling")]
    pub(crate) fn reseed(&self, seed: u64) {
        for (process, seed) in [(&self.small, seed), (&self.large, !seed)] {
            process.random.set(seed);
            process.budget.steady.set(true);
            process.draw(rate());
        }
    }
}

/// One process.
struct Countdown {
    left: Cell<isize>,
    /// The rate at which `left` was drawn; 0 before the first draw.
    rate: Cell<usize>,
    /// `left` was drawn while no profile ran.
    idle: Cell<bool>,
    random: Cell<u64>,
    budget: Budget,
}

impl Countdown {
    /// Creates a process that doubles its rate at most `most` times, and at most `most_idle` times
    /// while no profile runs.
    const fn new(most: u32, most_idle: u32) -> Self {
        Self {
            left: Cell::new(0),
            rate: Cell::new(0),
            idle: Cell::new(false),
            random: Cell::new(0),
            budget: Budget::new(most, most_idle),
        }
    }

    #[inline(always)]
    fn count(&self, size: usize) -> bool {
        let left = self.left.get().wrapping_sub(size.cast_signed());
        self.left.set(left);
        left < 0
    }

    fn hit_at(&self, asked: usize, size: usize) -> Option<usize> {
        let drawn_at = self.rate.get();
        if drawn_at == 0 {
            // The first request of all: `left` is not a draw yet.
            self.random.set(SEED.fetch_add(GOLDEN, Relaxed));
            self.draw(asked);
            if !self.count(size) {
                return None;
            }
            return self.hit_at(asked, size);
        }
        if asked == 0 {
            let began = ticks();
            self.draw(asked);
            self.budget.spend(began, ticks());
            return None;
        }
        if self.idle.get() {
            // The cost of looks does not predict the cost of samples.
            self.budget.start_over();
        }
        self.draw(asked);
        Some(drawn_at)
    }

    fn draw(&self, asked: usize) {
        let doublings = self.budget.doublings.get();
        let rate = match asked {
            0 => IDLE_RATE << doublings.min(self.budget.most_idle),
            PATIENT.. => asked.saturating_mul(1 << doublings),
            rate => rate,
        };
        self.rate.set(rate);
        self.idle.set(asked == 0);
        // In (0, 1], by 53 bits.
        let uniform = ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        // The conversion saturates. A request of exactly this many bytes is not sampled yet.
        self.left.set((-ln(uniform) * rate as f64) as isize);
    }

    /// SplitMix64, from Steele, Lea and Flood, "Fast splittable pseudorandom number generators"
    /// (2014).
    fn next(&self) -> u64 {
        let state = self.random.get().wrapping_add(GOLDEN);
        self.random.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// The least rate at which SAMPLER-3 holds. A program that asks for a lower rate accepts its cost.
const PATIENT: usize = 128 << 10;

/// The share of a thread's time that samples take.
struct Budget {
    /// The number of times the rate was doubled.
    doublings: Cell<u32>,
    /// Since the last change: ticks that samples took, all ticks, and the number of samples.
    spent: Cell<u64>,
    passed: Cell<u64>,
    samples: Cell<u32>,
    /// The tick at which the last sample ended.
    last: Cell<u64>,
    /// The rate stays fixed, for tests.
    steady: Cell<bool>,
    most: u32,
    most_idle: u32,
}

impl Budget {
    const fn new(most: u32, most_idle: u32) -> Self {
        Self {
            doublings: Cell::new(0),
            spent: Cell::new(0),
            passed: Cell::new(0),
            samples: Cell::new(0),
            last: Cell::new(0),
            steady: Cell::new(false),
            most,
            most_idle,
        }
    }

    /// Returns to the rate that was asked for, until it proves too low.
    fn start_over(&self) {
        self.change(0);
    }

    fn change(&self, doublings: u32) {
        self.doublings.set(doublings);
        self.spent.set(0);
        self.passed.set(0);
        self.samples.set(0);
    }

    fn spend(&self, began: u64, ended: u64) {
        let last = self.last.replace(ended);
        if last == 0 || self.steady.get() {
            return;
        }
        let spent = self.spent.get().saturating_add(ended.saturating_sub(began));
        let passed = self.passed.get().saturating_add(ended.saturating_sub(last));
        let samples = self.samples.get() + 1;
        let doublings = self.doublings.get();
        let allowed = passed / 200;
        // The rate rises only after a few samples, since the time between two is random. It falls
        // at once, as far as is due.
        let next = if spent > allowed && samples >= 4 {
            (doublings + 1).min(self.most)
        } else {
            let due = (allowed / spent.max(1)).max(1).ilog2() / 2;
            doublings.saturating_sub(due)
        };
        if next == doublings && samples < 16 {
            self.spent.set(spent);
            self.passed.set(passed);
            self.samples.set(samples);
        } else {
            self.change(next);
        }
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::super::math::{SCALE, weight};
    use super::*;

    /// Simulates a thread that allocates objects of one size, each in `ticks` ticks, and whose
    /// samples take 500. Returns the bytes that its samples stand for, their number, and their
    /// share of all ticks.
    fn run(seed: u64, asked: usize, size: usize, count: usize, ticks: u64) -> (f64, u32, f64) {
        let sampler = Sampler::new();
        for process in [&sampler.small, &sampler.large] {
            process.rate.set(asked);
            process.random.set(seed);
            process.draw(asked);
        }
        let (mut now, mut bytes, mut samples) = (1_000u64, 0.0, 0);
        for _ in 0..count {
            now += ticks;
            if sampler.count(size)
                && let Some(rate) = sampler.of(size).hit_at(asked, size)
            {
                bytes += weight(size, rate).1 as f64 / SCALE;
                samples += 1;
                sampler.took(size, now, now + 500);
                now += 500;
            }
        }
        (bytes, samples, f64::from(samples) * 500.0 / now as f64)
    }

    #[test]
    fn a_thread_that_allocates_fast_is_sampled_less_and_its_figures_stay_true_in_the_mean() {
        let (size, count, runs) = (64 << 10, 20_000, 1_000);
        let (mut bytes, mut most) = (0.0, 0);
        for seed in 0..runs {
            let (estimate, samples, _) = run(seed * 77 + 5, 512 << 10, size, count, 100);
            bytes += estimate;
            most = most.max(samples);
        }
        let error = bytes / (size * count) as f64 / runs as f64 - 1.0;
        assert!(error.abs() < 0.02, "{error}");
        assert!(most < 200, "{most} of 2,500 that the rate alone would give");
    }

    #[test]
    fn sampling_takes_less_than_a_per_cent_of_a_long_run() {
        for (size, ticks) in [(64, 4), (8 << 10, 6), (256 << 10, 20), (4 << 20, 300)] {
            let (.., share) = run(9, 512 << 10, size, 20_000_000 / ticks as usize, ticks);
            assert!(share < 0.01, "{size}: {share}");
        }
    }

    #[test]
    fn large_buffers_hide_no_leak_of_small_objects() {
        let sampler = Sampler::new();
        for process in [&sampler.small, &sampler.large] {
            process.rate.set(512 << 10);
            process.random.set(7);
            process.draw(512 << 10);
        }
        let (mut now, mut found) = (1_000u64, 0);
        for request in 0..110_000 {
            // One buffer of 1 MiB per 100 ticks; the last 10,000 requests also leak 1 KiB each.
            for size in [1 << 20, 1 << 10]
                .into_iter()
                .take(if request < 100_000 { 1 } else { 2 })
            {
                now += 100;
                if sampler.count(size) && sampler.of(size).hit_at(512 << 10, size).is_some() {
                    found += u32::from(size == 1 << 10);
                    sampler.took(size, now, now + 500);
                    now += 500;
                }
            }
        }
        assert!((8..40).contains(&found), "{found} of 20");
    }

    #[test]
    fn a_thread_that_looked_seldom_samples_as_asked_once_it_finds_a_profile() {
        let sampler = Sampler::new();
        let process = &sampler.large;
        process.rate.set(512 << 10);
        process.random.set(7);
        // The state after many gigabytes of untouched buffers.
        process.budget.doublings.set(process.budget.most);
        process.draw(0);
        assert_eq!(process.rate.get(), IDLE_RATE << process.budget.most_idle);
        while !sampler.count(1 << 20) {}
        assert_eq!(
            process.hit_at(512 << 10, 1 << 20),
            Some(IDLE_RATE << process.budget.most_idle)
        );
        assert_eq!(process.rate.get(), 512 << 10);
    }

    #[test]
    fn a_slow_thread_and_a_low_rate_are_sampled_as_asked() {
        let (_, samples, _) = run(3, 512 << 10, 64 << 10, 20_000, 100_000);
        assert!((2_100..2_600).contains(&samples), "{samples}");
        let (_, samples, _) = run(3, 64 << 10, 64 << 10, 20_000, 100);
        assert!((12_000..13_300).contains(&samples), "{samples}");
    }
}
