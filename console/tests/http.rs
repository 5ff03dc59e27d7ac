//! Tests every address of the console with a plain TCP client, with valid and with invalid
//! requests.

mod support;

use greyspan_console::{Builder, Console};
#[cfg(feature = "profiling")]
use std::hint;
use std::thread;
use std::time::Duration;
#[cfg(feature = "profiling")]
use std::time::Instant;
use support::{Answer, ask, get, post};

#[global_allocator]
static GLOBAL: greyspan::Greyspan = greyspan::Greyspan::new();

/// Serves a console for one test. A low rate, so that there are samples.
fn console() -> Console {
    Builder::new()
        .profile_rate(Some(4096))
        .serve("127.0.0.1:0")
        .expect("a console")
}

/// Each test has a hoard with another name: all tests share the process and its profile.
#[cfg(feature = "profiling")]
#[inline(never)]
fn hoard_of_the_forms() -> Vec<Vec<u8>> {
    (0..2000).map(|_| hint::black_box(vec![1; 1024])).collect()
}

#[test]
fn the_page_is_one_document_that_asks_nobody_else() {
    let console = console();
    let page = get(&console, "/");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").expect("a policy");
    for part in [
        "default-src 'none'",
        "script-src 'nonce-",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    let nonce = policy
        .split("nonce-")
        .nth(1)
        .and_then(|rest| rest.split('\'').next())
        .expect("a nonce");
    assert_eq!(page.text().matches(&format!("nonce=\"{nonce}\"")).count(), 2);
    assert!(!page.text().contains("{{"));
    assert!(!get(&console, "/").text().contains(nonce), "each page has its own");
    console.shutdown();
}

#[test]
fn statistics_are_served_for_people_and_machines() {
    let console = console();
    let stats = get(&console, "/stats.json");
    assert_eq!(
        (stats.status, stats.header("content-type")),
        (200, Some("application/json"))
    );
    assert!(stats.text().starts_with("{\"version\":") && stats.text().contains("\"by_size\":["));
    assert!(stats.number("heap_inuse") > 0);

    let metrics = get(&console, "/metrics");
    assert_eq!(metrics.status, 200);
    assert!(
        metrics
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4"))
    );
    assert!(metrics.text().contains("\ngreyspan_heap_inuse_bytes "));
    for line in metrics.text().lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect(line);
        assert!(name.starts_with("greyspan_") && value.parse::<f64>().is_ok(), "{line}");
    }

    // A limit that the heap does not reach: it only appears in the answer.
    greyspan::set_memory_limit(Some(1 << 40));
    let status = get(&console, "/status.json");
    greyspan::set_memory_limit(None);
    assert_eq!(status.number("memory_limit"), 1 << 40);
    assert!(status.text().contains("\"hard_limit\":null"), "{}", status.text());
    assert_eq!(status.number("pid"), u64::from(std::process::id()));
    assert!(
        status
            .text()
            .contains(&format!("\"version\":\"{}\"", greyspan::version())),
        "{}",
        status.text()
    );
    assert!(status.text().contains("\"serves_program\":true"), "{}", status.text());
    console.shutdown();
}

#[test]
fn the_heap_over_time_grows_by_the_second() {
    let console = console();
    thread::sleep(Duration::from_millis(2300));
    let history = get(&console, "/history.json");
    let rows = |answer: &Answer| {
        answer
            .text()
            .split("\"fine\":[")
            .nth(1)
            .map(|rest| rest.split("],\"coarse\"").next().map(|rows| rows.matches('[').count()))
    };
    let count = rows(&history).flatten().expect("rows");
    assert!((2..=4).contains(&count), "{count}: {}", history.text());
    let none = get(&console, "/history.json?since=99999999999999");
    assert_eq!(rows(&none).flatten(), Some(0), "{}", none.text());
    console.shutdown();
}

