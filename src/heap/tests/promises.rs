//! What one line of the heap could lose without any other test's notice: how long a large block is said to be, and that runs which no
//! allocation reaches do not stay.

use super::world::World;
use crate::base::geometry::RUN_MAX;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

#[test]
fn a_block_is_usable_up_to_where_the_next_one_begins_at_most() {
    for size in [33 * KIB, 40 * KIB - 1, 64 * KIB, 300 * KIB + 1, MIB, 5 * MIB + 8] {
        let mut world = World::new();
        (0..4).for_each(|_| world.make(0, size, 8, false));
        let mut blocks: Vec<_> = (0..4)
            .map(|index| (world.address(index), world.usable(index)))
            .collect();
        blocks.sort_unstable();
        let usable: Vec<_> = blocks.iter().map(|block| block.1).collect();
        assert!(usable.iter().all(|usable| *usable >= size), "{size}: {usable:?}");
        let gaps: Vec<_> = blocks.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(
            gaps.iter().zip(&usable).all(|(gap, usable)| usable <= gap),
            "{size}: {usable:?} in {gaps:?}"
        );
        assert!(
            gaps.iter().zip(&usable).any(|(gap, usable)| usable == gap),
            "neighbours were wanted: {usable:?} in {gaps:?}"
        );
        world.end();
    }
}

/// A world whose first thread keeps runs, which count as idle at the second look after no allocation has reached them.
fn with_runs() -> World {
    let mut world = World::new();
    refill(&mut world);
    for _ in 0..4 {
        (0..8).for_each(|_| world.make(0, MIB, 8, false));
        (0..8).for_each(|_| world.free(0, 0));
    }
    assert!(kept(&world) >= 2 * MIB, "{} bytes kept", kept(&world));
    // Any time is a whole delay.
    world.heap.tiers.mheap.set_purge_delay(0);
    world
}

/// Many refills of a bin of the first thread, for which the heap need not grow after the first time: the other thread frees what it makes.
fn refill(world: &mut World) {
    for _ in 0..40 {
        (0..400).for_each(|_| world.make(0, 1000, 8, false));
        (0..400).for_each(|_| world.free(1, 0));
    }
}

/// Bytes of runs that the threads keep.
fn kept(world: &World) -> usize {
    let shared = world.heap.shared();
    shared
        .map(|shared| shared.run_bytes.load(crate::sync::atomic::Ordering::Relaxed))
        .sum()
}

#[test]
fn runs_that_no_allocation_reaches_go_when_a_larger_block_is_made() {
    let mut world = with_runs();
    for _ in 0..2 {
        world.make(0, RUN_MAX + 1, 8, false);
        world.free(0, 0);
    }
    assert_eq!(kept(&world), 0);
    world.end();
}

#[test]
fn runs_that_no_allocation_reaches_go_when_a_run_of_another_length_runs_over() {
    let mut world = with_runs();
    world.heap.tiers.mheap.set_purge_delay(-1);
    (0..9).for_each(|_| world.make(1, 100 * KIB, 8, false));
    let before = kept(&world);
    world.heap.tiers.mheap.set_purge_delay(0);
    // Blocks of the other thread, so that this one allocates nothing.
    (0..9).for_each(|_| world.free(0, 0));
    assert!(
        before >= 2 * MIB && kept(&world) <= MIB,
        "{before} bytes, then {}",
        kept(&world)
    );
    world.end();
}

#[test]
fn runs_that_no_allocation_reaches_go_while_a_thread_allocates_small_blocks_only() {
    let mut world = with_runs();
    refill(&mut world);
    assert_eq!(kept(&world), 0);
    world.end();
}

#[test]
fn runs_stay_where_nothing_is_ever_to_go_back() {
    let mut world = with_runs();
    world.heap.tiers.mheap.set_purge_delay(-1);
    let before = kept(&world);
    refill(&mut world);
    assert_eq!(kept(&world), before);
    world.end();
}
