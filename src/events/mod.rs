//! Notable actions of the allocator: growth, purges, limits, huge pages, cycles of the collector. A
//! ring holds the last [`CAPACITY`] events. The program reads them whenever it likes, for example
//! to log them or to pass them to `tracing`.
//!
//! Noting an event takes a few dozen instructions. It never blocks, allocates or calls other code,
//! and needs no reader. New events overwrite old ones; a reader learns how many it missed.
//!
//! ```
//! greyspan::purge();
//! let missed = greyspan::events::drain(&mut |event| println!("{event}"));
//! assert_eq!(missed, 0);
//! ```
//!
//! [`drain`] hands each event to one caller of the process. A [`Reader`] gets all events, whatever
//! other readers read. A fork child begins without events.

// The page heap and the collector note events (`note`); users read them. `ring` has the ring and
// its protocol.

#![forbid(unsafe_code)]

mod event;
pub(crate) mod ring;

pub use event::{Event, EventKind, PurgeCause};

use crate::sync::static_of;
use crate::sync::tally::{AtomicU64, Ordering::Relaxed};
use ring::{Read, Ring};

/// The number of events that the ring holds: 512. A reader that comes later misses events, and
/// learns how many; see the example of [`drain`].
pub const CAPACITY: usize = 512;

static_of! {
    pub(crate) static RING: Ring<CAPACITY> = Ring::new();
}
/// The event that `drain` reads next. The next static counts missed events that it has not reported
/// yet.
static DRAINED: AtomicU64 = AtomicU64::new(0);
static MISSED: AtomicU64 = AtomicU64::new(0);

/// Notes an event. Callable from anywhere, under any lock.
pub(crate) fn note(kind: EventKind) {
    RING.push(event::encode(crate::os::unix_nanos(), kind));
}

/// Removes all events, and unfinished notes of other threads. For the child after `fork`.
pub(crate) fn reset_in_child() {
    if RING.reset_in_child() {
        DRAINED.store(RING.first(), Relaxed);
        MISSED.store(0, Relaxed);
    }
}

/// Calls `each` with the events that no earlier call handed out, the oldest first. Returns the
/// number of events that were overwritten before any call handed them out.
///
/// Events noted meanwhile, perhaps by `each` itself, wait for the next call. Several threads may
/// call this at once; each event goes to one of them. Panics only if `each` panics.
///
/// ```
/// let mut log = Vec::new();
/// let missed = greyspan::events::drain(&mut |event| {
///     log.push((event.sequence, event.time(), event.kind.name()));
/// });
/// assert!(log.is_sorted());
/// if missed > 0 {
///     println!("{missed} events were overwritten");
/// }
/// ```
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

/// Reads the events at its own pace, whatever other readers read.
///
/// ```
/// use greyspan::events::{EventKind, Reader};
///
/// let mut reader = Reader::new();
/// greyspan::purge();
/// let mut returned = 0;
/// let missed = reader.read(&mut |event| {
///     if let EventKind::Purge { bytes, cause } = event.kind {
///         println!("{bytes} bytes went back: {cause}");
///         returned += bytes;
///     }
/// });
/// assert_eq!(missed, 0);
///
/// // Goes on where the first reader stopped, perhaps in another thread.
/// let mut later = Reader::since(reader.position());
/// assert_eq!(later.read(&mut |event| println!("{event}")), 0);
/// ```
#[derive(Debug)]
pub struct Reader {
    next: u64,
}

impl Reader {
    /// Begins with the oldest event that the ring still holds. See the example of [`Reader`].
    pub fn new() -> Self {
        Self {
            next: RING.next().saturating_sub(CAPACITY as u64).max(RING.first()),
        }
    }

    /// Begins with event number `sequence` ([`Event::sequence`]), or the oldest after it that the
    /// ring still holds. A number in the future means the next event. See the example of
    /// [`Reader`].
    pub fn since(sequence: u64) -> Self {
        Self { next: sequence }
    }

    /// Returns the number of the next event, for [`since`](Self::since). See the example of
    /// [`Reader`].
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Calls `each` with the events since the last call, the oldest first. Returns the number of
    /// events that were overwritten before this reader came to them. Panics only if `each` panics.
    /// See the example of [`Reader`].
    pub fn read(&mut self, each: &mut impl FnMut(Event)) -> u64 {
        let end = RING.next();
        // A child does not miss the events from before its fork.
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

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(greyspan_loom)))]
mod tests;
