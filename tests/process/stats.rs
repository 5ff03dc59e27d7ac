//! Compares `stats()` and `purge()` with the allocations of a process that does nothing else, and
//! tests requests of size zero.

use std::alloc::{GlobalAlloc, Layout};
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use greyspan::{Stats, stats};

use crate::GLOBAL;
use crate::granted::said;
use crate::harness::{DONE, KEY, Next, Scenario};
use crate::park::with;
use crate::probe::{churn, free_all, make, make_mixed, memory, try_make_aligned};
use crate::signals;
use crate::support::oracle::Block;

const IDLE: &str = "stats::memory_that_the_keeper_cannot_take_from_an_idle_thread_is_told";
const PURGES: &str = "stats::a_program_that_purges";
const METADATA: &str = "stats::metadata_is_at_most_a_hundredth_of_a_gibibyte_of_small_blocks";

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("stats::identities_hold_while_threads_allocate", identities),
    Scenario::new("stats::frees_never_exceed_mallocs_though_others_free", crossing).repeated(4),
    Scenario::new("stats::allocated_follows_small_blocks", small),
    Scenario::new("stats::allocated_follows_large_blocks", large),
    Scenario::new("stats::a_block_freed_by_another_thread_is_no_longer_counted", remote),
    Scenario::new("stats::classes_are_listed_in_order_with_their_blocks", classes),
    Scenario::new("stats::purge_returns_memory_to_the_kernel", purge),
    Scenario::new(
        "stats::purge_returns_memory_that_other_threads_made_and_left",
        purge_of_the_dead,
    ),
    Scenario::new(METADATA, metadata),
    Scenario::new(IDLE, || with("GREYSPAN_PURGE_DELAY", "20", IDLE, idle)),
    Scenario::new("stats::each_purge_is_printed_with_its_cause_if_the_user_wants", printed),
    Scenario::new(PURGES, purges),
    Scenario::new("stats::a_request_for_nothing_harms_nothing", nothing),
];

const MIB: u64 = 1 << 20;

/// A bound on the free blocks that threads keep in their caches.
const CACHES: u64 = 4 * MIB;

fn check_identities(now: &Stats) {
    assert_eq!(now.heap_sys, now.heap_inuse + now.heap_idle, "{now:?}");
    assert!(now.heap_idle >= now.heap_released, "{now:?}");
    assert!(now.allocated <= now.active && now.active <= now.mapped, "{now:?}");
    assert!(now.resident <= now.mapped && now.retained <= now.mapped, "{now:?}");
    assert!(
        now.mspan_inuse <= now.mspan_sys && now.mcache_inuse <= now.mcache_sys,
        "{now:?}"
    );
    assert!(now.frees <= now.mallocs, "{now:?}");
    assert!(
        now.allocated <= now.peak_allocated && now.resident <= now.peak_resident,
        "{now:?}"
    );
    assert!(
        now.mcache_idle <= now.mcache_held && now.mcache_held <= now.active,
        "{now:?}"
    );
    let sum = |field: fn(&greyspan::SizeClassStats) -> u64| now.by_size.iter().map(field).sum::<u64>();
    assert!(
        sum(|class| class.mallocs) <= now.mallocs && sum(|class| class.frees) <= now.frees,
        "{now:?}"
    );
    for class in &now.by_size {
        assert!(class.frees <= class.mallocs, "{class:?}");
    }
}

fn check_monotone(earlier: &Stats, later: &Stats) {
    let counters: [fn(&Stats) -> u64; 11] = [
        |stats| stats.total_alloc,
        |stats| stats.mallocs,
        |stats| stats.frees,
        |stats| stats.lookups,
        |stats| stats.peak_allocated,
        |stats| stats.peak_resident,
        |stats| stats.purged_asked,
        |stats| stats.purged_idle,
        |stats| stats.purged_soft,
        |stats| stats.purged_hard,
        |stats| stats.purged_pressure,
    ];
    for counter in counters {
        assert!(counter(earlier) <= counter(later), "{earlier:?} then {later:?}");
    }
    for (earlier, later) in earlier.by_size.iter().zip(&later.by_size) {
        assert!(
            earlier.mallocs <= later.mallocs && earlier.frees <= later.frees,
            "{earlier:?} then {later:?}"
        );
    }
}

