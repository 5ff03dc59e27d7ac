//! Lines allocators up: each cell a fresh process, in interleaved rounds, then a table a workload.
//!
//! In each round every allocator runs every chosen workload once, and the allocator that begins moves on by one from
//! round to round, so that a drift of the machine hits all alike. Exit codes: 0 all cells measured, 1 some failed,
//! 2 wrong arguments.

use greyspan_bench::runner::arguments::Arguments;
use greyspan_bench::runner::table::Table;
use greyspan_bench::runner::{ALLOCATORS, Allocator, Build, child, numbers, target_folder};
use greyspan_bench::workload::{self, WORKLOADS, Workload};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "round [--alloc a,b] [--bench x,y] [--threads 1,2] [--repeat N] [--scale S] [--timeout SECONDS] \
                    [--json FILE] [--notes] | round list";

struct Options {
    allocators: Vec<Allocator>,
    benches: Vec<Workload>,
    threads: Vec<usize>,
    repeat: usize,
    scale: f64,
    limit: Duration,
    json: Option<(String, File)>,
    notes: bool,
}

/// One row and column: what all rounds gave.
struct Cell {
    allocator: Allocator,
    program: PathBuf,
    bench: Workload,
    threads: usize,
    results: Vec<Value>,
    failure: Option<String>,
}

impl Cell {
    fn numbers(&self, key: &str) -> Vec<f64> {
        self.results.iter().filter_map(|result| result[key].as_f64()).collect()
    }

    fn median(&self, key: &str) -> f64 {
        numbers::median(&self.numbers(key))
    }

