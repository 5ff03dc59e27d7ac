//! The end of a process: `atexit`, `exit` from odd places, `main` returning or ending while threads allocate.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use crate::harness::{DONE, Next, Scenario, mark};
use crate::probe::{churn, free_all, make_mixed};
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

/// Starts `count` threads that allocate for ever, and waits until each does.
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
            // AcqRel: pairs with itself, so that the last one sees what the others have done.
            if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                mark("the rest went on");
                // The process ends when its last thread does, with the code 0.
            }
        });
    }
    mark("main thread ends");
    Next::EndTheMainThread
}

/// The kernel shows a main thread that is over as a zombie while other threads live.
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

/// Ends the calling thread as C does. Its caller has no destructors to run and catches nothing.
pub(crate) fn end_this_thread() -> ! {
    // SAFETY: the frames that are unwound hold nothing, and unwinding may leave each of them.
    unsafe { pthread_exit(std::ptr::null_mut()) }
}
