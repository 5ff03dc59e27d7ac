//! The instruction ruler: counts with callgrind how many instructions each path of an allocator
//! takes.
//!
//! Each loop runs at two lengths, which cancels the start-up, with the heap and without it, which
//! cancels the loop. Exit codes: 0 if all paths were counted, 1 if a count rose above the baseline
//! or a run failed, 2 if arguments are wrong.

use greyspan_bench::icount::ROWS;
use greyspan_bench::runner::arguments::Arguments;
use greyspan_bench::runner::table::Table;
use greyspan_bench::runner::{ALLOCATORS, Allocator, Build, child, target_folder};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const HELP: &str = "icount [--rivals] [--alloc a,b] [--row x,y] [--lto fat|off] [--json FILE] [--check FILE]
  --rivals  also counts the rivals whose features are off
  --alloc   allocators (default: greyspan, system, and each rival whose feature is on)
  --row     allocator paths to count (default: all)
  --lto     link-time optimisation: fat, off (default: both)
  --json    also writes the counts to FILE
  --check   compares with the counts in FILE; exits with 1 if one rose by over 3 %";
const SHORT: u64 = 10_000;
const LONG: u64 = 210_000;
/// A count may rise this far above the baseline: 3 %, plus the rounding error of small counts.
const TOLERANCE: f64 = 1.03;
const ROUNDING: f64 = 0.05;
const LIMIT: Duration = Duration::from_secs(300);

/// Instructions per operation, by LTO mode, allocator and row.
type Counts = Map<String, Value>;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("error: {problem}\nusage: {HELP}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let mut arguments = Arguments::of_process();
    let rivals = arguments.flag("--rivals");
    let named = arguments.choice("--alloc", ALLOCATORS, |allocator| allocator.name.to_owned())?;
    let default = || {
        let there = |allocator: &Allocator| rivals || allocator.is_enabled();
        ALLOCATORS.iter().copied().filter(there).collect()
    };
    let chosen: Vec<Allocator> = named.unwrap_or_else(default);
    let rows = arguments.choice("--row", ROWS, |row| row.name.to_owned())?;
    let rows = rows.unwrap_or_else(|| ROWS.to_vec());
    let modes = arguments.choice("--lto", &["fat", "off"], str::to_owned)?;
    let modes = modes.unwrap_or_else(|| vec!["fat", "off"]);
    let json_file = arguments.value("--json")?;
    let baseline = arguments
        .value("--check")?
        .map(|path| read_baseline(&path))
        .transpose()?;
    arguments.finish()?;
    valgrind(&["--version"]).map_err(|problem| format!("the ruler needs valgrind: {problem}"))?;

    let (able, unable): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|allocator| allocator.valgrind);
    for allocator in &unable {
        println!("{}: skipped, it does not run under valgrind", allocator.name);
    }
    let target = target_folder();
    let (mut all, mut good) = (Counts::new(), true);
    for mode in modes {
        let build = if mode == "fat" {
            Build::release(&target)
        } else {
            Build::without_lto(&target)
        };
        let (built, failed) = build.programs(&able, "icount");
        good &= failed.is_empty();
        let mut headings = vec!["instructions"];
        headings.extend(built.iter().map(|(allocator, _)| allocator.name));
        let mut table = Table::new(&headings);
        let mut counts = Counts::new();
        for row in &rows {
            let mut cells = vec![format!("{:<10} {}", row.name, row.help)];
            for (allocator, program) in &built {
                match price(program, row.name) {
                    Ok(count) => {
                        cells.push(format!("{count:.1}"));
                        let of_allocator = counts.entry(allocator.name).or_insert_with(|| json!({}));
                        of_allocator[row.name] = json!((count * 100.0).round() / 100.0);
                    }
                    Err(problem) => {
                        eprintln!("{} {}: {problem}", allocator.name, row.name);
                        cells.push("failed".to_owned());
                        good = false;
                    }
                }
            }
            table.row(cells);
        }
        println!(
            "\nInstructions per operation with LTO {mode}, less those of the same loop without the heap:\n{table}"
        );
        all.insert(mode.to_owned(), Value::Object(counts));
    }
    if let Some(baseline) = baseline {
        good &= compare(&all, &baseline);
    }
    if let Some(path) = json_file {
        std::fs::write(&path, format!("{:#}\n", Value::Object(all))).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(good)
}

fn read_baseline(path: &str) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))
}

/// Returns the instructions per operation of `row` that the heap adds. The four runs are
/// concurrent: other work on the machine does not change a count.
fn price(program: &Path, row: &str) -> Result<f64, String> {
    let runs = [("heap", SHORT), ("heap", LONG), ("base", SHORT), ("base", LONG)];
    let counts: Vec<Result<u64, String>> = std::thread::scope(|scope| {
        let running = runs.map(|(kind, operations)| scope.spawn(move || count(program, row, kind, operations)));
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("counting does not panic");
        running.into_iter().map(join).collect()
    });
    let counts = counts.into_iter().collect::<Result<Vec<u64>, String>>()?;
    let slope = |short: u64, long: u64| (long as f64 - short as f64) / (LONG - SHORT) as f64;
    Ok(slope(counts[0], counts[1]) - slope(counts[2], counts[3]))
}

/// Returns the instructions of a whole run, all threads together.
fn count(program: &Path, row: &str, kind: &str, operations: u64) -> Result<u64, String> {
    let program = program.to_str().ok_or("the target folder's path is not UTF-8")?;
    let operations = operations.to_string();
    // Fair scheduling runs the threads in a fixed order, so that counts of two threads are
    // repeatable.
    let options = ["--tool=callgrind", "--callgrind-out-file=/dev/null", "--fair-sched=try"];
    let report = valgrind(&[&options[..], &[program, row, kind, &operations]].concat())?;
    let collected = report.lines().find_map(|line| line.split_once("Collected : "));
    let number = collected.and_then(|(_, number)| number.trim().parse().ok());
    number.ok_or_else(|| format!("callgrind reported no count: {}", report.trim()))
}

fn valgrind(arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("valgrind");
    child::run(command.args(arguments), LIMIT, &AtomicBool::new(false)).map(|output| output.stderr)
}

/// Returns whether no count of `now` rose above `baseline`, and prints each count that differs by
/// more than the tolerance. Counts that only one of the two has are ignored.
fn compare(now: &Counts, baseline: &Value) -> bool {
    let mut good = true;
    for (mode, allocators) in now {
        for (allocator, rows) in allocators.as_object().into_iter().flatten() {
            for (row, count) in rows.as_object().into_iter().flatten() {
                let (Some(count), Some(before)) = (count.as_f64(), baseline[mode][allocator][row].as_f64()) else {
                    continue;
                };
                if count > before * TOLERANCE + ROUNDING {
                    println!("ROSE: {allocator} {row} (LTO {mode}): {before:.2} -> {count:.2}");
                    good = false;
                } else if count < before / TOLERANCE - ROUNDING {
                    println!("fell: {allocator} {row} (LTO {mode}): {before:.2} -> {count:.2}; renew the baseline");
                }
            }
        }
    }
    if good {
        println!("ok: no count rose above the baseline");
    }
    good
}
