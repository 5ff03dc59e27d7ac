//! Tests a program whose allocator is not Greyspan: the console says so, and every address answers.

mod support;

use support::{get, post};

#[test]
fn a_program_with_another_allocator_is_told() {
    let console = greyspan_console::serve("127.0.0.1:0").expect("a console");
    let status = get(&console, "/status.json");
    assert!(status.text().contains("\"serves_program\":false"), "{}", status.text());
    for path in [
        "/",
        "/stats.json",
        "/metrics",
        "/history.json",
        "/heapmap.json",
        "/heapmap.svg",
        "/events.json",
        "/debug/pprof/",
    ] {
        assert_eq!(get(&console, path).status, 200, "{path}");
    }
    assert_eq!(post(&console, "/purge").status, 200);
    #[cfg(feature = "profiling")]
    for path in [
        "/debug/pprof/heap",
        "/debug/pprof/allocs?debug=1",
        "/folded",
        "/flamegraph.svg",
    ] {
        assert_eq!(get(&console, path).status, 200, "{path}");
    }
    console.shutdown();
}
