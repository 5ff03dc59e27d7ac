//! Leaks 1 KiB in every request: its heap profile shows which function does it.
//!
//! ```text
//! cargo run --release --features profiling --example leak_hunt -- target/leak
//! go tool pprof -top target/leak/diff.pb.gz       or open target/leak/diff.svg in a browser
//! ```
//!
//! The program answers 10,000 requests. For each it makes a parsed query, a page and a log line,
//! and frees them once the request is answered. It also opens a session per request and never
//! closes it. It takes one profile when the server is warm and one at the end; their difference
//! names the leak.

use greyspan::Greyspan;
use greyspan::profile::{self, Profile, View};
use std::collections::HashMap;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

const REQUESTS: u64 = 10_000;

/// A session. The leak: no code ever removes it.
struct Session {
    _scratch: Box<[u8]>,
}

#[derive(Default)]
struct Server {
    sessions: HashMap<u64, Session>,
    cache: HashMap<String, String>,
}

impl Server {
    fn answer(&mut self, number: u64) -> usize {
        let request = format!("user={}&page={}&sort=name", number % 997, number % 64);
        let query = parse_query(&request);
        self.open_session(number);
        let page = render_page(&query);
        // A cache of 64 pages: memory in use that does not grow.
        self.cache.entry(query["page"].clone()).or_insert_with(|| page.clone());
        write_log(number, &page)
    }

    #[inline(never)]
    fn open_session(&mut self, number: u64) {
        let scratch = vec![number as u8; 1024].into_boxed_slice();
        self.sessions.insert(number, Session { _scratch: scratch });
    }
}

#[inline(never)]
fn parse_query(request: &str) -> HashMap<String, String> {
    let pairs = request.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[inline(never)]
fn render_page(query: &HashMap<String, String>) -> String {
    let row = format!("<li>{}</li>", query["user"]);
    format!("<ul>{}</ul>", row.repeat(200))
}

#[inline(never)]
fn write_log(number: u64, page: &str) -> usize {
    black_box(format!("{number}: 200, {} bytes", page.len())).len()
}

fn save(folder: &Path, name: &str, profile: &Profile) -> io::Result<()> {
    let mut pprof = BufWriter::new(File::create(folder.join(format!("{name}.pb.gz")))?);
    profile.write_pprof(&mut pprof)?;
    pprof.flush()?;
    let mut picture = BufWriter::new(File::create(folder.join(format!("{name}.svg")))?);
    profile.write_flamegraph(&mut picture)?;
    picture.flush()
}

fn main() -> io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "target/leak".into()));
    fs::create_dir_all(&folder)?;
    // Samples more often than the default of one per 512 KiB, because the program is small and
    // short.
    profile::start(32 << 10)?;
    let mut server = Server::default();
    for number in 0..REQUESTS / 10 {
        black_box(server.answer(number));
    }
    let warm = Profile::take();
    for number in REQUESTS / 10..REQUESTS {
        black_box(server.answer(number));
    }
    let end = Profile::take();
    profile::stop();
    let growth = profile::diff(&end, &warm);
    for (name, profile) in [("warm", &warm), ("end", &end), ("diff", &growth)] {
        save(&folder, name, profile)?;
    }
    println!(
        "{} requests: {} KiB more in use, by the profile; {} sessions of 1 KiB are open",
        REQUESTS - REQUESTS / 10,
        growth.total(View::InuseSpace) / 1024,
        server.sessions.len(),
    );
    println!("{}: warm, end and diff, each as .pb.gz and .svg", folder.display());
    Ok(())
}
