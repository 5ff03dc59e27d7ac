//! The figures that tell which free memory threads keep, what went back and why, and how much there
//! was at the most.

use super::super::park::Whom;
use super::world::World;
use crate::events::PurgeCause;
use crate::mcache::Activity;
use crate::stats::Stats;
use crate::sync::atomic::Ordering::Relaxed;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

fn make(world: &mut World, which: usize, size: usize, bytes: usize) {
    (0..bytes / size).for_each(|_| world.make(which, size, 8, false));
}

fn free_all(world: &mut World, which: usize) {
    while world.count() > 0 {
        world.free(which, 0);
    }
}

#[test]
fn the_caches_of_idle_threads_are_told_apart_from_those_of_others() {
    let mut world = World::new();
    for which in [0, 1] {
        make(&mut world, which, 1000, MIB);
        free_all(&mut world, which);
    }
    // A bin counts by its capacity, and the sum is never above `active`.
    world.make(1, 8 * MIB, 8, false);
    let [first, second] = [0, 1].map(|which| world.cache(which).expect("a cache"));
    let [held, other] = [first, second].map(|cache| cache.held_bytes() as u64);
    let figures = |world: &World| {
        let now = world.heap.stats();
        (now.mcache_held, now.mcache_idle)
    };
    assert!(held > 0 && other > 0);
    assert_eq!(figures(&world), (held + other, 0));
    let late = world.heap.registry.late();
    first.seat.note(Activity::Idle);
    assert_eq!(figures(&world), (held + other, held));
    for activity in [Activity::Busy, Activity::Unknown] {
        second.seat.note(activity);
        assert_eq!(figures(&world), (held + other, held));
    }
    second.seat.note(Activity::Idle);
    first.seat.wake();
    assert_eq!(figures(&world), (held + other, other));
    drop(late);
    world.park(1);
    assert_eq!(figures(&world), (held, 0), "the keeper took all");
    world.exit(0);
    assert_eq!(figures(&world), (0, 0));
    world.end();
}

#[test]
fn each_cause_has_its_figure() {
    let world = World::new();
    let causes = [
        PurgeCause::Asked,
        PurgeCause::Idle,
        PurgeCause::SoftLimit,
        PurgeCause::HardLimit,
        PurgeCause::Pressure,
    ];
    assert_eq!(causes.len(), PurgeCause::COUNT);
    for (index, cause) in (0..).zip(causes) {
        // Events of a limit report a sum now and then. The figures do not wait for that.
        (0..2).for_each(|_| world.heap.tiers.mheap.note_purge(1 << index, cause));
    }
    let now = world.heap.stats();
    let found = [
        now.purged_asked,
        now.purged_idle,
        now.purged_soft,
        now.purged_hard,
        now.purged_pressure,
    ];
    assert_eq!(found, [2, 4, 8, 16, 32]);
    world.end();
}

#[test]
fn memory_out_of_spans_counts_with_its_cause() {
    let mut world = World::new();
    make(&mut world, 0, 1000, MIB);
    (1..world.count() / 2).for_each(|index| world.free(0, index));
    world.exit(0);
    let heap = world.heap;
    let parked = heap.registry.park(&heap.tiers, Whom::All, PurgeCause::HardLimit);
    assert!(parked.bytes > 0, "no span had an empty page");
    assert_eq!(heap.stats().purged_hard, parked.bytes as u64);
    world.end();
}

/// A block of each kind that the two count in a way of its own.
#[test]
fn a_sample_counts_what_a_snapshot_counts() {
    let mut world = World::new();
    let heap = world.heap;
    make(&mut world, 0, 1000, MIB);
    make(&mut world, 0, 300 * KIB, 4 * MIB);
    // Kept runs, blocks in bins, and blocks that are yet to be sent.
    (0..6).for_each(|_| world.free(0, world.count() - 1));
    (0..200).for_each(|_| world.free(1, 0));
    assert!(world.cache(1).expect("a cache").shared.outbox.gathered().0 > 0);
    assert!(world.cache(0).expect("a cache").shared.run_bytes.load(Relaxed) > 0);
    let managed = [
        heap.tiers.mheap.take_managed(4, 30, 1000),
        heap.tiers.mheap.take_managed(9, 1, 70_000),
    ];
    let sample = || {
        heap.peak_allocated.store(0, Relaxed);
        heap.sample_peak();
        heap.peak_allocated.load(Relaxed)
    };
    let compare = || {
        let (sampled, now) = (sample(), heap.stats());
        // Exact figures do not count blocks in bins.
        assert!(
            sampled == now.allocated || Stats::EXACT && sampled > now.allocated,
            "{sampled} {now:?}"
        );
        sampled
    };
    let before = compare();
    for span in managed {
        heap.tiers.mheap.give(span.expect("memory"));
    }
    assert_eq!(before - compare(), 13 * 8192);
    world.end();
}

#[test]
fn the_peak_is_found_while_no_snapshot_is_taken() {
    for size in [100, 3000, 20_000, 300 * KIB, 3 * MIB] {
        let mut world = World::new();
        make(&mut world, 0, size, 12 * MIB);
        let held = (12 * MIB / size * size) as u64;
        free_all(&mut world, 0);
        world.purge(0);
        let now = world.heap.stats();
        let (peak, least) = (now.peak_allocated, held - held / 32 - 256 * KIB as u64);
        assert!(
            peak >= least && peak <= held + held / 4,
            "{peak} of {held}, size {size}"
        );
        assert!(now.allocated < MIB as u64, "{now:?}");
        assert!(
            now.peak_resident >= held && now.peak_resident <= held + held / 4,
            "{now:?}"
        );
        assert!(now.resident < 2 * MIB as u64, "{now:?}");
        world.end();
    }
}

/// The blocks fill spans that the thread has, so the pages in use do not grow.
#[test]
fn a_snapshot_is_a_sample() {
    let mut world = World::new();
    make(&mut world, 0, 3000, 4 * MIB);
    world.heap.peak_allocated.store(0, Relaxed);
    let now = world.heap.stats();
    assert!(
        now.allocated > 3 * MIB as u64 && now.peak_allocated == now.allocated,
        "{now:?}"
    );
    free_all(&mut world, 0);
    assert_eq!(world.heap.stats().peak_allocated, now.allocated);
    world.end();
}

#[test]
fn pages_of_spans_that_get_memory_again_raise_the_peak() {
    let mut world = World::new();
    make(&mut world, 0, 1000, 4 * MIB);
    let mheap = &world.heap.tiers.mheap;
    for turn in 0.. {
        let index = turn / 100 + 1;
        if index >= world.count() {
            break;
        }
        world.free(0, index);
    }
    world.park(0);
    world.sink();
    mheap.purge();
    let holes = world.check().holes;
    assert!(holes > MIB, "{holes} bytes of holes");
    // Other memory makes up for the holes, so that the heap is at its peak again.
    let peak = mheap.peak(0);
    while mheap.peak(0) == peak {
        world.make(1, 300 * KIB, 8, false);
    }
    let (peak, before) = (mheap.peak(0), world.check());
    while world.check().holes > MIB / 2 {
        world.make(0, 1000, 8, false);
    }
    let after = world.check();
    assert_eq!(after.inuse, before.inuse, "no page was taken");
    assert_eq!(mheap.peak(0) - peak, before.holes - after.holes);
    world.end();
}
