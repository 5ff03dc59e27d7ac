//! Repeated work needs no more memory than its first rounds did.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, mpsc};
use std::thread;

use crate::harness::{DONE, Next, Scenario};
use crate::probe::{Memory, free_all, make, make_mixed, memory};
use crate::support::oracle::Block;
use crate::support::rng::Rng;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("steady::ten_thousand_threads_one_after_another", threads),
    Scenario::new("steady::threads_whose_blocks_others_free_after_their_end", survivors),
    Scenario::new("steady::one_thread_makes_what_another_frees", one_way),
    Scenario::new("steady::a_queue_of_blocks_keeps_below_twice_its_size", queue),
    Scenario::new("steady::a_thread_that_only_frees_hands_memory_on", only_frees),
    Scenario::new("steady::sizes_that_change_from_round_to_round", phases),
    Scenario::new("steady::large_blocks_come_and_go", large),
    Scenario::new("steady::large_buffers_of_which_little_is_written", untouched),
    Scenario::new("steady::a_vector_that_grows_and_is_dropped", vector),
];

const MIB: usize = 1 << 20;

fn assert_flat(before: Memory, after: Memory, resident: usize, mapped: usize) {
    assert!(
        after.resident <= before.resident + resident,
        "resident: {before:?} then {after:?}"
    );
    assert!(
        after.mapped <= before.mapped + mapped,
        "mapped: {before:?} then {after:?}"
    );
}

/// Runs `first` rounds, then `more`, and checks that the latter needed almost no further memory.
fn flat(first: u64, more: u64, resident: usize, mapped: usize, mut round: impl FnMut(u64)) -> Next {
    (0..first).for_each(&mut round);
    let before = memory();
    (first..first + more).for_each(&mut round);
    assert_flat(before, memory(), resident, mapped);
    DONE
}

fn threads() -> Next {
    // Each thread does the same work, so the first hundred need as much memory as all later ones.
    flat(100, 9_900, MIB, 4 * MIB, |_| {
        thread::spawn(|| free_all(make_mixed(100, 1))).join().unwrap()
    })
}

fn survivors() -> Next {
    let mut estate: Vec<Vec<Block>> = (0..50).map(|_| Vec::new()).collect();
    flat(300, 3_000, 4 * MIB, 8 * MIB, |round| {
        let slot = round as usize % 50;
        let old = std::mem::take(&mut estate[slot]);
        estate[slot] = thread::spawn(move || {
            let new = make_mixed(100, 1);
            // Frees the blocks that an earlier thread left, as a thread that is not their maker,
            // and ends at once.
            free_all(old);
            new
        })
        .join()
        .unwrap();
    })
}

fn one_way() -> Next {
    let (sender, receiver) = mpsc::sync_channel::<Vec<Block>>(4);
    let consumer = thread::spawn(move || receiver.into_iter().for_each(free_all));
    let next = flat(300, 6_000, 4 * MIB, 16 * MIB, |_| {
        sender
            .send((0..100).map(|seed| make(64 + seed % 2 * 900, seed)).collect())
            .unwrap();
    });
    drop(sender);
    consumer.join().unwrap();
    next
}

/// A GiB goes through a queue that may hold 16 MiB. The consumer frees what it takes.
fn queue() -> Next {
    const QUEUE: usize = 16 * MIB;
    let before = memory();
    let shared = Mutex::new((VecDeque::<Block>::new(), 0));
    let (filled, emptied) = (Condvar::new(), Condvar::new());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut left = 1 << 30;
            while left > 0 {
                let mut queue = filled
                    .wait_while(shared.lock().unwrap(), |queue| queue.0.is_empty())
                    .unwrap();
                let blocks = std::mem::take(&mut queue.0);
                drop(queue);
                let bytes: usize = blocks.iter().map(|block| block.layout().size()).sum();
                free_all(blocks);
                left -= usize::min(left, bytes);
                shared.lock().unwrap().1 -= bytes;
                emptied.notify_one();
            }
        });
        let mut rng = Rng::new(5);
        let mut made = 0;
        while made < 1 << 30 {
            let size = 64 + rng.below(64 << 10);
            let block = make(size, made);
            let mut queue = emptied
                .wait_while(shared.lock().unwrap(), |queue| queue.1 + size > QUEUE)
                .unwrap();
            queue.0.push_back(block);
            queue.1 += size;
            made += size;
            filled.notify_one();
        }
    });
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let peak = status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<usize>()
                .ok()
        })
        .expect("the peak")
        * 1024;
    assert!(peak < before.resident + 2 * QUEUE, "{before:?}, at most {peak}");
    DONE
}

