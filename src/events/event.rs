//! One event, and its six words in the ring.

use super::ring::Words;
use core::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The cause of a return of memory to the system. [`Stats`](crate::Stats) sums the bytes by cause,
/// such as [`purged_idle`](crate::Stats::purged_idle). See the example of [`EventKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PurgeCause {
    /// The program called [`purge`](crate::purge).
    Asked,
    /// The memory was idle for the purge delay: free pages, or pages of spans that no thread used.
    Idle,
    /// The footprint was above the soft limit.
    SoftLimit,
    /// A request would have passed the hard limit.
    HardLimit,
    /// The system was short of memory: its tasks waited for it (`/proc/pressure/memory`).
    Pressure,
}

/// The kind of an event, with its figures. Figures are bytes unless stated otherwise.
///
/// ```
/// use greyspan::events::{EventKind, PurgeCause};
///
/// // For people and for machines; a test of a program's own log can make an event's kind.
/// let kind = EventKind::Purge { bytes: 4096, cause: PurgeCause::Idle };
/// assert_eq!(kind.to_string(), "returned 4096 bytes to the system: idle for the purge delay");
/// assert_eq!(kind.name(), "purge");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// Free memory went back to the operating system. Returns caused by a limit are added up over a
    /// tenth of a second.
    Purge {
        /// Bytes returned.
        bytes: u64,
        /// The cause.
        cause: PurgeCause,
    },
    /// The footprint passed the soft limit. The next such event comes after the footprint has been
    /// an eighth below the limit, or when another limit is set.
    SoftLimit {
        /// Bytes of physical memory that the heap and its records use.
        footprint: u64,
        /// The limit.
        limit: u64,
    },
    /// The hard limit refused a request. There are at most ten such events per second.
    HardLimit {
        /// Bytes asked of the page heap.
        wanted: u64,
        /// Bytes of physical memory that the heap and its records use.
        footprint: u64,
        /// The limit.
        limit: u64,
        /// Requests refused since the last such event, this one included.
        refused: u64,
    },
    /// An arena began: the heap chose a range of addresses to grow in.
    ArenaReserved {
        /// Bytes that the arena can grow to. They take up no address space before they are used.
        bytes: u64,
        /// The arena's index in [`HeapMap::arenas`](crate::HeapMap::arenas).
        number: u64,
    },
    /// An arena grew: more of its pages are ready for use.
    ArenaGrew {
        /// Bytes of the growth.
        bytes: u64,
        /// Bytes now ready in all arenas ([`Stats::heap_sys`](crate::Stats::heap_sys)).
        heap_sys: u64,
        /// Whether the heap asked the system for huge pages behind the new pages.
        huge: bool,
    },
    /// Part of a huge page was returned. So the heap asked the system to stop using huge pages
    /// there.
    HugePagesStopped {
        /// Bytes of address space concerned.
        bytes: u64,
    },
    /// A cycle of a managed heap ended (feature `gc`).
    GcCycle {
        /// The number of the cycle, counted over all heaps of the process.
        cycle: u64,
        /// Bytes of the objects that it found alive.
        live: u64,
        /// Bytes that the heap may grow to before its next cycle ends.
        goal: u64,
        /// Whether the program asked for it by `collect`.
        forced: bool,
        /// Its elapsed time, from its beginning to the end of the sweep.
        took: Duration,
    },
    /// Only roots keep a managed heap: no thread can enter it any more, and its cycles find no dead
    /// objects (feature `gc`). If the roots lie in objects of that heap, or in cleanups that wait
    /// for the death of these, the heap stays for ever.
    GcHeapKept {
        /// Bytes of the objects that its last cycle found alive.
        live: u64,
        /// Number of roots.
        roots: u64,
        /// Number of cleanups and guardians that wait for the death of an object.
        cleanups: u64,
    },
}

/// An event with its time and its number. See the example of [`drain`](super::drain).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The number of the event, counted from 0 over the life of the process.
    pub sequence: u64,
    /// Nanoseconds since 1970, UTC; 0 if a seccomp filter in strict mode forbids the clock.
    pub unix_nanos: u64,
    /// The kind of the event, with its figures.
    pub kind: EventKind,
}

impl Event {
    /// Returns the time of the event, to the nanosecond. See the example of
    /// [`drain`](super::drain).
    pub fn time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.unix_nanos)
    }
}

impl EventKind {
    /// Returns the kind as a word for machines, such as `purge` or `gc_cycle`. See the example of
    /// [`EventKind`].
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Purge { .. } => "purge",
            Self::SoftLimit { .. } => "soft_limit",
            Self::HardLimit { .. } => "hard_limit",
            Self::ArenaReserved { .. } => "arena_reserved",
            Self::ArenaGrew { .. } => "arena_grew",
            Self::HugePagesStopped { .. } => "huge_pages_stopped",
            Self::GcCycle { .. } => "gc_cycle",
            Self::GcHeapKept { .. } => "gc_heap_kept",
        }
    }
}

impl PurgeCause {
    /// The number of causes. Each is below it as a number.
    pub(crate) const COUNT: usize = CAUSES.len();

