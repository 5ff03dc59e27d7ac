//! The caches of idle threads, and spans that no thread has: their memory goes back.

use super::super::park::Whom;
use super::super::thread::{current, unparked};
use super::super::{HEAP, Heap};
use super::world::World;
use crate::base::geometry::PAGE;
use crate::events::PurgeCause;
use crate::mcache::EMPTY;
use crate::os::sim::{Kind, Sim};

const KIB: usize = 1 << 10;

const SIZES: [usize; 4] = [200, 1000, 3000, 9000];

/// A world in which cache 0 has freed all blocks of several sizes but every `stay`-th.
fn thinned(stay: usize) -> World {
    let mut world = World::new();
    for size in SIZES {
        (0..400 * KIB / size).for_each(|_| world.make(0, size, 8, false));
    }
    thin(&mut world, stay);
    world
}

fn thin(world: &mut World, stay: usize) {
    let mut index = 0;
    for turn in 0.. {
        if turn % stay == 0 {
            index += 1;
        }
        if index >= world.count() {
            break;
        }
        world.free(0, index);
    }
}

/// Returns the bytes of memory that the heap counts for its limits.
fn footprint(world: &World) -> usize {
    let stats = world.heap.stats();
    (stats.heap_sys - stats.heap_released) as usize - world.check().holes
}

#[test]
fn a_thread_at_rest_gives_everything_up() {
    let mut world = thinned(usize::MAX);
    world.park(0);
    world.heap.tiers.end_rest();
    world.heap.tiers.mheap.purge();
    // The last block of each size, one span of each.
    assert!(footprint(&world) <= 256 * KIB, "{} KiB", footprint(&world) / KIB);
    let large: Vec<_> = (0..8).map(|_| 300 * KIB).collect();
    large.iter().for_each(|&size| world.make(0, size, 8, false));
    (0..8).for_each(|_| world.free(0, world.count() - 1));
    world.park(0);
    world.heap.tiers.mheap.purge();
    assert!(footprint(&world) <= 256 * KIB, "{} KiB", footprint(&world) / KIB);
    world.end();
}

#[test]
fn pages_between_live_objects_go_back_and_come_again() {
    let mut world = thinned(100);
    let full = footprint(&world);
    world.park(0);
    world.sink();
    world.heap.tiers.end_rest();
    world.heap.tiers.mheap.purge();
    let (sunk, live) = (footprint(&world), world.heap.stats().allocated as usize);
    let holes = world.check().holes;
    assert!(holes >= 50 * PAGE, "{holes} bytes of holes");
    assert!(
        sunk < full / 4,
        "{} of {} KiB, {} KiB live",
        sunk / KIB,
        full / KIB,
        live / KIB
    );
    // Everything that was sunk serves again before the heap grows.
    let sys = world.heap.stats().heap_sys;
    for size in SIZES {
        (0..300 * KIB / size).for_each(|_| world.make(0, size, 8, size == 200));
    }
    assert_eq!(world.heap.stats().heap_sys, sys);
    assert!(
        world.check().holes < holes / 4,
        "{} of {holes} bytes",
        world.check().holes
    );
    world.end();
}

#[test]
fn a_system_that_refuses_to_take_memory_back_costs_nothing_but_the_memory() {
    let sim = Sim::new();
    let mut world = World::on(sim);
    for size in [48, 1000, 3000] {
        (0..200 * KIB / size).for_each(|_| world.make(0, size, 8, false));
    }
    thin(&mut world, 30);
    world.park(0);
    sim.fail_kind(Kind::Release);
    world.sink();
    assert_eq!(world.check().holes, 0);
    sim.heal();
    for size in [48, 1000, 3000] {
        (0..200 * KIB / size).for_each(|_| world.make(0, size, 8, false));
    }
    world.end();
}

#[test]
fn a_child_forgets_holes() {
    let mut world = thinned(100);
    world.park(0);
    world.sink();
    world.fork(1);
    world.sink();
    (0..500).for_each(|_| world.make(1, 1000, 8, true));
    world.check();
}

