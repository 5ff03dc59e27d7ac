//! The body of every `cell_*` program: runs one workload once, in this fresh process, and prints
//! its figures as one line of JSON.
//!
//! Called through `cell_main!` only. Exit codes: 0 measured, 2 wrong arguments, 3 the linked
//! allocator is not the named one.

use crate::measure;
use crate::watch;
use crate::workload::{self, Context, IDLE, WORKLOADS, one_box};
use std::io::Write;
use std::process::ExitCode;

/// Makes a program whose global allocator is `$allocator`, of type `$type`, and which runs
/// workloads under `$name`. The optional last arguments are a function that returns the bytes of
/// the allocator's own records, and one that gives its free memory back.
#[macro_export]
macro_rules! cell_main {
    ($type:ty = $allocator:expr, $name:literal) => {
        $crate::cell_main!($type = $allocator, $name, None, None);
    };
    ($type:ty = $allocator:expr, $name:literal, $metadata:expr, $purge:expr) => {
        #[global_allocator]
        static GLOBAL: $type = $allocator;

        fn main() -> std::process::ExitCode {
            $crate::cell::main($name, $metadata, $purge)
        }
    };
}

/// Runs the workload that the command line names: `BENCH THREADS [SCALE]`, or lists all for `list`.
#[must_use]
pub fn main(allocator: &'static str, metadata: Option<fn() -> u64>, purge: Option<fn()>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (name, threads, scale) = match words[..] {
        ["list"] => {
            for workload in WORKLOADS.iter().chain(IDLE) {
                println!("{:<16} {}", workload.name, workload.help);
            }
            return ExitCode::SUCCESS;
        }
        [one_box::SMALLEST] => {
            one_box::smallest();
            return ExitCode::SUCCESS;
        }
        [name, threads] => (name, threads, "1"),
        [name, threads, scale] => (name, threads, scale),
        _ => return usage("expected BENCH THREADS [SCALE], or list"),
    };
    let Some(workload) = workload::find(name) else {
        return usage(&format!("unknown bench {name:?}; valid names: {}", workload::names()));
    };
    let Some(threads) = threads.parse().ok().filter(|threads| (1..=1024).contains(threads)) else {
        return usage(&format!("THREADS must be a number from 1 to 1024, not {threads:?}"));
    };
    let Some(scale) = scale.parse().ok().filter(|scale| *scale > 0.0 && *scale <= 1e6) else {
        return usage(&format!("SCALE must be a number above 0, not {scale:?}"));
    };
    drop(words);
    drop(arguments);
    let outcome = (workload.run)(&Context {
        threads,
        scale,
        metadata,
        purge,
    });
    let memory = measure::memory();
    let usage = measure::usage();
    let mut line = format!(
        "{{\"alloc\":\"{allocator}\",\"bench\":\"{}\",\"threads\":{threads},\"scale\":{scale},\"seconds\":{:.9},\
         \"ops\":{},\"checksum\":\"{:016x}\",\"rss_bytes\":{},\"minor_faults\":{},\"major_faults\":{},\
         \"voluntary_switches\":{},\"involuntary_switches\":{},\"user_seconds\":{:.6},\"system_seconds\":{:.6},\"notes\":{{",
        workload.name,
        outcome.seconds,
        outcome.ops,
        outcome.checksum,
        memory.peak,
        usage.minor_faults,
        usage.major_faults,
        usage.voluntary_switches,
        usage.involuntary_switches,
        usage.user_seconds,
        usage.system_seconds
    );
    for (index, (key, value)) in outcome.notes.iter().enumerate() {
        line.push_str(&format!("{}\"{key}\":{value}", if index == 0 { "" } else { "," }));
    }
    line.push_str(&format!("}},\"curve\":{:?}}}", watch::curve()));
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::from(2)
}

/// Ends the process unless mimalloc's `version` has the major version that the program's name
/// promises. The two features choose between two versions of one C library, so a build with both
/// would measure the wrong one.
pub fn require_mimalloc(expected: i32, version: i32) {
    // Release 2.3.2 returns 20302; releases before 2.2.4 return 223 and the like.
    let major = if version < 10_000 {
        version / 100
    } else {
        version / 10_000
    };
    if major != expected {
        eprintln!("error: this program needs mimalloc v{expected}, but is linked with version number {version}");
        std::process::exit(3);
    }
}
