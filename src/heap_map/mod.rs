//! The heap map: shows page by page how the heap uses its memory.
//!
//! [`greyspan::heap_map()`](crate::heap_map()) makes a [`HeapMap`]. It is a copy: it takes no lock
//! and does not change. See the example of [`HeapMap`].
//!
//! - MAP-1. The runs of an arena follow each other by address without a gap. They cover its pages
//!   from the first to the last ready one.

// The heap fills it in (`heap::map`). `text`, `svg` and `json` are its output formats for people
// and machines. `cells` cuts it into equal pieces for the pictures.

#![forbid(unsafe_code)]

mod cells;
mod json;
mod svg;
mod text;

use crate::base::geometry::{HUGE, PAGE};

/// The use of the pages of one run. See the example of [`HeapMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Usage {
    /// A span of small objects.
    Small {
        /// Bytes of one object.
        size: u64,
        /// The number of objects for which the span has room.
        objects: u64,
        /// The number of objects that the program holds, including those that a thread keeps ready.
        live: u64,
    },
    /// One large object. This includes a freed one that its thread keeps for reuse.
    Large {
        /// Bytes that the program asked for.
        bytes: u64,
    },
    /// A span of the collector (feature `gc`), which records its objects itself.
    Managed {
        /// Bytes of one object's slot.
        size: u64,
        /// The number of slots.
        objects: u64,
    },
    /// An empty span that a thread or its size class keeps for reuse.
    Spare,
    /// Untouched pages behind a large object, for it to grow into.
    Room,
    /// Free pages that may have physical memory.
    Free,
    /// Free pages without physical memory: given back to the operating system, or never touched.
    Released,
    /// Pages that changed from one use to another while the map was made, or that are being given
    /// back.
    Changing,
}

/// The use of the pages of a run, without the figures. Pictures tell these apart. See the example
/// of [`HeapMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// [`Usage::Small`].
    Small,
    /// [`Usage::Large`].
    Large,
    /// [`Usage::Managed`].
    Managed,
    /// [`Usage::Spare`].
    Spare,
    /// [`Usage::Changing`].
    Changing,
    /// [`Usage::Free`].
    Free,
    /// [`Usage::Room`].
    Room,
    /// [`Usage::Released`].
    Released,
}

impl Kind {
    /// All kinds, those in use first.
    pub const ALL: [Self; 8] = [
        Self::Small,
        Self::Large,
        Self::Managed,
        Self::Spare,
        Self::Changing,
        Self::Free,
        Self::Room,
        Self::Released,
    ];

    /// Returns a word for machines: `small`, `large`, `managed`, `spare`, `changing`, `free`,
    /// `room` or `released`. See the example of [`Usage::kind`].
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
            Self::Managed => "managed",
            Self::Spare => "spare",
            Self::Changing => "changing",
            Self::Free => "free",
            Self::Room => "room",
            Self::Released => "released",
        }
    }

    /// Returns a line for people.
    const fn meaning(self) -> &'static str {
        match self {
            Self::Small => "spans of small objects, by how full they are",
            Self::Large => "large objects, one span each",
            Self::Managed => "the collector's spans",
            Self::Spare => "empty spans, kept for reuse",
            Self::Changing => "changing from one use to another",
            Self::Free => "free pages that may have memory",
            Self::Room => "untouched room for large objects to grow",
            Self::Released => "free pages without memory",
        }
    }
}

impl Usage {
    /// Returns the kind of this use.
    ///
    /// ```
    /// use greyspan::heap_map::{Kind, Usage};
    ///
    /// assert_eq!(Usage::Spare.kind(), Kind::Spare);
    /// assert_eq!(Kind::Spare.name(), "spare");
    /// ```
    pub const fn kind(self) -> Kind {
        match self {
            Self::Small { .. } => Kind::Small,
            Self::Large { .. } => Kind::Large,
            Self::Managed { .. } => Kind::Managed,
            Self::Spare => Kind::Spare,
            Self::Room => Kind::Room,
            Self::Free => Kind::Free,
            Self::Released => Kind::Released,
            Self::Changing => Kind::Changing,
        }
    }
}

