//! The end of a process: `atexit`, `exit` from unusual places, and `main` returning or ending while
//! threads allocate.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use crate::harness::{DONE, KEY, Next, Scenario, mark};
use crate::probe::{churn, free_all, make, make_mixed};
use crate::support::oracle::Block;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("end::atexit_handlers_allocate_and_free", at_exit).marked(&["main is over", "second", "first"]),
    Scenario::new(
        "end::an_atexit_handler_can_start_a_thread_that_allocates",
        thread_at_exit,
    )
    .marked(&["thread at exit"]),
    Scenario::new("end::main_returns_while_threads_allocate", return_over_churn).repeated(12),
    Scenario::new("end::exit_is_called_by_a_thread_while_others_allocate", exit_in_thread).repeated(6),
    Scenario::new("end::exit_is_called_in_a_thread_local_destructor", exit_in_destructor).marked(&["exit handler"]),
    Scenario::new(
        "end::threads_allocate_on_after_the_main_thread_has_ended",
        main_thread_ends,
    )
    .marked(&["main thread ends", "the rest went on"]),
    Scenario::new(
        "end::a_process_ends_with_its_last_thread_though_memory_was_given_back_in_the_background",
        main_thread_ends_after_a_peak,
    )
    .marked(&["the last thread ends"]),
    Scenario::new(
        "end::a_process_ends_with_its_last_thread_though_one_sleeps_in_the_background",
        main_thread_ends_beside_a_sleeper,
    )
    .marked(&["the last thread ends"]),
    Scenario::new("end::show_stats_prints_one_table_after_all_else", show_stats),
    Scenario::new(
        "end::show_stats_without_a_place_to_print_harms_nothing",
        show_stats_to_nobody,
    ),
];

static KEPT: Mutex<Vec<Block>> = Mutex::new(Vec::new());

fn register(handler: extern "C" fn()) {
    // SAFETY: the handler is a function of this executable, which is never unloaded.
    let failed = unsafe { libc::atexit(handler) };
    assert_eq!(failed, 0);
}

fn free_kept_and_make_more(seed: u64) {
    let kept = std::mem::replace(&mut *KEPT.lock().unwrap(), make_mixed(300, seed));
    assert_eq!(kept.len(), 300);
    free_all(kept);
}

extern "C" fn first() {
    free_kept_and_make_more(3);
    mark("first");
}

extern "C" fn second() {
    free_kept_and_make_more(2);
    mark("second");
}

fn at_exit() -> Next {
    register(first);
    register(second);
    *KEPT.lock().unwrap() = thread::spawn(|| make_mixed(300, 1)).join().unwrap();
    mark("main is over");
    DONE
}

extern "C" fn spawn_and_allocate() {
    let blocks = thread::spawn(|| make_mixed(300, 4)).join().unwrap();
    free_all(blocks);
    mark("thread at exit");
}

fn thread_at_exit() -> Next {
    register(spawn_and_allocate);
    free_all(make_mixed(100, 5));
    DONE
}

/// Starts `count` threads that allocate forever, and waits until each has begun.
fn churners(count: u64) {
    let (started, all_started) = mpsc::channel();
    for id in 0..count {
        let started = started.clone();
        thread::spawn(move || {
            let mut turns = 0;
            churn(id, || {
                turns += 1;
                if turns == 3 {
                    started.send(()).unwrap();
                }
                true
            });
        });
    }
    for _ in 0..count {
        all_started.recv().unwrap();
    }
}

fn return_over_churn() -> Next {
    register(spawn_and_allocate);
    churners(3);
    DONE
}

fn exit_in_thread() -> Next {
    register(spawn_and_allocate);
    churners(2);
    thread::spawn(|| std::process::exit(0)).join().unwrap();
    Next::Return(1)
}

struct ExitsOnDrop(Vec<Block>);

impl Drop for ExitsOnDrop {
    fn drop(&mut self) {
        free_all(std::mem::take(&mut self.0));
        std::process::exit(0);
    }
}

thread_local!(static LAST_WORD: ExitsOnDrop = ExitsOnDrop(make_mixed(50, 6)));

extern "C" fn exit_handler() {
    free_all(make_mixed(50, 7));
    mark("exit handler");
}

fn exit_in_destructor() -> Next {
    register(exit_handler);
    thread::spawn(|| LAST_WORD.with(|held| assert_eq!(held.0.len(), 50)))
        .join()
        .unwrap();
    Next::Return(1)
}

fn main_thread_ends() -> Next {
    let blocks = Arc::new(Mutex::new(make_mixed(500, 8)));
    let left = Arc::new(AtomicUsize::new(3));
    for id in 0..3 {
        let (blocks, left) = (Arc::clone(&blocks), Arc::clone(&left));
        thread::spawn(move || {
            wait_for_the_main_thread_to_end();
            let mut turns = 0;
            churn(id, || {
                turns += 1;
                turns < 50
            });
            free_all(std::mem::take(&mut *blocks.lock().unwrap()));
            // AcqRel: pairs with itself, so that the last thread has the others' effects.
            if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                mark("the rest went on");
                // The process ends with its last thread, with the code 0.
            }
        });
    }
    mark("main thread ends");
    Next::EndTheMainThread
}

