//! Threads whose caches the keeper takes over: they give back their memory and their caches. Then
//! the background thread sleeps. `storm` has the same threads under stress.

use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::{DONE, KEY, Next, Scenario};
use crate::probe::{free, free_all, make, memory};
use crate::signals;
use crate::support::oracle::Block;
use crate::support::rng::Rng;

const ENDS: &str = "park::the_caches_of_parked_threads_that_end_serve_again";
const SLEEPS: &str = "park::the_background_thread_sleeps_once_all_threads_are_parked";
const HEARS: &str = "park::a_new_thread_wakes_the_background_thread";
const WORKS: &str = "park::threads_that_work_need_no_new_pages";
const HARD: &str = "park::near_the_hard_limit_the_memory_of_sleeping_threads_serves";
const SOFT: &str = "park::idle_threads_leave_the_process_below_the_soft_limit";

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new(ENDS, || with("GREYSPAN_PURGE_DELAY", "20", ENDS, ends)),
    Scenario::new(SLEEPS, || with("GREYSPAN_PURGE_DELAY", "20", SLEEPS, sleeps)),
    Scenario::new(HEARS, || with("GREYSPAN_PURGE_DELAY", "20", HEARS, sleeps_and_hears)),
    Scenario::new(WORKS, || with("GREYSPAN_PURGE_DELAY", "20", WORKS, works)),
    Scenario::new("park::a_thread_that_may_be_in_a_handler_keeps_its_blocks", youngest),
    Scenario::new(HARD, || with("GREYSPAN_HARD_LIMIT", "512MiB", HARD, hard)),
    Scenario::new(SOFT, || with("GREYSPAN_MEMLIMIT", "200MiB", SOFT, soft)),
];

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Runs the scenario with an environment variable: `body` if it is set, else the process again.
pub(crate) fn with(name: &str, value: &str, scenario: &str, body: fn() -> Next) -> Next {
    if std::env::var_os(name).is_some() {
        return body();
    }
    let status = Command::new(std::env::current_exe().expect("a path"))
        .env(KEY.to_str().expect("ASCII"), scenario)
        .env(name, value)
        .status()
        .expect("a process");
    assert!(status.success(), "{status}");
    DONE
}

/// Waits until the process is at most this much larger than before. If it stays larger, the harness
/// ends it.
pub(crate) fn wait_until_small(before: usize, more: usize) {
    while memory().resident > before + more {
        thread::sleep(Duration::from_millis(50));
    }
}

/// Bytes in the spans that hold live blocks, after all idle memory went back.
pub(crate) fn in_use() -> usize {
    greyspan::purge();
    greyspan::stats().heap_inuse as usize
}

/// Sizes of many classes.
const SIZES: [usize; 16] = [
    16, 48, 112, 250, 500, 1_000, 2_000, 3_000, 5_000, 8_000, 12_000, 20_000, 31_000, 60_000, 100_000, 200_000,
];

/// Makes and frees about this many bytes, in equal parts of all sizes, all at once. Writes to each
/// page.
fn use_and_free(bytes: usize) {
    let mut blocks: [Vec<Vec<u8>>; SIZES.len()] = Default::default();
    for (row, size) in blocks.iter_mut().zip(SIZES) {
        row.extend((0..(bytes / SIZES.len() / size).max(1)).map(|_| {
            let mut block = Vec::with_capacity(size);
            block
                .spare_capacity_mut()
                .iter_mut()
                .step_by(4 * KIB)
                .for_each(|byte| _ = byte.write(1));
            block
        }));
    }
}

/// A thread of `ends`. After it has said that it is ready, it calls the heap no more: no Rust
/// runtime is around it.
extern "C" fn end_after_sleep(at: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `ends` passes its barriers, which outlive the thread.
    let [ready, go] = unsafe { &*at.cast::<[Barrier; 2]>() };
    use_and_free(200 * KIB);
    ready.wait();
    go.wait();
    at
}

