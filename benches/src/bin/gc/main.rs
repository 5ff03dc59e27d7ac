//! Figures of the collector, one subcommand each; `benches/gc.sh` runs them beside Go and dumpster.
//!
//! ```text
//! cargo run --release -p greyspan-bench --features gc --bin gc -- storm 600
//! ```
//! Each checks what it computed, and fails where the collector lost something or kept too much.

#![forbid(unsafe_code)]

mod code;
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
  storm [SECONDS]      two threads swap a million live objects about, cycles back to back (10)
  list [NODES]         a list of so many nodes (10000000)
  deep [DEPTH]         a tree as deep as this, one long path with leaves (5000000)
  edges [EDGES]        a slice of so many edges (100000000)
  pin [SECONDS]        a thread that stays pinned, while others allocate (10)
  stalls [MIB]         the longest stall of a mutator beside so much live (256)
  binary-trees [DEPTH] the language benchmark (18)
  multiref [THREADS]   random references, beside dumpster (2)
  code                 nothing: keeps the functions that benches/gc-code.sh looks at";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = arguments.get(1).map(|text| text.parse::<usize>());
    let (Some(command), None | Some(Ok(_))) = (arguments.first(), &number) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let or = |default| number.and_then(Result::ok).unwrap_or(default);
    match command.as_str() {
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