#[cfg(feature = "profiling")]
#[test]
fn profiles_are_served_in_every_form() {
    let console = console();
    let hoard = hoard_of_the_forms();
    let index = get(&console, "/debug/pprof/");
    assert_eq!(
        (index.status, index.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    assert!(index.text().contains("heap") && index.text().contains("allocs"));
    let moved = get(&console, "/debug/pprof");
    assert_eq!((moved.status, moved.header("location")), (308, Some("/debug/pprof/")));
    for path in [
        "/debug/pprof/heap",
        "/debug/pprof/allocs",
        "/debug/pprof/heap?gc=1",
        "/debug/pprof/heap?debug=0&gc=0",
    ] {
        let profile = get(&console, path);
        assert_eq!(profile.status, 200, "{path}: {}", profile.text());
        assert_eq!(
            profile.header("content-type"),
            Some("application/octet-stream"),
            "{path}"
        );
        assert_eq!(profile.body[..2], [0x1f, 0x8b], "{path}: gzip");
        assert!(profile.body.len() > 500, "{path}: {} bytes", profile.body.len());
    }
    let text = get(&console, "/debug/pprof/heap?debug=1");
    assert_eq!(
        (text.status, text.header("content-type")),
        (200, Some("text/plain; charset=utf-8"))
    );
    assert!(text.text().contains("hoard_of_the_forms"), "{}", text.text());
    for view in ["inuse_space", "inuse_objects", "alloc_space", "alloc_objects"] {
        let folded = get(&console, &format!("/folded?view={view}"));
        assert_eq!(folded.status, 200, "{view}");
        assert!(folded.text().contains("hoard_of_the_forms"), "{view}");
        for line in folded.text().lines() {
            assert!(
                line.rsplit_once(' ')
                    .is_some_and(|(_, value)| value.parse::<u64>().is_ok()),
                "{line}"
            );
        }
    }
    let held: u64 = get(&console, "/folded")
        .text()
        .lines()
        .filter(|line| line.contains("hoard_of_the_forms"))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
        .sum();
    let truth = 2000 * 1024;
    assert!(held > truth / 2 && held < truth * 3 / 2, "{held} of {truth} bytes");
    let picture = get(&console, "/flamegraph.svg?view=inuse_space");
    assert_eq!(
        (picture.status, picture.header("content-type")),
        (200, Some("image/svg+xml"))
    );
    assert!(picture.text().contains("<svg"));
    drop(hoard);
    console.shutdown();
}

#[cfg(feature = "profiling")]
#[test]
fn a_difference_holds_what_came_in_its_time_alone() {
    let console = console();
    let before = hoard_of_before();
    let taker = thread::spawn(|| {
        thread::sleep(Duration::from_millis(400));
        hoard_of_the_difference()
    });
    let begin = Instant::now();
    let text = get(&console, "/debug/pprof/heap?seconds=1&debug=1");
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_eq!(text.status, 200, "{}", text.text());
    assert!(text.text().contains("hoard_of_the_difference"), "{}", text.text());
    assert!(!text.text().contains("hoard_of_before"), "{}", text.text());
    drop((before, taker.join()));
    let binary = get(&console, "/debug/pprof/allocs?seconds=1");
    assert_eq!((binary.status, &binary.body[..2]), (200, &[0x1f, 0x8b][..]));
    console.shutdown();
}

#[cfg(feature = "profiling")]
#[inline(never)]
fn hoard_of_the_difference() -> Vec<Vec<u8>> {
    (0..2000).map(|_| hint::black_box(vec![2; 1000])).collect()
}

#[cfg(feature = "profiling")]
#[inline(never)]
fn hoard_of_before() -> Vec<Vec<u8>> {
    (0..2000).map(|_| hint::black_box(vec![3; 1000])).collect()
}

#[test]
fn the_map_of_the_heap_and_the_events_are_served() {
    let console = console();
    let map = get(&console, "/heapmap.json");
    assert_eq!(
        (map.status, map.header("content-type")),
        (200, Some("application/json"))
    );
    assert!(map.text().starts_with('{') && map.text().len() > 100, "{}", map.text());
    let picture = get(&console, "/heapmap.svg");
    assert_eq!(
        (picture.status, picture.header("content-type")),
        (200, Some("image/svg+xml"))
    );
    assert!(picture.text().contains("<svg") && picture.text().trim_end().ends_with("</svg>"));
    assert_eq!(post(&console, "/purge").status, 200);
    let events = get(&console, "/events.json");
    assert_eq!(events.status, 200);
    assert!(events.text().contains("purge"), "{}", events.text());
    console.shutdown();
}

#[test]
fn actions_are_done_by_post_with_the_header_only() {
    let console = console();
    for path in ["/purge", "/collect", "/profile/start", "/profile/stop"] {
        let answer = get(&console, path);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{path}");
        let answer = ask(&console, "POST", path, &[]);
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.text().contains("Greyspan-Action"), "{}", answer.text());
        let cross = [("Greyspan-Action", "1"), ("Origin", "http://evil.example")];
        assert_eq!(ask(&console, "POST", path, &cross).status, 403, "{path}");
    }
    assert!(post(&console, "/purge").text().starts_with("{\"bytes\":"));
    assert!(post(&console, "/collect").text().starts_with("{\"heaps\":"));
    for path in ["/", "/stats.json", "/debug/pprof/heap"] {
        let answer = post(&console, path);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET")), "{path}");
    }
    console.shutdown();
}

#[test]
fn malformed_queries_are_refused_with_a_text() {
    let console = console();
    for (path, says) in [
        ("/debug/pprof/heap?seconds=0", "1 to 300"),
        ("/debug/pprof/heap?seconds=-1", "1 to 300"),
        ("/debug/pprof/heap?seconds=abc", "1 to 300"),
        ("/debug/pprof/heap?seconds=1e9", "1 to 300"),
        ("/debug/pprof/heap?seconds=99999999999999999999", "1 to 300"),
        ("/debug/pprof/heap?seconds", "no value"),
        ("/debug/pprof/allocs?gc=2", "0 to 1"),
        ("/debug/pprof/heap?debug=9", "0 to 1"),
        ("/debug/pprof/heap?gc=1&gc=1", "twice"),
        ("/debug/pprof/heap?fast=1", "seconds"),
        ("/debug/pprof/?x=1", "no query"),
        ("/metrics?name=x", "no query"),
        ("/stats.json?x=1", "no query"),
        ("/history.json?since=now", "whole number"),
        ("/folded?view=everything", "inuse_space"),
        ("/flamegraph.svg?view=%69nuse_space", "inuse_space"),
        ("/heapmap.json?x=1", "no query"),
    ] {
        let answer = get(&console, path);
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert!(answer.text().contains(says), "{path}: {}", answer.text());
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8"),
            "{path}"
        );
    }
    for rate in ["0", "x", "", "-5"] {
        let answer = post(&console, &format!("/profile/start?rate={rate}"));
        assert_eq!(answer.status, 400, "{rate}: {}", answer.text());
    }
    for path in ["/nothing", "/debug/pprof/goroutine", "/debug", "//", "/..%2f"] {
        assert_eq!(get(&console, path).status, 404, "{path}");
    }
    console.shutdown();
}

