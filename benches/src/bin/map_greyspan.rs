//! Runs one workload under Greyspan while another thread takes a map of the heap every few
//! milliseconds. Writes the map of the moment with the most bytes in use to standard output, in all
//! three forms, as JSON.
//!
//! Called by `compare map`. Arguments: `BENCH THREADS SCALE`. Exit codes: those of a cell. This is
//! a separate program, so that the measured cells and the library do not change.

use greyspan::HeapMap;
use greyspan_bench::workload::{self, Context};
use serde_json::{Value, json};
use std::io::Write;
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// The time between two maps.
const EVERY: Duration = Duration::from_millis(5);

#[global_allocator]
static GLOBAL: greyspan::Greyspan = greyspan::Greyspan::new();

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, threads, scale] = &arguments[..] else {
        return usage("expected BENCH THREADS SCALE");
    };
    let Some(workload) = workload::find(name) else {
        return usage(&format!("unknown bench {name:?}; valid names: {}", workload::names()));
    };
    let (Ok(threads), Ok(scale)) = (threads.parse(), scale.parse()) else {
        return usage("THREADS and SCALE must be numbers");
    };
    let context = Context {
        threads,
        scale,
        metadata: None,
        purge: None,
    };
    let drawn = fullest(|| {
        (workload.run)(&context);
    });
    match writeln!(std::io::stdout(), "{drawn}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Runs `work` and returns the map with the most bytes in use.
fn fullest(work: impl FnOnce()) -> Value {
    let (done, until) = channel::<()>();
    let (map, taken) = std::thread::scope(|scope| {
        let taker = scope.spawn(move || {
            let (mut best, mut taken): (Option<HeapMap>, u64) = (None, 0);
            loop {
                let map = greyspan::heap_map();
                taken += 1;
                if best.as_ref().is_none_or(|best| map.in_use() > best.in_use()) {
                    best = Some(map);
                }
                if until.recv_timeout(EVERY) == Err(RecvTimeoutError::Disconnected) {
                    return (best.unwrap_or_default(), taken);
                }
            }
        });
        work();
        drop(done);
        taker.join().expect("taking maps does not panic")
    });
    json!({"text": map.to_string(), "svg": map.to_svg(), "json": map.to_json(), "taken": taken})
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::from(2)
}
