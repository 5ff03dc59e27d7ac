//! The heap map and the events of a process whose work is known.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use greyspan::events::{self, Event, EventKind, PurgeCause, Reader};
use greyspan::heap_map::{Kind, Usage};
use greyspan::{HeapMap, heap_map, stats};

use crate::GLOBAL;
use crate::fork::in_child;
use crate::harness::{DONE, Next, Scenario};
use crate::probe::{churn, free_all, make, make_mixed, try_make};
use crate::support::oracle::Block;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("map::a_map_agrees_with_the_statistics", agrees),
    Scenario::new("map::what_is_made_is_on_the_map_where_it_lies", on_the_map),
    Scenario::new("map::maps_beside_busy_threads_have_every_page_once", busy),
    Scenario::new("events::growth_and_purges_are_told_with_their_bytes", growth),
    Scenario::new(
        "events::limits_are_told_when_they_are_hit_and_do_not_fill_the_ring",
        limits,
    ),
    Scenario::new("events::readers_do_not_take_from_each_other", readers),
    Scenario::new("events::a_reader_that_comes_late_is_told_what_it_missed", late),
    Scenario::new("events::a_fork_child_has_events_of_its_own", fork),
    #[cfg(feature = "gc")]
    Scenario::new("events::a_cycle_of_the_collector_is_told", cycle),
];

fn check(map: &HeapMap) {
    for arena in &map.arenas {
        let mut at = arena.first();
        assert!(at > arena.address && at - arena.address >= arena.tables);
        for run in &arena.runs {
            assert_eq!(run.address, at, "a gap or an overlap");
            assert!(run.pages > 0);
            if let Usage::Small { size, objects, live } = run.usage {
                assert!(live <= objects, "{run:?}");
                assert!(size * objects <= run.bytes(), "{run:?}");
            }
            at += run.bytes();
        }
        assert_eq!(arena.huge.len() as u64 * HeapMap::HUGE_BYTES, arena.ready());
        assert!(arena.ready() <= arena.reserved);
    }
}

fn agrees() -> Next {
    let blocks = make_mixed(20_000, 1);
    let large: Vec<Block> = (0..20).map(|seed| make(3 << 20, seed)).collect();
    free_all(make_mixed(5_000, 2));
    // The program allocates nothing between the two calls, except for the map itself. The map is
    // taken twice, so that the second reuses the memory of the first.
    drop(heap_map());
    let now = stats();
    let map = heap_map();
    check(&map);
    assert_eq!(map.ready(), now.heap_sys);
    let apart = map.in_use().abs_diff(now.heap_inuse);
    assert!(apart <= 1 << 20, "{} and {}", map.in_use(), now.heap_inuse);
    let released = map.bytes(Kind::Released) + map.bytes(Kind::Room);
    assert!(
        released.abs_diff(now.heap_released) <= 1 << 20,
        "{released} and {now:?}"
    );
    assert_eq!(map.bytes(Kind::Changing), 0, "no other thread runs");
    for class in map.classes() {
        let row = now.by_size.iter().find(|row| row.size == class.size).expect("a class");
        // The map's own vectors may have made one more span.
        assert!(class.spans.abs_diff(row.spans) <= 1, "{class:?} {row:?}");
    }
    free_all(blocks);
    free_all(large);
    DONE
}

fn on_the_map() -> Next {
    let place = |map: &HeapMap, ptr: *mut u8| {
        let address = ptr.addr() as u64;
        *map.runs()
            .find(|run| (run.address..run.address + run.bytes()).contains(&address))
            .expect("on the map")
    };
    let small = Layout::new::<[u64; 16]>();
    // SAFETY: the layout is not empty.
    let blocks: Vec<*mut u8> = (0..1000).map(|_| unsafe { GLOBAL.alloc(small) }).collect();
    let large = Layout::from_size_align(10 << 20, 8).expect("a layout");
    // SAFETY: the layout is not empty.
    let object = unsafe { GLOBAL.alloc(large) };
    let map = heap_map();
    for &block in &blocks {
        let run = place(&map, block);
        assert!(
            matches!(
                run.usage,
                Usage::Small {
                    size: 128,
                    live: 1..,
                    ..
                }
            ),
            "{run:?} holds a block of 128 bytes"
        );
    }
    let run = place(&map, object);
    assert_eq!(run.usage, Usage::Large { bytes: 10 << 20 });
    assert!(run.bytes() >= 10 << 20 && run.address == object.addr() as u64);
    // SAFETY: made above, freed once.
    unsafe { GLOBAL.dealloc(object, large) };
    greyspan::purge();
    let run = place(&heap_map(), object);
    assert_eq!(run.usage, Usage::Released, "freed and purged");
    for block in blocks {
        // SAFETY: made above, freed once.
        unsafe { GLOBAL.dealloc(block, small) };
    }
    DONE
}

