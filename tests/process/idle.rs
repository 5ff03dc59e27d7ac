//! Memory that goes back while the program does nothing.

use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::harness::{DONE, KEY, Next, Scenario};
use crate::probe::{free_all, make, make_mixed, memory};

const ALONE: &str = "idle::without_a_background_thread_there_is_none";

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("idle::a_sleeping_program_gives_its_memory_back", sleeping),
    Scenario::new("idle::a_fork_child_gives_its_memory_back_too", forked),
    Scenario::new(ALONE, alone),
];

const MIB: usize = 1 << 20;

/// Fills and frees 64 MiB of small and large blocks.
fn peak() {
    let small = make_mixed(20_000, 5);
    let large: Vec<_> = (0..64).map(|seed| make(MIB, seed)).collect();
    free_all(small);
    free_all(large);
}

/// Sleeps until the process is small again; the harness ends one that never is.
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
    // And again, when the thread has gone to sleep or is about to.
    thread::sleep(Duration::from_millis(200));
    peak();
    sleep_until_small(before);
    DONE
}

fn forked() -> Next {
    let before = memory().resident;
    peak();
    assert_eq!(tasks(), 2, "the main thread and the background thread");
    // SAFETY: the child goes on with this thread alone, as any child of a threaded process.
    let child = unsafe { libc::fork() };
    peak();
    sleep_until_small(before);
    if child == 0 {
        // SAFETY: ends the child; nothing of the parent's is run twice.
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
        let status = Command::new(std::env::current_exe().expect("a path"))
            .env(KEY.to_str().expect("ASCII"), ALONE)
            .env("GREYSPAN_BACKGROUND", "0")
            .status()
            .expect("a process");
        assert!(status.success(), "{status}");
        return DONE;
    }
    peak();
    assert_eq!(tasks(), 1);
    assert!(greyspan::purge() > 32 * MIB);
    DONE
}