/// Pages in a row with one use: a span, or free pages. See the example of [`HeapMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Run {
    /// The address of the first page.
    pub address: u64,
    /// The number of pages, of [`HeapMap::PAGE_BYTES`] each.
    pub pages: u64,
    /// The use of the pages.
    pub usage: Usage,
}

impl Run {
    pub(crate) const fn new(address: u64, pages: u64, usage: Usage) -> Self {
        Self { address, pages, usage }
    }

    /// Returns the bytes of the pages. See the example of [`HeapMap`].
    pub const fn bytes(&self) -> u64 {
        self.pages * HeapMap::PAGE_BYTES
    }
}

/// A range of addresses in which the heap grows. Usually there is only the first, which has 512 GiB
/// to grow in. See the example of [`HeapMap`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arena {
    /// The address of the arena's first byte. The page map and the other tables come first.
    pub address: u64,
    /// Bytes of address space that the arena takes up now: its pages and its tables. It takes only
    /// as much as it uses, unless the system can only reserve a range as a whole.
    pub reserved: u64,
    /// Bytes of the tables.
    pub tables: u64,
    /// The uses of the ready pages, by address, without gaps.
    pub runs: Vec<Run>,
    /// One entry per [`HeapMap::HUGE_BYTES`] of the ready pages: whether the system was asked to
    /// back them by one huge page.
    pub huge: Vec<bool>,
}

impl Arena {
    pub(crate) const fn new(address: u64, reserved: u64, tables: u64) -> Self {
        Self {
            address,
            reserved,
            tables,
            runs: Vec::new(),
            huge: Vec::new(),
        }
    }

    /// Returns the address of the first page. See the example of [`HeapMap`].
    pub fn first(&self) -> u64 {
        self.runs.first().map_or(self.address, |run| run.address)
    }

    /// Returns the bytes of pages that are ready for use. See the example of [`HeapMap`].
    pub fn ready(&self) -> u64 {
        self.runs.iter().map(Run::bytes).sum()
    }

    /// Appends a run behind the last (MAP-1). Pages of the same use become one run if they are not
    /// spans.
    pub(crate) fn push(&mut self, run: Run) {
        let joins = matches!(run.usage, Usage::Free | Usage::Released | Usage::Changing | Usage::Room);
        match self.runs.last_mut() {
            Some(last) if joins && last.usage == run.usage => last.pages += run.pages,
            _ => self.runs.push(run),
        }
    }

    /// Marks the last run as changing: its pages changed to another use meanwhile.
    pub(crate) fn change_last(&mut self) {
        if let Some(last) = self.runs.last_mut() {
            last.usage = Usage::Changing;
        }
    }

    /// Adds the next page to the last run.
    pub(crate) fn extend_last(&mut self) {
        if let Some(last) = self.runs.last_mut() {
            last.pages += 1;
        }
    }
}

/// The spans of one size class, and the objects in them. See the example of [`HeapMap`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassUse {
    /// Bytes of one object.
    pub size: u64,
    /// The number of spans.
    pub spans: u64,
    /// The number of objects for which they have room.
    pub objects: u64,
    /// The number of objects that the program holds.
    pub live: u64,
    /// Bytes of the spans.
    pub bytes: u64,
}

