//! Requests near the hard limit: the memory that the heap reclaims for them.

use super::world::World;
use crate::sync::atomic::Ordering::Relaxed;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

fn inuse(world: &World) -> usize {
    world.heap.tiers.mheap.figures().inuse
}

/// Returns the bytes of pages that have memory.
fn memory(world: &World) -> usize {
    let figures = world.heap.tiers.mheap.figures();
    figures.sys - figures.released
}

fn limit(world: &World, bytes: Option<usize>) {
    world.heap.tiers.mheap.set_hard_limit(bytes);
}

fn purges(world: &World) -> usize {
    world.heap.tiers.purges.load(Relaxed)
}

/// Returns the index of the live block of `size` bytes.
fn of_size(world: &World, size: usize) -> usize {
    let index = (0..world.live.len()).find(|&index| world.size(index) == size);
    index.expect("it is live")
}

fn end(world: World) {
    limit(&world, None);
    world.end();
}

#[test]
fn a_block_grows_from_60_to_70_mib_beside_32_idle_ones_under_a_limit_of_100() {
    // The block has room behind it, or it must move.
    for (sizes, moves) in [([32, 1, 60], false), ([60, 1, 32], true)] {
        let mut world = World::new();
        sizes.into_iter().for_each(|mib| world.make(0, mib * MIB, 8, false));
        let idle = of_size(&world, 32 * MIB);
        world.free(0, idle);
        limit(&world, Some(100 * MIB));
        let block = of_size(&world, 60 * MIB);
        let place = world.address(block);
        world.resize(0, block, 70 * MIB);
        assert_eq!(world.address(block) != place, moves);
        // A move may use the idle pages, whose memory then goes.
        let least = if moves { 71 * MIB } else { 99 * MIB };
        assert!((least..=100 * MIB).contains(&memory(&world)), "{}", memory(&world));
        end(world);
    }
}

/// Returns a world with a block of 20 MiB, whose threads keep free memory.
type Keeper = fn() -> World;

fn with_runs() -> World {
    let mut world = World::new();
    world.make(0, 20 * MIB, 8, false);
    let kept = |world: &World| inuse(world) - 20 * MIB;
    for _ in 0..4 {
        (0..8).for_each(|_| world.make(0, MIB, 8, false));
        (0..8).for_each(|_| world.free(0, 1));
    }
    assert!(kept(&world) >= 4 * MIB, "{} bytes kept", kept(&world));
    world
}

fn with_resting_spans() -> World {
    let mut world = World::new();
    world.make(0, 20 * MIB, 8, false);
    world.make(1, 10, 8, false);
    for size in [500, 1000, 2000, 3000, 5000, 9000, 12_000, 20_000, 30_000] {
        let count = MIB / size;
        (0..count).for_each(|_| world.make(1, size, 8, false));
        (0..count).for_each(|_| world.free(1, 2));
    }
    world.exit(1);
    // How many spans rest depends on the clock. The request below needs half a MiB of them.
    assert!(inuse(&world) >= 20 * MIB + 512 * KIB, "{}", inuse(&world));
    world
}

fn with_late_memory() -> World {
    let mut world = World::new();
    world.make(0, 20 * MIB, 8, false);
    let heap = world.heap;
    heap.registry.with_late(&heap.tiers, |late| {
        let layout = std::alloc::Layout::from_size_align(2000, 8).expect("a good layout");
        let row: Vec<_> = (0..1000).map(|_| heap.alloc::<false>(late, layout)).collect();
        // SAFETY: live blocks of this layout, each freed once.
        row.iter().for_each(|&ptr| unsafe { heap.dealloc(late, ptr, layout) });
    });
    assert!(inuse(&world) >= 20 * MIB + 500 * KIB, "{}", inuse(&world));
    world
}

const KEEPERS: [(&str, Keeper); 3] = [
    ("runs", with_runs),
    ("resting spans", with_resting_spans),
    ("the late cache", with_late_memory),
];

/// Leaves room for a quarter of a MiB. Half a MiB then fits if half of one is reclaimed.
fn leave_little(world: &World) {
    world.heap.tiers.mheap.purge();
    limit(world, Some(memory(world) + 256 * KIB));
}

