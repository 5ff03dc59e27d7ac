//! `fork` while threads are anywhere in the allocator: parent and child both go on.
//!
//! A child ends by `_exit`, or by an alarm if it hangs. The parent fails if the child's code is not
//! 0.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::harness::{DONE, Next, Scenario};
use crate::probe::{churn, free, free_all, make, make_mixed};
use crate::support::oracle::Block;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("fork::children_of_a_threaded_process_allocate_and_free", storm),
    Scenario::new("fork::a_thread_may_fork_while_others_fork_and_allocate", from_threads),
    Scenario::new("fork::a_child_may_fork_again", twice),
    Scenario::new("fork::fork_handlers_of_others_may_allocate", handlers),
    Scenario::new(
        "fork::handlers_that_run_between_the_heaps_own_allocate_fork_and_free",
        inner_handlers,
    ),
    Scenario::new("fork::a_threaded_process_runs_programs", programs),
    Scenario::new("fork::what_a_child_frees_of_other_threads_serves_it_again", orphans),
];

/// A child that runs longer than this hangs.
const HANG_SECONDS: u32 = 60;

/// Runs `body` in a forked child and waits for its end.
pub(crate) fn in_child(body: impl FnOnce()) {
    // SAFETY: these scenarios test exactly whether the child of a threaded process may go on.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: sets this process's own alarm.
            unsafe { libc::alarm(HANG_SECONDS) };
            let sound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_ok();
            // SAFETY: ends the child without the parent's exit handlers.
            unsafe { libc::_exit(i32::from(!sound)) }
        }
        child => {
            let mut status = 0;
            // SAFETY: the pointer is to a live value.
            let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert_eq!(waited, child);
            assert!(
                libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
                "the child ended with {status:#x}"
            );
        }
    }
}

/// The work of a child: frees blocks of its parent that several threads made, allocates, and
/// sometimes starts a thread.
fn live(inherited: &[Block], round: u64) {
    let own = make_mixed(200, round);
    for block in inherited {
        block.check("in the child");
    }
    // The parent's list stays as it is, so the child frees copies of its entries. The memory itself
    // belongs to the child.
    for block in inherited {
        // SAFETY: this process uses only one copy of the entry, and it ends by `_exit`.
        free(unsafe { std::ptr::read(block) });
    }
    free(make(3 << 20, 1));
    if round.is_multiple_of(4) {
        let from_thread = thread::spawn(move || make_mixed(100, round + 1)).join().unwrap();
        free_all(from_thread);
        greyspan::purge();
    }
    free_all(own);
    std::hint::black_box(greyspan::stats());
}