fn busy() -> Next {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for id in 0..3 {
            let over = &over;
            scope.spawn(move || churn(id, || !over.load(Ordering::Relaxed)));
        }
        let drawn = std::panic::catch_unwind(|| {
            for round in 0..200 {
                let map = heap_map();
                check(&map);
                if round % 50 == 0 {
                    assert!(map.to_string().contains("arena 0"));
                    assert!(map.to_svg().ends_with("</svg>\n"));
                    assert!(map.to_json().ends_with("]}]}"));
                    greyspan::purge();
                }
            }
        });
        over.store(true, Ordering::Relaxed);
        drawn.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    DONE
}

/// Returns all events that no earlier call returned.
fn drained() -> Vec<Event> {
    // Has room for all events, so that the drain allocates nothing.
    let mut found = Vec::with_capacity(events::CAPACITY);
    let missed = events::drain(&mut |event| found.push(event));
    assert_eq!(missed, 0, "{:?}", found.get(..12));
    found
}

fn growth() -> Next {
    let begun = SystemTime::now();
    let first = drained();
    assert!(
        matches!(first[0].kind, EventKind::ArenaReserved { number: 0, bytes } if bytes >= 16 << 20),
        "{first:?}"
    );
    let before = stats();
    let block = make(40 << 20, 1);
    block.check("touched");
    let grown = drained();
    let added: u64 = grown
        .iter()
        .map(|event| match event.kind {
            EventKind::ArenaGrew { bytes, .. } => bytes,
            _ => 0,
        })
        .sum();
    assert_eq!(added, stats().heap_sys - before.heap_sys, "{grown:?}");
    assert!(added > 0, "{grown:?}");
    free_all([block]);
    let given = greyspan::purge();
    let events = drained();
    let purge = events.last().expect("an event");
    assert_eq!(
        purge.kind,
        EventKind::Purge {
            bytes: given as u64,
            cause: PurgeCause::Asked
        }
    );
    assert!(given >= 40 << 20);
    assert!(
        purge.time() >= begun - Duration::from_secs(1) && purge.time() <= SystemTime::now() + Duration::from_secs(1)
    );
    assert!(
        purge.to_string().contains("bytes to the system: the program asked"),
        "{purge}"
    );
    let numbers: Vec<u64> = first
        .iter()
        .chain(&grown)
        .chain(&events)
        .map(|event| event.sequence)
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    assert!(drained().is_empty());
    DONE
}

fn limits() -> Next {
    drained();
    // After the first event, at most one per tenth of a second.
    let bound = |since: Instant| (since.elapsed().as_millis() / 100) as usize + 2;
    greyspan::set_hard_limit(Some(32 << 20));
    let since = Instant::now();
    let made = (0..5_000).filter(|&seed| try_make(64 << 20, seed).is_some()).count();
    let refused = drained();
    // Before any assertion: a failing one needs memory for its message.
    greyspan::set_hard_limit(None);
    assert_eq!(made, 0);
    let hard: Vec<_> = refused
        .iter()
        .filter(|event| event.kind.name() == "hard_limit")
        .collect();
    assert!((1..=bound(since)).contains(&hard.len()), "{}", hard.len());
    let EventKind::HardLimit {
        wanted,
        footprint,
        limit,
        refused,
    } = hard[0].kind
    else {
        unreachable!("by its name");
    };
    assert!(
        wanted >= 64 << 20 && limit == 32 << 20 && footprint <= limit && refused >= 1,
        "{}",
        hard[0]
    );

    greyspan::set_memory_limit(Some(16 << 20));
    let held: Vec<Block> = (0..20).map(|seed| make(1 << 20, seed)).collect();
    let since = Instant::now();
    for seed in 0..100 {
        free_all([make(8 << 20, seed)]);
    }
    let events = drained();
    let soft = events.iter().filter(|event| event.kind.name() == "soft_limit").count();
    assert_eq!(soft, 1, "it stayed beyond the limit: {events:?}");
    let purged = events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::Purge { cause: PurgeCause::SoftLimit, bytes } if bytes > 0))
        .count();
    assert!((1..=bound(since)).contains(&purged), "{events:?}");
    free_all(held);
    greyspan::purge();
    let block = make(30 << 20, 1);
    let again = drained();
    assert!(again.iter().any(|event| event.kind.name() == "soft_limit"), "{again:?}");
    // A new limit is reported again, even if the footprint is beyond it from the start.
    greyspan::set_memory_limit(Some(8 << 20));
    free_all([make(8 << 20, 1)]);
    let other = drained();
    let told = |event: &Event| matches!(event.kind, EventKind::SoftLimit { limit, .. } if limit == 8 << 20);
    assert_eq!(other.iter().filter(|event| told(event)).count(), 1, "{other:?}");
    free_all([block]);
    DONE
}

