//! Tests each call against the standards (POSIX.1-2024, the C standard of 2023) and glibc's manual,
//! in a process with the library preloaded and in a forked child. The cases are in
//! `tests/c/semantics.c`. A number in a test's name is that of a case in the catalogue of bad
//! input.

use crate::harness::{case, library, run};
use std::collections::BTreeSet;
use std::process::Command;

macro_rules! cases {
    ($($name:ident: $case:literal)*) => {$(
        #[test]
        fn $name() {
            case("semantics.c", &[$case]).assert_well();
            case("semantics.c", &[$case, "forked"]).assert_well();
        }
    )*};
}

cases! {
    c44_malloc_and_calloc_of_zero_bytes_give_unique_blocks: "malloc_and_calloc_of_zero_bytes_give_unique_blocks"
    c35_sizes_beyond_ptrdiff_max_give_enomem: "sizes_beyond_ptrdiff_max_give_enomem"
    c36_c38_overflowing_products_give_enomem_and_keep_the_block: "overflowing_products_give_enomem_and_keep_the_block"
    blocks_of_glibcs_second_names_are_blocks_of_this_heap: "blocks_of_glibcs_second_names_are_blocks_of_this_heap"
    realloc_of_null_is_malloc: "realloc_of_null_is_malloc"
    c45_realloc_to_zero_bytes_frees_and_gives_null: "realloc_to_zero_bytes_frees_and_gives_null"
    c37_realloc_that_fails_keeps_the_block: "realloc_that_fails_keeps_the_block"
    realloc_keeps_what_both_sizes_hold: "realloc_keeps_what_both_sizes_hold"
    realloc_takes_aligned_blocks: "realloc_takes_aligned_blocks"
    realloc_keeps_all_that_usable_size_reports: "realloc_keeps_all_that_usable_size_reports"
    realloc_of_what_outgrows_the_small_sizes_moves_it_once: "realloc_of_what_outgrows_the_small_sizes_moves_it_once"
    c39_posix_memalign_with_a_bad_alignment_gives_einval_and_leaves_the_pointer_alone: "posix_memalign_with_a_bad_alignment_gives_einval_and_leaves_the_pointer_alone"
    c40_c41_posix_memalign_without_memory_gives_enomem_and_leaves_the_pointer_alone: "posix_memalign_without_memory_gives_enomem_and_leaves_the_pointer_alone"
    c42_alignments_from_8_bytes_to_64_mib_are_kept: "alignments_from_8_bytes_to_64_mib_are_kept"
    c41_c43_aligned_alloc_with_a_bad_alignment_gives_einval: "aligned_alloc_with_a_bad_alignment_gives_einval"
    memalign_rounds_its_alignment_up: "memalign_rounds_its_alignment_up"
    valloc_and_pvalloc_give_whole_pages: "valloc_and_pvalloc_give_whole_pages"
    c49_every_size_is_aligned_to_16_bytes: "every_size_is_aligned_to_16_bytes"
    c47_all_that_usable_size_reports_may_be_written: "all_that_usable_size_reports_may_be_written"
    c48_calloc_zeroes_all_that_usable_size_reports: "calloc_zeroes_all_that_usable_size_reports"
    no_block_begins_with_what_an_earlier_one_left: "no_block_begins_with_what_an_earlier_one_left"
    c46_free_keeps_errno_and_accepts_null: "free_keeps_errno_and_accepts_null"
    c46_free_keeps_errno_as_a_threads_first_call: "free_keeps_errno_as_a_threads_first_call"
    sized_frees_take_the_sizes_that_were_asked_for: "sized_frees_take_the_sizes_that_were_asked_for"
    malloc_trim_tells_whether_memory_went_back: "malloc_trim_tells_whether_memory_went_back"
    mallinfo_counts_what_is_in_use: "mallinfo_counts_what_is_in_use"
    mallinfo_counts_nothing_of_threads_that_have_ended: "mallinfo_counts_nothing_of_threads_that_have_ended"
}

