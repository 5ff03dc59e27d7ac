//! The soft limit that follows from the memory that the system grants.

use std::io::Read;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::harness::{DONE, KEY, Next, Scenario};
use crate::probe::{free_all, make};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("granted::a_percentage_is_in_force_once_the_heap_has_grown", share),
    Scenario::new("granted::the_limit_and_its_source_are_in_the_table_of_options", listed),
    Scenario::new("granted::a_percentage_without_the_background_thread_is_reported", alone),
    Scenario::new(GROWS, grows),
    Scenario::new(OWN, own),
];

const GROWS: &str = "granted::a_program_whose_soft_limit_is_a_share";
const OWN: &str = "granted::a_program_that_sets_a_limit_of_its_own";

/// Returns the standard error of this binary with a scenario and these variables.
fn said(scenario: &str, variables: &[(&str, &str)]) -> String {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command
        .env(KEY.to_str().expect("ASCII"), scenario)
        .envs(variables.iter().copied())
        .stderr(writer);
    let mut child = command.spawn().expect("a child");
    // The command holds the writing end of the pipe.
    drop(command);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("UTF-8");
    assert!(child.wait().expect("an end").success(), "{text}");
    text
}

/// Returns the bytes of the machine's memory.
fn machine() -> usize {
    // SAFETY: reads a number of the system.
    let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
    // SAFETY: reads a constant of the system.
    pages as usize * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize
}

/// Runs in its own process: grows until there is a background thread, and waits until that has read
/// the limit. If it never does, the harness ends the process.
fn grows() -> Next {
    if std::env::var_os("GREYSPAN_MEMLIMIT").is_some() {
        assert_eq!(greyspan::memory_limit(), None, "nothing is read in the first request");
        let row: Vec<_> = (0..24).map(|seed| make(1 << 20, seed)).collect();
        while greyspan::memory_limit().is_none() {
            thread::sleep(Duration::from_millis(10));
        }
        free_all(row);
        let limit = greyspan::memory_limit().expect("a limit");
        assert!(limit > 0 && limit <= machine() / 10 * 4 + 4, "{limit}");
    }
    DONE
}

fn share() -> Next {
    assert_eq!(said(GROWS, &[("GREYSPAN_MEMLIMIT", "40%")]), "");
    DONE
}

fn listed() -> Next {
    let verbose = ("GREYSPAN_VERBOSE", "1");
    let line = |value: &str| {
        let text = said(OWN, &[verbose, ("GREYSPAN_MEMLIMIT", value)]);
        let line = text.lines().find(|line| line.contains("_MEMLIMIT "));
        line.expect("a line").to_owned()
    };
    let found = line("40%");
    let sources = [
        "environment: the machine's memory, 40 %",
        "environment: cgroup memory.max, 40 %",
        "environment: cgroup memory.limit_in_bytes, 40 %",
        "environment: cgroup memory.high",
    ];
    assert!(sources.iter().any(|source| found.ends_with(source)), "{found}");
    assert!(line("off").ends_with("environment"));
    DONE
}

/// Runs in its own process: a limit of the program's own counts.
fn own() -> Next {
    greyspan::set_memory_limit(Some(1 << 40));
    assert_eq!(greyspan::memory_limit(), Some(1 << 40));
    greyspan::set_memory_limit(None);
    assert_eq!(greyspan::memory_limit(), None);
    DONE
}

fn alone() -> Next {
    for (key, value) in [("GREYSPAN_BACKGROUND", "0"), ("GREYSPAN_PURGE_DELAY", "-1")] {
        let text = said(OWN, &[(key, value), ("GREYSPAN_MEMLIMIT", "40%")]);
        assert!(
            text.lines().count() == 1 && text.contains("GREYSPAN_MEMLIMIT=40% has no effect"),
            "{text}"
        );
        assert_eq!(said(OWN, &[(key, value)]), "");
    }
    DONE
}
