//! A demo program with a console: it serves imaginary requests, churns, allocates in bursts, and
//! leaks a little.
//!
//! ```sh
//! cargo run --release -p greyspan-console --example console_demo [-- ADDRESS [SECONDS]]
//! ```
//!
//! Open the address that it prints. The flame graph shows `remember_session`, which never removes a
//! session. The view "Allocated" shows `render`, which grows a string piece by piece. With
//! `--features gc` the program also has a managed heap, and the page shows its cycles.

use std::collections::HashMap;
use std::time::{Duration, Instant};
use std::{env, hint, process, thread};

#[global_allocator]
static GLOBAL: greyspan::Greyspan = greyspan::Greyspan::new();

/// Answers by session. No code removes old sessions: that is the leak.
struct Server {
    sessions: HashMap<u64, Vec<u8>>,
    thumbnails: Vec<Vec<u8>>,
    settings: Vec<String>,
}

/// Allocates memory that lives as long as the program.
#[inline(never)]
fn load_settings() -> Vec<String> {
    let mut settings = Vec::new();
    for line in 0..1000 {
        settings.push(format!("setting-{line:0>200}"));
    }
    settings
}

#[inline(never)]
fn remember_session(server: &mut Server, id: u64) {
    server.sessions.insert(id, vec![1; 1024]);
}

/// Grows a string in small steps: this allocates much memory and keeps none. That is the churn.
#[inline(never)]
fn render(lines: u64) -> String {
    let mut page = String::new();
    for line in 0..lines {
        page.push_str(&format!("<li>{line}</li>\n"));
    }
    page
}

/// Loads images that are needed together and dropped together: that is the burst.
#[inline(never)]
fn load_thumbnails(server: &mut Server, count: usize) {
    for index in 0..count {
        server.thumbnails.push(vec![7; 8 * 1024 + index % 7 * 4096]);
    }
}

#[inline(never)]
fn handle_request(server: &mut Server, id: u64) {
    remember_session(server, id);
    hint::black_box(render(40 + id % 160));
}

fn serve_requests(worker: u64, end: Option<Instant>) {
    let mut server = Server {
        sessions: HashMap::new(),
        thumbnails: Vec::new(),
        settings: load_settings(),
    };
    let mut id = worker << 32;
    for round in 0u64.. {
        if end.is_some_and(|end| Instant::now() > end) {
            break;
        }
        for _ in 0..20 {
            handle_request(&mut server, id);
            id += 1;
        }
        match (round + worker * 200) % 400 {
            100..200 => load_thumbnails(&mut server, 10),
            200 => server.thumbnails = Vec::new(),
            _ => {}
        }
        thread::sleep(Duration::from_millis(50));
    }
    hint::black_box(&server.settings);
}

/// Rebuilds a graph of managed objects again and again.
#[cfg(feature = "gc")]
fn manage(heap: &greyspan::gc::Heap, end: Option<Instant>) {
    use greyspan::gc::{GcCell, Root, Rootable, Trace};

    #[derive(Trace)]
    struct Node<'gc> {
        value: [u64; 6],
        next: GcCell<'gc, Node<'gc>>,
    }

    while end.is_none_or(|end| Instant::now() < end) {
        let root: Root<Rootable![Node<'_>]> = heap.enter(|m| {
            let first = m.alloc(Node {
                value: [0; 6],
                next: GcCell::null(),
            });
            let mut last = first;
            for value in 1..20_000 {
                let node = m.alloc(Node {
                    value: [value; 6],
                    next: GcCell::null(),
                });
                last.next.set(m, Some(node));
                last = node;
            }
            Root::new(m, first)
        });
        thread::sleep(Duration::from_millis(30));
        heap.enter(|m| assert_eq!(root.get(m).value[0], 0));
    }
}

fn main() {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:6060".to_owned());
    let seconds: Option<u64> = arguments.next().map(|text| {
        text.parse().unwrap_or_else(|_| {
            eprintln!("usage: console_demo [ADDRESS [SECONDS]]");
            process::exit(2)
        })
    });
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));

    // A low rate, so that the profile of a small program fills soon.
    let console = greyspan_console::Builder::new().profile_rate(Some(32 * 1024));
    #[cfg(feature = "gc")]
    let heap = greyspan::gc::Heap::new();
    #[cfg(feature = "gc")]
    let console = console.heap(&heap);
    match console.serve(&*address) {
        Ok(console) => println!("{}", console.url()),
        // The program does not need its console.
        Err(error) => eprintln!("{error}"),
    }

    thread::scope(|scope| {
        for worker in 0..2 {
            scope.spawn(move || serve_requests(worker, end));
        }
        #[cfg(feature = "gc")]
        scope.spawn(|| manage(&heap, end));
    });
}
