//! Bins by themselves: no heap, and blocks that belong to the test.

use super::*;
use crate::os::sim::Sim;
use std::cell::RefCell;

/// Leaks `count` blocks of `class`, at multiples of 16.
fn blocks(class: SizeClass, count: usize) -> Vec<*mut Block> {
    let make = |_| {
        let memory = Box::leak(vec![0u128; class.size().div_ceil(16)].into_boxed_slice());
        memory.as_mut_ptr().cast()
    };
    (0..count).map(make).collect()
}

/// Bins with their first arrays, and the tiers that they ask for room.
fn bins() -> (Box<Bins>, &'static Tiers) {
    let bins = Box::new(Bins::new());
    let slots = Box::leak(vec![0usize; SLOT_BYTES / size_of::<usize>()].into_boxed_slice());
    // SAFETY: so many zeroed bytes, which are leaked.
    unsafe { bins.set_slots(slots.as_mut_ptr().cast()) };
    (bins, Box::leak(Box::new(Tiers::new(Sim::new()))))
}

fn push(bins: &Bins, class: SizeClass, block: *mut Block) -> bool {
    // SAFETY: the block is the test's, and of the class's size.
    unsafe { bins.push(class, block) }
}

const CLASS: usize = 64;

#[test]
fn a_bin_without_slots_is_empty_and_full() {
    let bins = Bins::new();
    for class in SizeClass::all() {
        assert!(bins.pop(class).is_null());
        assert_eq!(bins.top(class).get(), bins.end(class).get());
        assert_eq!((bins.held(class), bins.cap(class)), (0, 0));
    }
}

#[test]
fn a_closed_bin_takes_no_block_and_a_refill_opens_it() {
    let (bins, _) = bins();
    let class = SizeClass::holding(CLASS);
    let block = blocks(class, 1)[0];
    assert!(bins.is_closed(class) && !push(&bins, class, block));
    bins.open(class);
    assert!(!bins.is_closed(class) && push(&bins, class, block));
    assert_eq!(bins.pop(class), block);
    bins.close(class);
    assert!(bins.is_closed(class) && bins.pop(class).is_null() && !push(&bins, class, block));
}

#[test]
fn each_refill_doubles_a_bin_until_its_first_array_is_full() {
    let (bins, _) = bins();
    for class in SizeClass::all() {
        let most = first_cap(class.index());
        bins.open(class);
        let mut cap = bins.cap(class);
        assert!(cap > 0 && cap <= most, "{class:?}: {cap} of {most}");
        while bins.is_narrow(class) {
            bins.open(class);
            assert_eq!(bins.cap(class), (cap * 2).min(most));
            cap = bins.cap(class);
        }
        bins.open(class);
        assert_eq!(bins.cap(class), most);
    }
    // The arrays are apart: a full bin changes no other.
    let class = SizeClass::holding(CLASS);
    let row = blocks(class, bins.cap(class));
    assert!(row.iter().all(|&block| push(&bins, class, block)));
    for other in SizeClass::all().filter(|&other| other != class) {
        assert!(bins.pop(other).is_null(), "{other:?}");
    }
}

#[test]
fn blocks_come_back_youngest_first_and_are_flushed_oldest_first() {
    let (bins, _) = bins();
    let class = SizeClass::holding(CLASS);
    bins.open(class);
    let row = blocks(class, 6);
    assert!(row.iter().all(|&block| push(&bins, class, block)));
    assert_eq!(bins.pop(class), row[5]);
    let gone = RefCell::new(Vec::new());
    bins.flush(class, 2, |block| gone.borrow_mut().push(block));
    assert_eq!(gone.into_inner(), row[..3]);
    assert_eq!([bins.pop(class), bins.pop(class)], [row[4], row[3]]);
    assert!(bins.pop(class).is_null());
}

#[test]
fn the_first_block_of_a_refill_is_handed_out_and_the_others_follow_in_order() {
    let (bins, _) = bins();
    let class = SizeClass::holding(CLASS);
    bins.open(class);
    let row = blocks(class, 3);
    for &block in &row {
        // A span's free objects are marked in checked builds.
        if CHECKED {
            // SAFETY: the block is the test's.
            unsafe { check::take_back(class, block) };
        }
    }
    let first = bins.fill(class, 3, |put| row.iter().for_each(|&block| put(block)));
    assert_eq!(first, row[0]);
    assert_eq!([bins.pop(class), bins.pop(class)], [row[1], row[2]]);
    assert_eq!(bins.held(class), 0);
}

#[test]
fn a_bin_grows_only_if_its_class_was_refilled_and_within_bounds() {
    let (bins, tiers) = bins();
    let class = SizeClass::holding(CLASS);
    bins.open(class);
    bins.widen(class, usize::MAX);
    assert_eq!(bins.ask_growth(tiers, class), None, "not refilled");
    let row = blocks(class, bins.cap(class));
    assert!(row.iter().all(|&block| push(&bins, class, block)));
    bins.note_refill(class);
    let mut grown = 0;
    while let Some(slots) = bins.ask_growth(tiers, class) {
        let cap = bins.cap(class);
        assert_eq!(slots, cap * 2 + 2);
        let array = Box::leak(vec![null_mut(); slots].into_boxed_slice());
        // SAFETY: so many slots, which are leaked, for a bin of this capacity.
        unsafe { bins.move_to(class, array.as_mut_ptr(), cap) };
        grown += cap * class.size();
        assert_eq!((bins.cap(class), bins.growth(class)), (2 * cap, grown));
        assert_eq!(bins.grown_array(class), array.as_mut_ptr());
    }
    assert!(grown > 0 && grown <= BIN_GROWTH_BYTES && bins.cap(class) <= MOST);
    for &block in row.iter().rev() {
        assert_eq!(bins.pop(class), block, "growth keeps the blocks");
    }
    bins.count_shrunk(tiers, class, grown);
    bins.close(class);
    assert_eq!((bins.growth(class), bins.grown.get()), (0, 0));
}

#[test]
fn medium_bins_grow_out_of_the_room_of_all_threads_once_per_miss() {
    let (bins, tiers) = bins();
    let class = SizeClass::holding(MEDIUM_MIN);
    bins.open(class);
    bins.widen(class, usize::MAX);
    bins.note_refill(class);
    let (cap, slots) = (bins.cap(class), bins.ask_growth(tiers, class).expect("room"));
    let array = Box::leak(vec![null_mut(); slots].into_boxed_slice());
    // SAFETY: so many slots, which are leaked, for a bin of this capacity.
    unsafe { bins.move_to(class, array.as_mut_ptr(), cap) };
    assert_eq!(
        (bins.room(), tiers.room.bytes()),
        (cap * class.size(), cap * class.size())
    );
    assert_eq!(bins.ask_growth(tiers, class), None, "it has not run empty since");
    bins.count_shrunk(tiers, class, bins.growth(class));
    assert_eq!(tiers.room.bytes(), 0);
}
