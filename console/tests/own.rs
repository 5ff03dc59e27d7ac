//! Tests that the console's own allocations appear in no profile, and that it frees them.
#![cfg(feature = "profiling")]

mod support;

use greyspan_console::Builder;
use std::hint;
use support::get;

#[global_allocator]
static GLOBAL: greyspan::Greyspan = greyspan::Greyspan::new();

#[inline(never)]
fn hoard() -> Vec<Vec<u8>> {
    (0..200).map(|_| hint::black_box(vec![1; 1024])).collect()
}

#[test]
fn the_console_is_in_no_profile_and_its_answers_are_given_back() {
    // At this rate each allocation of the program is sampled.
    let console = Builder::new()
        .profile_rate(Some(1))
        .serve("127.0.0.1:0")
        .expect("a console");
    let hoard = hoard();
    let before = greyspan::stats().heap_inuse;
    for path in [
        "/debug/pprof/heap",
        "/debug/pprof/heap?debug=1",
        "/debug/pprof/allocs?seconds=1",
        "/flamegraph.svg",
        "/stats.json",
        "/heapmap.json",
        "/debug/pprof/heap",
        "/debug/pprof/heap",
    ] {
        assert_eq!(get(&console, path).status, 200, "{path}");
        let more = greyspan::stats().heap_inuse.saturating_sub(before);
        // Names and free slots in spans take some MiB; debug information kept in memory would take
        // 40.
        assert!(more < 16 << 20, "{path}: {more} bytes more in use");
    }
    let folded = get(&console, "/folded?view=alloc_space");
    assert!(folded.text().contains("hoard"), "{}", folded.text());
    for line in folded.text().lines() {
        let stranger = line.split(';').find(|name| {
            [
                "greyspan_console::",
                "greyspan::",
                "tokio::",
                "hyper",
                "backtrace",
                "gimli",
                "addr2line",
                "flate2",
            ]
            .iter()
            .any(|module| name.trim_start_matches('<').starts_with(module))
        });
        assert_eq!(stranger, None, "{line}");
    }
    drop(hoard);
    console.shutdown();
}
