//! Describes the machine, the compiler and the allocators' versions, for the head of every report,
//! and measures how busy the machine is.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

/// The machine and the time of a run. Texts are empty if the system does not report them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// The processor's model.
    pub cpu: String,
    /// Logical processors that the program may use.
    pub cores: usize,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The mode of transparent huge pages.
    pub thp: String,
    /// The compiler.
    pub rustc: String,
    /// Allocators and their versions.
    pub versions: BTreeMap<String, String>,
    /// The date and time at which the run began, UTC.
    pub date: String,
}

/// The lock file of the workspace, which holds the versions of the rivals.
const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));

impl Machine {
    /// Describes this machine, now.
    #[must_use]
    pub fn this() -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let thp = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
        Self {
            cpu: field(&cpu, "model name").to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: kibibytes(field(&memory, "MemTotal")),
            kernel: first_line(fs::read_to_string("/proc/sys/kernel/osrelease").ok()),
            thp: bracketed(&thp).to_owned(),
            rustc: output("rustc", &["-V"]),
            versions: versions(),
            date: output("date", &["-u", "+%Y-%m-%d %H:%M"]),
        }
    }

    /// Returns whether one table may show figures of both machines.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let of = |machine: &Self| {
            (
                machine.cpu.clone(),
                machine.cores,
                machine.kernel.clone(),
                machine.rustc.clone(),
            )
        };
        of(self) == of(other)
    }
}

fn versions() -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    let mut add =
        |name: &str, version: Option<String>| version.map(|version| versions.insert(name.to_owned(), version));
    let commit = output(
        "git",
        &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"],
    );
    let commit = if commit.is_empty() {
        commit
    } else {
        format!(" ({commit})")
    };
    add(
        "greyspan",
        locked("greyspan").map(|version| format!("{version}{commit}")),
    );
    add(
        "system",
        Some(output("getconf", &["GNU_LIBC_VERSION"])).filter(|version| !version.is_empty()),
    );
    let crate_version = |name| locked(name).map(|version| format!("{name} {version}"));
    add("mimalloc", crate_version("mimalloc").map(|version| version + " (v3)"));
    add(
        "mimalloc-v2",
        crate_version("mimalloc").map(|version| version + " (feature v2)"),
    );
    add(
        "jemalloc",
        crate_version("tikv-jemallocator")
            .zip(locked("tikv-jemalloc-sys"))
            .map(|(version, c)| {
                // In 0.7.1+5.3.1-0-g…, jemalloc's own version follows the plus.
                let c = c.split_once('+').map_or("", |(_, c)| c.split('-').next().unwrap_or(c));
                format!("{version} (jemalloc {c})")
            }),
    );
    add("snmalloc", crate_version("snmalloc-rs"));
    add("rpmalloc", crate_version("rpmalloc"));
    versions
}

/// Returns the version of a package in the lock file.
fn locked(name: &str) -> Option<String> {
    let entry = LOCK
        .split_once(&format!("[[package]]\nname = \"{name}\"\nversion = \""))?
        .1;
    Some(entry.split('"').next()?.to_owned())
}

/// Returns the value of the first line `key : value`.
fn field<'a>(text: &'a str, key: &str) -> &'a str {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.trim() == key)
        .map_or("", |(_, value)| value.trim())
}

fn kibibytes(text: &str) -> u64 {
    text.trim_end_matches("kB")
        .trim()
        .parse()
        .map_or(0, |count: u64| count * 1024)
}

/// Returns the word in brackets, as in `always [madvise] never`.
fn bracketed(text: &str) -> &str {
    text.split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("", |(word, _)| word)
}

fn first_line(text: Option<String>) -> String {
    text.unwrap_or_default().lines().next().unwrap_or("").trim().to_owned()
}

/// Returns the first line of a command's output; empty if it fails.
fn output(program: &str, arguments: &[&str]) -> String {
    let run = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let good = run.ok().filter(|run| run.status.success());
    first_line(good.map(|run| String::from_utf8_lossy(&run.stdout).into_owned()))
}

/// Returns the environment variables that are set and that the loader or one of the compared
/// allocators reads. A run passes them on and reports them.
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.to_string_lossy().into_owned())))
        .filter(|(key, _)| is_read_by_an_allocator(key))
        .collect()
}

fn is_read_by_an_allocator(key: &str) -> bool {
    ["GREYSPAN_", "MIMALLOC_", "MALLOC_", "SNMALLOC_", "LD_", "TCMALLOC_"]
        .iter()
        .any(|prefix| key.starts_with(prefix) && key != "LD_LIBRARY_PATH")
        || ["_RJEM_MALLOC_CONF", "GLIBC_TUNABLES"].contains(&key)
}

/// Returns the seconds that all processors together were busy since the machine started, including
/// time that a hypervisor gave to other guests.
#[must_use]
pub fn busy_seconds() -> Option<f64> {
    busy_ticks(&fs::read_to_string("/proc/stat").ok()?).map(|ticks| ticks as f64 / TICKS_A_SECOND)
}

/// The ticks per second of `/proc/stat`, the same on every supported Linux system.
const TICKS_A_SECOND: f64 = 100.0;

fn busy_ticks(stat: &str) -> Option<u64> {
    // user nice system idle iowait irq softirq steal. user and nice already contain the guests'
    // times, which follow.
    let numbers = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Vec<u64> = numbers.map_while(|number| number.parse().ok()).collect();
    Some(ticks.first()? + ticks.get(1)? + ticks.get(2)? + ticks.get(5)? + ticks.get(6)? + ticks.get(7)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nMemTotal:       1000 kB\n";
        assert_eq!(field(text, "model name"), "Some CPU @ 2 GHz");
        assert_eq!(kibibytes(field(text, "MemTotal")), 1_024_000);
        assert_eq!(field(text, "none"), "");
        assert_eq!(bracketed("always [madvise] never\n"), "madvise");
        assert_eq!(busy_ticks("cpu  10 1 5 1000 7 1 2 3 4 0\ncpu0 1"), Some(22));
        assert_eq!(busy_ticks("intr 3"), None);
    }

    #[test]
    fn the_lock_file_knows_us_and_the_rivals() {
        for name in ["greyspan", "mimalloc", "tikv-jemalloc-sys", "snmalloc-rs", "rpmalloc"] {
            let version = locked(name).unwrap_or_default();
            assert!(version.contains('.') && !version.contains('\n'), "{name}: {version:?}");
        }
        assert!(versions()["jemalloc"].contains("jemalloc 5"), "{:?}", versions());
    }

    #[test]
    fn settings_of_allocators_are_told_from_other_variables() {
        for key in ["GREYSPAN_THP", "MALLOC_ARENA_MAX", "LD_PRELOAD", "MIMALLOC_VERBOSE"] {
            assert!(is_read_by_an_allocator(key), "{key}");
        }
        for key in ["HOME", "LD_LIBRARY_PATH", "CARGO", "OLD_PWD"] {
            assert!(!is_read_by_an_allocator(key), "{key}");
        }
    }
}
