//! Which allocations are sampled: a Poisson process over the bytes that a thread allocates.
//!
//! Owned by a thread's cache. The hot path subtracts each request from what is left until the next sample; the rest is here and cold.
//!
//! - P1. What is left is exponentially distributed, by `rate` in the mean, whatever was allocated before: a request of `size` bytes is sampled
//!   with a probability of `1 - exp(-size / rate)`, and stands for the inverse of that many.
//! - P2. The process runs while nobody profiles, too, at a rate of its own. So a profile that starts finds every thread in a state that fits, and
//!   what a thread samples first it counts at the rate that it had.
//! - P3. Where the rate is [`PATIENT`] or more, a thread that allocates so fast that its samples would take more than half a per cent of its time
//!   samples at twice the rate, or at a few more powers of two times, and so does who looks for a profile that has begun. The next draw depends on
//!   what was before alone, so what P1 says stays true, sample by sample.
//! - P4. Small and large requests have a process each. Buffers that come and go by the gigabyte raise the rate of their own process, and hide no leak of
//!   small objects.

#![forbid(unsafe_code)]

use super::math::ln;
use super::unwind::Memory;
use crate::os::ticks;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use core::cell::Cell;
use core::ptr::null_mut;

/// Mean bytes between samples; 0 while nobody profiles.
static RATE: AtomicUsize = AtomicUsize::new(0);

/// The rate that was set last.
static PERIOD: AtomicUsize = AtomicUsize::new(super::DEFAULT_RATE);

/// The rate at which threads look while nobody profiles, and so notice when somebody does.
const IDLE_RATE: usize = super::DEFAULT_RATE;

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

/// Largest request, in bytes, that counts as small (P4).
const SMALL: usize = 1 << 10;

/// One thread's processes (P4), and what it remembers.
pub(crate) struct Sampler {
    small: Countdown,
    large: Countdown,
    /// What the thread remembers of its stacks; null before its first sample.
    pub(super) memory: Cell<*mut Memory>,
}

impl Sampler {
    /// Has not counted yet. Nobody writes to that of a cache that stands in for one.
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

    /// Counts a request. `true`: [`hit`](Self::hit) has a word on it.
    #[inline(always)]
    pub(crate) fn count(&self, size: usize) -> bool {
        self.of(size).count(size)
    }

    /// What to do with a request that was counted below zero: the rate to sample it at, or nothing.
    #[cold]
    pub(crate) fn hit(&self, size: usize) -> Option<usize> {
        let rate = self.of(size).hit_at(rate(), size);
        #[cfg(feature = "profiling")]
        let rate = rate.filter(|_| !super::own::is_own());
        rate
    }

    /// A sample of a request of `size` bytes was taken between these two ticks (P3).
    pub(crate) fn took(&self, size: usize, began: u64, ended: u64) {
        self.of(size).budget.spend(began, ended);
    }

    /// A sampled request of `size` bytes ended, which took so many ticks more than without (P3).
    pub(crate) fn ended(&self, size: usize, ticks: u64) {
        let spent = &self.of(size).budget.spent;
        spent.set(spent.get().saturating_add(ticks));
    }

    /// Bits that look random where the thread allocates in between.
    #[inline]
    pub(crate) fn noise(&self) -> u32 {
        let left = self.small.left.get() ^ self.large.left.get();
        ((left as u64).wrapping_mul(GOLDEN) >> 32) as u32
    }

    /// From here on nothing is sampled, until [`resume`](Self::resume) with what this returns.
    pub(crate) fn pause(&self) -> [isize; 2] {
        [&self.small, &self.large].map(|process| process.left.replace(isize::MAX))
    }

    /// Ends a pause.
    pub(crate) fn resume(&self, left: [isize; 2]) {
        self.small.left.set(left[0]);
        self.large.left.set(left[1]);
    }

    /// The rate has changed.
    #[cfg(feature = "profiling")]
    pub(crate) fn renew(&self) {
        for process in [&self.small, &self.large] {
            if process.rate.get() != 0 {
                process.budget.start_over();
                process.draw(rate());
            }
        }
    }

    /// Makes what comes a matter of `seed` and the rate alone.
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
    /// The rate that `left` was drawn at; 0 before the first time.
    rate: Cell<usize>,
    /// Whether it was drawn while nobody profiled.
    idle: Cell<bool>,
    random: Cell<u64>,
    budget: Budget,
}

impl Countdown {
    /// Its rate is doubled so often at the most, and so often while nobody profiles.
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
            // The first request of all: `left` was no draw.
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
            // What looking cost says nothing of what sampling will.
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

/// The least rate at which P3 holds: who asks for less wants what it costs.
const PATIENT: usize = 128 << 10;

/// What sampling takes of a thread's time.
struct Budget {
    /// How often the rate was doubled.
    doublings: Cell<u32>,
    /// Ticks that sampling took, and that there were, since that last changed; and samples.
    spent: Cell<u64>,
    passed: Cell<u64>,
    samples: Cell<u32>,
    /// When the last sample ended.
    last: Cell<u64>,
    /// The rate stays, for tests.
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

    /// The rate is that which is asked for, until it proves to be too low.
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
        // A few samples before the rate rises: what passes between two is random. It falls as far as is due at once.
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

    /// A thread that allocates objects of one size, each in so many ticks, and whose samples take 500: the bytes that its samples stand for, how
    /// many there were, and the ticks they took by those of all.
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
            // One buffer of 1 MiB in 100 ticks; the last 10,000 requests leak 1 KiB each.
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
        // As many gigabytes of untouched buffers leave it.
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
