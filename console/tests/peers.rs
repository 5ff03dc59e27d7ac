//! Tests refusals, slow and stuck peers, bounds, and the end of a console.

mod support;

use greyspan_console::{Builder, Console, ServeError};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};
use support::{ask, get, send};

#[global_allocator]
static GLOBAL: greyspan::Greyspan = greyspan::Greyspan::new();

fn console() -> Console {
    Builder::new().serve("127.0.0.1:0").expect("a console")
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
        // Some could still become a request, so the console waits for the rest until the time
        // limit.
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
        "no answer lists the allowed methods"
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
            "greyspan console: port {} of 127.0.0.1 is in use; choose another port, or 0 for any free one",
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
    // A peer that waits for a difference and a silent peer are both disconnected.
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
    // Forty peers begin a request and stop. A few request the page again and again, and read
    // nothing.
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
    // The slow peers are disconnected.
    let mut one = slow.into_iter().next().expect("one of them");
    one.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    let mut rest = Vec::new();
    one.read_to_end(&mut rest).expect("the end of it");
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"),
        "{:?}",
        String::from_utf8_lossy(&rest)
    );
    // So are the peers that read nothing.
    let end = Instant::now() + Duration::from_secs(30);
    for mut stream in stuck {
        let cut = loop {
            match stream.write(b"x") {
                Err(error) if error.kind() != ErrorKind::WouldBlock => break true,
                _ if Instant::now() > end => break false,
                _ => thread::sleep(Duration::from_millis(100)),
            }
        };
        assert!(cut, "a connection that takes nothing stays");
    }
    console.shutdown();
}

#[test]
fn connections_are_bounded_and_come_back() {
    let console = console();
    let many: Vec<TcpStream> = (0..64)
        .map(|_| TcpStream::connect(console.address()).expect("a connection"))
        .collect();
    thread::sleep(Duration::from_millis(300));
    for request in ["", "GET /stats.json HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let refused = send(&console, request.as_bytes());
        let text = String::from_utf8_lossy(&refused);
        assert!(
            text.starts_with("HTTP/1.1 503") && text.ends_with("try again later\n"),
            "{text:?}"
        );
    }
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