/// Runs `body` while four threads allocate.
fn amid_churn(body: impl FnOnce()) {
    let over = AtomicBool::new(false);
    let turns: [AtomicUsize; 4] = Default::default();
    thread::scope(|scope| {
        for (id, turns) in turns.iter().enumerate() {
            let over = &over;
            scope.spawn(move || {
                churn(id as u64, || {
                    turns.fetch_add(1, Ordering::Relaxed);
                    !over.load(Ordering::Relaxed)
                });
            });
        }
        while turns.iter().any(|turns| turns.load(Ordering::Relaxed) < 2) {
            thread::yield_now();
        }
        // A panic must stop the other threads too, or the scope would wait forever.
        let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = verdict {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Makes blocks of several makers: this thread, a thread that has ended, and large ones.
fn estate() -> Vec<Block> {
    let mut blocks = make_mixed(200, 41);
    blocks.extend(thread::spawn(|| make_mixed(200, 42)).join().unwrap());
    blocks.push(make(1 << 20, 43));
    blocks
}

fn storm() -> Next {
    let blocks = estate();
    amid_churn(|| {
        for round in 0..300 {
            in_child(|| live(&blocks, round));
            free_all(make_mixed(50, round));
        }
    });
    free_all(blocks);
    DONE
}

fn from_threads() -> Next {
    amid_churn(|| {
        thread::scope(|scope| {
            for id in 0..2 {
                scope.spawn(move || {
                    let blocks = estate();
                    for round in 0..40 {
                        in_child(|| live(&blocks, round * 2 + id));
                    }
                    free_all(blocks);
                });
            }
        });
    });
    DONE
}

fn twice() -> Next {
    let blocks = estate();
    amid_churn(|| {
        for round in 0..20 {
            in_child(|| {
                thread::scope(|scope| {
                    scope.spawn(|| free_all(make_mixed(300, round)));
                    in_child(|| live(&blocks, round));
                });
                live(&blocks, round);
            });
        }
    });
    free_all(blocks);
    DONE
}

static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handler() {
    free_all(make_mixed(50, 51));
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

fn handlers() -> Next {
    free_all(make_mixed(10, 1));
    // SAFETY: the handler is a function of this executable, which is never unloaded.
    let failed = unsafe { libc::pthread_atfork(Some(handler), Some(handler), Some(handler)) };
    assert_eq!(failed, 0);
    let blocks = estate();
    amid_churn(|| {
        for round in 0..40 {
            in_child(|| {
                assert_eq!(HANDLED.load(Ordering::Relaxed) as u64, 2 * round + 2);
                live(&blocks, round);
            });
        }
    });
    assert_eq!(HANDLED.load(Ordering::Relaxed), 80);
    free_all(blocks);
    DONE
}

/// Whether the inner handlers act. They are registered before the heap can register its own, so
/// they run between the heap's handlers.
static INNER: AtomicBool = AtomicBool::new(false);

extern "C" fn inner_handler() {
    if INNER.load(Ordering::Relaxed) {
        handler();
    }
}

/// A handler of the outer fork forks too. The inner child starts no thread, which would wait for
/// the locks of the outer fork.
extern "C" fn inner_handler_that_forks() {
    inner_handler();
    if INNER.swap(false, Ordering::Relaxed) {
        in_child(|| live(&[], 1));
        INNER.store(true, Ordering::Relaxed);
    }
}

#[used]
#[unsafe(link_section = ".preinit_array")]
static REGISTER: extern "C" fn() = {
    extern "C" fn register() {
        let handler: unsafe extern "C" fn() = inner_handler;
        // SAFETY: the handlers are functions of this executable, which is never unloaded.
        unsafe { libc::pthread_atfork(Some(inner_handler_that_forks), Some(handler), Some(handler)) };
    }
    register
};

fn inner_handlers() -> Next {
    let blocks = estate();
    amid_churn(|| {
        for round in 0..40 {
            INNER.store(true, Ordering::Relaxed);
            in_child(|| {
                INNER.store(false, Ordering::Relaxed);
                assert_eq!(HANDLED.load(Ordering::Relaxed) as u64, 2 * round + 2);
                live(&blocks, round);
            });
        }
    });
    INNER.store(false, Ordering::Relaxed);
    assert_eq!(HANDLED.load(Ordering::Relaxed), 80);
    free_all(blocks);
    DONE
}

fn programs() -> Next {
    amid_churn(|| {
        for _ in 0..20 {
            let output = Command::new("/bin/echo").arg("alive").output().unwrap();
            assert_eq!(output.stdout, b"alive\n");
        }
    });
    DONE
}

fn orphans() -> Next {
    const BYTES: usize = 32 << 20;
    for size in [64, 1_000, 9_000] {
        let (hand_over, blocks) = std::sync::mpsc::channel();
        let over = std::sync::Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                hand_over
                    .send((0..BYTES / size).map(|seed| make(size, seed)).collect::<Vec<_>>())
                    .unwrap();
                // The maker is alive at the fork, so it owns its spans.
                over.wait();
            });
            let blocks = blocks.recv().unwrap();
            in_child(|| {
                let before = greyspan::stats().heap_inuse;
                let count = blocks.len();
                // SAFETY: this process uses only one copy of each block, and it ends by `_exit`.
                blocks.iter().for_each(|block| free(unsafe { std::ptr::read(block) }));
                // Leaked: dropping a block frees nothing.
                for seed in 0..count {
                    let _ = make(size, seed);
                }
                let after = greyspan::stats().heap_inuse;
                assert!(
                    after < before + BYTES as u64 / 4,
                    "{size} bytes: {before} then {after} in use"
                );
            });
            over.wait();
            free_all(blocks);
        });
    }
    DONE
}
