//! Compares allocators: runs each cell in a fresh process, in interleaved rounds, then prints a
//! table and the score.
//!
//! Exit codes: 0 if all cells were measured, 1 if some failed or a rival did not build, 2 if
//! arguments are wrong, 130 if interrupted. Figures measured until then are still printed and
//! written.

mod libraries;
mod map;

use greyspan_bench::runner::arguments::Arguments;
use greyspan_bench::runner::count::Counts;
use greyspan_bench::runner::exec::Preload;
use greyspan_bench::runner::machine::{self, Machine};
use greyspan_bench::runner::plan::{self, Row};
use greyspan_bench::runner::results::{Cell, Results, Sample, Settings, VERSION};
use greyspan_bench::runner::{
    ALLOCATORS, Allocator, Build, Programs, child, count, exec, groups, html, rounds, scoreboard, target_folder, text,
};
use greyspan_bench::workload::{IDLE, WORKLOADS, Workload};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const HELP: &str = "usage:
  compare run [--alloc a,b] [--bench x,y] [--threads 1,2] [--repeat N] [--json FILE] [--html FILE] [--svg FILE]
              [--quick] [--notes] [--scale S] [--timeout SECONDS] [--cells FOLDER] [--preload] [--lib NAME=PATH]
  compare exec NAME [--alloc a,b] [--lib NAME=PATH] [--repeat N] [--json FILE] [--html FILE] [--svg FILE]
              [--timeout SECONDS] [--count] -- COMMAND...
  compare show FILE... [--json FILE] [--html FILE] [--svg FILE] [--notes]
  compare map [BENCH] [--threads N] [--scale S] [--svg FILE] [--json FILE] [--timeout SECONDS] [--cells FOLDER]
  compare list

run     runs each chosen bench under each chosen allocator and prints a table of all figures and the score
          --alloc    allocators (default: greyspan, system, and each rival whose feature is on; --features rivals: all)
          --bench    benches (default: all but idle-*, which mostly sleep); 'idle-*' are all whose names begin so
          --threads  numbers of threads (default: 1 and the number of cores); a bench skips numbers that it cannot use
          --repeat   number of rounds after the warm-up round (default 5)
          --json     also writes all figures to FILE
          --html     also writes a report with plots to FILE
          --svg      also writes the scoreboard, one picture, to FILE
          --quick    quick look, too short for conclusions: a twentieth of the work, 3 rounds
          --notes    also prints the further figures that some benches report
          --scale    multiplies the work of each run (default 1)
          --timeout  time limit of each run (default 120 s)
          --cells    uses the cell programs in FOLDER instead of building them
          --preload  runs one program under each allocator's shared library, as exec does, instead of one per allocator
          --lib      with --preload: also uses the library PATH, with NAME as the allocator's name
exec    runs COMMAND under each allocator's shared library: greyspan's, which it builds, and the installed rivals';
        NAME is the name of the row in the table
          --lib      also uses the library PATH, with NAME as the allocator's name
          --timeout  time limit of each run (default 600 s; 3600 s with --count)
          --count    counts instructions and data-cache misses instead: one run each, under valgrind's cachegrind
show    prints and draws the figures in files that --json wrote; several files of one machine are merged
map     runs one bench under greyspan and prints a map of its heap at the moment of the largest use
        (default: rptest, 1 thread)
          --svg      also writes the map as a picture to FILE
          --json     also writes the map as JSON to FILE
list    lists the allocators and the benches";

/// The share of the work that a quick look and the warm-up round do.
const QUICK: f64 = 0.05;
/// The share of the work that the warm-up round does in steady benches, where the slowest allocator
/// takes a thousand times as long as the fastest.
const WARM_STEADY: f64 = 0.002;
/// If a cell of a steady bench would take more seconds than this for the whole work, it does only a
/// part, which takes [`PART`] seconds or up to twice as long. The amount of work is chosen so that
/// no allocator that could be the best of its row takes this long.
const SLOW: f64 = 0.8;
const PART: f64 = 0.3;
/// A run of at least this many seconds predicts how long a longer one takes: first touches of
/// memory weigh little by then.
const TELLING: f64 = 0.1;

