//! The body of `map_greyspan`: one workload, and a thread beside it that takes a map of the heap every few milliseconds. The one of the
//! moment when most was in use goes to standard output, in all three forms, as JSON.
//!
//! Called by `compare map`. Arguments: `BENCH THREADS SCALE`. Exit codes as those of a cell.

use crate::workload::{self, Context};
use greyspan::HeapMap;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Between two maps.
const EVERY: Duration = Duration::from_millis(5);

/// What the program writes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Drawn {
    /// For a terminal.
    pub text: String,
    /// For a browser.
    pub svg: String,
    /// For machines.
    pub json: String,
    /// Maps that were taken.
    pub taken: u64,
}

/// Runs the workload that the command line names.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, threads, scale] = &arguments[..] else {
        return usage("expected BENCH THREADS SCALE");
    };
    let Some(workload) = workload::find(name) else {
        return usage(&format!("unknown bench {name:?}; valid names: {}", workload::names()));
    };
    let (Ok(threads), Ok(scale)) = (threads.parse(), scale.parse()) else {
        return usage("THREADS and SCALE are numbers");
    };
    let context = Context {
        threads,
        scale,
        metadata: None,
    };
    let drawn = fullest(|| {
        (workload.run)(&context);
    });
    let line = serde_json::to_string(&drawn).expect("strings and numbers");
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The map of the moment during `work` when most was in use, of those that were taken.
fn fullest(work: impl FnOnce()) -> Drawn {
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
    Drawn {
        text: map.to_string(),
        svg: map.to_svg(),
        json: map.to_json(),
        taken,
    }
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::from(2)
}