/// In every second round the background thread parks them, else a purge does.
fn ends() -> Next {
    const COUNT: usize = 250;
    free_all((0..64).map(|seed| make(MIB, seed)).collect::<Vec<_>>());
    let mut sys = 0;
    for round in 0..4 {
        let (before, resident) = (in_use(), memory().resident);
        let gates = [Barrier::new(COUNT + 1), Barrier::new(COUNT + 1)];
        let at = (&raw const gates).cast_mut().cast();
        let mut threads = [0; COUNT];
        for thread in &mut threads {
            // SAFETY: the places are valid, and the barriers outlive the threads.
            let failed = unsafe { libc::pthread_create(thread, std::ptr::null(), end_after_sleep, at) };
            assert_eq!(failed, 0);
        }
        gates[0].wait();
        if round % 2 == 0 {
            let kept = in_use() - before;
            assert!(kept <= COUNT * 24 * KIB, "{} KiB per thread", kept / COUNT / KIB);
        } else {
            wait_until_small(resident, COUNT * 60 * KIB);
        }
        gates[1].wait();
        for thread in threads {
            // SAFETY: each thread is joined once.
            assert_eq!(unsafe { libc::pthread_join(thread, std::ptr::null_mut()) }, 0);
        }
        let now = greyspan::stats().mcache_sys;
        assert!(
            round == 0 || now == sys,
            "round {round}: {sys} then {now} bytes of caches"
        );
        sys = now;
    }
    DONE
}

/// Returns the file of the kernel's statements about the background thread.
fn background() -> std::path::PathBuf {
    std::fs::read_dir("/proc/self/task")
        .expect("procfs")
        .map(|task| task.expect("a task").path().join("status"))
        .find(|path| std::fs::read_to_string(path).is_ok_and(|text| text.starts_with("Name:\tgreyspan\n")))
        .expect("a background thread")
}

/// Returns how often the thread has gone to sleep. Allocates nothing, so that the caller stays
/// parked.
fn count_sleeps(status: &std::path::Path) -> usize {
    use std::io::Read;
    let mut text = [0; 4096];
    let read = std::fs::File::open(status).and_then(|mut file| file.read(&mut text));
    let text = std::str::from_utf8(&text[..read.expect("procfs")]).expect("ASCII");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:\t"));
    line.expect("a count").parse().expect("a number")
}

/// Waits until the thread has not run for two seconds. If it never stops, the harness ends the
/// process.
fn wait_until_asleep(status: &std::path::Path) -> usize {
    loop {
        let count = count_sleeps(status);
        thread::sleep(Duration::from_millis(2_200));
        if count_sleeps(status) == count {
            return count;
        }
    }
}

/// The looks of the background thread are a second apart at most while it does not sleep.
fn sleeps() -> Next {
    let resident = memory().resident;
    let (wake, done) = (Barrier::new(41), Barrier::new(41));
    let ran = thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                use_and_free(MIB);
                done.wait();
                wake.wait();
                use_and_free(MIB);
                done.wait();
                wake.wait();
            });
        }
        done.wait();
        let status = background();
        wait_until_small(resident, 20 * MIB);
        let count = wait_until_asleep(&status);
        // Threads that wake start it again, or their memory stays.
        wake.wait();
        done.wait();
        wait_until_small(resident, 20 * MIB);
        let ran = count_sleeps(&status) > count;
        wake.wait();
        ran
    });
    assert!(ran, "the memory went back without the background thread");
    DONE
}

/// The thread that makes the new one does not call the heap.
fn sleeps_and_hears() -> Next {
    free_all((0..64).map(|seed| make(MIB, seed)).collect::<Vec<_>>());
    let status = background();
    let gates = [Barrier::new(2), Barrier::new(2)];
    let at = (&raw const gates).cast_mut().cast();
    let mut thread = 0;
    let count = wait_until_asleep(&status);
    // SAFETY: the place is valid, and the barriers outlive the thread.
    let failed = unsafe { libc::pthread_create(&raw mut thread, std::ptr::null(), end_after_sleep, at) };
    assert_eq!(failed, 0);
    gates[0].wait();
    while count_sleeps(&status) == count {
        thread::sleep(Duration::from_millis(50));
    }
    gates[1].wait();
    // SAFETY: the thread is joined once.
    assert_eq!(unsafe { libc::pthread_join(thread, std::ptr::null_mut()) }, 0);
    DONE
}

/// Returns the page faults of the process that needed no disk.
fn faults() -> i64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: a valid place.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) }, 0);
    // SAFETY: filled by the call above.
    unsafe { usage.assume_init() }.ru_minflt
}

