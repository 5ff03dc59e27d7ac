//! Every address of the console by a plain TCP client: what is right, what is wrong, and who may not ask.

mod support;

use greyspan_console::{Builder, Console, ServeError};
#[cfg(feature = "profiling")]
use std::hint;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};
use support::{Answer, ask, get, post, send};

#[global_allocator]
static GLOBAL: greyspan::Greyspan = greyspan::Greyspan::new();

/// A console of the test's own. Small samples, so that there are some.
fn console() -> Console {
    Builder::new()
        .profile_rate(Some(4096))
        .serve("127.0.0.1:0")
        .expect("a console")
}

/// Each of these hoards is one test's: all tests share a process, and its profile.
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

    // Far away: nothing but its being told depends on it.
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

#[test]
fn what_is_no_request_ends_its_own_connection_only() {
    let console = console();
    let nonsense = [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /purge HTTP/1.1\r\nHost: localhost\r\nGreyspan-Action: 1\r\nContent-Length: 5\r\n\r\nhello",
        b"POST /purge HTTP/1.1\r\nHost: localhost\r\nGreyspan-Action: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
    ];
    thread::scope(|scope| {
        // Some are what could still become a request, and take as long as one may.
        for nonsense in nonsense {
            let console = &console;
            scope.spawn(move || {
                let answer = send(console, nonsense);
                assert!(
                    answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
                    "{:?}",
                    String::from_utf8_lossy(&answer)
                );
            });
        }
    });
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(200_000));
    let answer = send(&console, long.as_bytes());
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(get(&console, "/stats.json").status, 200);
    console.shutdown();
}

#[test]
fn hosts_that_anybody_can_point_here_are_refused() {
    let console = Builder::new()
        .profile_rate(None)
        .allow_host("Heap.Example")
        .serve("127.0.0.1:0")
        .expect("a console");
    let of = |host: &str| {
        send(
            &console,
            format!("GET /stats.json HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes(),
        )
    };
    for host in ["localhost", "127.0.0.1:6060", "[::1]:1", "heap.example:6060"] {
        assert!(of(host).starts_with(b"HTTP/1.1 200"), "{host}");
    }
    for host in ["evil.example", "localhost.evil.example:6060", "127.0.0.1.evil.example"] {
        let answer = of(host);
        assert!(answer.starts_with(b"HTTP/1.1 403"), "{host}");
        assert!(String::from_utf8_lossy(&answer).contains("allow_host"), "{host}");
    }
    let cross = ask(&console, "GET", "/stats.json", &[("Sec-Fetch-Site", "cross-site")]);
    assert_eq!(cross.status, 403);
    assert_eq!(cross.header("access-control-allow-origin"), None);
    assert_eq!(
        ask(&console, "OPTIONS", "/purge", &[]).status,
        405,
        "nobody is told what they might ask for"
    );
    console.shutdown();
}

#[test]
fn other_machines_are_shut_out_unless_the_program_says_otherwise() {
    let refused = greyspan_console::serve("0.0.0.0:0").expect_err("must be refused");
    assert!(matches!(refused, ServeError::Remote(_)));
    assert!(refused.to_string().contains("allow_remote"), "{refused}");
    let console = Builder::new()
        .allow_remote(true)
        .profile_rate(None)
        .serve("0.0.0.0:0")
        .expect("it is allowed");
    assert!(console.url().starts_with("http://127.0.0.1:"), "{}", console.url());
    assert_eq!(get(&console, "/stats.json").status, 200);
    console.shutdown();
}

#[test]
fn a_taken_port_is_said_and_the_program_goes_on() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let error = greyspan_console::serve(address).expect_err("it is taken");
    assert!(matches!(error, ServeError::Bind(..)));
    assert_eq!(
        error.to_string(),
        format!(
            "greyspan console: port {} of 127.0.0.1 is taken; choose another, or 0 for any that is free",
            address.port()
        )
    );
    drop(taken);
    let console = greyspan_console::serve(address).expect("it is free now");
    assert_eq!(get(&console, "/stats.json").status, 200);
    console.shutdown();
}

