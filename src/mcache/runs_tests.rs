//! Bins of runs by themselves: runs here are addresses that nothing reads.

use super::*;
use crate::os::sim::Sim;
use std::cell::RefCell;

fn class() -> RunClass {
    RunClass::serving(256 << 10, 1).expect("a run class's size")
}

fn run(number: usize) -> *mut Block {
    null_mut::<u8>().wrapping_add(number * PAGE).cast()
}

/// Bins whose bin of `class` may hold `cap` runs.
fn runs(cap: u32) -> (Runs, &'static Tiers) {
    let runs = Runs::new();
    let array = Box::leak(vec![null_mut(); Bin::slots(cap)].into_boxed_slice());
    // SAFETY: a new array; the bin is empty.
    assert!(unsafe { runs.bin(class()).move_to(array.as_mut_ptr()) }.is_null());
    runs.grow(class(), (cap, cap as usize * 100));
    (runs, Box::leak(Box::new(Tiers::new(Sim::new()))))
}

#[test]
fn a_new_bin_holds_nothing_and_takes_nothing() {
    let runs = Runs::new();
    for class in RunClass::all() {
        assert!(runs.pop(class).is_null() && !runs.push(class, run(1)));
    }
}

#[test]
fn runs_come_back_newest_first_and_go_oldest_first() {
    let (runs, _) = runs(5);
    assert!((1..=5).all(|number| runs.push(class(), run(number))));
    assert!(!runs.push(class(), run(6)), "full");
    assert_eq!(runs.pop(class()), run(5));
    let gone = RefCell::new(Vec::new());
    let give = |run| gone.borrow_mut().push(run);
    assert_eq!(runs.bin(class()).take_oldest(2, give), 2);
    assert_eq!([runs.pop(class()), runs.pop(class())], [run(4), run(3)]);
    assert_eq!(gone.into_inner(), [run(1), run(2)]);
    assert_eq!(runs.bin(class()).take_oldest(9, |_| unreachable!()), 0);
}

#[test]
fn idle_runs_are_those_that_no_pop_reached_since_the_last_look() {
    let (runs, _) = runs(8);
    let bin = runs.bin(class());
    assert!((1..=6).all(|number| runs.push(class(), run(number))));
    assert_eq!(bin.take_idle_count(), 0, "the bin was empty at the last look");
    let pair = [runs.pop(class()), runs.pop(class())];
    assert!(pair.iter().all(|&run| runs.push(class(), run)));
    assert_eq!(bin.take_idle_count(), 4);
    assert_eq!(bin.take_idle_count(), 6);
}

#[test]
fn a_bin_asks_for_room_once_per_miss() {
    let (runs, tiers) = runs(1);
    let memory = Box::leak(vec![0u8; class().size()].into_boxed_slice());
    let run: *mut Block = memory.as_mut_ptr().cast();
    assert!(runs.ask_growth(tiers, class(), run).is_none(), "not missed");
    runs.note_missed(class());
    let growth = runs.ask_growth(tiers, class(), run).expect("room");
    assert_eq!(growth.0, 2);
    assert!(growth.1 >= class().size() / 16, "untouched runs count too");
    assert_eq!(tiers.room.bytes(), growth.1);
    assert!(runs.ask_growth(tiers, class(), run).is_none(), "one try per miss");
}

#[test]
fn shrinking_gives_all_room_back_with_the_last_slot() {
    let (runs, tiers) = runs(7);
    assert!(tiers.room.ask(&tiers.mheap, 700, 4));
    let array = runs.bin(class()).array.get();
    assert!(runs.shrink(tiers, class(), 4).is_null());
    assert_eq!(
        (runs.room(), tiers.room.bytes(), runs.bin(class()).cap()),
        (400, 400, 4)
    );
    assert!(runs.shrink(tiers, class(), 4).is_null());
    assert_eq!(runs.shrink(tiers, class(), 0), array);
    assert_eq!((runs.room(), tiers.room.bytes()), (0, 0));
    assert!(runs.shrink(tiers, class(), 0).is_null());
}
