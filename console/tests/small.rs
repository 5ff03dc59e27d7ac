//! Tests the console's own memory, in a process without other allocations.

mod support;

use support::get;

#[global_allocator]
static GLOBAL: greyspan::Greyspan = greyspan::Greyspan::new();

#[test]
fn a_console_that_serves_a_page_for_long_keeps_little() {
    let before = greyspan::stats().allocated;
    let console = greyspan_console::Builder::new()
        .profile_rate(None)
        .serve("127.0.0.1:0")
        .expect("a console");
    let ask_all = |rounds: u32| {
        for _ in 0..rounds {
            for path in [
                "/",
                "/stats.json",
                "/status.json",
                "/history.json",
                "/heapmap.json",
                "/events.json",
                "/metrics",
                "/nothing",
            ] {
                assert_ne!(get(&console, path).status, 500, "{path}");
            }
        }
        greyspan::stats().allocated
    };
    let warm = ask_all(20);
    let later = ask_all(100);
    let own = warm.saturating_sub(before);
    // About half of it is in the caches of two or three threads.
    assert!(own < 1 << 20, "{own} bytes");
    assert!(
        later < warm + (256 << 10),
        "{} bytes more after 800 requests",
        later - warm
    );
    console.shutdown();
}
