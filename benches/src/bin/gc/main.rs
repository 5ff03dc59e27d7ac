//! Measures the collector, one subcommand per figure; `benches/gc.sh` runs them with Go and
//! dumpster for comparison.
//!
//! ```text
//! cargo run --release -p greyspan-bench --features gc --bin gc -- storm 600
//! ```
//!
//! Each subcommand checks its results and fails if the collector lost an object or kept too much.

#![forbid(unsafe_code)]

mod code;
mod mark;
mod multiref;
mod shapes;
mod stalls;
mod storm;
mod trees;

use greyspan::Greyspan;
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

const USAGE: &str = "usage: gc COMMAND [NUMBER]
  mark SHAPE [OBJECTS] collects a heap that stays: random, tree or list (10000000)
  storm [SECONDS]      two threads swap a million live objects while cycles run back to back (10)
  list [NODES]         collects a list with this many nodes (10000000)
  deep [DEPTH]         collects a tree of this depth: one long path with leaves (5000000)
  edges [EDGES]        collects a slice with this many edges (100000000)
  pin [SECONDS]        one thread stays pinned this long while another allocates (10)
  stalls [MIB]         measures the longest stall of a mutator with this much memory live (256)
  binary-trees [DEPTH] runs the language benchmark (18)
  multiref [THREADS]   changes random references, under this collector and under dumpster (2)
  code                 does nothing; the program holds the functions that benches/gc-code.sh checks

The number in brackets is the default of NUMBER.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = arguments.first().map_or("", String::as_str);
    let shape = arguments.get(1).filter(|_| command == "mark");
    let number = arguments.get(1 + usize::from(shape.is_some()));
    let number = number.map(|text| text.parse::<usize>());
    if matches!(number, Some(Err(_))) {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let number = number.and_then(Result::ok);
    let or = |default| number.unwrap_or(default);
    match command {
        "mark" if shape.is_some_and(|shape| mark::run(shape, or(10_000_000))) => {}
        "storm" => storm::run(or(10)),
        "list" => shapes::list(or(10_000_000)),
        "deep" => shapes::deep(or(5_000_000)),
        "edges" => shapes::edges(or(100_000_000)),
        "pin" => stalls::pin(or(10)),
        "stalls" => stalls::run(or(256)),
        "binary-trees" => trees::run(or(18)),
        "multiref" => multiref::run(or(2)),
        "code" => code::run(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