fn only_frees() -> Next {
    let (to_reaper, graves) = mpsc::sync_channel::<Vec<Block>>(0);
    let (done, reaped) = mpsc::sync_channel::<()>(0);
    // The reaper keeps freeing and never allocates: the blocks that it frees must return to where
    // other threads can use them.
    let reaper = thread::spawn(move || {
        for row in graves {
            free_all(row);
            done.send(()).unwrap();
        }
    });
    let next = flat(20, 200, 4 * MIB, 16 * MIB, |round| {
        let row = thread::spawn(move || (0..1_000).map(|seed| make(200, seed + round as usize)).collect());
        to_reaper.send(row.join().unwrap()).unwrap();
        reaped.recv().unwrap();
    });
    drop(to_reaper);
    reaper.join().unwrap();
    next
}

fn phases() -> Next {
    // In each round another size fills 4 MiB and frees it: empty spans of one class must serve the
    // next. Freed memory stays for the purge delay, so only the memory left after a purge counts.
    // The row itself is made once: as one long run it would need new pages by chance.
    let mut row = Vec::with_capacity(4 * MIB / 16);
    let mut round = |round: u64| {
        let size = 16 + (round as usize % 64) * 500;
        row.extend((0..4 * MIB / size).map(|seed| make(size, seed)));
        free_all(row.drain(..));
    };
    (0..64).for_each(&mut round);
    greyspan::purge();
    let before = memory();
    (64..576).for_each(&mut round);
    greyspan::purge();
    assert_flat(before, memory(), 4 * MIB, 16 * MIB);
    DONE
}

fn large() -> Next {
    flat(50, 500, 12 * MIB, 64 * MIB, |round| {
        let sizes = [5 * MIB, 300_000, 70_000, MIB + round as usize % 7 * 100_000];
        free_all(sizes.map(|size| make(size, round as usize)));
    })
}

/// 32 buffers of 64 KiB to 4 MiB, replaced at random, of which only the ends are written. With a
/// separate place for the pages of each, the ends of some hundred runs, 7 MiB, are resident.
fn untouched() -> Next {
    let before = memory();
    let mut rng = Rng::new(3);
    let sizes: [usize; 200] = std::array::from_fn(|_| rng.below(63 << 16) + (64 << 10));
    let mut buffers: [Vec<u8>; 32] = std::array::from_fn(|_| Vec::new());
    for _ in 0..100_000 {
        let buffer = &mut buffers[rng.below(32)];
        *buffer = Vec::new();
        let size = sizes[rng.below(sizes.len())];
        buffer.reserve_exact(size);
        buffer.push(1);
        buffer.spare_capacity_mut()[size - 2].write(2);
    }
    let after = memory();
    assert!(
        after.resident <= before.resident + 24 * MIB,
        "resident: {before:?} then {after:?}"
    );
    DONE
}

fn vector() -> Next {
    flat(5, 40, 24 * MIB, 64 * MIB, |_| {
        let mut bytes = Vec::new();
        for turn in 0..2 * MIB {
            bytes.push(turn as u64);
        }
        assert!(bytes.iter().copied().eq(0..2 * MIB as u64));
    })
}