#[test]
fn threads_that_come_to_rest_at_any_time_lose_nothing() {
    for seed in 1..30u64 {
        let (mut world, mut random) = (World::new(), seed);
        for _ in 0..600 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (what, which) = ((random >> 33) as usize, (random >> 60) as usize & 1);
            let sizes = [8, 24, 64, 500, 2000, 6000, 20_000, 100_000];
            match what % 40 {
                0 => world.park(which),
                2 => world.sink(),
                3 => world.purge(which),
                4 => world.exit(which),
                5..=21 if world.count() > 0 => world.free(which, what / 40 % world.count()),
                _ => (0..1 + what / 64 % 12).for_each(|_| world.make(which, sizes[what / 40 % 8], 8, what % 3 == 0)),
            }
        }
        world.check();
        world.end();
    }
}

#[test]
fn sunk_objects_wait_while_the_hard_limit_has_no_room_for_their_memory() {
    let mut world = thinned(100);
    world.park(0);
    world.sink();
    world.heap.tiers.end_rest();
    world.heap.tiers.mheap.purge();
    let holes = world.check().holes;
    world.heap.set_hard_limit(Some(1));
    let refused = (0..2000).any(|_| {
        let served = world.try_alloc(0, 1000, 8, false);
        if served {
            world.make(0, 1000, 8, false);
        }
        !served
    });
    assert!(refused && world.check().holes == holes);
    world.heap.set_hard_limit(None);
    // The thread has put their spans aside as full ones.
    world.park(0);
    (0..300).for_each(|_| world.make(0, 1000, 8, false));
    assert!(world.check().holes < holes);
    world.end();
}

#[test]
fn a_look_that_comes_too_early_finds_what_the_last_one_found() {
    let heap: &'static Heap = Box::leak(Box::new(Heap::new(Sim::new())));
    let look = || heap.registry.park(&heap.tiers, Whom::Idle, PurgeCause::Idle).active;
    let cache = heap.registry.new_cache(&heap.tiers).expect("memory");
    heap.registry.retire_cache(&heap.tiers, cache);
    // Otherwise the background thread would look for ever.
    assert_eq!([look(), look()], [false, false]);
    let cache = heap.registry.new_cache(&heap.tiers).expect("memory");
    assert!(look(), "a thread may become idle");
    heap.registry.retire_cache(&heap.tiers, cache);
}

#[test]
fn a_child_of_a_thread_without_a_cache_has_no_caches_in_use() {
    let heap: &'static Heap = Box::leak(Box::new(Heap::new(Sim::new())));
    let used = || {
        let mut count = 0;
        heap.registry.for_each_in_use(|_| count += 1);
        count
    };
    let make = || heap.registry.new_cache(&heap.tiers).expect("memory");
    let own = [make(), make()][1];
    assert_eq!(used(), 2);
    heap.registry.forget_others(own);
    assert_eq!(used(), 1);
    heap.registry.forget_others(EMPTY.cache());
    assert_eq!((used(), heap.registry.figures().in_use), (0, 0));
}

#[test]
fn a_thread_gives_its_memory_up_though_the_keeper_meets_it() {
    let meet = |give_up: fn()| {
        let layout = std::alloc::Layout::from_size_align(100 * KIB, 8).expect("a good layout");
        let row: Vec<*mut u8> = (0..4).map(|_| HEAP.alloc::<false>(current(), layout)).collect();
        for ptr in row {
            // SAFETY: a live block of this layout, freed once.
            unsafe { HEAP.dealloc(current(), ptr, layout) };
        }
        let own = unparked(current());
        // Another test that purges may have parked this thread.
        let late = HEAP.registry.late();
        if own.room() == 0 || !own.handover.revoke() {
            return false;
        }
        drop(late);
        give_up();
        assert_eq!(own.room(), 0);
        true
    };
    let ways: [fn(); 3] = [
        || HEAP.thread_idle(current()),
        || _ = HEAP.purge(current()),
        || HEAP.reclaim(current(), 100 * KIB),
    ];
    for way in ways {
        let met = std::thread::spawn(move || (0..1000).any(|_| meet(way)));
        assert!(met.join().expect("the thread has nothing"));
    }
}
