//! The memory that thread caches keep, over a simulated system.

use super::world::World;
use crate::base::geometry::PAGE;
use crate::mheap::HeapFigures;
use crate::mspan::{MSpan, State};
use crate::size_class::SizeClass;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

#[test]
fn a_run_that_serves_ever_smaller_blocks_gives_its_tail_back() {
    let mut world = World::new();
    let mut size = 2 * MIB;
    while size > 48 * KIB {
        world.make(0, size, 8, false);
        world.free(0, 0);
        size = size * 9 / 10;
    }
    world.make(0, size, 8, false);
    let figures = world.check();
    assert!(figures.inuse < MIB / 2, "one block of {size} bytes: {figures:?}");
    world.end();
}

#[test]
fn what_a_thread_keeps_of_one_size_serves_another_before_a_request_is_refused() {
    let mut world = World::new();
    world.heap.tiers.mheap.set_hard_limit(Some(8 * MIB));
    // Each class keeps its spans and each bin its blocks, up to the limit. Together they are
    // several MiB.
    let sizes: Vec<usize> = SizeClass::all().map(|class| class.size()).collect();
    for _ in 0..6 {
        for &size in &sizes {
            (0..20).for_each(|_| world.make(0, size, 8, false));
            (0..20).for_each(|_| world.free(0, 0));
        }
    }
    let kept = world.check().inuse;
    assert!(kept > 3 * MIB, "{kept} bytes kept");
    world.make(0, 6 * MIB, 8, false);
    world.end();
}

/// Checks this because each block that a bin keeps may keep a span.
#[test]
fn a_thread_that_only_frees_keeps_few_blocks_of_any_class() {
    let mut world = World::new();
    const COUNT: usize = 150_000;
    (0..COUNT).for_each(|turn| world.make(0, 16 + turn * 31 % 497, 8, false));
    let full = world.check().inuse;
    // In no order.
    (1..=COUNT).rev().for_each(|left| world.free(0, 7_368_787 % left));
    world.heap.registry.end_rest(&world.heap.tiers);
    let figures = world.check();
    assert!(full > 30 * MIB && figures.inuse < 4 * MIB, "{figures:?} of {full}");
    // Each block that went past its bin is counted.
    let stats = world.heap.stats();
    assert_eq!((stats.heap_objects, stats.mallocs - stats.frees), (0, 0));
    world.end();
}

/// Batches larger than a bin, again and again, of many sizes and by both threads: bins grow.
fn grow_bins(world: &mut World) {
    for size in [24, 500, 2000, 5000, 12 * KIB, 30 * KIB, 50 * KIB, 300 * KIB, 2 * MIB] {
        for _ in 0..12 {
            let count = (8 * MIB / size).min(400);
            (0..count).for_each(|turn| world.make(turn % 2, size, 8, false));
            (0..count).for_each(|turn| world.free(turn / 2 % 2, 0));
        }
    }
    assert!(world.heap.tiers.room.bytes() > 0, "some bin must have grown");
}

#[test]
fn room_and_growth_are_given_back_to_the_byte() {
    let mut world = World::new();
    grow_bins(&mut world);
    world.exit(0);
    world.exit(1);
    assert_eq!(world.heap.tiers.room.bytes(), 0);
    world.end();
}

#[test]
fn a_fork_child_has_the_room_of_its_own_thread_and_gives_it_back() {
    let mut world = World::new();
    grow_bins(&mut world);
    world.fork(1);
    assert!(world.heap.tiers.room.bytes() > 0);
    world.exit(1);
    assert_eq!(world.heap.tiers.room.bytes(), 0);
}

#[test]
fn what_a_fork_child_frees_of_a_thread_that_is_gone_serves_it_again() {
    for size in [48, 1000, 9000] {
        let mut world = World::new();
        let count = 4 * MIB / size;
        (0..count).for_each(|_| world.make(0, size, 8, false));
        // Some of it is on its way to the one or the other when the process forks.
        (0..count / 7).for_each(|turn| world.free(turn % 2, turn * 5));
        (0..count / 5).for_each(|_| world.make(1, size, 8, false));
        world.fork(1);
        let before = world.check();
        for _ in 0..3 {
            let live = world.live.len();
            (0..live).for_each(|turn| world.free(1, turn * 3));
            (0..live).for_each(|_| world.make(1, size, 8, false));
        }
        let after = world.check();
        assert!(
            after.inuse <= before.inuse + 64 * PAGE,
            "{size} bytes: {before:?} then {after:?}"
        );
    }
}

#[test]
fn a_fork_child_gets_what_threads_that_are_gone_have_sent_to_it() {
    for size in [48, 1000, 9000] {
        let mut world = World::new();
        let count = 4 * MIB / size;
        (0..count).for_each(|_| world.make(1, size, 8, false));
        // Nearly all blocks have reached the lists of their spans when the process forks, and the
        // owner has not looked at them.
        (0..count).for_each(|_| world.free(0, 0));
        world.fork(1);
        let before = world.check();
        (0..count).for_each(|_| world.make(1, size, 8, false));
        let after = world.check();
        assert!(
            after.inuse <= before.inuse + MIB,
            "{size} bytes: {before:?} then {after:?}"
        );
    }
}

#[test]
fn spans_that_rest_are_given_up_before_a_large_block_takes_untouched_pages() {
    let mut world = World::new();
    let sizes = (16..=1024)
        .step_by(16)
        .flat_map(|size| (0..20 * KIB / size).map(move |_| size));
    sizes.for_each(|size| world.make(0, size, 8, false));
    let count = world.live.len();
    (0..count).for_each(|_| world.free(0, 0));
    world.exit(0);
    let resting = world.check().inuse;
    assert!(resting >= MIB, "{resting} bytes rest");
    world.make(1, MIB / 2, 8, false);
    let inuse = world.check().inuse;
    assert!(inuse < MIB, "{inuse} bytes in use");
    world.end();
}

