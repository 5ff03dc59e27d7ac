//! Every call of the system fails in turn: requests get null, nothing is lost, and all goes on once
//! memory is there again.

use super::world::World;
use crate::os::sim::Sim;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Lives a life with everything that reaches the system: spans of many classes; large, aligned and
/// growing objects; frees by the other thread; threads that end; memory given back and used again;
/// a second region.
fn live(world: &mut World) {
    for round in 0..2 {
        for (index, size) in [8, 24, 64, 200, 1000, 3000, 9000, 20_000, 32_768]
            .into_iter()
            .enumerate()
        {
            (0..12).for_each(|turn| world.make((index + turn) % 2, size, 8, turn % 4 == 0));
        }
        for (size, align) in [
            (40 * KIB, 16),
            (300 * KIB, 4096),
            (3 * MIB, 64),
            (64, 64 * KIB),
            (100, 4 * MIB),
        ] {
            world.make(round, size, align, size > MIB);
        }
        world.make(1, 10 * KIB, 8, false);
        for step in 0..9 {
            let last = world.live.len().wrapping_sub(1);
            if !world.live.is_empty() {
                world.resize(1, last, (16 * KIB) << step);
            }
        }
        (0..40).for_each(|turn| world.free(turn % 2, turn * 7));
        world.exit(0);
        (0..20).for_each(|turn| world.make(0, 500 + 40 * turn, 8, true));
        world.purge(1);
        world.make(0, 7 * MIB, 8, true);
        if !world.live.is_empty() {
            let last = world.live.len() - 1;
            world.resize(0, last, 11 * MIB);
            world.resize(0, last, 2 * MIB);
        }
        (0..30).for_each(|turn| world.free(1, turn * 5));
    }
    world.check();
}

/// Lives through refusals as `plan` says, then once more after they end.
fn live_twice(plan: impl FnOnce(&World)) -> World {
    let mut world = World::new();
    plan(&world);
    live(&mut world);
    world.sim.heal();
    let nulls = world.nulls;
    live(&mut world);
    assert_eq!(world.nulls, nulls, "the system refuses nothing any more");
    world
}

/// Lives with each call refused in turn: `plan` gets its number. Ends when a life ends before its
/// call is made. Returns the number of requests that got nothing.
fn refuse_each(plan: impl Fn(&World, usize)) -> usize {
    let mut nulls = 0;
    for call in 1.. {
        let world = live_twice(|world| plan(world, call));
        let refused = world.sim.refusals() > 0;
        nulls += world.nulls;
        world.end();
        if !refused {
            assert!(call > 50, "{call} calls are too few to show anything");
            break;
        }
    }
    nulls
}

#[test]
fn each_call_of_the_system_may_fail_once_and_no_request_is_refused_for_it() {
    let nulls = refuse_each(|world, call| world.sim.fail_at(call));
    assert_eq!(nulls, 0, "a request is tried again with what the thread keeps given up");
}

#[test]
fn each_call_of_the_system_and_all_after_it_may_fail() {
    let nulls = refuse_each(|world, call| world.sim.fail_from(call));
    assert!(nulls > 0, "some refusals must reach the program");
}

#[test]
fn c72_kernels_with_pages_of_16_and_64_kib_see_no_wrong_call_and_get_all_back() {
    for page in [16 * KIB, 64 * KIB] {
        let mut world = World::on(Sim::with_page_size(page));
        live(&mut world);
        live(&mut world);
        // Objects that grow and end inside a page of the system's, each with another behind it.
        for odd in 1..8 {
            world.make(0, 3 * MIB + odd * 8 * KIB, 8, false);
            let grown = world.live.len() - 1;
            world.make(0, MIB, 8, false);
            world.resize(0, grown, 9 * MIB + odd * 8 * KIB);
            world.resize(0, grown, 25 * MIB);
        }
        assert_eq!(world.nulls, 0, "the system refuses nothing");
        world.end();
    }
}
