//! Lines allocators up: each cell a fresh process, in interleaved rounds, then a table and the score.
//!
//! Exit codes: 0 all cells measured, 1 some failed or a rival did not build, 2 wrong arguments, 130 interrupted; what
//! was measured until then is printed and written all the same.

use greyspan_bench::runner::arguments::Arguments;
use greyspan_bench::runner::machine::{self, Machine};
use greyspan_bench::runner::plan::{self, Row};
use greyspan_bench::runner::results::{Cell, Results, Sample, Settings, VERSION};
use greyspan_bench::runner::{ALLOCATORS, Allocator, Build, child, html, rounds, target_folder, text};
use greyspan_bench::workload::{WORKLOADS, Workload};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const HELP: &str = "usage:
  compare run [--alloc a,b] [--bench x,y] [--threads 1,2] [--repeat N] [--json FILE] [--html FILE] [--quick]
              [--notes] [--scale S] [--timeout SECONDS] [--cells FOLDER]
  compare show FILE... [--json FILE] [--html FILE] [--notes]
  compare list

run     runs every chosen bench under every chosen allocator and prints the table and the score
          --alloc    allocators (default: greyspan, system, and the rivals whose features are on: --features rivals)
          --bench    benches (default: all)
          --threads  numbers of threads (default: 1 and the number of cores); a bench skips those that make no sense
          --repeat   rounds beside the one to warm up (default 5)
          --json     writes all figures to FILE
          --html     writes a report with plots to FILE
          --quick    a short look: a twentieth of the work, 3 rounds
          --notes    prints what some benches tell beyond time and peak memory
          --scale    multiplies the work of each run
          --timeout  the most that one run may take (default 120 s)
          --cells    takes the cell programs from FOLDER and builds none
show    prints and draws what --json wrote; several files of one machine become one
list    names allocators and benches";

/// How much of the work a short look does, and the round that warms up.
const QUICK: f64 = 0.05;
/// The same in that round for steady benches, where the slowest allocator takes a thousand times as long as the fastest.
const WARM_STEADY: f64 = 0.002;
/// Seconds that a run of a steady bench may take: a cell that would take longer does a part of the work.
const BUDGET: f64 = 0.5;

fn main() -> ExitCode {
    match command() {
        Ok(code) => ExitCode::from(code),
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::from(2)
        }
    }
}

fn command() -> Result<u8, String> {
    let mut arguments = Arguments::of_process();
    match arguments.word().as_deref() {
        Some("run") => run(arguments),
        Some("show") => show(arguments),
        Some("list") => arguments.finish().map(|()| list()),
        Some("help" | "--help" | "-h") => {
            println!("{HELP}");
            Ok(0)
        }
        Some(other) => Err(format!("unknown command {other:?}\n{HELP}")),
        None => Err(format!("no command\n{HELP}")),
    }
}

fn list() -> u8 {
    let versions = Machine::this().versions;
    println!("allocators:");
    for allocator in ALLOCATORS {
        let version = versions.get(allocator.name).map_or("", String::as_str);
        let off = match allocator.feature {
            Some(feature) if !allocator.is_enabled() => format!("  (by name only: feature {feature} is off)"),
            _ => String::new(),
        };
        println!("  {:<18} {version}{off}", allocator.name);
    }
    println!("benches:");
    for workload in WORKLOADS {
        println!(
            "  {:<18} {:<13} {}",
            workload.name,
            plan::words(workload.threads),
            workload.help
        );
    }
    0
}

/// Where the results go beside the terminal.
struct Outputs {
    json: Option<String>,
    html: Option<String>,
}

impl Outputs {
    /// Takes the options, and sees that the files can be written before anything is measured for them. What stands in
    /// them stays until there is something to put in its place.
    fn take(arguments: &mut Arguments) -> Result<Self, String> {
        let mut path = |name| -> Result<Option<String>, String> {
            let Some(path) = arguments.value(name)? else {
                return Ok(None);
            };
            let open = OpenOptions::new().create(true).append(true).open(&path);
            open.map_err(|error| format!("{name} {path}: {error}"))?;
            Ok(Some(path))
        };
        Ok(Self {
            json: path("--json")?,
            html: path("--html")?,
        })
    }

    fn write(&self, results: &Results) -> bool {
        let mut good = true;
        let to_json: fn(&Results) -> String = Results::to_json;
        for (path, text) in [(&self.json, to_json), (&self.html, html::page)] {
            if let Some(path) = path
                && let Err(error) = fs::write(path, text(results))
            {
                eprintln!("error: {path}: {error}");
                good = false;
            }
        }
        good
    }
}

