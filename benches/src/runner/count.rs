//! Counts a command's instructions and cache misses: runs it under valgrind's cachegrind, once, and
//! adds up the files of all its processes.
//!
//! The counts are steadier than times: other work on the machine does not change them. Cachegrind
//! simulates caches of one size on every machine. It has no TLB, and no cost of page faults and
//! system calls. A process that forks and does not start another program passes its counts on to
//! the child, which counts them again: such commands are not for this ruler.

use super::exec;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The options of valgrind. The caches are those of a common processor, with a small last one: the
/// last cache of a server holds whole heaps.
const VALGRIND: [&str; 8] = [
    "valgrind",
    "-q",
    "--tool=cachegrind",
    "--cache-sim=yes",
    "--trace-children=yes",
    "--I1=32768,8,64",
    "--D1=32768,8,64",
    "--LL=4194304,16,64",
];

/// The counts of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instructions.
    pub instructions: u64,
    /// Reads and writes of data that missed the first cache.
    pub d1_misses: u64,
    /// Reads and writes of data that missed the last cache.
    pub ll_misses: u64,
}

/// Checks that valgrind is installed.
///
/// # Errors
/// If it is not.
pub fn check() -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join("valgrind").is_file());
    found.then_some(()).ok_or("--count needs valgrind".to_owned())
}

/// Runs `command` once under `library` and returns its counts.
///
/// # Errors
/// If it did not start, did not end well, ran out of time, or left no counts.
pub fn run(
    library: Option<&Path>,
    command: &[OsString],
    limit: Duration,
    interrupted: &AtomicBool,
) -> Result<Counts, String> {
    let folder = Folder::new().map_err(|error| format!("no folder for the counts: {error}"))?;
    let mut words: Vec<OsString> = VALGRIND.iter().map(OsString::from).collect();
    let mut out = OsString::from("--cachegrind-out-file=");
    out.push(folder.0.join("%p"));
    words.push(out);
    words.extend_from_slice(command);
    exec::run(library, &words, limit, interrupted)?;
    let files = fs::read_dir(&folder.0).map_err(|error| error.to_string())?;
    let texts = files.flatten().filter_map(|file| fs::read_to_string(file.path()).ok());
    let sum = texts.filter_map(|text| parse(&text)).reduce(|sum, part| Counts {
        instructions: sum.instructions + part.instructions,
        d1_misses: sum.d1_misses + part.d1_misses,
        ll_misses: sum.ll_misses + part.ll_misses,
    });
    sum.ok_or("cachegrind wrote no counts".to_owned())
}

/// A folder that is removed with everything in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("greyspan-count-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays behind does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Reads the counts of one process from cachegrind's file; `None` if it is another text.
fn parse(text: &str) -> Option<Counts> {
    let line = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.split_whitespace().collect::<Vec<_>>())
    };
    let (events, summary) = (line("events:")?, line("summary:")?);
    let count = |name: &str| -> Option<u64> {
        let at = events.iter().position(|event| *event == name)?;
        summary.get(at)?.replace(',', "").parse().ok()
    };
    Some(Counts {
        instructions: count("Ir")?,
        d1_misses: count("D1mr")? + count("D1mw")?,
        ll_misses: count("DLmr")? + count("DLmw")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_by_the_names_of_the_events() {
        let text = "desc: D1 cache: 32768 B\ncmd: true\nevents: Ir I1mr ILmr Dr D1mr DLmr Dw D1mw DLmw\nfn=main\n3 1 0 0 2 1 1 0 0 0\n\
                    summary: 128208 1091 1072 29492 1154 1018 10,265 337 311\n";
        let counts = Counts {
            instructions: 128_208,
            d1_misses: 1154 + 337,
            ll_misses: 1018 + 311,
        };
        assert_eq!(parse(text), Some(counts));
        // A process that was killed leaves a file without the last line.
        assert_eq!(parse(text.split("summary").next().unwrap()), None);
        assert_eq!(parse(&text.replace("D1mw", "other")), None);
    }
}