#[test]
fn malloc_info_writes_xml_and_malloc_stats_a_table() {
    let end = case("semantics.c", &["malloc_info_writes_xml_and_malloc_stats_a_table"]);
    end.assert_well();
    let xml = &end.out;
    assert!(
        xml.starts_with("<malloc version=\"1\">\n") && xml.ends_with("</malloc>\n"),
        "{xml}"
    );
    let row = xml
        .lines()
        .find(|line| line.contains(" to=\"48\" "))
        .expect("a row for 48 bytes");
    let count: u32 = row
        .split("count=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .and_then(|count| count.parse().ok())
        .expect("a count");
    assert!(count >= 100, "{row}");
    // Every element is closed, in the right order.
    let mut open = Vec::new();
    for tag in xml.split('<').skip(1) {
        let tag = tag.split('>').next().expect("a tag");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{xml}"),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().expect("a name")),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(end.err.contains("heap_inuse"), "{}", end.err);
}

#[test]
fn the_library_exports_its_promised_names_and_no_others() {
    let promised = "malloc free calloc realloc reallocarray memalign aligned_alloc posix_memalign valloc pvalloc malloc_usable_size \
        malloc_trim mallinfo mallinfo2 mallopt malloc_stats malloc_info cfree free_sized free_aligned_sized greyspan_stats_json \
        greyspan_purge greyspan_thread_idle greyspan_set_memory_limit greyspan_heap_profile greyspan_profile_start greyspan_profile_stop greyspan_version __register_atfork dlopen dlmopen prctl syscall \
        __libc_malloc __libc_calloc __libc_realloc __libc_reallocarray __libc_free __libc_memalign __libc_valloc __libc_pvalloc __posix_memalign";
    let operators = "_Znwm _Znam _ZnwmRKSt9nothrow_t _ZnamRKSt9nothrow_t _ZnwmSt11align_val_t _ZnamSt11align_val_t \
        _ZnwmSt11align_val_tRKSt9nothrow_t _ZnamSt11align_val_tRKSt9nothrow_t _ZdlPv _ZdaPv _ZdlPvm _ZdaPvm _ZdlPvRKSt9nothrow_t \
        _ZdaPvRKSt9nothrow_t _ZdlPvSt11align_val_t _ZdaPvSt11align_val_t _ZdlPvmSt11align_val_t _ZdaPvmSt11align_val_t \
        _ZdlPvSt11align_val_tRKSt9nothrow_t _ZdaPvSt11align_val_tRKSt9nothrow_t";
    let mut wanted: Vec<_> = promised
        .split_whitespace()
        .chain(operators.split_whitespace())
        .collect();
    let mut nm = Command::new("nm");
    nm.args(["-D", "--defined-only", "--format=posix"]).arg(library());
    let listed = run(nm);
    listed.assert_well();
    let mut found: Vec<_> = listed.out.lines().filter_map(|line| line.split(' ').next()).collect();
    wanted.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, wanted);
}

/// If the library lacked a second name, a block from it would be glibc's, and reach this heap's
/// `free`.
#[test]
fn every_second_name_that_glibc_exports_is_here() {
    let names = |file: &str| {
        let mut nm = Command::new("nm");
        nm.args(["-D", "--defined-only", "--format=posix"]).arg(file);
        let listed = run(nm);
        listed.assert_well();
        let bare = |line: &str| line.split([' ', '@']).next().unwrap_or("").to_owned();
        listed.out.lines().map(bare).collect::<BTreeSet<_>>()
    };
    let maps = std::fs::read_to_string("/proc/self/maps").expect("this process's mappings");
    let Some(libc) = maps.split_whitespace().find(|path| path.ends_with("/libc.so.6")) else {
        eprintln!("skipped: this process has no libc.so.6");
        return;
    };
    let ours = names(&library().display().to_string());
    let family = [
        "malloc",
        "calloc",
        "realloc",
        "reallocarray",
        "free",
        "cfree",
        "memalign",
        "aligned_alloc",
        "posix_memalign",
        "valloc",
        "pvalloc",
    ];
    let mut seconds = names(libc);
    seconds.retain(|name| {
        family
            .iter()
            .any(|first| name.trim_start_matches("__libc").trim_start_matches('_') == *first)
    });
    assert!(seconds.len() > family.len(), "{seconds:?}");
    assert_eq!(seconds.difference(&ours).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn the_library_has_the_flags_of_one_that_stays_loaded_and_needs_no_calls_for_its_slot() {
    let mut readelf = Command::new("readelf");
    readelf.args(["-d", "-l", "--wide"]).arg(library());
    let read = run(readelf);
    read.assert_well();
    for flag in ["NODELETE", "BIND_NOW", "STATIC_TLS", "libgreyspan.so"] {
        assert!(read.out.contains(flag), "{flag} is missing:\n{}", read.out);
    }
}

/// Unwinding and panic reports would be two thirds of the library, and would allocate. Only
/// unoptimised builds refer to them.
#[test]
fn the_library_needs_nothing_of_what_the_standard_library_does_when_it_panics() {
    if cfg!(debug_assertions) {
        return;
    }
    let mut nm = Command::new("nm");
    nm.args(["-D", "--undefined-only", "--format=posix"]).arg(library());
    let listed = run(nm);
    listed.assert_well();
    for name in ["getcwd", "realpath", "_Unwind", "__tls_get_addr"] {
        let found = listed.out.lines().find(|line| line.starts_with(name));
        assert_eq!(found, None);
    }
}
