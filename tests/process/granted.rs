//! The soft limit that follows from the memory that the system grants.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::harness::{DONE, KEY, Next, Scenario};
use crate::probe::{free_all, make, memory};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("granted::a_percentage_is_in_force_once_the_heap_has_grown", share),
    Scenario::new("granted::the_limit_and_its_source_are_in_the_table_of_options", listed),
    Scenario::new("granted::a_percentage_without_the_background_thread_is_reported", alone),
    Scenario::new("granted::a_process_under_a_filter_of_its_own_opens_no_file", filtered),
    Scenario::new(GROWS, grows),
    Scenario::new(PURGES, purges),
    Scenario::new(OWN, own),
];

const GROWS: &str = "granted::a_program_whose_soft_limit_is_a_share";
const PURGES: &str = "granted::a_program_whose_background_thread_may_not_look";
const OWN: &str = "granted::a_program_that_sets_a_limit_of_its_own";

/// Returns the standard error of this binary with a scenario and these variables.
pub(crate) fn said(scenario: &str, variables: &[(&str, &str)]) -> String {
    said_after(scenario, variables, || 0)
}

/// Like `said`, with a call in the child before the binary starts; it returns 0 for success.
fn said_after(scenario: &str, variables: &[(&str, &str)], before: fn() -> i32) -> String {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command
        .env(KEY.to_str().expect("ASCII"), scenario)
        .envs(variables.iter().copied())
        .stderr(writer);
    let prepare = move || match before() {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    // SAFETY: the calls in this file make system calls and touch no other memory.
    unsafe { command.pre_exec(prepare) };
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

/// Installs a seccomp filter that allows everything, as a program may do for itself.
fn confine() -> i32 {
    const ALLOW: libc::sock_filter = libc::sock_filter {
        code: libc::BPF_RET as u16,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    };
    let mut rules = [ALLOW];
    let program = libc::sock_fprog {
        len: 1,
        filter: rules.as_mut_ptr(),
    };
    // SAFETY: changes the calling process alone.
    let kept = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: the program and its rules are live values.
    kept | unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) }
}

/// Runs in its own process: waits for the background thread's first purge, before which it would
/// have read the limit.
fn purges() -> Next {
    if std::env::var_os("GREYSPAN_MEMLIMIT").is_some() {
        let before = memory().resident;
        free_all((0..64).map(|seed| make(1 << 20, seed)).collect::<Vec<_>>());
        while memory().resident > before + (16 << 20) {
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(greyspan::memory_limit(), None);
    }
    DONE
}

fn filtered() -> Next {
    let variables = [("GREYSPAN_MEMLIMIT", "40%"), ("GREYSPAN_BACKGROUND", "1")];
    assert_eq!(said_after(PURGES, &variables, confine), "");
    let verbose = [variables[0], variables[1], ("GREYSPAN_VERBOSE", "1")];
    let text = said_after(OWN, &verbose, confine);
    assert!(!text.contains("machine") && !text.contains("cgroup"), "{text}");
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
