//! Promises of the heap that one changed line could break without another test's notice: the
//! reported length of a large block; the count of held blocks; the end of idle runs; the zero cost
//! of a request that cannot be served.

use super::world::World;
use crate::base::geometry::RUN_MAX;
use crate::size_class::SizeClass;
use crate::sync::lock::Patience;

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

#[test]
fn what_a_thread_has_freed_and_not_sent_home_yet_does_not_count_as_held() {
    let mut world = World::new();
    for size in [32, 200, 1000] {
        let count = 512 * KIB / size;
        (0..count).for_each(|_| world.make(0, size, 8, false));
        let full = world.heap.stats();
        assert!(full.allocated as usize >= 512 * KIB - size && full.heap_objects as usize >= count);
        (0..count).for_each(|_| world.free(1, 0));
        let empty = world.heap.stats();
        // A bin of the first thread, and a few blocks of each chain of the other.
        assert!(empty.allocated as usize <= 40 * KIB, "{} bytes", empty.allocated);
        assert!(
            empty.heap_objects as usize <= 40 * KIB / size,
            "{} objects",
            empty.heap_objects
        );
        world.purge(0);
        world.purge(1);
        world.purge(0);
        assert_eq!((world.heap.stats().allocated, world.heap.stats().heap_objects), (0, 0));
    }
    world.end();
}

/// Returns a world whose first thread keeps runs, which count as idle at the second look after no
/// allocation has reached them.
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

/// Refills a bin of the first thread many times. The other thread frees the blocks, so the heap
/// grows the first time only.
fn refill(world: &mut World) {
    for _ in 0..40 {
        (0..400).for_each(|_| world.make(0, 1000, 8, false));
        (0..400).for_each(|_| world.free(1, 0));
    }
}

/// Bytes of runs that the threads keep.
fn kept(world: &World) -> usize {
    let shared = world.heap.registry.shared(&world.heap.tiers);
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

/// Asks for `size` bytes at a multiple of `align` in every way. Returns which requests were served.
fn ask(world: &mut World, size: usize, align: usize) -> [bool; 4] {
    [
        world.try_alloc(0, size, align, false),
        world.try_alloc(0, size, align, true),
        size > MIB && world.try_resize(0, 0, size),
        size > MIB && world.try_resize(0, 1, size),
    ]
}

/// Takes all locks of the heap, asks for memory that cannot be had, and checks that nothing has
/// changed.
fn ask_for_what_cannot_be() {
    let mut world = with_runs();
    world.heap.tiers.mheap.set_purge_delay(-1);
    // A small and a large block that requests would be moved from.
    world.make(0, 100, 8, false);
    world.make(0, MIB, 8, false);
    let seen = |world: &World| {
        (
            world.sim.calls(),
            kept(world),
            world.check().inuse,
            world.heap.tiers.room.bytes(),
        )
    };
    let before = seen(&world);
    let patience = &mut Patience::endless();
    world.heap.registry.before_fork(None, patience);
    SizeClass::all().for_each(|class| world.heap.tiers.central(class).before_fork(patience));
    world.heap.tiers.mheap.before_fork(patience);
    let beyond = (43..63).map(|shift| (1usize << shift, 8));
    let others = [
        (isize::MAX as usize - 7, 8),
        (1 << 46, 1 << 20),
        (100, 1 << 47),
        (MIB, 1 << 62),
    ];
    let got: Vec<_> = beyond
        .chain(others)
        .map(|(size, align)| (size, align, ask(&mut world, size, align)))
        .filter(|(.., got)| *got != [false; 4])
        .collect();
    // SAFETY: this thread took the locks.
    unsafe { world.heap.tiers.mheap.after_fork_in_parent() };
    for class in SizeClass::all() {
        // SAFETY: this thread took the lock.
        unsafe { world.heap.tiers.central(class).after_fork_in_parent() };
    }
    // SAFETY: this thread took the locks.
    unsafe { world.heap.registry.after_fork_in_parent() };
    assert_eq!(got, []);
    assert_eq!(seen(&world), before, "system calls, runs kept, pages in use, room");
    world.end();
}

#[test]
fn a_request_that_cannot_be_served_costs_no_lock_no_call_of_the_system_and_nothing_that_a_thread_keeps() {
    let asking = std::thread::spawn(ask_for_what_cannot_be);
    let began = std::time::Instant::now();
    while !asking.is_finished() && began.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(asking.is_finished(), "a lock that is held was asked for");
    asking.join().expect("all was refused at once");
}
