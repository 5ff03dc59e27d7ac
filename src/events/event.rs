//! One event, and how it stands in the ring: as six words.

use super::ring::Words;
use core::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Why memory was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PurgeCause {
    /// The program called [`purge`](crate::purge).
    Asked,
    /// Nobody missed it for the purge delay.
    Idle,
    /// The footprint was beyond the soft limit.
    SoftLimit,
    /// A request would have passed the hard limit.
    HardLimit,
}

/// What happened. Bytes unless named otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// Free memory went back to the operating system. What a limit sends back is added up over a tenth of a second.
    Purge {
        /// How much.
        bytes: u64,
        /// Why.
        cause: PurgeCause,
    },
    /// The footprint passed the soft limit; noted again once it has been an eighth below, or under another limit.
    SoftLimit {
        /// What the heap and its records keep in physical memory.
        footprint: u64,
        /// The limit.
        limit: u64,
    },
    /// A request was refused because of the hard limit. Refusals are told of ten times a second at the most.
    HardLimit {
        /// What was asked of the page heap.
        wanted: u64,
        /// What the heap and its records keep in physical memory.
        footprint: u64,
        /// The limit.
        limit: u64,
        /// Requests refused since the last such event, this one included.
        refused: u64,
    },
    /// An arena began: a range of addresses was chosen in which the heap grows.
    ArenaReserved {
        /// Bytes that the arena can grow to. They take up no address space before they are used.
        bytes: u64,
        /// The arena's place in [`HeapMap::arenas`](crate::HeapMap::arenas).
        number: u64,
    },
    /// An arena grew: more of its pages are ready for use.
    ArenaGrew {
        /// By how much.
        bytes: u64,
        /// What is ready now, in all arenas ([`Stats::heap_sys`](crate::Stats::heap_sys)).
        heap_sys: u64,
        /// Whether the system was asked to back the new pages by huge ones.
        huge: bool,
    },
    /// Part of a huge page was given back, so the system was told to stop using huge pages where it had been asked to.
    HugePagesStopped {
        /// How much address space that concerns.
        bytes: u64,
    },
    /// A cycle of a managed heap ended (feature `gc`).
    GcCycle {
        /// Cycles of all heaps of the process, this one included.
        cycle: u64,
        /// Bytes of the objects that it found alive.
        live: u64,
        /// Bytes that the heap may grow to before its next cycle ends.
        goal: u64,
        /// Whether `collect` asked for it.
        forced: bool,
        /// How long it took, from its beginning to the end of the sweep.
        took: Duration,
    },
    /// A managed heap is kept by roots alone, so that no thread can enter it any more, and its
    /// cycles find nothing that dies (feature `gc`). The roots may lie in objects of that heap, or
    /// in cleanups that wait for the death of these: then it stays for ever.
    GcHeapKept {
        /// Bytes of the objects that its last cycle found alive.
        live: u64,
        /// Roots.
        roots: u64,
        /// Cleanups and guardians that wait for the death of an object.
        cleanups: u64,
    },
}

/// An event, when it happened, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Counts the events of the process from 0 on.
    pub sequence: u64,
    /// Nanoseconds since 1970.
    pub unix_nanos: u64,
    /// What happened.
    pub kind: EventKind,
}

impl Event {
    /// When it happened.
    pub fn time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.unix_nanos)
    }
}

impl EventKind {
    /// A word for machines, such as `purge` or `gc_cycle`.
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

impl fmt::Display for PurgeCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "the program asked",
            Self::Idle => "nobody missed it",
            Self::SoftLimit => "the soft limit",
            Self::HardLimit => "the hard limit",
        })
    }
}

impl fmt::Display for EventKind {
    /// One line for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Purge { bytes, cause } => write!(f, "gave {bytes} bytes back: {cause}"),
            Self::SoftLimit { footprint, limit } => {
                write!(f, "footprint of {footprint} bytes passed the soft limit of {limit}")
            }
            Self::HardLimit {
                wanted,
                footprint,
                limit,
                refused,
            } => write!(
                f,
                "refused {wanted} bytes: footprint of {footprint}, hard limit of {limit} (requests refused: {refused})"
            ),
            Self::ArenaReserved { bytes, number } => {
                write!(f, "arena {number} begins, with {bytes} bytes of addresses to grow in")
            }
            Self::ArenaGrew { bytes, heap_sys, huge } => {
                let pages = if huge { " of huge pages" } else { "" };
                write!(f, "heap grew by {bytes} bytes{pages} to {heap_sys}")
            }
            Self::HugePagesStopped { bytes } => write!(f, "no huge pages any more for {bytes} bytes"),
            Self::GcCycle {
                cycle,
                live,
                goal,
                forced,
                took,
            } => {
                let asked = if forced { ", asked for" } else { "" };
                write!(
                    f,
                    "collector cycle {cycle}{asked}: {live} bytes live, goal {goal}, took {took:?}"
                )
            }
            Self::GcHeapKept { live, roots, cleanups } => write!(
                f,
                "a managed heap without a handle is kept by {roots} roots: {live} bytes live, {cleanups} cleanups wait"
            ),
        }
    }
}

impl fmt::Display for Event {
    /// One line: seconds since 1970 and what happened.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, rest) = (self.unix_nanos / 1_000_000_000, self.unix_nanos % 1_000_000_000);
        write!(f, "{seconds}.{:06} {}", rest / 1000, self.kind)
    }
}

const CAUSES: [PurgeCause; 4] = [
    PurgeCause::Asked,
    PurgeCause::Idle,
    PurgeCause::SoftLimit,
    PurgeCause::HardLimit,
];

/// The words of an event.
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

/// The event that the words are of.
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
