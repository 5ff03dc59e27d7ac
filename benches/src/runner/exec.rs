//! Runs any command under each allocator's shared library: finds the libraries and runs the command
//! once.
//!
//! A run goes through a small extra process, the *launcher*, which is this program again. The
//! kernel's count of a process's peak starts from that of the process that started it, and the
//! launcher's is only about 3 MiB.

use super::child;
use super::results::Sample;
use crate::os;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// The first argument that turns this program into the launcher.
pub const LAUNCH: &str = "--launch";
/// Means "no library" in the launcher's arguments.
const NO_LIBRARY: &str = "-";
/// The allocator without a library.
pub const SYSTEM: &str = "system";

/// A rival's shared library: the allocator's name, and its possible file names, the best first.
const LIBRARIES: &[(&str, &[&str])] = &[
    (
        "mimalloc",
        &[
            "libmimalloc.so.3",
            "libmimalloc.so.2",
            "libmimalloc.so.2.0",
            "libmimalloc.so",
        ],
    ),
    ("jemalloc", &["libjemalloc.so.2", "libjemalloc.so"]),
    ("tcmalloc", &["libtcmalloc_minimal.so.4", "libtcmalloc_minimal.so"]),
    ("snmalloc", &["libsnmallocshim.so"]),
    ("rpmalloc", &["librpmalloc.so"]),
];
/// The folders that may hold the libraries.
const FOLDERS: &[&str] = &[
    "/usr/local/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
];

/// The file name of Greyspan's library.
pub const LIBRARY: &str = "libgreyspan.so";

/// An allocator with its library; the system's allocator has none.
pub type Preload = (String, Option<PathBuf>);

/// Returns Greyspan with the library that Cargo builds into `target`, built or not; the system's
/// allocator; and the rivals' libraries that are installed.
#[must_use]
pub fn find(target: &Path) -> Vec<Preload> {
    let own = target.join("release").join(LIBRARY);
    let mut found = vec![("greyspan".to_owned(), Some(own)), (SYSTEM.to_owned(), None)];
    for (name, files) in LIBRARIES {
        let paths = files
            .iter()
            .flat_map(|file| FOLDERS.iter().map(move |folder| Path::new(folder).join(file)));
        let library = paths.into_iter().find(|path| path.is_file());
        found.extend(library.map(|path| ((*name).to_owned(), Some(path))));
    }
    found
}

/// Tells how to get a library that [`find`] does not find, for messages.
pub const HOW_TO_GET: &str = "greyspan is built; Debian has libmimalloc2.0, libjemalloc2 and libtcmalloc-minimal4; others by \
                              --lib NAME=PATH";

/// Parses `NAME=PATH`.
///
/// # Errors
/// If the text has another form or the file does not exist.
pub fn named(text: &str) -> Result<Preload, String> {
    let (name, path) = text
        .split_once('=')
        .ok_or_else(|| format!("--lib needs NAME=PATH, not {text:?}"))?;
    let path = std::path::absolute(path).map_err(|error| format!("--lib {text}: {error}"))?;
    if name.is_empty() || !path.is_file() {
        return Err(format!("--lib {text}: no such file"));
    }
    Ok((name.to_owned(), Some(path)))
}

/// Checks that the loader accepts the library. If the loader does not, it would print a message and
/// run the command without the library.
///
/// # Errors
/// The loader's message.
pub fn check(library: Option<&Path>) -> Result<(), String> {
    let Some(library) = library else { return Ok(()) };
    let run = Command::new("/bin/sh")
        .args(["-c", ":"])
        .env("LD_PRELOAD", library)
        .output();
    let run = run.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&run.stderr);
    match said.lines().next() {
        Some(line) if line.contains("ld.so") || line.contains("LD_PRELOAD") => Err(line.to_owned()),
        _ if !run.status.success() => Err(format!("a shell does not run under it: {}", run.status)),
        _ => Ok(()),
    }
}

/// Checks that the command can load a library: a statically linked program never uses the loader.
///
/// # Errors
/// If the program is statically linked. A script, or a program that is not found, passes: the run
/// itself tells.
pub fn takes_libraries(program: &OsString) -> Result<(), String> {
    let file = Path::new(program);
    let search = std::env::var_os("PATH").unwrap_or_default();
    let found = match file.components().count() {
        1 => std::env::split_paths(&search)
            .map(|folder| folder.join(file))
            .find(|path| path.is_file()),
        _ => Some(file.to_path_buf()),
    };
    match found.and_then(|path| std::fs::read(path).ok()) {
        Some(image) if is_static(&image) => Err(format!(
            "{} is linked statically: it cannot run under a shared library",
            file.display()
        )),
        _ => Ok(()),
    }
}

