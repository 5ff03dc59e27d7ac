//! Memory that returns to the system while the program does nothing.

use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::harness::{DONE, KEY, Next, Scenario};
use crate::probe::{free_all, make, make_mixed, memory};

const ASLEEP: &str = "idle::the_background_thread_does_not_run_while_nothing_is_idle";
const ALONE: &str = "idle::without_a_background_thread_there_is_none";

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("idle::a_sleeping_program_gives_its_memory_back", sleeping),
    Scenario::new("idle::a_fork_child_gives_its_memory_back_too", forked),
    Scenario::new(ALONE, alone),
    Scenario::new(
        "idle::an_allocation_starts_the_background_thread_and_a_free_does_not",
        started,
    ),
    Scenario::new(ASLEEP, asleep),
    Scenario::new("idle::in_a_sandbox_memory_goes_back_without_a_thread", confined),
];

const MIB: usize = 1 << 20;

/// Allocates and frees 64 MiB of small and large blocks.
fn peak() {
    let small = make_mixed(20_000, 5);
    let large: Vec<_> = (0..64).map(|seed| make(MIB, seed)).collect();
    free_all(small);
    free_all(large);
}

/// Sleeps until the process is small again. If it never is, the harness ends it.
fn sleep_until_small(before: usize) {
    while memory().resident > before + 12 * MIB {
        thread::sleep(Duration::from_millis(50));
    }
}

fn tasks() -> usize {
    std::fs::read_dir("/proc/self/task").expect("procfs").count()
}

fn sleeping() -> Next {
    let before = memory().resident;
    peak();
    sleep_until_small(before);
    // And once more, when the background thread is asleep or about to sleep.
    thread::sleep(Duration::from_millis(200));
    peak();
    sleep_until_small(before);
    DONE
}

fn forked() -> Next {
    let before = memory().resident;
    peak();
    assert_eq!(tasks(), 2, "the main thread and the background thread");
    // SAFETY: the child continues with this thread alone, like any child of a threaded process.
    let child = unsafe { libc::fork() };
    peak();
    sleep_until_small(before);
    if child == 0 {
        // SAFETY: ends the child; no exit handler of the parent runs twice.
        unsafe { libc::_exit(0) };
    }
    let mut status = -1;
    // SAFETY: `status` is a valid place.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    DONE
}

fn alone() -> Next {
    if std::env::var_os("GREYSPAN_BACKGROUND").is_none() {
        return again(ALONE, "GREYSPAN_BACKGROUND", "0");
    }
    peak();
    assert_eq!(tasks(), 1);
    assert!(greyspan::purge() > 32 * MIB);
    DONE
}

fn started() -> Next {
    // Too little to start the background thread.
    let small: Vec<_> = (0..10).map(|seed| make(MIB, seed)).collect();
    assert_eq!(tasks(), 1);
    free_all(small);
    assert_eq!(tasks(), 1, "a free started a thread");
    let large: Vec<_> = (0..64).map(|seed| make(MIB, seed)).collect();
    assert_eq!(tasks(), 2);
    free_all(large);
    assert_eq!(tasks(), 2);
    DONE
}

/// Returns how often the background thread has gone to sleep.
fn sleeps() -> String {
    for task in std::fs::read_dir("/proc/self/task").expect("procfs") {
        let text = std::fs::read_to_string(task.expect("a task").path().join("status")).expect("procfs");
        if text.starts_with("Name:\tgreyspan\n") {
            let line = text.lines().find(|line| line.starts_with("voluntary"));
            return line.expect("a count").to_owned();
        }
    }
    panic!("no background thread");
}

fn asleep() -> Next {
    if std::env::var_os("GREYSPAN_PURGE_DELAY").is_none() {
        return again(ASLEEP, "GREYSPAN_PURGE_DELAY", "5");
    }
    let before = memory().resident;
    for _ in 0..3 {
        peak();
        sleep_until_small(before);
        // The thread looks a few times more and then stops. If it never stops, the harness ends the
        // process.
        loop {
            let count = sleeps();
            thread::sleep(Duration::from_millis(500));
            if sleeps() == count {
                break;
            }
        }
    }
    DONE
}

fn confined() -> Next {
    let before = memory().resident;
    peak();
    assert_eq!(tasks(), 2);
    greyspan::enter_sandbox();
    // The kernel removes an ended thread from its list a moment later. If it stays, the harness
    // ends the process.
    while tasks() > 1 {
        thread::yield_now();
    }
    while memory().resident > before + 24 * MIB {
        free_all(make_mixed(2_000, 6));
        thread::sleep(Duration::from_millis(20));
    }
    peak();
    assert_eq!(tasks(), 1);
    DONE
}

/// Runs this scenario again with an environment variable.
fn again(scenario: &str, name: &str, value: &str) -> Next {
    let status = Command::new(std::env::current_exe().expect("a path"))
        .env(KEY.to_str().expect("ASCII"), scenario)
        .env(name, value)
        .status()
        .expect("a process");
    assert!(status.success(), "{status}");
    DONE
}
