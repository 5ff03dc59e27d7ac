//! The ring of events: a writer overtakes a reader, or another writer.

use crate::events::ring::{Read, Ring};
use loom::thread;

/// Reads the events 1 and 2 from a ring of one slot. Each word of an event is its number, so a torn
/// event shows.
fn look(ring: &Ring<1, 2>) {
    for ticket in 0..2 {
        if ring.next() <= ticket {
            return;
        }
        if let Read::Event(words) = ring.read(ticket) {
            assert!(words[0] == words[1] && words[0] != 0, "a torn event: {words:?}");
        }
    }
}

#[test]
fn models_an_event_is_read_whole_or_not_at_all() {
    loom::model(|| {
        let ring: &'static Ring<1, 2> = Box::leak(Box::new(Ring::new()));
        let writer = thread::spawn(move || {
            ring.push([1; 2]);
            ring.push([2; 2]);
        });
        look(ring);
        writer.join().unwrap();
        assert_eq!(ring.read(0), Read::Gone(1));
        assert_eq!(ring.read(1), Read::Event([2; 2]));
    });
}

#[test]
fn models_two_writers_of_a_slot_leave_one_event_and_nobody_waits_for_the_other() {
    loom::model(|| {
        let ring: &'static Ring<1, 2> = Box::leak(Box::new(Ring::new()));
        let writer = thread::spawn(move || ring.push([1; 2]));
        ring.push([2; 2]);
        writer.join().unwrap();
        let found = [ring.read(0), ring.read(1)];
        assert!(!found.contains(&Read::Unfinished), "{found:?}");
        let events = found.iter().filter(|read| matches!(read, Read::Event(_)));
        assert_eq!(events.count(), 1, "{found:?}");
        look(ring);
    });
}
