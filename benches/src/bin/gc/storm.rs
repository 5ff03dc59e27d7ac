//! The storm: two threads exchange the contents of a million slots at full speed, one object in
//! four is replaced, and cycles follow each other without pause.
//!
//! Objects are numbered, and every operation keeps the set of numbers. So at the end each number
//! must occur exactly once.

use greyspan::gc::{Gc, GcCell, Heap, Mutator, Root, Rootable, Trace};
use greyspan_bench::rng::Rng;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

const OBJECTS: usize = 1_000_000;
/// Some slots stay empty, so that a thread with an object in hand finds one for it at the end of a
/// pin.
const SLOTS: usize = OBJECTS / 8 * 9;

#[derive(Trace)]
struct Object<'gc> {
    number: u64,
    check: u64,
    inner: GcCell<'gc, u64>,
}

fn check(number: u64) -> u64 {
    (number ^ 0x5157_0a2d).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn object<'gc>(m: &'gc Mutator<'gc>, number: u64) -> Gc<'gc, Object<'gc>> {
    m.alloc(Object {
        number,
        check: check(number),
        inner: GcCell::new(Some(m.alloc(number))),
    })
}

fn is_sound(object: &Object<'_>) -> bool {
    object.check == check(object.number) && object.inner.get().is_some_and(|inner| *inner == object.number)
}

type Table = Root<Rootable![[GcCell<'_, Object<'_>>]]>;

/// Swaps until `over` is set; returns the number of swaps.
fn swap(heap: &Heap, table: &Table, seed: u64, over: &AtomicBool) -> u64 {
    let mut rng = Rng::new(seed);
    let mut steps = 0;
    while !over.load(Relaxed) {
        heap.enter(|m| {
            let table = table.get(m);
            // The object in hand: no other edge leads to it during the pin.
            let mut hand: Option<Gc<'_, Object<'_>>> = None;
            for _ in 0..256 {
                hand = table[rng.below(SLOTS)].swap(m, hand);
                if let Some(held) = hand {
                    assert!(is_sound(&held), "object {} was lost", held.number);
                    match rng.below(8) {
                        0 | 1 => hand = Some(object(m, held.number)),
                        2 => {
                            let inner = held.inner.take(m);
                            held.inner.set(m, inner);
                        }
                        _ => {}
                    }
                }
                steps += 1;
            }
            while hand.is_some() {
                hand = table[rng.below(SLOTS)].swap(m, hand);
            }
        });
    }
    steps
}

pub(crate) fn run(seconds: usize) {
    let heap = Heap::builder().gc_percent(Some(100)).build();
    let table: Table = heap.enter(|m| {
        Root::new(
            m,
            m.alloc_slice(SLOTS, |index| {
                GcCell::new((index < OBJECTS).then(|| object(m, index as u64)))
            }),
        )
    });
    heap.collect();
    let live = heap.stats().live_bytes;
    let (over, most) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut steps, mut reported) = (0, Instant::now());
    let since = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (1..=2)
            .map(|seed| {
                let (heap, table, over) = (&heap, &table, &over);
                scope.spawn(move || swap(heap, table, seed, over))
            })
            .collect();
        let (there, most, over) = (&heap, &most, &over);
        scope.spawn(move || {
            while !over.load(Relaxed) {
                most.fetch_max(there.stats().mapped_bytes, Relaxed);
                thread::sleep(Duration::from_millis(1));
            }
        });
        while since.elapsed() < Duration::from_secs(seconds as u64) {
            heap.collect();
            if reported.elapsed() > Duration::from_secs(60) {
                reported = Instant::now();
                println!(
                    "after {:.0} s: {} cycles",
                    since.elapsed().as_secs_f64(),
                    heap.stats().cycles
                );
            }
        }
        over.store(true, Relaxed);
        steps = workers
            .into_iter()
            .map(|worker| worker.join().expect("a mutator"))
            .sum();
    });
    let took = since.elapsed();
    heap.verify().expect("a sound heap");
    heap.enter(|m| {
        let mut seen = vec![false; OBJECTS];
        let objects = table.get(m);
        for held in objects.iter().filter_map(GcCell::get) {
            assert!(is_sound(&held), "object {} was lost", held.number);
            let again = std::mem::replace(&mut seen[held.number as usize], true);
            assert!(!again, "object {} is there twice", held.number);
        }
        assert!(seen.iter().all(|&seen| seen), "an object is missing");
    });
    let stats = heap.stats();
    drop(table);
    heap.collect();
    assert_eq!(heap.stats().live_bytes, 0, "a leak");
    let most = most.load(Relaxed);
    println!("{stats}");
    println!(
        "storm: {:.0} s, {:.1} M swaps per second, {} cycles, mapped at most {:.2} times the live bytes; no object lost, no object left",
        took.as_secs_f64(),
        steps as f64 / took.as_secs_f64() / 1e6,
        stats.cycles,
        most as f64 / live as f64
    );
    assert!(most as f64 <= live as f64 * 2.5, "{most} bytes mapped for {live} live");
}
