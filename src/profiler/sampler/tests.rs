//! Tests of the sampler: its figures, its cost and its rate.

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