fn run(mut arguments: Arguments) -> Result<u8, String> {
    let quick = arguments.flag("--quick");
    let notes = arguments.flag("--notes");
    let allocators = allocators(&mut arguments)?;
    let benches = benches(&mut arguments)?;
    let rows = plan::rows(&benches, &threads(&mut arguments)?)?;
    let repeat: usize = arguments.number("--repeat", if quick { 3 } else { 5 })?;
    let scale: f64 = arguments.number("--scale", if quick { QUICK } else { 1.0 })?;
    let limit = time_limit(&mut arguments)?;
    let folder = arguments.value("--cells")?.map(PathBuf::from);
    if repeat == 0 || scale.is_nan() || scale <= 0.0 {
        return Err("--repeat and --scale want numbers above 0".to_owned());
    }
    let outputs = Outputs::take(&mut arguments)?;
    arguments.finish()?;

    let (built, skipped) = match folder {
        Some(folder) => ready_made(&folder, &allocators),
        None => Build::release(&target_folder()).programs(&allocators, "cell"),
    };
    let mut results = Results {
        version: VERSION,
        machine: Machine::this(),
        settings: Settings {
            rounds: repeat,
            scale,
            skipped: skipped
                .into_iter()
                .map(|(allocator, why)| (allocator.name.to_owned(), why))
                .collect(),
            environment: machine::environment(),
            ..Settings::default()
        },
        cells: Vec::new(),
    };
    for row in &rows {
        let cell = |(allocator, _): &(Allocator, PathBuf)| Cell::new(allocator.name, row.bench.name, row.threads);
        results.cells.extend(built.iter().map(cell));
    }
    let interrupted = rounds::on_interrupt().map_err(|error| error.to_string())?;
    let mut shares = vec![1.0; results.cells.len()];
    let once = |index: usize, warming: bool| {
        let (row, (_, program)) = (rows[index / built.len()], &built[index % built.len()]);
        let part = match (warming, row.bench.steady) {
            (false, _) => shares[index],
            (true, false) => QUICK,
            (true, true) => WARM_STEADY,
        };
        let sample = run_cell(program, row, scale * part, limit, &interrupted)?;
        if warming && row.bench.steady {
            shares[index] = share(sample.seconds / part);
        }
        Ok(sample.of_share(part))
    };
    let whole = rounds::run(&mut results.cells, repeat, &interrupted, once);
    Ok(finish(results, whole, &outputs, notes))
}

fn show(mut arguments: Arguments) -> Result<u8, String> {
    let notes = arguments.flag("--notes");
    let outputs = Outputs::take(&mut arguments)?;
    let mut shown: Option<Results> = None;
    while let Some(path) = arguments.word() {
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let results = Results::parse(&text).map_err(|error| format!("{path}: {error}"))?;
        match &mut shown {
            None => shown = Some(results),
            Some(shown) => shown.merge(results).map_err(|error| format!("{path}: {error}"))?,
        }
    }
    let Some(results) = shown else {
        return Err("show wants files that --json wrote".to_owned());
    };
    println!("{}", text::report(&results, notes));
    Ok(if outputs.write(&results) { 0 } else { 1 })
}

/// Prints and writes what there is, and gives the exit code.
fn finish(mut results: Results, whole: bool, outputs: &Outputs, notes: bool) -> u8 {
    results.settings.interrupted = !whole;
    results.hold_checksums_together();
    println!("{}", text::report(&results, notes));
    let good = outputs.write(&results)
        && results.settings.skipped.is_empty()
        && results.cells.iter().all(|cell| cell.failure.is_none());
    match (whole, good) {
        (false, _) => 130,
        (true, false) => 1,
        (true, true) => 0,
    }
}

/// The part of its work that a cell of a steady bench does if all of it took `seconds`: a power of two, so that cells
/// that do the same part can be held against each other.
fn share(seconds: f64) -> f64 {
    (BUDGET / seconds).log2().floor().clamp(-16.0, 0.0).exp2()
}

/// One run of one cell.
fn run_cell(program: &Path, row: Row, scale: f64, limit: Duration, interrupted: &AtomicBool) -> Result<Sample, String> {
    let mut command = Command::new(program);
    command.args([row.bench.name, &row.threads.to_string(), &scale.to_string()]);
    let output = child::run(&mut command, limit, interrupted)?;
    serde_json::from_str(&output.stdout).map_err(|error| format!("wrote no result: {error}"))
}

/// A rival named on purpose is built on purpose: the features decide only who is there by default.
fn allocators(arguments: &mut Arguments) -> Result<Vec<Allocator>, String> {
    let chosen = arguments.choice("--alloc", ALLOCATORS, |allocator| allocator.name.to_owned())?;
    let default = || {
        ALLOCATORS
            .iter()
            .copied()
            .filter(|allocator| allocator.is_enabled())
            .collect()
    };
    Ok(chosen.unwrap_or_else(default))
}

fn benches(arguments: &mut Arguments) -> Result<Vec<Workload>, String> {
    let chosen = arguments.choice("--bench", &plan::known(), |bench| bench.name.to_owned());
    // The benches that test the runner are no answer to a wrong name.
    let chosen = chosen.map_err(|message| message.split(", test-").next().unwrap_or(&message).to_owned())?;
    Ok(chosen.unwrap_or_else(|| WORKLOADS.to_vec()))
}

fn threads(arguments: &mut Arguments) -> Result<Vec<usize>, String> {
    let Some(list) = arguments.value("--threads")? else {
        return Ok(plan::default_threads());
    };
    let number = |word: &str| {
        let number = word.parse().ok().filter(|count| (1..=1024).contains(count));
        number.ok_or_else(|| format!("--threads wants numbers from 1 to 1024, not {word:?}"))
    };
    list.split(',').map(number).collect()
}

fn time_limit(arguments: &mut Arguments) -> Result<Duration, String> {
    let seconds: f64 = arguments.number("--timeout", 120.0)?;
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("--timeout: {error}"))
}

/// The cell programs that are in `folder`, and the allocators whose are not.
type Programs = (Vec<(Allocator, PathBuf)>, Vec<(Allocator, String)>);

fn ready_made(folder: &Path, allocators: &[Allocator]) -> Programs {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for &allocator in allocators {
        let path = folder.join(allocator.program("cell"));
        if path.is_file() {
            found.push((allocator, path));
        } else {
            missing.push((allocator, format!("no {}", path.display())));
        }
    }
    (found, missing)
}
