use super::*;
use crate::os::tests as contract;

static SOURCE: Portable = Portable::new();

#[test]
fn the_page_size_is_the_kernels() {
    contract::the_page_size_is_the_kernels(&SOURCE);
}

#[test]
fn new_memory_is_zero_and_writable_and_zero_again_after_release() {
    contract::new_memory_is_zero_and_writable_and_zero_again_after_release(&SOURCE);
}

#[test]
fn every_alignment_up_to_a_gibibyte_is_kept() {
    contract::every_alignment_up_to_a_gibibyte_is_kept(&SOURCE);
}

#[test]
fn impossible_reservations_are_refused() {
    contract::impossible_reservations_are_refused(&SOURCE);
}

#[test]
fn freed_memory_is_unmapped_and_its_neighbours_stay() {
    contract::freed_memory_is_unmapped_and_its_neighbours_stay(&SOURCE);
}

#[test]
fn remap_refuses_and_changes_nothing() {
    let page = SOURCE.page_size();
    let (from, to) = (
        contract::ready_range(&SOURCE, page),
        contract::ready_range(&SOURCE, page),
    );
    contract::fill(from, page, 1);
    contract::fill(to, page, 2);
    // SAFETY: both ranges are Ready, ours and disjoint.
    assert!(!unsafe { SOURCE.remap(from, to, page) });
    assert!(contract::holds(from, page, 1) && contract::holds(to, page, 2));
    contract::free(&SOURCE, from, page);
    contract::free(&SOURCE, to, page);
}

#[test]
fn a_limit_of_the_address_space_is_unknown() {
    assert_eq!(SOURCE.address_space_left(), None);
}
