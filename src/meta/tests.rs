//! Records' memory over a simulated system.

use super::*;
use crate::mspan::{ByUse, MSpan};
use crate::os::sim::{Kind, Sim};

const KIB: usize = 1 << 10;

#[test]
fn memory_is_aligned_zeroed_and_apart() {
    let (sim, mut bump) = (Sim::new(), Bump::new());
    let mut ends = Vec::new();
    for turn in 0..2000 {
        let (bytes, align) = (1 + turn * 37 % 300, 1 << (turn % 8));
        let memory = bump.take(sim, bytes, align).expect("memory");
        assert!(memory.addr().get().is_multiple_of(align));
        // SAFETY: so many bytes at `memory`, which are this test's.
        let memory = unsafe { std::slice::from_raw_parts_mut(memory.as_ptr(), bytes) };
        assert!(memory.iter().all(|&byte| byte == 0), "turn {turn}");
        memory.fill(0xff);
        ends.push((memory.as_ptr().addr(), bytes));
    }
    ends.sort_unstable();
    assert!(ends.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
    let taken: usize = ends.iter().map(|(_, bytes)| bytes).sum();
    assert!(bump.used() >= taken && bump.used() <= bump.mapped());
    assert_eq!((bump.mapped(), sim.violations().len()), (sim.ready_bytes(), 0));
}

#[test]
fn chunks_grow_with_the_memory_mapped_up_to_a_bound() {
    let (sim, mut bump) = (Sim::new(), Bump::new());
    let mut chunks = Vec::new();
    while chunks.len() < 7 {
        let before = bump.mapped();
        bump.take(sim, 4 * KIB, 8).expect("memory");
        if bump.mapped() > before {
            chunks.push((bump.mapped() - before) / KIB);
        }
    }
    assert_eq!(chunks, [128, 128, 256, 512, 1024, 1024, 1024]);
    // A request beyond the bound has a chunk for itself.
    let before = bump.mapped();
    bump.take(sim, 3 * CHUNK_MAX + 1, 8).expect("memory");
    let grown = bump.mapped() - before;
    assert!((3 * CHUNK_MAX + 1..3 * CHUNK_MAX + 64 * KIB).contains(&grown));
}

#[test]
fn where_the_system_refuses_a_chunk_a_smaller_one_serves() {
    let (sim, mut bump) = (Sim::new(), Bump::new());
    sim.fail_at(sim.calls() + 1);
    assert!(bump.take(sim, 100, 8).is_some());
    assert_eq!((sim.refusals(), bump.mapped()), (1, CHUNK_MIN / 2));
}

#[test]
fn a_refused_request_changes_nothing_and_costs_no_address_space() {
    for kind in [Kind::Reserve, Kind::Prepare, Kind::Ready] {
        let (sim, mut bump) = (Sim::new(), Bump::new());
        sim.fail_kind(kind);
        assert!(bump.take(sim, 100, 8).is_none(), "{kind:?}");
        assert_eq!(
            (bump.used(), bump.mapped(), sim.reserved_bytes()),
            (0, 0, 0),
            "{kind:?}"
        );
        sim.heal();
        assert!(bump.take(sim, 100, 8).is_some() && sim.violations().is_empty());
    }
}

#[test]
fn room_that_was_made_ahead_serves_the_next_requests() {
    let (sim, mut bump) = (Sim::new(), Bump::new());
    bump.take(sim, 100, 8).expect("memory");
    bump.make_room(sim, 100 * KIB);
    assert_eq!(bump.mapped(), CHUNK_MIN, "half of it is there already");
    bump.make_room(sim, 300 * KIB);
    assert_eq!(bump.mapped(), CHUNK_MIN + 300 * KIB);
    let calls = sim.calls();
    for _ in 0..100 {
        bump.take(sim, 4 * KIB, 8).expect("memory");
    }
    assert_eq!((sim.calls(), bump.mapped()), (calls, CHUNK_MIN + 300 * KIB));
}

#[test]
fn room_that_is_too_small_by_now_gives_way_to_more() {
    let (sim, mut bump) = (Sim::new(), Bump::new());
    bump.make_room(sim, 300 * KIB);
    bump.make_room(sim, 2048 * KIB);
    assert_eq!((bump.mapped(), sim.reserved_bytes()), (2048 * KIB, 2048 * KIB));
    bump.make_room(sim, usize::MAX);
    assert_eq!(bump.mapped(), 2048 * KIB, "half of the bound is there");
    let (sim, mut bump) = (Sim::new(), Bump::new());
    bump.make_room(sim, usize::MAX);
    assert_eq!((bump.mapped(), sim.reserved_bytes()), (AHEAD_MAX, AHEAD_MAX));
    assert!(sim.violations().is_empty());
}

fn is(one: &MSpan, other: &MSpan) -> bool {
    core::ptr::eq(one, other)
}

#[test]
fn a_record_that_was_given_back_is_taken_again_in_its_last_state() {
    let (sim, mut pool) = (Sim::new(), Pool::<ByUse>::new());
    let [first, second] = [(); 2].map(|()| pool.take(sim, MSpan::new).expect("memory"));
    assert_eq!(pool.in_use_bytes(), 2 * size_of::<MSpan>());
    first.set_large_size(77);
    pool.give(first);
    assert_eq!(pool.in_use_bytes(), size_of::<MSpan>());
    let touched = pool.touched();
    let again = pool
        .take(sim, || unreachable!("no new record is needed"))
        .expect("it is there");
    assert!(is(again, first) && again.size() == 77 && !is(again, second));
    assert_eq!((pool.touched(), pool.in_use_bytes()), (touched, 2 * size_of::<MSpan>()));
}

#[test]
fn all_records_are_found_newest_first_in_use_or_not() {
    let (sim, mut pool) = (Sim::new(), Pool::<ByUse>::new());
    assert_eq!(pool.all().count(), 0);
    let made: Vec<_> = (0..50).map(|_| pool.take(sim, MSpan::new).expect("memory")).collect();
    made.iter().step_by(2).for_each(|record| pool.give(record));
    let all: Vec<_> = pool.all().collect();
    assert!(all.len() == 50 && all.iter().zip(made.iter().rev()).all(|(one, other)| is(one, other)));
}

#[test]
fn a_pool_without_memory_gives_no_record_and_goes_on_later() {
    let (sim, mut pool) = (Sim::new(), Pool::<ByUse>::new());
    sim.fail_from(1);
    assert!(pool.take(sim, MSpan::new).is_none());
    assert_eq!((pool.in_use_bytes(), pool.all().count(), pool.mapped()), (0, 0, 0));
    sim.heal();
    assert!(pool.take(sim, MSpan::new).is_some() && pool.all().count() == 1);
}

#[test]
fn a_pool_with_room_for_all_records_asks_the_system_no_more() {
    let (sim, mut pool) = (Sim::new(), Pool::<ByUse>::new());
    pool.take(sim, MSpan::new).expect("memory");
    pool.make_room(sim, 8000);
    let calls = sim.calls();
    (1..8000).for_each(|_| assert!(pool.take(sim, MSpan::new).is_some()));
    assert_eq!(sim.calls(), calls);
    let mapped = pool.mapped();
    pool.make_room(sim, 8000);
    assert_eq!(pool.mapped(), mapped, "all are there");
}