/// Four threads that never sleep. Each has 4000 blocks and makes a quarter of them anew, again and
/// again. They fault 200 times. If they were parked, they would fault 900 times.
fn works() -> Next {
    let over = AtomicBool::new(false);
    let turns: [AtomicUsize; 4] = Default::default();
    thread::scope(|scope| {
        for (id, turns) in turns.iter().enumerate() {
            let over = &over;
            scope.spawn(move || {
                let mut rng = Rng::new(id as u64);
                let size = |rng: &mut Rng| rng.size(13);
                let mut row: Vec<Block> = (0..4_000).map(|seed| make(size(&mut rng), seed)).collect();
                while !over.load(Ordering::Relaxed) {
                    // A part of the row becomes free at once, and is made again.
                    let keep = row.len() - 1_000;
                    free_all(row.drain(keep..));
                    row.extend((0..1_000).map(|seed| make(size(&mut rng), seed)));
                    let len = row.len();
                    (0..1_000).for_each(|_| row.swap(rng.below(len), rng.below(len)));
                    turns.fetch_add(1, Ordering::Relaxed);
                }
                free_all(row);
            });
        }
        let enough = |more: usize| {
            let begin = turns.each_ref().map(|turns| turns.load(Ordering::Relaxed));
            while turns
                .iter()
                .zip(begin)
                .any(|(turns, begin)| turns.load(Ordering::Relaxed) < begin + more)
            {
                thread::sleep(Duration::from_millis(20));
            }
        };
        let wait = || thread::sleep(Duration::from_secs(3));
        enough(100);
        wait();
        let before = faults();
        wait();
        enough(100);
        let more = faults() - before;
        over.store(true, Ordering::Relaxed);
        println!("{more} faults, {turns:?} turns");
        assert!(more <= 500, "{more} page faults");
    });
    DONE
}

/// The part of `youngest` before the thread falls asleep. Returns the address of the block of each
/// size that it freed last.
fn use_and_note() -> [usize; SIZES.len()] {
    use_and_free(8 * MIB);
    SIZES.map(|size| {
        let block = make(size, 1);
        let address = block.as_ptr().addr();
        free(block);
        address
    })
}

/// A thread that blocks a signal may be in its handler, in the middle of a call. Such a call gets
/// the block of its size that was freed last.
fn youngest() -> Next {
    /// The sizes that bins serve.
    const SMALL: usize = 11;
    signals::install_handler();
    let before = in_use();
    let (asleep, wake) = (Barrier::new(2), Barrier::new(2));
    let over = AtomicBool::new(false);
    let (kept, got) = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let blocked = signals::block();
            let last = use_and_note();
            asleep.wait();
            wake.wait();
            let blocks = SIZES.map(|size| make(size, 2));
            let got = blocks.each_ref().map(|block| block.as_ptr().addr());
            free_all(blocks);
            drop(blocked);
            while !over.load(Ordering::Relaxed) {
                use_and_note();
                asleep.wait();
                wake.wait();
            }
            (last, got)
        });
        asleep.wait();
        let kept = in_use() - before;
        wake.wait();
        // The signal is not blocked any more: the thread gives up the rest, unless the purge comes
        // before it sleeps. If it never does, the harness ends the process.
        while !over.load(Ordering::Relaxed) {
            asleep.wait();
            over.store(in_use() <= before + MIB / 4, Ordering::Relaxed);
            wake.wait();
        }
        (kept, thread.join().expect("the thread panicked"))
    });
    assert!(kept >= MIB, "{} KiB are kept", kept / KIB);
    assert_eq!(got.0[..SMALL], got.1[..SMALL]);
    DONE
}

/// Runs `body` while threads sleep that have each used and freed `bytes`.
fn beside_sleepers(count: usize, bytes: usize, body: impl FnOnce()) -> Next {
    let (ready, end) = (Barrier::new(count + 1), Barrier::new(count + 1));
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                use_and_free(bytes);
                ready.wait();
                end.wait();
            });
        }
        ready.wait();
        let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        end.wait();
        if let Err(panic) = verdict {
            std::panic::resume_unwind(panic);
        }
    });
    DONE
}

fn hard() -> Next {
    beside_sleepers(64, 8 * MIB, || {
        let mut row = Vec::with_capacity(480);
        for seed in 0..480 {
            let block = crate::probe::try_make(MIB - 4 * KIB, seed);
            row.push(block.unwrap_or_else(|| panic!("refused after {seed} MiB, {:?}", greyspan::stats())));
        }
        free_all(row);
    })
}

fn soft() -> Next {
    let resident = memory().resident;
    assert!(resident < 20 * MIB);
    beside_sleepers(1000, MIB, || wait_until_small(0, 220 * MIB))
}