    fn note(&self, key: &str) -> f64 {
        let values: Vec<f64> = self
            .results
            .iter()
            .filter_map(|result| result["notes"][key].as_f64())
            .collect();
        numbers::median(&values)
    }
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}\nusage: {HELP}");
            return ExitCode::from(2);
        }
    };
    let built = Build::release(&target_folder()).programs(&options.allocators, "cell");
    let all_built = built.len() == options.allocators.len();
    let mut cells = Vec::new();
    for bench in &options.benches {
        for &threads in &options.threads {
            cells.extend(built.iter().map(|(allocator, program)| Cell {
                allocator: *allocator,
                program: program.clone(),
                bench: *bench,
                threads,
                results: Vec::new(),
                failure: None,
            }));
        }
    }
    measure(&mut cells, built.len(), &options);
    let groups = || cells.chunks(built.len().max(1));
    groups().for_each(|row| print_row(row, options.notes));
    print_means(groups());
    let mut good = all_built && cells.iter().all(|cell| cell.failure.is_none());
    for row in groups() {
        good &= checksums_agree(row);
    }
    if let Some((path, mut file)) = options.json
        && let Err(error) = writeln!(file, "{:#}", to_json(&cells))
    {
        eprintln!("error: {path}: {error}");
        good = false;
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options() -> Result<Option<Options>, String> {
    let mut arguments = Arguments::of_process();
    if arguments.flag("list") {
        println!("allocators:");
        for allocator in ALLOCATORS {
            println!(
                "  {:<16} {}",
                allocator.name,
                if allocator.is_enabled() { "" } else { "(feature not on)" }
            );
        }
        println!("benches:");
        for workload in WORKLOADS {
            println!("  {:<16} {}", workload.name, workload.help);
        }
        return Ok(None);
    }
    // A rival named on purpose is built on purpose: the feature decides only who is there by default.
    let enabled: Vec<Allocator> = ALLOCATORS
        .iter()
        .copied()
        .filter(|allocator| allocator.is_enabled())
        .collect();
    let named = arguments.choice("--alloc", ALLOCATORS, |allocator| allocator.name.to_owned())?;
    let options = Options {
        allocators: if named.len() == ALLOCATORS.len() {
            enabled
        } else {
            named
        },
        benches: arguments.choice("--bench", WORKLOADS, |workload| workload.name.to_owned())?,
        threads: match arguments.value("--threads")? {
            None => vec![1],
            Some(list) => list
                .split(',')
                .map(|word| {
                    word.parse()
                        .map_err(|_| format!("--threads wants numbers, not {word:?}"))
                })
                .collect::<Result<_, _>>()?,
        },
        repeat: arguments.number("--repeat", 5)?,
        scale: arguments.number("--scale", 1.0)?,
        limit: Duration::from_secs(arguments.number("--timeout", 300)?),
        json: match arguments.value("--json")? {
            None => None,
            Some(path) => {
                let file = File::create(&path).map_err(|error| format!("{path}: {error}"))?;
                Some((path, file))
            }
        },
        notes: arguments.flag("--notes"),
    };
    arguments.finish()?;
    if options.repeat == 0 || options.threads.contains(&0) {
        return Err("--repeat and --threads want numbers above 0".to_owned());
    }
    debug_assert!(options.benches.iter().all(|bench| workload::find(bench.name).is_some()));
    Ok(Some(options))
}

fn measure(cells: &mut [Cell], allocators: usize, options: &Options) {
    let (mut done, total) = (0, cells.len() * options.repeat);
    let scale = options.scale.to_string();
    for round in 0..options.repeat {
        for row in cells.chunks_mut(allocators.max(1)) {
            let length = row.len();
            for place in 0..length {
                let cell = &mut row[(round + place) % length];
                if std::io::stderr().is_terminal() {
                    eprint!("\r\x1b[K[{done}/{total}] {} {}", cell.bench.name, cell.allocator.name);
                }
                done += 1;
                if cell.failure.is_none()
                    && let Err(problem) = run(cell, &scale, options.limit)
                {
                    cell.failure = Some(problem);
                }
            }
        }
    }
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}

fn run(cell: &mut Cell, scale: &str, limit: Duration) -> Result<(), String> {
    let output = child::run(
        &cell.program,
        &[cell.bench.name, &cell.threads.to_string(), scale],
        limit,
    )?;
    let result: Value = serde_json::from_str(&output.stdout).map_err(|error| format!("wrote no result: {error}"))?;
    cell.results.push(result);
    Ok(())
}

fn best(row: &[Cell], key: &str) -> f64 {
    numbers::extremes(
        &row.iter()
            .map(|cell| cell.median(key))
            .filter(|value| !value.is_nan())
            .collect::<Vec<_>>(),
    )
    .0
}

fn print_row(row: &[Cell], notes: bool) {
    let Some(first) = row.first() else { return };
    println!(
        "{}, {} thread(s): {}",
        first.bench.name, first.threads, first.bench.help
    );
    let mut headings = vec![
        "alloc",
        "ns/op",
        "median",
        "min",
        "max",
        "x best",
        "peak RSS",
        "x best",
        "minor faults",
    ];
    headings.extend(["user", "system"]);
    let keys: Vec<String> = row
        .iter()
        .filter_map(|cell| cell.results.first().and_then(|result| result["notes"].as_object()))
        .max_by_key(|notes| notes.len())
        .map(|notes| notes.keys().cloned().collect())
        .unwrap_or_default();
    if notes {
        headings.extend(keys.iter().map(String::as_str));
    }
    let mut table = Table::new(&headings);
    for cell in row {
        if let Some(failure) = &cell.failure {
            table.row(vec![cell.allocator.name.to_owned(), format!("FAILED: {failure}")]);
            continue;
        }
        let (time, memory) = (cell.median("seconds"), cell.median("rss_bytes"));
        let (min, max) = numbers::extremes(&cell.numbers("seconds"));
        let mut cells = vec![
            cell.allocator.name.to_owned(),
            format!("{:.2}", time / cell.median("ops") * 1e9),
            numbers::seconds(time),
            numbers::seconds(min),
            numbers::seconds(max),
            format!("{:.2}", time / best(row, "seconds")),
            numbers::mebibytes(memory),
            format!("{:.2}", memory / best(row, "rss_bytes")),
            format!("{:.0}", cell.median("minor_faults")),
            numbers::seconds(cell.median("user_seconds")),
            numbers::seconds(cell.median("system_seconds")),
        ];
        if notes {
            cells.extend(keys.iter().map(|key| match cell.note(key) {
                value if value.is_nan() => "-".to_owned(),
                value if key.ends_with("_ppm") => format!("{:.3} %", value / 1e4),
                value => numbers::mebibytes(value),
            }));
        }
        table.row(cells);
    }
    println!("{table}");
}

/// The geometric mean over all rows that an allocator finished, of its ratio to the best in the row.
fn print_means<'a>(rows: impl Iterator<Item = &'a [Cell]> + Clone) {
    if rows.clone().count() < 2 {
        return;
    }
    let mut table = Table::new(&["geometric mean of x best", "time", "peak RSS", "rows"]);
    for allocator in ALLOCATORS {
        let cells = rows.clone().flat_map(|row| {
            row.iter()
                .filter(|cell| cell.allocator == *allocator && cell.failure.is_none())
                .map(move |cell| (row, cell))
        });
        let ratio = |key: &str| -> Vec<f64> {
            cells
                .clone()
                .map(|(row, cell)| cell.median(key) / best(row, key))
                .collect()
        };
        let times = ratio("seconds");
        if !times.is_empty() {
            let memory = numbers::geometric_mean(&ratio("rss_bytes"));
            let time = numbers::geometric_mean(&times);
            let count = times.len().to_string();
            table.row(vec![
                allocator.name.to_owned(),
                format!("{time:.3}"),
                format!("{memory:.3}"),
                count,
            ]);
        }
    }
    println!("{table}");
}

/// Whether all cells of a row summed up to the same; says so if not.
fn checksums_agree(row: &[Cell]) -> bool {
    let mut sums = row
        .iter()
        .flat_map(|cell| cell.results.iter().map(move |result| (cell, &result["checksum"])));
    let Some((_, expected)) = sums.next() else { return true };
    match sums.find(|(_, sum)| *sum != expected) {
        None => true,
        Some((cell, sum)) => {
            println!(
                "WRONG RESULT: {} under {}: {sum} instead of {expected}",
                cell.bench.name, cell.allocator.name
            );
            false
        }
    }
}

fn to_json(cells: &[Cell]) -> Value {
    let cells: Vec<Value> = cells
        .iter()
        .map(|cell| {
            let mut object = Map::new();
            object.insert("alloc".into(), json!(cell.allocator.name));
            object.insert("bench".into(), json!(cell.bench.name));
            object.insert("threads".into(), json!(cell.threads));
            for key in [
                "seconds",
                "rss_bytes",
                "minor_faults",
                "user_seconds",
                "system_seconds",
                "ops",
                "notes",
            ] {
                object.insert(
                    key.into(),
                    cell.results.iter().map(|result| result[key].clone()).collect(),
                );
            }
            if let Some(failure) = &cell.failure {
                object.insert("failure".into(), json!(failure));
            }
            Value::Object(object)
        })
        .collect();
    json!({ "version": 1, "cells": cells })
}
