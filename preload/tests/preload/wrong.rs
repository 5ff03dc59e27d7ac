//! Tests wrong frees and writes to free blocks. The cases are in `tests/c/wrong.c`; a number in a
//! test's name is that of a case in the catalogue of bad input.
//!
//! A mistake is *caught* if the process aborts with one line on standard error that names the call,
//! the address and the reason, and no two live blocks shared memory before.

use crate::harness::{End, case};

/// Panics unless the process reported a misuse of `call`, for one of the reasons `whys`, and
/// aborted.
fn assert_caught(end: &End, call: &str, whys: &[&str]) {
    let what = format!("code {:?}, signal {:?}\n{}{}", end.code, end.signal, end.out, end.err);
    assert_eq!(end.signal, Some(libc::SIGABRT), "{what}");
    assert!(!end.out.contains("shared"), "{what}");
    let mut lines = end.err.lines();
    let line = lines.next().unwrap_or_default();
    assert_eq!(lines.next(), None, "one line: {what}");
    assert!(line.starts_with(&format!("greyspan: {call}(0x")), "{what}");
    assert!(
        line.ends_with("; aborting") && whys.iter().any(|why| line.contains(why)),
        "{what}"
    );
}

macro_rules! caught {
    ($($(#[$doc:meta])* $name:ident: $case:literal, $call:literal, $($why:literal)|+;)*) => {$(
        $(#[$doc])*
        #[test]
        fn $name() {
            assert_caught(&case("wrong.c", &[$case]), $call, &[$($why),+]);
        }
    )*};
}

const FREE: &str = "already free";
const TWICE: &str = "freed twice";

caught! {
    c01_a_small_block_freed_twice_at_once: "c01", "free", "the block is already free";
    c02_freed_twice_with_another_between: "c02", "free", "the block is already free";
    c03_freed_twice_after_a_thousand_other_calls: "c03", "free", "the block is already free";
    c04_freed_in_a_thread_then_in_main: "c04", "free", "the block is already free";
    c05_freed_in_main_then_in_a_thread: "c05", "free", "the block is already free";
    c06_freed_in_one_thread_then_in_another: "c06", "free", "the block is already free";
    c08_32_kib_freed_twice: "c08", "free", "the block is already free";
    c09_256_kib_freed_twice: "c09", "free", "the block is already free";
    c10_8_mib_freed_twice: "c10", "free", "or it is already free";
    c11_64_mib_freed_twice: "c11", "free", "or it is already free";
    c12_a_pointer_16_bytes_into_a_block: "c12", "free", "does not point to the start of a block";
    c12_the_same_in_a_block_whose_size_is_no_power_of_two: "c12_of_48", "free", "does not point to the start of a block";
    c13_a_pointer_one_byte_into_a_block: "c13", "free", "does not point to the start of a block";
    c14_a_pointer_4096_bytes_into_a_large_block: "c14", "free", "does not point to the start of the block";
    c14_a_pointer_64_kib_into_a_large_block: "c14_far", "free", "no block of this heap begins here";
    c15_a_pointer_16_bytes_into_a_large_block: "c15", "free", "does not point to the start of the block";
    c16_a_pointer_to_the_stack: "c16", "free", "no block of this heap begins here";
    c17_a_pointer_to_the_programs_data: "c17", "free", "no block of this heap begins here";
    c18_a_wild_pointer: "c18", "free", "no block of this heap begins here";
    c19_a_pointer_into_another_mapping: "c19", "free", "no block of this heap begins here";
    c20_a_pointer_that_no_address_space_has: "c20", "free", "no block of this heap begins here";
    c21_realloc_of_a_freed_block: "c21", "realloc", "the block is already free";
    c21_realloc_of_a_freed_block_in_its_class: "c21_same", "realloc", "the block is already free";
    c21_realloc_of_a_freed_large_block: "c21_large", "realloc", "the block is already free";
    c23_a_pointer_16_bytes_in_front_of_an_aligned_block: "c23", "free", "does not point to the start of a block" | "no block of this heap begins here";
    c24_freed_after_realloc_moved_it: "c24", "free", "the block is already free";
    c24_a_large_block_freed_after_realloc_moved_it: "c24_large", "free", "the block is already free";
    c25_freed_three_times: "c25", "free", "the block is already free";
    c29_written_to_after_it_was_freed: "c29", "malloc", "a free block was written to";
    c30_a_free_block_made_to_lead_elsewhere: "c30", "malloc", "a free block was written to";
    c30_the_links_of_a_spans_list_made_to_lead_elsewhere: "c30_in_span", "malloc", "a free block was written to";
    c30_the_links_of_a_spans_list_made_to_lead_to_a_block_in_use: "c30_to_live", "malloc", "a free block was written to";
    the_leaves_of_a_spans_list_overwritten: "leaves", "malloc", "a free block was written to";
    c31_an_overflow_into_free_neighbours: "c31", "malloc", "a free block was written to";
    c34_free_sized_with_more_than_the_block_holds: "c34_size", "free_sized", "the size or the alignment";
    c34_free_sized_of_a_large_block_with_half_its_size: "c34_large", "free_sized", "the size or the alignment";
    c34_free_aligned_sized_with_an_alignment_that_the_block_has_not: "c34_align", "free_sized", "the size or the alignment";
    a_block_of_a_span_that_was_never_handed_out: "in_span", "free", "never handed out" | "does not point to the start of a block";
    written_to_after_it_was_freed_and_freed_again: "written_and_freed", "malloc", "freed twice";
    a_block_whose_span_has_ended: "of_a_span_that_ended", "free", "already free";
    freed_again_where_it_lay_in_its_bin_before: "where_it_was", "malloc", "freed twice";
    a_block_that_was_not_handed_out_yet_and_is_used: "not_yet_carved", "malloc", "never handed out";
    behind_the_last_block_of_a_short_span: "behind_the_last", "free", "does not point to the start of a block" | "never handed out";
    freed_again_when_the_block_is_on_its_spans_list: "after_flush", "free", "the block is already free";
}

/// Chance decides whether the second free detects the first. If it does not, the block is in the
/// bins of two threads, and the check where it leaves one of them must detect that.
fn assert_caught_together(name: &str, whys: &[&str]) {
    for _ in 0..20 {
        let end = case("wrong.c", &[name]);
        let call = end.err.get(10..).and_then(|rest| rest.split('(').next());
        assert_caught(&end, call.unwrap_or_default(), whys);
    }
}

#[test]
fn c07_freed_by_two_threads_at_the_same_moment() {
    assert_caught_together("c07", &[FREE, TWICE]);
}

/// If the first thread has ended before the second free, no span may own the pages any more.
#[test]
fn c07_a_large_block_freed_by_two_threads_at_the_same_moment() {
    assert_caught_together("c07_large", &[FREE, TWICE]);
}

#[test]
fn the_report_tells_the_size_of_the_block() {
    assert!(case("wrong.c", &["c01"]).err.contains("(block of 64 bytes)"));
    assert!(case("wrong.c", &["c09"]).err.contains("(block of 262144 bytes)"));
}

/// Mistakes that the default build does not catch: the heap adds no harm to the program's own.
macro_rules! harmless {
    ($($name:ident: $case:literal;)*) => {$(
        #[test]
        fn $name() {
            let end = case("wrong.c", &[$case]);
            end.assert_well();
            assert_eq!(end.out, "well\n");
        }
    )*};
}

harmless! {
    c22_usable_size_of_a_freed_block: "c22";
    c26_eight_bytes_written_beyond_a_small_block: "c26";
    c27_a_byte_written_beyond_a_large_block: "c27";
    c28_eight_bytes_written_in_front_of_a_block: "c28";
}
