//! Threads whose caches the keeper takes over while they sleep, are interrupted, exchange blocks
//! and end, and while the process forks.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::fork::in_child;
use crate::harness::{DONE, Next, Scenario};
use crate::park::{in_use, wait_until_small, with};
use crate::probe::{free, free_all, make, make_mixed, memory};
use crate::signals;
use crate::support::oracle::Block;
use crate::support::rng::Rng;

const STORM: &str = "storm::threads_that_sleep_exchange_blocks_and_end_lose_none";
const FORKS: &str = "storm::children_of_a_process_with_parked_threads_allocate_and_free";

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new(STORM, || with("GREYSPAN_PURGE_DELAY", "20", STORM, storm)),
    Scenario::new(FORKS, || with("GREYSPAN_PURGE_DELAY", "20", FORKS, forks)),
];

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

const THREADS: usize = 32;
const SHELVES: usize = 16;

/// Blocks that their makers left for other threads.
static SHELVES_OF_BLOCKS: [Mutex<Vec<Block>>; SHELVES] = [const { Mutex::new(Vec::new()) }; SHELVES];

fn shelf(rng: &mut Rng) -> &'static Mutex<Vec<Block>> {
    &SHELVES_OF_BLOCKS[rng.below(SHELVES)]
}

/// Sleeps 1 ms to 1.2 s, mostly briefly.
fn nap(rng: &mut Rng) {
    let most = if rng.below(12) == 0 { 1200 } else { 20 };
    thread::sleep(Duration::from_millis(1 + rng.below(most) as u64));
}

/// One life of a thread: makes and frees blocks, leaves some to others, frees those of others, and
/// sleeps.
fn live(seed: u64, over: &AtomicBool) {
    let mut rng = Rng::new(seed);
    let mut own: Vec<Block> = Vec::new();
    for _ in 0..8 {
        if over.load(Ordering::Relaxed) {
            break;
        }
        for _ in 0..40 {
            own.extend(make_mixed(8, rng.bits() >> 20));
            if rng.below(50) == 0 {
                own.push(make(rng.below(600 * KIB) + 1, rng.below(1 << 20)));
            }
            for _ in 0..7 {
                let block = own.swap_remove(rng.below(own.len()));
                if rng.below(4) == 0 {
                    shelf(&mut rng).lock().unwrap().push(block);
                } else {
                    free(block);
                }
            }
            let found: Vec<Block> = {
                let mut shelf = shelf(&mut rng).lock().unwrap();
                let keep = shelf.len() - shelf.len().min(6);
                shelf.drain(keep..).collect()
            };
            free_all(found);
        }
        nap(&mut rng);
    }
    free_all(own);
}

/// Runs `body` while 32 threads live, end and are replaced, and another thread asks for all memory
/// back all the time. Signals interrupt every second of them wherever they are.
fn amid_storm(body: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for id in 0..THREADS {
            let over = &over;
            scope.spawn(move || {
                for turn in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let run = move || {
                        let timer = (id % 2 == 0).then(signals::interrupt_this_thread);
                        // Every fourth thread is one that may be in a handler.
                        let blocked = (id % 4 == 1).then(signals::block);
                        live((turn * THREADS + id) as u64, over);
                        drop((timer, blocked));
                    };
                    thread::scope(|scope| scope.spawn(run).join()).expect("a thread panicked");
                }
            });
        }
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                greyspan::purge();
                thread::yield_now();
            }
        });
        // A panic must stop the other threads too, or the scope would wait forever.
        let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = verdict {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Frees everything that the storm left, and checks that nothing else is left.
fn clear(before: usize, resident: usize) {
    for shelf in &SHELVES_OF_BLOCKS {
        free_all(std::mem::take(&mut *shelf.lock().unwrap()));
    }
    let left = in_use();
    assert!(left <= before + 2 * MIB, "{} KiB are in use", (left - before) / KIB);
    wait_until_small(resident, 24 * MIB);
}

/// Runs `body` in a storm, for five seconds.
fn during_storm(mut body: impl FnMut(u64)) -> Next {
    signals::install_handler();
    // The heap is large enough for a background thread.
    free_all((0..64).map(|seed| make(MIB, seed)).collect::<Vec<_>>());
    let (before, resident) = (in_use(), memory().resident);
    amid_storm(|| {
        let begin = Instant::now();
        for round in 0.. {
            if begin.elapsed() > Duration::from_secs(5) {
                break;
            }
            body(round);
        }
    });
    clear(before, resident);
    DONE
}

fn storm() -> Next {
    during_storm(|round| {
        free_all(make_mixed(20, round));
        thread::sleep(Duration::from_millis(20));
    })
}

fn forks() -> Next {
    let blocks: Vec<Block> = (0..4).flat_map(|seed| make_mixed(200, seed)).collect();
    let next = during_storm(|round| {
        in_child(|| {
            let own = make_mixed(200, round);
            for block in &blocks {
                // SAFETY: this process uses only one copy of each block, and it ends by `_exit`.
                free(unsafe { std::ptr::read(block) });
            }
            if round % 4 == 0 {
                free_all(thread::spawn(move || make_mixed(100, round)).join().unwrap());
                greyspan::purge();
            }
            free_all(own);
        });
        thread::sleep(Duration::from_millis(40));
    });
    free_all(blocks);
    next
}