#[test]
fn memory_that_no_thread_needs_is_reclaimed_before_a_request_is_refused() {
    for (name, keeper) in KEEPERS {
        let mut world = keeper();
        leave_little(&world);
        assert!(world.try_alloc(0, 512 * KIB, 8, false), "{name}");
        end(world);
    }
}

#[test]
fn memory_that_no_thread_needs_is_reclaimed_before_a_block_is_refused_its_growth() {
    for (_, keeper) in KEEPERS {
        let mut world = keeper();
        leave_little(&world);
        let block = of_size(&world, 20 * MIB);
        world.resize(0, block, 20 * MIB + 512 * KIB);
        end(world);
    }
}

#[test]
fn other_threads_learn_of_a_refusal_by_the_limit_and_give_up_what_they_keep() {
    let mut world = World::new();
    (0..300).for_each(|_| world.make(1, 2000, 8, false));
    (0..300).for_each(|_| world.free(1, 0));
    world.make(0, MIB, 8, false);
    let (before, kept) = (purges(&world), inuse(&world) - MIB);
    assert!(kept >= 300 * KIB, "{kept} bytes kept");
    // Without a limit, other threads could not help.
    world.sim.fail_from(1);
    assert!(!world.try_alloc(0, 640 * MIB, 8, false));
    world.sim.heal();
    assert_eq!(purges(&world), before);
    limit(&world, Some(memory(&world) + 4 * MIB));
    assert!(!world.try_alloc(0, 64 * MIB, 8, false));
    assert_eq!(purges(&world), before + 1);
    let held = inuse(&world);
    // Its next refill.
    assert!(world.try_alloc(1, 5000, 8, false));
    assert!(inuse(&world) + kept <= held + 128 * KIB, "{held} {}", inuse(&world));
    end(world);
}

#[test]
fn threads_keep_no_runs_once_the_hard_limit_has_asked_for_memory() {
    let mut world = with_runs();
    limit(&world, Some(memory(&world) + MIB));
    assert!(!world.try_alloc(0, 64 * MIB, 8, false));
    (0..8).for_each(|_| world.make(0, MIB, 8, false));
    (0..8).for_each(|_| world.free(0, 1));
    assert!(inuse(&world) < 20 * MIB + 512 * KIB, "{}", inuse(&world));
    // Well below the limit they keep some again.
    limit(&world, Some(200 * MIB));
    for _ in 0..4 {
        (0..8).for_each(|_| world.make(0, MIB, 8, false));
        (0..8).for_each(|_| world.free(0, 1));
    }
    assert!(inuse(&world) > 20 * MIB);
    end(world);
}

#[test]
fn records_of_threads_count_for_the_limit() {
    let mut world = World::new();
    world.make(0, MIB, 8, false);
    limit(&world, Some(memory(&world) + 8 * MIB));
    let served = |world: &mut World| {
        let fits = |kib: &usize| world.try_alloc(0, kib * KIB, 8, false);
        (0..1000).map(|kib| 9000 - 8 * kib).find(fits).expect("some size")
    };
    let before = served(&mut world);
    let row: Vec<_> = (0..16)
        .map(|_| world.heap.registry.new_cache(&world.heap.tiers).expect("memory"))
        .collect();
    let bytes = row.len() * size_of::<crate::mcache::MCache>();
    let after = served(&mut world);
    assert!(
        after * KIB + bytes <= (before + 8) * KIB,
        "{after} {before} KiB, {bytes}"
    );
    row.into_iter()
        .for_each(|cache| _ = world.heap.registry.retire_cache(&world.heap.tiers, cache));
    end(world);
}

#[test]
fn a_thread_gives_its_runs_up_once_the_hard_limit_has_asked_another_for_memory() {
    let mut world = with_runs();
    world.make(1, 20 * MIB, 8, false);
    let last = world.live.len() - 1;
    world.free(1, last);
    let before = inuse(&world);
    limit(&world, Some(memory(&world) + MIB));
    // No idle run is so long, so some of it goes back.
    world.make(1, 22 * MIB, 8, false);
    assert_eq!(inuse(&world), before + 22 * MIB);
    // The idle pages that are left serve it.
    world.make(0, 200 * KIB, 8, false);
    assert!(inuse(&world) < 43 * MIB, "{}", inuse(&world));
    end(world);
}