/// Makes an event: a purge that returns memory.
fn purge() {
    free_all([make(1 << 18, 1)]);
    greyspan::thread_idle();
    assert!(greyspan::purge() > 0);
}

fn readers() -> Next {
    let (mut one, mut two) = (Reader::new(), Reader::new());
    purge();
    let mut seen = [Vec::with_capacity(64), Vec::with_capacity(64)];
    assert_eq!(one.read(&mut |event| seen[0].push(event)), 0);
    let taken = drained();
    assert_eq!(two.read(&mut |event| seen[1].push(event)), 0);
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].len() >= 2 && taken.len() >= seen[0].len());
    let last = seen[0].last().expect("an event").sequence;
    assert_eq!(one.position(), last + 1);
    let mut from_last = Vec::with_capacity(8);
    Reader::since(last).read(&mut |event| from_last.push(event.sequence));
    assert_eq!(from_last, [last]);
    let mut none = 0;
    one.read(&mut |_| none += 1);
    assert_eq!(none, 0);
    DONE
}

fn late() -> Next {
    let mut reader = Reader::new();
    let count = events::CAPACITY as u64 + 100;
    let begun = reader.position();
    for _ in 0..count {
        purge();
    }
    let mut numbers = Vec::with_capacity(events::CAPACITY);
    let missed = reader.read(&mut |event| numbers.push(event.sequence));
    assert_eq!(numbers.len(), events::CAPACITY, "the last ones are there");
    assert!(missed >= 100 && begun + missed == numbers[0], "{missed} missed");
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    let mut drained = 0;
    let missed = events::drain(&mut |_| drained += 1);
    assert_eq!(drained, events::CAPACITY);
    assert!(missed >= 100, "{missed}");
    assert_eq!(events::drain(&mut |_| {}), 0, "told once");
    DONE
}

fn fork() -> Next {
    purge();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    free_all([make(1 << 18, 1)]);
                    greyspan::thread_idle();
                    greyspan::purge();
                }
            });
        }
        for _ in 0..8 {
            let mut reader = Reader::new();
            in_child(|| {
                let mut seen = Vec::with_capacity(64);
                assert_eq!(events::drain(&mut |event| seen.push(event)), 0);
                assert!(seen.is_empty(), "the parent's: {seen:?}");
                // More events than slots: no slot is held by a thread that does not exist in the
                // child.
                for _ in 0..events::CAPACITY + 10 {
                    purge();
                }
                let mut count = 0;
                let missed = events::drain(&mut |_| count += 1);
                assert_eq!(count, events::CAPACITY);
                assert!(missed >= 10, "{missed}");
                let mut count = 0;
                reader.read(&mut |_| count += 1);
                assert_eq!(count, events::CAPACITY, "a reader from before the fork goes on");
            });
        }
        over.store(true, Ordering::Relaxed);
    });
    DONE
}

#[cfg(feature = "gc")]
fn cycle() -> Next {
    use greyspan::gc::{Heap, Root, Rootable};
    let heap = Heap::new();
    let root: Root<Rootable![[u64; 64]]> = heap.enter(|m| Root::new(m, m.alloc([7; 64])));
    drained();
    heap.collect();
    let events = drained();
    let told = events.iter().find_map(|event| match event.kind {
        EventKind::GcCycle {
            cycle,
            live,
            goal,
            forced,
            took,
        } => Some((cycle, live, goal, forced, took)),
        _ => None,
    });
    let (cycle, live, goal, forced, took) = told.expect("a cycle");
    assert_eq!((cycle, forced), (1, true));
    assert!(live >= 512 && goal == stats().next_gc && goal > 0, "{live} {goal}");
    assert!(took > Duration::ZERO);
    heap.enter(|m| assert_eq!(root.get(m)[63], 7));
    let map = heap_map();
    check(&map);
    assert!(map.bytes(Kind::Managed) > 0, "the collector's spans are on the map");
    DONE
}
