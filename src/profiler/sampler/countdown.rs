//! One process of a sampler: the bytes until the next sample, and the draw of the next number. The
//! sampler of a thread, which has one process for small and one for large requests, calls this.

use super::super::math::ln;
use super::budget::Budget;
use super::{GOLDEN, IDLE_RATE, PATIENT};
use crate::os::ticks;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::cell::Cell;

/// The seed of the next thread's random numbers.
static SEED: AtomicU64 = AtomicU64::new(0x8c5f_21d3_7a6b_9e01);

/// One process.
pub(super) struct Countdown {
    pub(super) left: Cell<isize>,
    /// The rate at which `left` was drawn; 0 before the first draw.
    pub(super) rate: Cell<usize>,
    /// `left` was drawn while no profile ran.
    idle: Cell<bool>,
    pub(super) random: Cell<u64>,
    pub(super) budget: Budget,
}

impl Countdown {
    /// Creates a process that doubles its rate at most `most` times, and at most `most_idle` times
    /// while no profile runs.
    pub(super) const fn new(most: u32, most_idle: u32) -> Self {
        Self {
            left: Cell::new(0),
            rate: Cell::new(0),
            idle: Cell::new(false),
            random: Cell::new(0),
            budget: Budget::new(most, most_idle),
        }
    }

    #[inline(always)]
    pub(super) fn count(&self, size: usize) -> bool {
        let left = self.left.get().wrapping_sub(size.cast_signed());
        self.left.set(left);
        left < 0
    }

    pub(super) fn hit_at(&self, asked: usize, size: usize) -> Option<usize> {
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

    pub(super) fn draw(&self, asked: usize) {
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
