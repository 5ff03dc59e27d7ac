//! The share of a thread's time that samples take (SAMPLER-3). Each process of a sampler has a
//! budget, charges it, and asks it how often the rate is doubled.

use core::cell::Cell;

/// The share of a thread's time that samples take.
pub(super) struct Budget {
    /// The number of times the rate was doubled.
    pub(super) doublings: Cell<u32>,
    /// Since the last change: ticks that samples took, all ticks, and the number of samples.
    pub(super) spent: Cell<u64>,
    passed: Cell<u64>,
    samples: Cell<u32>,
    /// The tick at which the last sample ended.
    last: Cell<u64>,
    /// The rate stays fixed, for tests.
    pub(super) steady: Cell<bool>,
    pub(super) most: u32,
    pub(super) most_idle: u32,
}

impl Budget {
    pub(super) const fn new(most: u32, most_idle: u32) -> Self {
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
    pub(super) fn start_over(&self) {
        self.change(0);
    }

    fn change(&self, doublings: u32) {
        self.doublings.set(doublings);
        self.spent.set(0);
        self.passed.set(0);
        self.samples.set(0);
    }

    pub(super) fn spend(&self, began: u64, ended: u64) {
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