fn identities() -> Next {
    let over = AtomicBool::new(false);
    let rounds = thread::scope(|scope| {
        for id in 0..3 {
            let over = &over;
            scope.spawn(move || churn(id, || !over.load(Ordering::Relaxed)));
        }
        let rounds = std::panic::catch_unwind(|| {
            let mut last = stats();
            for round in 0..2_000 {
                let now = stats();
                check_identities(&now);
                check_monotone(&last, &now);
                last = now;
                if round % 200 == 0 {
                    greyspan::purge();
                    // A block that only this thread makes, so that a counter grows between two
                    // snapshots.
                    free_all(make_mixed(300, round));
                }
            }
            last
        });
        over.store(true, Ordering::Relaxed);
        rounds.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    assert!(
        rounds.mallocs > 0 && rounds.frees > 0 && rounds.allocated > 0 && rounds.metadata > 0,
        "{rounds:?}"
    );
    check_identities(&stats());
    DONE
}

/// Blocks go from makers to reapers, one by one, while this thread takes snapshots. In whichever
/// order a snapshot reads the threads' counters, it never counts a free without its allocation.
fn crossing() -> Next {
    let left = AtomicUsize::new(2);
    thread::scope(|scope| {
        for maker_first in [true, false] {
            let (sender, receiver) = std::sync::mpsc::sync_channel::<Block>(1);
            let left = &left;
            let reaper = move || free_all(receiver);
            let maker = move || {
                (0..4_000).for_each(|seed| sender.send(make(30_000, seed)).expect("a reaper"));
                left.fetch_sub(1, Ordering::Relaxed);
            };
            if maker_first {
                scope.spawn(maker);
                scope.spawn(reaper);
            } else {
                scope.spawn(reaper);
                scope.spawn(maker);
            }
        }
        while left.load(Ordering::Relaxed) > 0 {
            check_identities(&stats());
        }
    });
    DONE
}

/// Makes `count` blocks, checks that `allocated` rises with them, frees them through `free`, and
/// checks that it falls.
fn follows(size: usize, count: usize, free: impl FnOnce(Vec<Block>)) {
    let mut row = Vec::with_capacity(count);
    // Blocks in this thread's caches count as handed out. With empty caches, only new blocks can
    // raise the figures.
    greyspan::purge();
    let before = stats();
    row.extend((0..count).map(|seed| make(size, seed)));
    let full = stats();
    let bytes = (size * count) as u64;
    let risen = full.allocated - before.allocated;
    assert!(risen >= bytes, "{bytes} bytes made, {risen} counted");
    assert!(
        risen <= bytes + bytes / 4 + CACHES,
        "{bytes} bytes made, {risen} counted"
    );
    assert!(
        full.heap_objects - before.heap_objects >= count as u64,
        "{before:?} {full:?}"
    );
    // Empty spans that the thread kept were in use before.
    assert!(
        full.heap_inuse - before.heap_inuse + CACHES >= bytes,
        "{before:?} {full:?}"
    );
    assert!(
        full.total_alloc - before.total_alloc + CACHES >= bytes,
        "{before:?} {full:?}"
    );
    free(row);
    let after = stats();
    assert!(after.allocated <= before.allocated + CACHES, "{before:?} {after:?}");
    assert!(full.allocated - after.allocated + CACHES >= bytes, "{full:?} {after:?}");
    [before, full, after].iter().for_each(check_identities);
}

fn small() -> Next {
    for (size, count) in [
        (16, 500_000),
        (100, 100_000),
        (1_000, 20_000),
        (9_000, 3_000),
        (32_000, 1_000),
    ] {
        follows(size, count, free_all);
    }
    DONE
}

fn large() -> Next {
    for (size, count) in [(70_000, 500), (1 << 20, 40), (100 << 20, 2)] {
        follows(size, count, free_all);
    }
    DONE
}

fn remote() -> Next {
    for size in [48, 1_000, 40_000] {
        follows(size, (32 << 20) / size, |row| {
            thread::spawn(move || {
                free_all(row);
                greyspan::thread_idle();
            })
            .join()
            .unwrap();
            // This thread takes in the blocks that the other freed for it when it next needs blocks
            // or is idle.
            greyspan::thread_idle();
        });
    }
    DONE
}

fn classes() -> Next {
    let before = stats();
    let used: Vec<_> = before.by_size.iter().filter(|class| class.size != 0).collect();
    assert!(used.len() > 20, "{} classes", used.len());
    assert!(used.windows(2).all(|pair| pair[0].size < pair[1].size));
    for class in used {
        // Enough that some blocks come from below the thread's cache, whatever it holds.
        let count = ((4 << 20) / class.size as usize).max(64);
        let index = before
            .by_size
            .iter()
            .position(|other| other.size == class.size)
            .expect("listed");
        // Classes of whole pages serve requests with large alignments; those one cache line larger
        // serve the same sizes without.
        let (size, align) = match class.size % 4096 {
            0 => (class.size as usize, 4096),
            64 if class.size > 4096 => (class.size as usize - 64, 8),
            _ => (class.size as usize, 8),
        };
        let row: Vec<Block> = (0..count)
            .map(|seed| try_make_aligned(size, align, seed).expect("a block"))
            .collect();
        let full = stats().by_size[index];
        assert!(
            full.mallocs > class.mallocs && full.spans > 0,
            "{class:?} then {full:?}"
        );
        assert!(full.mallocs - full.frees >= count as u64, "{class:?} then {full:?}");
        free_all(row);
    }
    DONE
}

fn returns_memory(size: usize, make_row: impl FnOnce(usize, usize) -> Vec<Block>) {
    const BYTES: usize = 256 << 20;
    greyspan::purge();
    let before = memory();
    let row = make_row(size, BYTES / size);
    let full = memory();
    assert!(full.resident - before.resident >= BYTES, "{before:?} {full:?}");
    free_all(row);
    let idle = memory();
    let returned = greyspan::purge();
    let after = memory();
    // The heap may have returned some memory already; the purge must return the rest.
    let kept = idle.resident.saturating_sub(before.resident);
    assert!(kept < 16 << 20 || returned > 0, "{idle:?} purged {returned}");
    assert!(
        after.resident <= before.resident + (16 << 20),
        "{before:?} {full:?} {idle:?} {after:?} purged {returned}"
    );
    let now = stats();
    check_identities(&now);
    assert!(now.heap_released > 0, "{now:?}");
    // No snapshot was taken while the blocks were live.
    let least = (BYTES - BYTES / 16) as u64;
    assert!(now.peak_allocated >= least && now.peak_resident >= least, "{now}");
    assert!(now.purged_asked >= returned as u64, "{now}");
}

fn purge() -> Next {
    for size in [1_024, 30_000, 1 << 20, 64 << 20] {
        returns_memory(size, |size, count| {
            (0..count).map(|seed| make(size, seed)).map(touched).collect()
        });
    }
    // A purge harms no live block.
    let row = make_mixed(5_000, 1);
    greyspan::purge();
    free_all(row);
    DONE
}

/// Reads the whole block, so that all of it is in memory, even where its pattern is sparse.
fn touched(block: Block) -> Block {
    block.check("when new");
    block
}

fn purge_of_the_dead() -> Next {
    returns_memory(1_000, |size, count| {
        let makers: Vec<_> = (0..4)
            .map(|_| thread::spawn(move || (0..count.div_ceil(4)).map(|seed| make(size, seed)).collect::<Vec<_>>()))
            .collect();
        makers.into_iter().flat_map(|maker| maker.join().unwrap()).collect()
    });
    DONE
}

/// A thread that blocks a signal may be in its handler, so the keeper leaves its cache alone. Each
/// wait has no end if the figure stays wrong, and then the harness ends the process.
fn idle() -> Next {
    signals::install_handler();
    // The heap grows until it has a background thread.
    free_all((0..64).map(|seed| make(1 << 20, seed)).collect::<Vec<_>>());
    let gates = [Barrier::new(2), Barrier::new(2)];
    thread::scope(|scope| {
        scope.spawn(|| {
            let _blocked = signals::block();
            free_all(make_mixed(5_000, 1));
            gates[0].wait();
            gates[1].wait();
        });
        gates[0].wait();
        assert_eq!(stats().mcache_idle, 0, "no look can have found the thread idle");
        while stats().mcache_idle == 0 {
            thread::sleep(Duration::from_millis(50));
        }
        gates[1].wait();
    });
    while stats().mcache_idle > 0 {
        thread::sleep(Duration::from_millis(50));
    }
    let now = stats();
    assert!(now.purged_idle >= 32 * MIB, "{now}");
    DONE
}

/// Runs in its own process for `printed`.
fn purges() -> Next {
    free_all([make(8 << 20, 1)]);
    let bytes = greyspan::purge();
    assert!(bytes >= 8 << 20);
    // A limit's returns are reported too.
    let held = make(8 << 20, 1);
    greyspan::set_memory_limit(Some(1));
    free_all([held]);
    DONE
}

fn printed() -> Next {
    let text = said(PURGES, &[("GREYSPAN_VERBOSE", "1")]);
    let told: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("greyspan: returned "))
        .collect();
    let bytes = |line: &str| line.split(' ').nth(2).and_then(|word| word.parse::<u64>().ok());
    for cause in ["the program asked", "the footprint is above the soft limit"] {
        let end = format!(" bytes to the system: {cause}");
        let mut found = told.iter().filter(|line| line.ends_with(&end));
        assert!(found.any(|line| bytes(line) >= Some(4 << 20)), "{text}");
    }
    let quiet = said(PURGES, &[]);
    assert!(!quiet.contains("returned"), "{quiet}");
    DONE
}

/// Without huge pages: the heap touches each of those once. With a purge delay of 0 it brings no
/// memory ahead of its use.
fn metadata() -> Next {
    const BYTES: usize = 1 << 30;
    if std::env::var_os("GREYSPAN_THP").is_none() {
        let status = Command::new(std::env::current_exe().expect("a path"))
            .env(KEY.to_str().expect("ASCII"), METADATA)
            .env("GREYSPAN_THP", "never")
            .env("GREYSPAN_PURGE_DELAY", "0")
            .status()
            .expect("a process");
        assert!(status.success(), "{status}");
        return DONE;
    }
    let layout = Layout::new::<[u64; 8]>();
    for _ in 0..BYTES / layout.size() {
        // Neither written to nor kept: an untouched block costs no memory, and the process ends
        // here.
        // SAFETY: the layout is not empty.
        assert!(!std::hint::black_box(unsafe { GLOBAL.alloc(layout) }).is_null());
    }
    let now = stats();
    assert!(now.allocated >= BYTES as u64, "{now:?}");
    assert!(now.metadata > 0 && now.metadata <= BYTES as u64 / 100, "{now:?}");
    assert!(memory().resident < BYTES / 20, "{:?}: blocks were touched", memory());
    DONE
}

/// `GlobalAlloc` leaves a request of size zero undefined. A caller that makes one anyway must not
/// corrupt the heap.
fn nothing() -> Next {
    let row = make_mixed(500, 1);
    for align in [1, 8, 64, 4_096, 1 << 20] {
        let layout = Layout::from_size_align(0, align).expect("a power of two");
        let blocks: Vec<*mut u8> = (0..100)
            .map(|turn| {
                if turn % 2 == 0 {
                    // SAFETY: outside the contract. This scenario tests that such a call does no
                    // harm.
                    unsafe { GLOBAL.alloc(layout) }
                } else {
                    // SAFETY: outside the contract. This scenario tests that such a call does no
                    // harm.
                    unsafe { GLOBAL.alloc_zeroed(layout) }
                }
            })
            .collect();
        assert!(
            blocks
                .iter()
                .all(|ptr| !ptr.is_null() && ptr.addr().is_multiple_of(align))
        );
        free_all(make_mixed(200, 2));
        for ptr in blocks.into_iter().filter(|ptr| !ptr.is_null()) {
            // SAFETY: outside the contract, which this scenario tests. The block came from the same
            // layout.
            unsafe { GLOBAL.dealloc(ptr, layout) };
        }
    }
    free_all(make_mixed(500, 3));
    free_all(row);
    DONE
}