fn main_thread_ends_after_a_peak() -> Next {
    thread::spawn(|| {
        wait_for_the_main_thread_to_end();
        // Enough to start the background thread.
        free_all((0..64).map(|seed| make(1 << 20, seed)).collect::<Vec<_>>());
        mark("the last thread ends");
    });
    Next::EndTheMainThread
}

/// The same, long after the background thread found nothing to do.
fn main_thread_ends_beside_a_sleeper() -> Next {
    const NAME: &str = "end::a_process_ends_with_its_last_thread_though_one_sleeps_in_the_background";
    if std::env::var_os("GREYSPAN_PURGE_DELAY").is_none() {
        let mut command = again(NAME, "0");
        command.env("GREYSPAN_PURGE_DELAY", "5");
        assert_eq!(printed(command), "the last thread ends\n");
        mark("the last thread ends");
        return DONE;
    }
    thread::spawn(|| {
        wait_for_the_main_thread_to_end();
        let kept: Vec<_> = (0..64).map(|seed| make(1 << 20, seed)).collect();
        thread::sleep(std::time::Duration::from_millis(500));
        mark("the last thread ends");
        std::mem::forget(kept);
    });
    Next::EndTheMainThread
}

/// Waits for the main thread's end: the kernel shows it as a zombie while other threads live.
fn wait_for_the_main_thread_to_end() {
    let path = format!("/proc/self/task/{}/stat", std::process::id());
    loop {
        let text = std::fs::read_to_string(&path).expect("procfs");
        let (_, after_the_name) = text.rsplit_once(") ").expect("a state after the name");
        if after_the_name.starts_with('Z') {
            return;
        }
        thread::yield_now();
    }
}

unsafe extern "C-unwind" {
    fn pthread_exit(value: *mut libc::c_void) -> !;
}

/// Ends the calling thread as C does. The caller must have no destructors to run and must catch
/// nothing.
pub(crate) fn end_this_thread() -> ! {
    // SAFETY: the unwound frames hold no value with a destructor, and none of them catches.
    unsafe { pthread_exit(std::ptr::null_mut()) }
}

/// Returns the command that runs another scenario of this binary with `GREYSPAN_SHOW_STATS`.
fn again(scenario: &str, show_stats: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command
        .env(KEY.to_str().expect("ASCII"), scenario)
        .env("GREYSPAN_SHOW_STATS", show_stats);
    command
}

/// Returns everything that the process prints to both outputs, in order. The process must succeed.
fn printed(mut command: Command) -> String {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    command.stdout(writer.try_clone().expect("a second end")).stderr(writer);
    let mut child = command.spawn().expect("a child");
    // The command holds the writing ends of the pipe.
    drop(command);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("UTF-8");
    let status = child.wait().expect("an end");
    assert!(status.success(), "{status}: {text}");
    text
}

fn show_stats() -> Next {
    let ends = [
        (
            "end::atexit_handlers_allocate_and_free",
            "main is over\nsecond\nfirst\n",
        ),
        (
            "end::exit_is_called_by_a_thread_while_others_allocate",
            "thread at exit\n",
        ),
        ("end::exit_is_called_in_a_thread_local_destructor", "exit handler\n"),
        (
            "end::threads_allocate_on_after_the_main_thread_has_ended",
            "main thread ends\nthe rest went on\n",
        ),
    ];
    let own = greyspan::stats().to_string();
    for (scenario, marks) in ends {
        assert_eq!(printed(again(scenario, "0")), marks, "{scenario}");
        let text = printed(again(scenario, "1"));
        let table = text.strip_prefix(marks).unwrap_or_else(|| panic!("{scenario}: {text}"));
        // All rows and headings of a table, in order, up to the size classes: each process uses
        // different ones.
        let names = |table: &str| -> Vec<String> {
            let head = table.lines().take_while(|line| !line.contains("object bytes"));
            head.map(|line| line.split_whitespace().next().unwrap_or("").to_owned())
                .collect()
        };
        assert_eq!(names(table), names(&own), "{scenario}: {text}");
        let figure = |name: &str| -> u64 {
            let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let row = row.filter(|row| row.first() == Some(&name)).collect::<Vec<_>>();
            assert_eq!(row.len(), 1, "{name}: {text}");
            row[0][1].parse().expect("a whole number")
        };
        assert_eq!(figure("heap_sys"), figure("heap_inuse") + figure("heap_idle"), "{text}");
        assert!(figure("mallocs") > 0 && table.ends_with('\n'), "{text}");
    }
    DONE
}

fn show_stats_to_nobody() -> Next {
    let mut command = again("end::atexit_handlers_allocate_and_free", "1");
    let close = || {
        // SAFETY: the descriptor belongs to the child, and no value in it owns it.
        unsafe { libc::close(2) };
        Ok(())
    };
    // SAFETY: the closure makes one system call and touches no other memory.
    unsafe { command.pre_exec(close) };
    assert_eq!(printed(command), "main is over\nsecond\nfirst\n");
    DONE
}
