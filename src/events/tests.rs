use super::event::{decode, encode};
use super::ring::{Read, Ring};
use super::*;
use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

fn words(number: u64) -> [u64; 6] {
    [number; 6]
}

#[test]
fn each_kind_of_event_comes_out_as_it_went_in() {
    let kinds = [
        EventKind::Purge {
            bytes: 1,
            cause: PurgeCause::Asked,
        },
        EventKind::Purge {
            bytes: 2,
            cause: PurgeCause::Idle,
        },
        EventKind::Purge {
            bytes: 3,
            cause: PurgeCause::SoftLimit,
        },
        EventKind::Purge {
            bytes: u64::MAX,
            cause: PurgeCause::HardLimit,
        },
        EventKind::Purge {
            bytes: 4,
            cause: PurgeCause::Pressure,
        },
        EventKind::SoftLimit { footprint: 5, limit: 4 },
        EventKind::HardLimit {
            wanted: 6,
            footprint: 7,
            limit: 8,
            refused: 9,
        },
        EventKind::ArenaReserved { bytes: 10, number: 11 },
        EventKind::ArenaGrew {
            bytes: 12,
            heap_sys: 13,
            huge: true,
        },
        EventKind::ArenaGrew {
            bytes: 12,
            heap_sys: 13,
            huge: false,
        },
        EventKind::HugePagesStopped { bytes: 14 },
        EventKind::GcCycle {
            cycle: 15,
            live: 16,
            goal: 17,
            forced: true,
            took: Duration::from_nanos(18),
        },
        EventKind::GcCycle {
            cycle: 15,
            live: 16,
            goal: 17,
            forced: false,
            took: Duration::from_nanos(19),
        },
        EventKind::GcHeapKept {
            live: 20,
            roots: 21,
            cleanups: 22,
        },
    ];
    for (sequence, kind) in (7..).zip(kinds) {
        let event = decode(sequence, &encode(1_700_000_000_000_000_000, kind)).expect("a known kind");
        assert_eq!(event.kind, kind);
        assert_eq!(event.sequence, sequence);
        assert_eq!(event.unix_nanos, 1_700_000_000_000_000_000);
        assert!(event.to_string().starts_with("1700000000.000000 "), "{event}");
    }
    assert_eq!(decode(0, &[0; 6]), None);
    assert_eq!(decode(0, &[1, 0, 0, 5, 0, 0]), None, "no such cause");
}

#[test]
fn a_ring_holds_the_last_events_and_tells_which_are_gone() {
    let ring = Ring::<4, 6>::new();
    assert_eq!(ring.read(0), Read::Unfinished);
    for number in 0..10 {
        ring.push(words(number));
    }
    assert_eq!(ring.next(), 10);
    assert_eq!(ring.read(0), Read::Gone(6));
    assert_eq!(ring.read(5), Read::Gone(6));
    for number in 6..10 {
        assert_eq!(ring.read(number), Read::Event(words(number)));
    }
    assert_eq!(ring.read(10), Read::Unfinished);
}

#[test]
fn a_child_begins_with_no_events_and_no_slot_is_held() {
    let ring = Ring::<4, 6>::new();
    for number in 0..3 {
        ring.push(words(number));
    }
    ring.stop_in_the_middle();
    assert_eq!(ring.read(3), Read::Unfinished);
    ring.reset_in_child();
    assert_eq!(ring.first(), 4);
    for number in 4..8 {
        ring.push(words(number));
        assert_eq!(ring.read(number), Read::Event(words(number)));
    }
}

#[test]
fn a_writer_that_finds_a_slower_one_in_its_slot_gives_up_and_nobody_waits_for_it() {
    let ring = Ring::<4, 6>::new();
    ring.stop_in_the_middle();
    for number in 1..6 {
        ring.push(words(number));
    }
    assert_eq!(ring.read(0), Read::Gone(1), "the ring has come round");
    assert_eq!(ring.read(4), Read::Gone(5), "given up, not unfinished");
    assert_eq!(ring.read(5), Read::Event(words(5)));
}

#[test]
fn readers_beside_writers_see_whole_events_in_order_and_count_the_rest() {
    static RING: Ring<16> = Ring::new();
    const WRITERS: u64 = 4;
    const EACH: u64 = if cfg!(miri) { 100 } else { 20_000 };
    let writing = AtomicBool::new(true);
    let check = || {
        let (mut next, mut seen, mut gone) = (0, HashSet::new(), 0);
        loop {
            let last = !writing.load(std::sync::atomic::Ordering::Acquire);
            while next < RING.next() {
                match RING.read(next) {
                    Read::Event(words) => {
                        assert!(words.iter().all(|&word| word == words[0]), "{words:?}");
                        assert!(seen.insert(words[0]), "{} twice", words[0]);
                        next += 1;
                    }
                    Read::Gone(oldest) => {
                        assert!(oldest > next);
                        gone += oldest - next;
                        next = oldest;
                    }
                    Read::Unfinished => break,
                }
            }
            if last {
                return (next, seen.len() as u64, gone);
            }
        }
    };
    thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(check));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    for number in 0..EACH {
                        RING.push(words(writer << 32 | number));
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("no panic");
        }
        writing.store(false, std::sync::atomic::Ordering::Release);
        for reader in readers {
            let (next, seen, gone) = reader.join().expect("no panic");
            assert_eq!(next, WRITERS * EACH, "nothing is unfinished for ever");
            assert_eq!(seen + gone, WRITERS * EACH);
            assert!(seen > 0);
        }
    });
}