fn main() -> ExitCode {
    let mut own = std::env::args_os().skip(1).peekable();
    if own.next_if(|word| word == exec::LAUNCH).is_some() {
        return exec::launch(own);
    }
    // The words after `--` are the command to run, with its own options.
    let words: Vec<OsString> = own.by_ref().take_while(|word| word != "--").collect();
    let words = words
        .into_iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match command(Arguments::of(words), own.collect()) {
        Ok(code) => ExitCode::from(code),
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::from(2)
        }
    }
}

fn command(mut arguments: Arguments, foreign: Vec<OsString>) -> Result<u8, String> {
    match arguments.word().as_deref() {
        Some("run") => run(arguments),
        Some("exec") => exec(arguments, &foreign),
        Some("show") => show(arguments),
        Some("map") => map::command(arguments),
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
            Some(feature) if !allocator.is_enabled() => format!("  (only with --alloc: feature {feature} is off)"),
            _ => String::new(),
        };
        println!("  {:<18} {version}{off}", allocator.name);
    }
    println!("benches:");
    for workload in WORKLOADS.iter().chain(IDLE) {
        println!(
            "  {:<20} {:<13} {:<12} {}",
            workload.name,
            plan::words(workload.threads),
            groups::name(workload.group),
            workload.help
        );
    }
    0
}

/// The files for the results, which also go to the terminal.
struct Outputs {
    json: Option<String>,
    html: Option<String>,
    svg: Option<String>,
}

impl Outputs {
    fn take(arguments: &mut Arguments) -> Result<Self, String> {
        Ok(Self {
            json: arguments.value("--json")?,
            html: arguments.value("--html")?,
            svg: arguments.value("--svg")?,
        })
    }

    /// Checks that the files can be written before anything is measured. Their contents stay until
    /// there are results to replace them.
    fn check(&self) -> Result<(), String> {
        for path in [&self.json, &self.html, &self.svg].into_iter().flatten() {
            let open = OpenOptions::new().create(true).append(true).open(path);
            open.map_err(|error| format!("{path} can't be written: {error}"))?;
        }
        Ok(())
    }

