//! The figures are unbiased: over 200 seeded runs, the in-use and allocated figures are within two
//! per cent of the truth. A separate program with one thread, so that its profile has no other
//! objects.

use greyspan::Greyspan;
use greyspan::profile::{self, Profile, View};
use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

const RUNS: u64 = 200;

/// Size, count, and a rate that gives enough samples of these objects for the mean of 200 runs to
/// be close.
const PROGRAMS: [(usize, usize, usize); 9] = [
    (16, 16_000, 2 << 10),
    (24, 12_000, 2 << 10),
    (100, 4_000, 2 << 10),
    (1_000, 800, 4 << 10),
    (8_192, 400, 32 << 10),
    (32_768, 400, 128 << 10),
    (65_536, 300, 128 << 10),
    (1 << 20, 100, 1 << 20),
    (4 << 20, 60, 4 << 20),
];

/// Allocates twice as many objects of one size as it keeps.
fn run(layout: Layout, count: usize, kept: &mut Vec<*mut u8>) {
    for _ in 0..count {
        // SAFETY: the layout is not empty.
        let one = unsafe { alloc(layout) };
        // SAFETY: the layout is not empty.
        let other = unsafe { alloc(layout) };
        assert!(!black_box(one).is_null() && !black_box(other).is_null());
        kept.push(one);
        // SAFETY: allocated above with this layout.
        unsafe { dealloc(other, layout) };
    }
}

fn main() {
    for (size, count, rate) in PROGRAMS {
        let layout = Layout::from_size_align(size, 8).unwrap();
        let mut kept = Vec::with_capacity(count);
        let mut sums = [0i64; 4];
        for seed in 0..RUNS {
            // The snapshots' own allocations must not be sampled.
            let before = Profile::take();
            profile::start(rate).unwrap();
            profile::seed(seed * 7919 + size as u64);
            run(layout, count, &mut kept);
            profile::stop();
            let delta = Profile::take().diff(&before);
            for (sum, view) in sums.iter_mut().zip(View::ALL) {
                *sum += delta.total(view);
            }
            for block in kept.drain(..) {
                // SAFETY: allocated with this layout.
                unsafe { dealloc(block, layout) };
            }
            let rest = Profile::take().diff(&before).total(View::InuseSpace);
            assert_eq!(rest, 0, "all that was sampled has been freed");
        }
        let truths = [2 * count, 2 * count * size, count, count * size].map(|truth| truth as f64 * RUNS as f64);
        for ((sum, truth), view) in sums.into_iter().zip(truths).zip(View::ALL) {
            let error = sum as f64 / truth - 1.0;
            println!("{size:8} bytes, {:13}: {:+.2} %", view.name().0, error * 100.0);
            assert!(error.abs() < 0.02, "{size} bytes, {view:?}: {error}");
        }
    }
}