/// Sizes of all classes that requests at 8 bytes come to.
fn sizes() -> impl Iterator<Item = usize> {
    let served = |class: &SizeClass| SizeClass::serving(class.size(), 8) == Some(*class);
    SizeClass::all().filter(served).map(SizeClass::size)
}

#[test]
fn a_thread_that_has_one_object_of_each_size_holds_short_spans() {
    let mut world = World::new();
    let whole: usize = SizeClass::all().map(SizeClass::span_bytes).sum();
    sizes().for_each(|size| world.make(0, size, 8, false));
    let inuse = world.check().inuse;
    assert!(inuse < whole / 4, "{inuse} bytes, whole spans would be {whole}");
    world.end();
}

/// Pages of the spans of `class`, shortest first.
fn span_pages(world: &World, class: SizeClass) -> Vec<usize> {
    let spans = world.heap.tiers.mheap.all_spans();
    let of_class = spans.filter(|span| span.state() == State::Small && span.class() == Some(class));
    let mut pages: Vec<usize> = of_class.map(MSpan::pages).collect();
    pages.sort_unstable();
    pages
}

#[test]
fn the_fifth_span_of_a_class_and_all_further_ones_are_whole() {
    for size in sizes() {
        let mut world = World::new();
        let class = SizeClass::serving(size, 8).expect("a class's size");
        let [eighth, quarter, half, whole] = class.lengths();
        let mut wanted = vec![eighth, eighth, quarter, half, whole, whole];
        while span_pages(&world, class).len() < wanted.len() {
            world.make(0, size, 8, false);
        }
        wanted.sort_unstable();
        assert_eq!(span_pages(&world, class), wanted, "{size} bytes");
        // A thread that comes to the class later begins anew.
        world.make(1, size, 8, false);
        assert_eq!(
            span_pages(&world, class).iter().sum::<usize>(),
            wanted.iter().sum::<usize>() + eighth
        );
        world.end();
    }
}

#[test]
fn a_thread_that_comes_back_to_a_class_begins_with_short_spans() {
    for ends in [false, true] {
        let mut world = World::new();
        let class = SizeClass::serving(3000, 8).expect("a small size");
        let [eighth, .., whole] = class.lengths();
        (0..200).for_each(|_| world.make(0, 3000, 8, false));
        assert_eq!(span_pages(&world, class).last(), Some(&whole));
        (0..200).for_each(|_| world.free(0, 0));
        // The thread ends, and another gets its cache; or it gives up what it has.
        if ends {
            world.exit(0);
            world.heap.tiers.end_rest();
        } else {
            world.purge(0);
        }
        assert_eq!(span_pages(&world, class), [0usize; 0]);
        world.make(0, 3000, 8, false);
        assert_eq!(span_pages(&world, class), [eighth], "thread ended: {ends}");
        world.end();
    }
}

#[test]
fn spans_are_short_where_only_short_runs_lie_idle() {
    let mut world = World::new();
    let (size, block) = (30 * KIB, 64 * KIB);
    // First whole spans of the class; then idle runs too short for them, with blocks in use
    // between.
    (0..200).for_each(|_| world.make(0, size, 8, false));
    (0..100).for_each(|_| world.make(1, block, 8, false));
    (0..33).for_each(|turn| world.free(1, 200 + 2 * turn));
    world.exit(1);
    let before = world.check();
    (0..60).for_each(|_| world.make(0, size, 8, false));
    let after = world.check();
    assert!(after.inuse >= before.inuse + 40 * size, "{before:?} then {after:?}");
    let footprint = |figures: &HeapFigures| figures.sys - figures.released;
    assert!(
        footprint(&after) <= footprint(&before) + 256 * KIB,
        "{before:?} then {after:?}"
    );
    world.end();
}

#[test]
fn a_block_that_has_begun_to_grow_is_copied_once() {
    let mut world = World::new();
    // A long and a short run lie idle, and each block has another behind it.
    for size in [600, 64, 40, 64, 80, 64] {
        world.make(0, size * KIB, 8, false);
    }
    let (long, index) = (world.address(0), 2);
    world.free(0, 4);
    world.free(0, 0);
    world.resize(0, index, 72 * KIB);
    let place = world.address(index);
    assert_eq!(place, long);
    for size in [144 * KIB, 288 * KIB, 560 * KIB] {
        world.resize(0, index, size);
        assert_eq!(world.address(index), place, "at {size} bytes");
    }
    world.end();
}

#[test]
fn a_block_that_has_begun_to_grow_leaves_the_longest_run_to_large_blocks() {
    let mut world = World::new();
    // Runs of 3 MiB, 700 KiB and 300 KiB lie idle.
    for size in [3 * 1024, 64, 700, 64, 300, 64, 40, 64] {
        world.make(0, size * KIB, 8, false);
    }
    let [long, roomy] = [0, 2].map(|index| world.address(index));
    for index in [4, 2, 0] {
        world.free(0, index);
    }
    world.exit(0);
    let index = (0..world.live.len()).find(|&index| world.size(index) == 40 * KIB);
    let index = index.expect("it is live");
    world.resize(0, index, 72 * KIB);
    assert_eq!(world.address(index), roomy);
    let before = world.check();
    world.make(0, 3 * MIB, 8, false);
    assert_eq!(world.address(world.live.len() - 1), long);
    assert_eq!(world.check().sys, before.sys, "the heap need not grow");
    world.end();
}