    fn write(&self, results: &Results) -> bool {
        let mut good = true;
        let to_json: fn(&Results) -> String = Results::to_json;
        let outputs = [
            (&self.json, to_json),
            (&self.html, html::page),
            (&self.svg, scoreboard::picture),
        ];
        for (path, text) in outputs {
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
    let preload = arguments.flag("--preload");
    let chosen = if preload {
        Chosen::Libraries(libraries::chosen(&mut arguments)?)
    } else {
        Chosen::Programs(allocators(&mut arguments)?)
    };
    let benches = benches(&mut arguments)?;
    let rows = plan::rows(&benches, &threads(&mut arguments)?)?;
    let repeat: usize = arguments.number("--repeat", if quick { 3 } else { 5 })?;
    let scale: f64 = arguments.number("--scale", if quick { QUICK } else { 1.0 })?;
    let limit = time_limit(&mut arguments, 120.0)?;
    let folder = arguments.value("--cells")?.map(PathBuf::from);
    if repeat == 0 || scale.is_nan() || scale <= 0.0 {
        return Err("--repeat and --scale need numbers above 0".to_owned());
    }
    let outputs = Outputs::take(&mut arguments)?;
    arguments.finish()?;
    outputs.check()?;

    let mut machine = Machine::this();
    let (built, skipped) = chosen.ready(folder.as_deref(), &mut machine);
    let mut results = Results {
        version: VERSION,
        machine,
        settings: Settings {
            rounds: repeat,
            scale,
            skipped,
            environment: machine::environment(),
            preload,
            ..Settings::default()
        },
        cells: Vec::new(),
    };
    for row in &rows {
        let cell = |program: &Program| Cell::new(&program.alloc, row.bench.name, row.threads);
        results.cells.extend(built.iter().map(cell));
    }
    let interrupted = rounds::on_interrupt().map_err(|error| error.to_string())?;
    let mut shares = vec![1.0; results.cells.len()];
    let once = |index: usize, warming: bool| {
        let (row, program) = (rows[index / built.len()], &built[index % built.len()]);
        let run = |part: f64| run_cell(program, row, scale * part, limit, &interrupted);
        match (warming, row.bench.steady) {
            (false, _) => Ok(run(shares[index])?.of_share(shares[index])),
            (true, false) => run(QUICK),
            (true, true) => {
                let first = run(WARM_STEADY)?;
                shares[index] = share(first.seconds, run)?;
                Ok(first)
            }
        }
    };
    let whole = rounds::run(&mut results.cells, repeat, &interrupted, once);
    Ok(finish(results, whole, &outputs, notes))
}

fn exec(mut arguments: Arguments, command: &[OsString]) -> Result<u8, String> {
    let mut found = libraries::chosen(&mut arguments)?;
    let counting = arguments.flag("--count");
    let repeat: usize = arguments.number("--repeat", 5)?;
    let limit = time_limit(&mut arguments, if counting { 3600.0 } else { 600.0 })?;
    let outputs = Outputs::take(&mut arguments)?;
    let name = arguments.word().filter(|name| !name.starts_with('-'));
    let name = name.ok_or("exec needs a NAME for the table, and a command after --")?;
    arguments.finish()?;
    if command.is_empty() || repeat == 0 {
        return Err("exec needs a command after --, and --repeat a number above 0".to_owned());
    }
    exec::takes_libraries(&command[0])?;
    if counting {
        count::check()?;
    }
    outputs.check()?;

    let mut machine = Machine::this();
    let skipped = libraries::ready(&mut found, &mut machine);
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    let mut results = Results {
        version: VERSION,
        machine,
        settings: Settings {
            rounds: repeat,
            scale: 1.0,
            skipped,
            environment: machine::environment(),
            command: Some(words.join(" ")),
            ..Settings::default()
        },
        cells: found.iter().map(|(alloc, _)| Cell::new(alloc, &name, 0)).collect(),
    };
    let interrupted = rounds::on_interrupt().map_err(|error| error.to_string())?;
    let once = |index: usize, _| exec::run(found[index].1.as_deref(), command, limit, &interrupted);
    let whole = if counting {
        let once = |index: usize| count::run(found[index].1.as_deref(), command, limit, &interrupted);
        count_all(&mut results.cells, &interrupted, once)
    } else {
        rounds::run(&mut results.cells, repeat, &interrupted, once)
    };
    Ok(finish(results, whole, &outputs, false))
}

/// Counts each cell once. Returns whether no interruption came.
fn count_all(cells: &mut [Cell], interrupted: &AtomicBool, once: impl Fn(usize) -> Result<Counts, String>) -> bool {
    for (index, cell) in cells.iter_mut().enumerate() {
        let counts = once(index);
        // Relaxed: the flag carries no other data.
        if interrupted.load(Ordering::Relaxed) {
            return false;
        }
        match counts {
            Ok(counts) => {
                cell.instructions = vec![counts.instructions];
                cell.d1_misses = vec![counts.d1_misses];
                cell.ll_misses = vec![counts.ll_misses];
            }
            Err(problem) => {
                eprintln!("FAILED: {} under {}: {problem}", cell.bench, cell.alloc);
                cell.failure = Some(problem);
            }
        }
    }
    true
}

fn show(mut arguments: Arguments) -> Result<u8, String> {
    let notes = arguments.flag("--notes");
    let outputs = Outputs::take(&mut arguments)?;
    outputs.check()?;
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
        return Err("show needs files that --json wrote".to_owned());
    };
    println!("{}", text::report(&results, notes));
    Ok(if outputs.write(&results) { 0 } else { 1 })
}

/// Prints and writes the results, and returns the exit code.
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

/// Returns the share of the work that a cell of a steady bench does, given that [`WARM_STEADY`] of
/// the work took `seconds`. `run` runs another share. The result is 1 or a negative power of two,
/// so that many cells do the same share and their checksums can be compared.
fn share(mut seconds: f64, run: impl Fn(f64) -> Result<Sample, String>) -> Result<f64, String> {
    let mut part = WARM_STEADY;
    // The cost of a start makes a short run look slower, never faster.
    while seconds / part > SLOW && seconds < TELLING && part < 1.0 {
        part = (part * (2.0 * TELLING / seconds).clamp(2.0, 16.0)).min(1.0);
        seconds = run(part)?.seconds;
    }
    let whole = seconds / part;
    let share = (PART / whole).log2().ceil().exp2();
    Ok(if whole > SLOW { share.min(1.0) } else { 1.0 })
}

/// Runs one cell once.
fn run_cell(
    program: &Program,
    row: Row,
    scale: f64,
    limit: Duration,
    interrupted: &AtomicBool,
) -> Result<Sample, String> {
    let mut command = Command::new(&program.path);
    if let Some(library) = &program.library {
        command.env("LD_PRELOAD", library);
    }
    command.args([row.bench.name, &row.threads.to_string(), &scale.to_string()]);
    let output = child::run(&mut command, limit, interrupted)?;
    serde_json::from_str(&output.stdout).map_err(|error| format!("the cell wrote no result: {error}"))
}

/// A cell program, with the shared library that it runs under.
struct Program {
    alloc: String,
    path: PathBuf,
    library: Option<PathBuf>,
}

/// The allocators of a run: one program for each, or one program under each library.
enum Chosen {
    Programs(Vec<Allocator>),
    Libraries(Vec<Preload>),
}

impl Chosen {
    /// Builds the programs, or finds them in `folder`. Returns those that are there, and the
    /// missing allocators, each with the reason.
    fn ready(self, folder: Option<&Path>, machine: &mut Machine) -> (Vec<Program>, BTreeMap<String, String>) {
        let programs = |allocators: &[Allocator]| match folder {
            Some(folder) => ready_made(folder, allocators),
            None => Build::release(&target_folder()).programs(allocators, "cell"),
        };
        match self {
            Self::Programs(allocators) => {
                let (built, missing) = programs(&allocators);
                let program = |(allocator, path): (Allocator, PathBuf)| Program {
                    alloc: allocator.name.to_owned(),
                    path,
                    library: None,
                };
                let missing = missing
                    .into_iter()
                    .map(|(allocator, why)| (allocator.name.to_owned(), why));
                (built.into_iter().map(program).collect(), missing.collect())
            }
            Self::Libraries(mut found) => {
                let mut skipped = libraries::ready(&mut found, machine);
                let system = Allocator::find(exec::SYSTEM).expect("it is in the list");
                let (built, missing) = programs(&[system]);
                skipped.extend(missing.into_iter().map(|(_, why)| (exec::SYSTEM.to_owned(), why)));
                let under = |(alloc, library): Preload| {
                    let path = built.first()?.1.clone();
                    Some(Program { alloc, path, library })
                };
                (found.into_iter().filter_map(under).collect(), skipped)
            }
        }
    }
}

/// Returns the allocators to measure. A rival named with `--alloc` is built on purpose; the
/// features only decide the default set.
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
    // The benches that test the runner are not offered as alternatives to a wrong name.
    let chosen = chosen.map_err(|message| message.split(", test-").next().unwrap_or(&message).to_owned())?;
    Ok(chosen.unwrap_or_else(|| WORKLOADS.to_vec()))
}

