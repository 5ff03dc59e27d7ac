//! What the allocator did of note: growth, purges, limits, huge pages, cycles of the collector. Kept in a ring that holds the last
//! [`CAPACITY`] events, for the program to read whenever it likes: to log them, or to hand them to `tracing`.
//!
//! Noting an event takes a few dozen instructions and never blocks, allocates or calls anybody; nobody has to read. Old events are overwritten
//! by new ones; a reader is told how many it missed.
//!
//! ```
//! greyspan::purge();
//! let missed = greyspan::events::drain(&mut |event| println!("{event}"));
//! assert_eq!(missed, 0);
//! ```
//!
//! [`drain`] hands each event to one caller of the process; a [`Reader`] sees all of them, whatever others read. The child of a `fork` begins
//! with no events.

// Called by the page heap and the collector, which note events (`note`), and by users, who read them. `ring` has the ring and its protocol.

#![forbid(unsafe_code)]

#[cfg(not(loom))]
mod event;
pub(crate) mod ring;

#[cfg(not(loom))]
pub use event::{Event, EventKind, PurgeCause};

#[cfg(not(loom))]
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
#[cfg(not(loom))]
use ring::{Read, Ring};

/// Events that the ring holds.
pub const CAPACITY: usize = 512;

#[cfg(not(loom))]
static RING: Ring<CAPACITY> = Ring::new();
/// The event that `drain` reads next, and how many it has missed in all and not yet told.
#[cfg(not(loom))]
static DRAINED: AtomicU64 = AtomicU64::new(0);
#[cfg(not(loom))]
static MISSED: AtomicU64 = AtomicU64::new(0);

/// Notes an event. From anywhere, under any lock.
#[cfg(not(loom))]
pub(crate) fn note(kind: EventKind) {
    RING.push(event::encode(crate::os::unix_nanos(), kind));
}

/// After `fork`, in the child: no events yet, and nobody in the middle of noting one.
#[cfg(not(loom))]
pub(crate) fn reset_in_child() {
    if RING.reset_in_child() {
        DRAINED.store(RING.first(), Relaxed);
        MISSED.store(0, Relaxed);
    }
}

/// Calls `each` with the events that no earlier call handed out, the oldest first. Returns how many were overwritten before anybody drained
/// them. Events noted meanwhile, perhaps by what `each` does, wait for the next call. May be called from several threads at once: each event goes to
/// one of them.
#[cfg(not(loom))]
pub fn drain(each: &mut impl FnMut(Event)) -> u64 {
    let end = RING.next();
    let mut next = DRAINED.load(Relaxed);
    while next < end {
        let read = RING.read(next);
        let (after, missed) = match read {
            Read::Event(_) => (next + 1, 0),
            Read::Gone(oldest) => (oldest, oldest - next),
            Read::Unfinished => break,
        };
        match DRAINED.compare_exchange(next, after, Relaxed, Relaxed) {
            Ok(_) => {
                MISSED.fetch_add(missed, Relaxed);
                if let Read::Event(words) = read
                    && let Some(event) = event::decode(next, &words)
                {
                    each(event);
                }
                next = after;
            }
            Err(now) => next = now,
        }
    }
    MISSED.swap(0, Relaxed)
}

/// Reads the events at its own pace, whatever others read.
#[cfg(not(loom))]
#[derive(Debug)]
pub struct Reader {
    next: u64,
}

#[cfg(not(loom))]
impl Reader {
    /// Begins with the oldest event that the ring still holds.
    pub fn new() -> Self {
        Self {
            next: RING.next().saturating_sub(CAPACITY as u64).max(RING.first()),
        }
    }

    /// Begins with the event number `sequence` ([`Event::sequence`]), or the oldest after it that the ring still holds.
    pub fn since(sequence: u64) -> Self {
        Self { next: sequence }
    }

    /// The number of the event that comes next.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Calls `each` with the events since the last call, the oldest first. Returns how many were overwritten before this reader came to them.
    pub fn read(&mut self, each: &mut impl FnMut(Event)) -> u64 {
        let end = RING.next();
        // What came before a fork is not missed in its child.
        self.next = self.next.max(RING.first()).min(end);
        let mut missed = 0;
        while self.next < end {
            match RING.read(self.next) {
                Read::Event(words) => {
                    if let Some(event) = event::decode(self.next, &words) {
                        each(event);
                    }
                    self.next += 1;
                }
                Read::Gone(oldest) => {
                    missed += oldest - self.next;
                    self.next = oldest;
                }
                Read::Unfinished => break,
            }
        }
        missed
    }
}

#[cfg(not(loom))]
impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