#[cfg(not(feature = "profiling"))]
#[test]
fn a_build_without_profiling_says_so() {
    let console = console();
    for path in [
        "/debug/pprof/heap",
        "/debug/pprof/allocs?debug=1",
        "/folded",
        "/flamegraph.svg",
    ] {
        let answer = get(&console, path);
        assert_eq!(answer.status, 501, "{path}");
        assert!(answer.text().contains("`profiling`"), "{}", answer.text());
    }
    assert_eq!(post(&console, "/profile/start").status, 501);
    assert!(get(&console, "/status.json").text().contains("\"can_profile\":false"));
    console.shutdown();
}

#[cfg(feature = "profiling")]
#[test]
fn sampling_is_started_and_stopped_by_request() {
    // Sampling belongs to the process, and other tests need it. So this test checks only the
    // answers.
    let console = Builder::new()
        .profile_rate(None)
        .serve("127.0.0.1:0")
        .expect("a console");
    let started = post(&console, "/profile/start?rate=4096");
    assert_eq!(
        (started.status, started.text()),
        (200, "{\"profiling\":true,\"rate\":4096}")
    );
    let status = get(&console, "/status.json");
    assert!(
        status.text().contains("\"profiling\":true") && status.number("profile_rate") == 4096,
        "{}",
        status.text()
    );
    assert!(
        get(&console, "/debug/pprof/")
            .text()
            .contains("one sample in 4096 bytes")
    );
    console.shutdown();
}

#[cfg(feature = "gc")]
#[test]
fn managed_heaps_are_collected_by_post_and_before_a_profile() {
    let heap = greyspan::gc::Heap::new();
    let console = Builder::new()
        .profile_rate(Some(4096))
        .heap(&heap)
        .serve("127.0.0.1:0")
        .expect("a console");
    assert_eq!(get(&console, "/status.json").number("managed_heaps"), 1);
    let cycles = || heap.stats().cycles;
    let before = cycles();
    let collected = post(&console, "/collect");
    assert_eq!((collected.status, collected.number("heaps")), (200, 1));
    assert_eq!(cycles(), before + 1);
    assert_eq!(get(&console, "/debug/pprof/heap").status, 200);
    assert_eq!(cycles(), before + 1);
    assert_eq!(get(&console, "/debug/pprof/heap?gc=1").status, 200);
    assert_eq!(cycles(), before + 2);
    let cross = ask(
        &console,
        "GET",
        "/debug/pprof/heap?gc=1",
        &[("Sec-Fetch-Site", "cross-site")],
    );
    assert_eq!((cross.status, cycles()), (403, before + 2));
    console.shutdown();
}