    /// Returns the cause in words.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Asked => "the program asked",
            Self::Idle => "idle for the purge delay",
            Self::SoftLimit => "the footprint is above the soft limit",
            Self::HardLimit => "a request would pass the hard limit",
            Self::Pressure => "the system is short of memory",
        }
    }
}

impl fmt::Display for PurgeCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Display for EventKind {
    /// Writes one line for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Purge { bytes, cause } => write!(f, "returned {bytes} bytes to the system: {cause}"),
            Self::SoftLimit { footprint, limit } => {
                write!(
                    f,
                    "the footprint of {footprint} bytes passed the soft limit of {limit} bytes"
                )
            }
            Self::HardLimit {
                wanted,
                footprint,
                limit,
                refused,
            } => write!(
                f,
                "the hard limit of {limit} bytes refused {wanted} bytes: the footprint is {footprint} bytes \
                 (requests refused since the last such event: {refused})"
            ),
            Self::ArenaReserved { bytes, number } => {
                write!(f, "arena {number} begins: it can grow to {bytes} bytes")
            }
            Self::ArenaGrew { bytes, heap_sys, huge } => {
                let pages = if huge { " in huge pages" } else { "" };
                write!(f, "the heap grew by {bytes} bytes{pages} to {heap_sys} bytes")
            }
            Self::HugePagesStopped { bytes } => write!(
                f,
                "stopped using huge pages for {bytes} bytes: a part of them was returned"
            ),
            Self::GcCycle {
                cycle,
                live,
                goal,
                forced,
                took,
            } => {
                let asked = if forced { " (forced)" } else { "" };
                write!(
                    f,
                    "collector cycle {cycle}{asked}: {live} bytes live, goal {goal} bytes, took {took:?}"
                )
            }
            Self::GcHeapKept { live, roots, cleanups } => write!(
                f,
                "a managed heap without a handle is kept by {roots} roots, and ends when they are dropped: \
                 {live} bytes live, {cleanups} cleanups wait"
            ),
        }
    }
}

impl fmt::Display for Event {
    /// Writes one line: the seconds since 1970, and the kind with its figures.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, rest) = (self.unix_nanos / 1_000_000_000, self.unix_nanos % 1_000_000_000);
        write!(f, "{seconds}.{:06} {}", rest / 1000, self.kind)
    }
}

const CAUSES: [PurgeCause; 5] = [
    PurgeCause::Asked,
    PurgeCause::Idle,
    PurgeCause::SoftLimit,
    PurgeCause::HardLimit,
    PurgeCause::Pressure,
];

/// Encodes an event as words.
pub(super) fn encode(unix_nanos: u64, kind: EventKind) -> Words {
    let (tag, a, b, c, d) = match kind {
        EventKind::Purge { bytes, cause } => (1, bytes, cause as u64, 0, 0),
        EventKind::SoftLimit { footprint, limit } => (2, footprint, limit, 0, 0),
        EventKind::HardLimit {
            wanted,
            footprint,
            limit,
            refused,
        } => (3, wanted, footprint, limit, refused),
        EventKind::ArenaReserved { bytes, number } => (4, bytes, number, 0, 0),
        EventKind::ArenaGrew { bytes, heap_sys, huge } => (5, bytes, heap_sys, u64::from(huge), 0),
        EventKind::HugePagesStopped { bytes } => (6, bytes, 0, 0, 0),
        EventKind::GcCycle {
            cycle,
            live,
            goal,
            forced,
            took,
        } => {
            let took = u64::try_from(took.as_nanos())
                .unwrap_or(u64::MAX >> 1)
                .min(u64::MAX >> 1);
            (7, cycle, live, goal, took << 1 | u64::from(forced))
        }
        EventKind::GcHeapKept { live, roots, cleanups } => (8, live, roots, cleanups, 0),
    };
    [tag, unix_nanos, a, b, c, d]
}

/// Decodes the words of an event. `None`: no such kind or cause.
pub(super) fn decode(sequence: u64, words: &Words) -> Option<Event> {
    let [tag, unix_nanos, a, b, c, d] = *words;
    let kind = match tag {
        1 => EventKind::Purge {
            bytes: a,
            cause: *CAUSES.get(usize::try_from(b).ok()?)?,
        },
        2 => EventKind::SoftLimit { footprint: a, limit: b },
        3 => EventKind::HardLimit {
            wanted: a,
            footprint: b,
            limit: c,
            refused: d,
        },
        4 => EventKind::ArenaReserved { bytes: a, number: b },
        5 => EventKind::ArenaGrew {
            bytes: a,
            heap_sys: b,
            huge: c != 0,
        },
        6 => EventKind::HugePagesStopped { bytes: a },
        7 => EventKind::GcCycle {
            cycle: a,
            live: b,
            goal: c,
            forced: d & 1 != 0,
            took: Duration::from_nanos(d >> 1),
        },
        8 => EventKind::GcHeapKept {
            live: a,
            roots: b,
            cleanups: c,
        },
        _ => return None,
    };
    Some(Event {
        sequence,
        unix_nanos,
        kind,
    })
}