fn threads(arguments: &mut Arguments) -> Result<Vec<usize>, String> {
    let Some(list) = arguments.value("--threads")? else {
        return Ok(plan::default_threads());
    };
    let number = |word: &str| {
        let number = word.parse().ok().filter(|count| (1..=1024).contains(count));
        number.ok_or_else(|| format!("--threads needs numbers from 1 to 1024, not {word:?}"))
    };
    list.split(',').map(number).collect()
}

fn time_limit(arguments: &mut Arguments, default: f64) -> Result<Duration, String> {
    let seconds: f64 = arguments.number("--timeout", default)?;
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("--timeout: {error}"))
}

/// Returns the cell programs that are in `folder`, and the allocators whose programs are missing.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the result of [`share`] for a cell that takes `start` seconds plus `whole` for all
    /// of its work.
    fn share_of(start: f64, whole: f64) -> f64 {
        let run = |part: f64| {
            Ok(Sample {
                seconds: start + whole * part,
                ..Sample::default()
            })
        };
        share(start + whole * WARM_STEADY, run).expect("each run ends")
    }

    #[test]
    fn only_a_slow_cell_does_a_part_of_the_work_and_that_for_long_enough() {
        for whole in [0.01, 0.1, 0.3, 0.5] {
            assert_eq!(share_of(0.0, whole), 1.0, "{whole} s");
            // First touches of memory dominate a short run; they do not make a cell count as slow.
            assert_eq!(share_of(0.02, whole), 1.0, "{whole} s after a start");
        }
        for whole in [3.0, 20.0, 500.0] {
            let share = share_of(0.001, whole);
            assert!(
                (PART * 0.8..=PART * 2.2).contains(&(share * whole)),
                "{share} of {whole} s"
            );
            assert!(share.log2().fract() == 0.0, "{share}");
        }
    }
}