/// Returns whether these bytes are a 64-bit little-endian ELF program that names no loader.
fn is_static(image: &[u8]) -> bool {
    const PROGRAM_HEADER: usize = 56;
    const INTERPRETER: u64 = 3;
    let number = |at: usize, bytes: usize| -> Option<u64> {
        let field = image.get(at..at.checked_add(bytes)?)?;
        Some(
            field
                .iter()
                .rev()
                .fold(0, |number, &byte| number << 8 | u64::from(byte)),
        )
    };
    if !image.starts_with(b"\x7fELF\x02\x01") {
        return false;
    }
    let (Some(table), Some(count)) = (number(32, 8), number(56, 2)) else {
        return false;
    };
    let Ok(table) = usize::try_from(table) else {
        return false;
    };
    let kind = |index: u64| number(table.saturating_add(index as usize * PROGRAM_HEADER), 4);
    (0..count).all(|index| kind(index) != Some(INTERPRETER))
}

/// Runs `command` once under `library`.
///
/// # Errors
/// If it did not start, did not end well, or ran out of time.
pub fn run(
    library: Option<&Path>,
    command: &[OsString],
    limit: Duration,
    interrupted: &AtomicBool,
) -> Result<Sample, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut launcher = Command::new(program);
    launcher
        .arg(LAUNCH)
        .arg(library.unwrap_or(Path::new(NO_LIBRARY)))
        .args(command);
    let output = child::run(&mut launcher, limit, interrupted)?;
    serde_json::from_str(&output.stdout).map_err(|error| format!("the launcher wrote no result: {error}"))
}

/// Runs as the launcher: `LIBRARY COMMAND...`. Writes its figures to standard output as JSON and
/// discards the command's output. The command's messages, and the reason for a missing figure, go
/// to standard error.
#[must_use]
pub fn launch(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match measure(&arguments.next().unwrap_or_default(), arguments.collect()) {
        Ok(sample) => {
            println!("{sample}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn measure(library: &OsString, words: Vec<OsString>) -> Result<Value, String> {
    let (program, arguments) = words.split_first().ok_or("no command")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    command.env_remove("LD_PRELOAD");
    if library != NO_LIBRARY {
        command.env("LD_PRELOAD", library);
    }
    let start = Instant::now();
    let child = command
        .spawn()
        .map_err(|error| format!("could not start {}: {error}", program.to_string_lossy()))?;
    let (status, usage) = os::wait(&child).map_err(|error| error.to_string())?;
    let seconds = start.elapsed().as_secs_f64();
    if !status.success() {
        return Err(format!("the command ended with {status}"));
    }
    Ok(json!({
        "seconds": seconds,
        "rss_bytes": usage.peak,
        "minor_faults": usage.minor_faults,
        "major_faults": usage.major_faults,
        "voluntary_switches": usage.voluntary_switches,
        "involuntary_switches": usage.involuntary_switches,
        "user_seconds": usage.user_seconds,
        "system_seconds": usage.system_seconds,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_measured_to_its_end() {
        let sample = measure(
            &NO_LIBRARY.into(),
            ["/bin/sh", "-c", "sleep 0.02"].map(OsString::from).to_vec(),
        )
        .unwrap();
        assert!(sample["seconds"].as_f64().unwrap() >= 0.02, "{sample}");
        assert!(sample["rss_bytes"].as_u64().unwrap() > 100_000, "{sample}");
        // The shell waits for `sleep`, which itself waits.
        assert!(sample["voluntary_switches"].as_u64() >= Some(1), "{sample}");
        assert!(sample["major_faults"].is_u64() && sample["involuntary_switches"].is_u64());
    }

    #[test]
    fn a_command_that_fails_or_is_not_there_is_an_error() {
        let run = |words: &[&str]| measure(&NO_LIBRARY.into(), words.iter().map(OsString::from).collect()).unwrap_err();
        assert!(run(&["/bin/sh", "-c", "exit 7"]).contains("exit status: 7"));
        assert!(run(&["/no/such/program"]).contains("could not start"));
    }

    #[test]
    fn a_program_without_a_loader_is_told_from_one_that_has_one() {
        assert_eq!(takes_libraries(&"sh".into()), Ok(()));
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert!(!is_static(&own) && !is_static(b"#!/bin/sh\n") && !is_static(b""));
        // The header of a program with one loadable segment only.
        let mut image = vec![0; 120];
        image[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (image[32], image[56], image[64]) = (64, 1, 1);
        assert!(is_static(&image));
        image[64] = 3;
        assert!(!is_static(&image));
    }

    #[test]
    fn a_library_that_the_loader_refuses_is_named() {
        assert!(check(None).is_ok());
        let message = check(Some(Path::new("/etc/passwd"))).unwrap_err();
        assert!(message.contains("/etc/passwd"), "{message}");
        assert!(named("x=/no/such/file.so").is_err() && named("x").is_err());
    }
}
