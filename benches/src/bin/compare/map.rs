//! `compare map`: runs a workload in its own process and prints a map of its heap at the moment of
//! the largest use.

use greyspan_bench::runner::arguments::Arguments;
use greyspan_bench::runner::plan;
use greyspan_bench::runner::{Allocator, Build, child, rounds, target_folder};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The bench to draw if the command line names none.
const DEFAULT: &str = "rptest";

/// Runs the command and returns the exit code.
///
/// # Errors
/// If arguments are wrong, a program does not build or fails, or a file cannot be written.
pub(crate) fn command(mut arguments: Arguments) -> Result<u8, String> {
    let threads: usize = arguments.number("--threads", 1)?;
    let scale: f64 = arguments.number("--scale", 1.0)?;
    let (svg, json) = (arguments.value("--svg")?, arguments.value("--json")?);
    let folder = arguments.value("--cells")?.map(PathBuf::from);
    let seconds: f64 = arguments.number("--timeout", 120.0)?;
    let limit = Duration::try_from_secs_f64(seconds).map_err(|error| format!("--timeout: {error}"))?;
    let name = arguments.word().unwrap_or_else(|| DEFAULT.to_owned());
    arguments.finish()?;
    if !(1..=1024).contains(&threads) || scale.is_nan() || scale <= 0.0 {
        return Err("--threads needs a number from 1 to 1024, and --scale one above 0".to_owned());
    }
    if !plan::known().iter().any(|bench| bench.name == name) {
        return Err(format!("unknown bench {name:?}; `compare list` names them"));
    }
    let greyspan = Allocator::find("greyspan").ok_or("greyspan is missing from the list of allocators")?;
    let program = match folder {
        Some(folder) => folder.join(greyspan.program("map")),
        None => Build::release(&target_folder()).program(greyspan, "map")?,
    };
    let interrupted = rounds::on_interrupt().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args([&name, &threads.to_string(), &scale.to_string()]);
    let output = child::run(&mut command, limit, &interrupted)?;
    let drawn: Value =
        serde_json::from_str(&output.stdout).map_err(|error| format!("the program wrote no map: {error}"))?;
    let form = |name: &str| drawn[name].as_str().ok_or(format!("the program wrote no {name}"));
    println!(
        "{name} with {threads} thread{}: the fullest of {} maps\n\n{}",
        if threads == 1 { "" } else { "s" },
        drawn["taken"],
        form("text")?
    );
    for (path, text) in [(svg, form("svg")?), (json, form("json")?)] {
        if let Some(path) = path {
            fs::write(&path, text).map_err(|error| format!("{path} can't be written: {error}"))?;
            eprintln!("wrote {path}");
        }
    }
    Ok(0)
}
