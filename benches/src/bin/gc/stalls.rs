//! Measures how long the collector stalls a mutator, and how a thread that stays pinned affects
//! others.

use greyspan::gc::{Gc, GcCell, Heap, Mutator, Root, Rootable, Trace};
use greyspan_bench::rng::Rng;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Trace)]
struct Node<'gc> {
    value: u64,
    next: GcCell<'gc, Node<'gc>>,
}

type Table = Root<Rootable![[GcCell<'_, Node<'_>>]]>;

fn node<'gc>(m: &'gc Mutator<'gc>, value: u64, next: Option<Gc<'gc, Node<'gc>>>) -> Gc<'gc, Node<'gc>> {
    m.alloc(Node {
        value,
        next: GcCell::new(next),
    })
}

/// Makes a table of `len` lists with `each` nodes.
fn table(heap: &Heap, len: usize, each: u64) -> Table {
    heap.enter(|m| {
        let list = |m, index| (0..each).fold(None, |next, at| Some(node(m, index as u64 + at, next)));
        Root::new(m, m.alloc_slice(len, |index| GcCell::new(list(m, index))))
    })
}

/// Runs the mutator: replaces random lists and walks others.
fn work(heap: &Heap, table: &Table, len: usize, seed: u64, over: &AtomicBool) -> (u64, Duration) {
    let mut rng = Rng::new(seed);
    let (mut steps, mut longest) = (0, Duration::ZERO);
    while !over.load(Relaxed) {
        let since = Instant::now();
        heap.enter(|m| {
            let table = table.get(m);
            for _ in 0..16 {
                let (from, to) = (rng.below(len), rng.below(len));
                let rest = table[from].get().and_then(|first| first.next.get());
                table[to].set(m, Some(node(m, from as u64, rest)));
                steps += 1;
            }
        });
        longest = longest.max(since.elapsed());
    }
    (steps, longest)
}

/// Runs as many mutators as leave one processor for the collector. With more threads than
/// processors, the system's scheduler would dominate the stalls.
pub(crate) fn run(mib: usize) {
    let mutators = thread::available_parallelism().map_or(1, |count| count.get().max(2) - 1);
    let heap = Heap::new();
    let len = (mib << 20) / (8 + 4 * 16);
    let keep = table(&heap, len, 4);
    heap.collect();
    let over = AtomicBool::new(false);
    let (mut steps, mut longest) = (0, Duration::ZERO);
    let since = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (1..=mutators as u64)
            .map(|seed| {
                let (heap, keep, over) = (&heap, &keep, &over);
                scope.spawn(move || work(heap, keep, len, seed, over))
            })
            .collect();
        thread::sleep(Duration::from_secs(20));
        over.store(true, Relaxed);
        for worker in workers {
            let (more, stall) = worker.join().expect("a mutator");
            steps += more;
            longest = longest.max(stall);
        }
    });
    let stats = heap.stats();
    println!("{stats}");
    println!(
        "stalls with {mib} MiB live: the collector's longest is {:.3} ms, in {} cycles; {:.1} M operations per second; the longest 16 operations took {:.3} ms of wall time",
        stats.max_stall_ns as f64 / 1e6,
        stats.cycles,
        steps as f64 / since.elapsed().as_secs_f64() / 1e6,
        longest.as_secs_f64() * 1e3
    );
    let shares = stats.stall_ns.iter().enumerate().filter(|(_, count)| **count > 0);
    shares.for_each(|(bucket, count)| println!("{:>12} ns or longer: {count}", 1u64 << bucket));
    assert!(stats.cycles > 2, "too few cycles to say anything");
    assert!(stats.max_stall_ns < 1_000_000, "a stall of a millisecond");
}

pub(crate) fn pin(seconds: usize) {
    let heap = Heap::new();
    let len = 100_000;
    let keep = table(&heap, len, 4);
    heap.collect();
    let before = heap.stats();
    let over = AtomicBool::new(false);
    let allocated = thread::scope(|scope| {
        let (there, keep, over) = (&heap, &keep, &over);
        let worker = scope.spawn(move || work(there, keep, len, 1, over).0);
        let cycles = heap.enter(|m| {
            let held = node(m, 42, Some(node(m, 43, None)));
            thread::sleep(Duration::from_secs(seconds as u64));
            assert_eq!(held.next.get().map(|next| next.value), Some(43));
            heap.stats().cycles
        });
        over.store(true, Relaxed);
        let allocated = worker.join().expect("a mutator");
        assert!(cycles <= before.cycles + 1, "a cycle ended while a thread was pinned");
        allocated * 16
    });
    let peak = heap.stats();
    let grown = peak.mapped_bytes.saturating_sub(before.mapped_bytes);
    heap.collect();
    let after = heap.stats();
    heap.verify().expect("a sound heap");
    println!(
        "a pin of {seconds} s: another thread allocated {} MiB and the heap grew by {} MiB; after the next cycle the heap has {} MiB; the longest pin took {:.3} s",
        allocated >> 20,
        grown >> 20,
        after.mapped_bytes >> 20,
        after.longest_pin_ns as f64 / 1e9
    );
    assert!(allocated > 0 && after.cycles > before.cycles);
    assert!(
        grown <= allocated + (8 << 20),
        "the heap grew by more than the thread allocated"
    );
}