#[test]
fn a_dropped_console_goes_on_and_one_that_is_shut_down_is_gone() {
    let console = console();
    let address = console.address();
    drop(console);
    let answer = support::ask_at(address, "GET", "/stats.json", &[]);
    assert_eq!(answer.status, 200);

    let console = self::console();
    let address = console.address();
    // One that waits for a difference, and one that says nothing, are cut off.
    let mut waiting = TcpStream::connect(address).expect("a connection");
    write!(
        waiting,
        "GET /debug/pprof/heap?seconds=300 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    .expect("sent");
    let mut silent = TcpStream::connect(address).expect("a connection");
    thread::sleep(Duration::from_millis(200));
    let begin = Instant::now();
    console.shutdown();
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    for stream in [&mut waiting, &mut silent] {
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
        let mut rest = Vec::new();
        let read = stream.read_to_end(&mut rest);
        assert!(rest.is_empty() && read.is_ok_and(|length| length == 0) || rest.is_empty());
    }
    assert!(TcpStream::connect(address).is_err(), "the port is closed");
    TcpListener::bind(address).expect("the port is free at once");
}

#[test]
fn slow_and_stuck_peers_keep_nobody_waiting() {
    let console = console();
    // Forty begin a request and say no more; a few ask for the page again and again, and read nothing.
    let slow: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = TcpStream::connect(console.address()).expect("a connection");
            stream.write_all(b"GET / HTTP/1.1\r\nHost: local").expect("sent");
            stream
        })
        .collect();
    let stuck: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = TcpStream::connect(console.address()).expect("a connection");
            stream.set_nonblocking(true).expect("set");
            for _ in 0..2000 {
                if stream.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").is_err() {
                    break;
                }
            }
            stream
        })
        .collect();
    let begin = Instant::now();
    for _ in 0..20 {
        assert_eq!(get(&console, "/stats.json").status, 200);
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    // Their time ends.
    let mut one = slow.into_iter().next().expect("one of them");
    one.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    let mut rest = Vec::new();
    one.read_to_end(&mut rest).expect("the end of it");
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"),
        "{:?}",
        String::from_utf8_lossy(&rest)
    );
    drop(stuck);
    console.shutdown();
}

#[test]
fn connections_are_bounded_and_come_back() {
    let console = console();
    let many: Vec<TcpStream> = (0..64)
        .map(|_| TcpStream::connect(console.address()).expect("a connection"))
        .collect();
    thread::sleep(Duration::from_millis(300));
    let refused = send(&console, b"");
    assert!(
        refused.starts_with(b"HTTP/1.1 503"),
        "{:?}",
        String::from_utf8_lossy(&refused)
    );
    drop(many);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(get(&console, "/stats.json").status, 200);
    console.shutdown();
}

#[test]
fn a_connection_serves_many_requests() {
    let console = console();
    let mut stream = TcpStream::connect(console.address()).expect("a connection");
    let request = "GET /history.json?since=99999999999999 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut length = 0;
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).expect("sent");
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).expect("an answer");
        assert!(buffer.starts_with(b"HTTP/1.1 200"));
        assert!(length == 0 || length == read);
        length = read;
    }
    stream
        .write_all(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("an answer");
    assert!(
        rest.starts_with(b"HTTP/1.1 200") && rest.ends_with(b"\r\n\r\n"),
        "HEAD has no body"
    );
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
    // Sampling is the process's, and other tests need theirs: what is looked at is what the answers say.
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

#[cfg(feature = "profiling")]
#[test]
fn differences_are_bounded_and_end_with_who_waits_for_them() {
    let console = console();
    let waiting: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = TcpStream::connect(console.address()).expect("a connection");
            write!(
                stream,
                "GET /debug/pprof/heap?seconds=300 HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
            .expect("sent");
            stream
        })
        .collect();
    thread::sleep(Duration::from_millis(500));
    let refused = get(&console, "/debug/pprof/heap?seconds=1");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(
        get(&console, "/debug/pprof/heap").status,
        200,
        "other profiles are served"
    );
    drop(waiting);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(get(&console, "/debug/pprof/heap?seconds=1").status, 200);
    console.shutdown();
}