/// A map of the heap, made by [`heap_map()`](crate::heap_map()).
///
/// `Display` prints a picture for a terminal, [`to_svg`](Self::to_svg) makes one for a browser, and
/// [`to_json`](Self::to_json) gives all of it to machines.
///
/// Other threads continue while it is made. It takes the free pages as one snapshot per 128 MiB,
/// and reads the other pages directly after that, span by span. So a map of a busy heap is not a
/// picture of one instant. But every page is in it once, and each span is as it was at some moment
/// of the call. Pages that changed between the two looks are [`Usage::Changing`].
///
/// ```
/// use greyspan::heap_map::{Kind, Run, Usage};
///
/// let map = greyspan::heap_map();
/// println!("{map}");
/// let total: u64 = Kind::ALL.iter().map(|&kind| map.bytes(kind)).sum();
/// assert_eq!(map.ready(), total);
/// assert!(map.in_use() <= total);
///
/// // How full the spans of each size are.
/// for class in map.classes() {
///     assert!(class.live <= class.objects);
///     println!("{} bytes: {} of {} slots", class.size, class.live, class.objects);
/// }
///
/// // The largest block, and the arenas.
/// let large = |run: &Run| match run.usage {
///     Usage::Large { bytes } => Some((bytes, run.address)),
///     _ => None,
/// };
/// println!("largest block: {:?}", map.runs().filter_map(large).max());
/// for arena in &map.arenas {
///     assert_eq!(arena.ready(), arena.runs.iter().map(Run::bytes).sum::<u64>());
///     println!("{} bytes ready from {:#x} on", arena.ready(), arena.first());
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeapMap {
    /// The arenas, in the order in which the heap made them.
    pub arenas: Vec<Arena>,
    /// Whether the program has ever allocated from this heap, as
    /// [`Stats::has_served`](crate::Stats::has_served). If not, its memory is not on the map.
    pub has_served: bool,
}

impl HeapMap {
    /// Bytes of a page of the heap: 8 KiB, whatever the system's page size.
    pub const PAGE_BYTES: u64 = PAGE as u64;
    /// Bytes of a huge page: 2 MiB.
    pub const HUGE_BYTES: u64 = HUGE as u64;

    /// Returns all runs of all arenas. See the example of [`HeapMap`].
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.arenas.iter().flat_map(|arena| &arena.runs)
    }

    /// Returns the bytes of all pages of one kind. See the example of [`HeapMap`].
    pub fn bytes(&self, kind: Kind) -> u64 {
        let of_kind = self.runs().filter(|run| run.usage.kind() == kind);
        of_kind.map(Run::bytes).sum()
    }

    /// Returns the bytes of all pages that are ready for use. See the example of [`HeapMap`].
    pub fn ready(&self) -> u64 {
        self.arenas.iter().map(Arena::ready).sum()
    }

    /// Returns the bytes of pages in use, as [`Stats::heap_inuse`](crate::Stats::heap_inuse) counts
    /// them. See the example of [`HeapMap`].
    pub fn in_use(&self) -> u64 {
        self.ready() - self.bytes(Kind::Free) - self.bytes(Kind::Room) - self.bytes(Kind::Released)
    }

    /// Returns the bytes for which the system was asked to use huge pages. A sum as in the example
    /// of [`HeapMap`].
    pub fn huge_bytes(&self) -> u64 {
        let asked = self.arenas.iter().flat_map(|arena| &arena.huge).filter(|&&asked| asked);
        asked.count() as u64 * Self::HUGE_BYTES
    }

    /// Returns the use of each size class that has spans, smallest size first. See the example of
    /// [`HeapMap`].
    pub fn classes(&self) -> Vec<ClassUse> {
        let mut classes: Vec<ClassUse> = Vec::new();
        for run in self.runs() {
            let Usage::Small { size, objects, live } = run.usage else {
                continue;
            };
            let place = classes.partition_point(|class| class.size < size);
            if classes.get(place).is_none_or(|class| class.size != size) {
                classes.insert(
                    place,
                    ClassUse {
                        size,
                        ..ClassUse::default()
                    },
                );
            }
            if let Some(class) = classes.get_mut(place) {
                class.spans += 1;
                class.objects += objects;
                class.live += live;
                class.bytes += run.bytes();
            }
        }
        classes
    }
}

#[cfg(test)]
mod tests;
