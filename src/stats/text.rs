//! The output formats of [`Stats`]: a table for people; JSON and Prometheus' text format for
//! machines.
//!
//! The table [`ROWS`] names, explains and reads every process-wide figure, and all three formats
//! use it. Users call this through [`Stats`], and the heap calls it at exit for
//! `GREYSPAN_SHOW_STATS`. [`Stats`] is a copy, so this code takes no lock and sees no change of the
//! heap.
//!
//! 1. `Display` allocates nothing, since it may run at the end of a process. The machine formats
//!    allocate the string that they return.
//! 2. Every field of [`Stats`] but `by_size`, `stall_ns` and `has_served` is in `ROWS` once,
//!    under its own name.

#![forbid(unsafe_code)]

use super::{SizeClassStats, Stats};
use std::fmt::{self, Write};

/// The unit of a figure, and whether the figure can fall.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Bytes now.
    Bytes,
    /// A number of things now.
    Count,
    /// Bytes since the process began.
    BytesEver,
    /// A number of things since the process began.
    CountEver,
    /// Nanoseconds, and nanoseconds since 1970.
    Nanos,
    Since1970,
    /// Millionths.
    Share,
}

/// One process-wide figure.
struct Row {
    name: &'static str,
    kind: Kind,
    read: fn(&Stats) -> u64,
    /// Begins with the unit, as "bytes ..." or "objects ..."; no full stop.
    meaning: &'static str,
}

const fn row(name: &'static str, kind: Kind, read: fn(&Stats) -> u64, meaning: &'static str) -> Row {
    Row {
        name,
        kind,
        read,
        meaning,
    }
}

const TRAFFIC: &str = if Stats::EXACT {
    "allocations and frees (exact: feature stats)"
} else {
    "allocations and frees (mallocs, frees and total_alloc are lower bounds; exact with the feature stats)"
};

const HELD: &str = if Stats::EXACT {
    "objects the program holds"
} else {
    "objects the program holds, and those that thread caches keep ready"
};

/// Returns why the program's memory is not in the figures; `None` if it is.
pub(crate) fn why_empty(has_served: bool) -> Option<&'static str> {
    const FORWARDED: &str = if cfg!(greyspan_heap) {
        "Greyspan forwards to the system's allocator (feature passthrough): the program's memory is not in these figures."
    } else {
        "Greyspan forwards to the system's allocator (no heap on this target): the program's memory is not in these figures."
    };
    const OTHER: &str = "Greyspan has served no request: the program's global allocator is another one, and its memory is not in these figures.";
    (!has_served).then_some(if Stats::FORWARDS { FORWARDED } else { OTHER })
}

/// A heading of the table, and the rows below it.
type Section = (&'static str, &'static [Row]);

#[rustfmt::skip]
static ROWS: [Section; 5] = [
    ("the process: allocated <= active <= mapped", &[
        row("allocated", Kind::Bytes, |s| s.allocated, "bytes in objects the program holds, rounded up to their size class"),
        row("active", Kind::Bytes, |s| s.active, "bytes in spans: allocated, and the free slots in them"),
        row("metadata", Kind::Bytes, |s| s.metadata, "bytes in the allocator's own records"),
        row("resident", Kind::Bytes, |s| s.resident, "bytes in physical memory, at most"),
        row("mapped", Kind::Bytes, |s| s.mapped, "bytes of readable and writable address space"),
        row("retained", Kind::Bytes, |s| s.retained, "bytes of mapped without physical memory"),
    ]),
    ("the page heap: heap_inuse + heap_idle = heap_sys", &[
        row("heap_inuse", Kind::Bytes, |s| s.heap_inuse, "bytes in pages that spans use"),
        row("heap_idle", Kind::Bytes, |s| s.heap_idle, "bytes in pages that no span uses"),
        row("heap_sys", Kind::Bytes, |s| s.heap_sys, "bytes of pages made ready for spans"),
        row("heap_released", Kind::Bytes, |s| s.heap_released, "bytes of heap_idle without physical memory"),
    ]),
    ("the allocator's records: inuse <= sys", &[
        row("mspan_inuse", Kind::Bytes, |s| s.mspan_inuse, "bytes of span records in use"),
        row("mspan_sys", Kind::Bytes, |s| s.mspan_sys, "bytes taken from the system for span records"),
        row("mcache_inuse", Kind::Bytes, |s| s.mcache_inuse, "bytes of thread caches in use"),
        row("mcache_sys", Kind::Bytes, |s| s.mcache_sys, "bytes taken from the system for thread caches"),
        row("gc_sys", Kind::Bytes, |s| s.gc_sys, "bytes of the page map and the huge-page trackers"),
    ]),
    (TRAFFIC, &[
        row("heap_objects", Kind::Count, |s| s.heap_objects, HELD),
        row("mallocs", Kind::CountEver, |s| s.mallocs, "objects handed out since the start"),
        row("frees", Kind::CountEver, |s| s.frees, "objects given back since the start"),
        row("total_alloc", Kind::BytesEver, |s| s.total_alloc, "bytes handed out since the start"),
        row("lookups", Kind::CountEver, |s| s.lookups, "pointer lookups that found no arena"),
    ]),
    ("the collector (feature gc)", &[
        row("next_gc", Kind::Bytes, |s| s.next_gc, "bytes that the last heap to collect may grow to before its next cycle ends"),
        row("last_gc", Kind::Since1970, |s| s.last_gc, "nanoseconds since 1970 at the end of the last cycle"),
        row("num_gc", Kind::CountEver, |s| s.num_gc, "cycles since the start"),
        row("num_forced_gc", Kind::CountEver, |s| s.num_forced_gc, "cycles that the program asked for"),
        row("gc_cpu_fraction", Kind::Share, |s| s.gc_cpu_fraction, "millionths of the processors' time spent on collecting"),
        row("max_stall_ns", Kind::Nanos, |s| s.max_stall_ns, "nanoseconds of the longest stall of a mutator"),
    ]),
];

fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().flat_map(|(_, rows)| rows.iter())
}

/// Bytes in the largest binary unit in which they are at least one, to one decimal. Always ten
/// characters wide.
pub(crate) struct Human(pub(crate) u64);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{:>6} B  ", self.0);
        }
        // Tenths of the unit, rounded. A value that rounds up to 1024.0 moves to the next unit. 128
        // bits hold ten times `u64::MAX`.
        let tenths = |unit: usize| ((u128::from(self.0) * 10) + (1 << (10 * unit + 9))) >> (10 * (unit + 1));
        let unit = (0..UNITS.len())
            .find(|&unit| tenths(unit) < 10_240)
            .unwrap_or(UNITS.len() - 1);
        write!(f, "{:>4}.{} {}", tenths(unit) / 10, tenths(unit) % 10, UNITS[unit])
    }
}

fn used(class: &&SizeClassStats) -> bool {
    class.mallocs > 0 || class.frees > 0 || class.spans > 0
}

impl fmt::Display for Stats {
    /// Prints a table that explains itself: each figure in full, in a readable unit, and its
    /// meaning. It shows only size classes in use.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Greyspan {}", env!("CARGO_PKG_VERSION"))?;
        if let Some(why) = why_empty(self.has_served) {
            writeln!(f, "{why}")?;
        }
        for (title, rows) in &ROWS {
            writeln!(f, "\n{title}")?;
            for row in *rows {
                let value = (row.read)(self);
                write!(f, "  {:<16}{value:>20}  ", row.name)?;
                match row.kind {
                    Kind::Bytes | Kind::BytesEver => write!(f, "{}", Human(value))?,
                    _ => write!(f, "{:10}", "")?,
                }
                writeln!(f, "  {}", row.meaning)?;
            }
        }
        let bounds = if Self::EXACT {
            ""
        } else {
            " (mallocs and frees are lower bounds)"
        };
        writeln!(f, "\nthe size classes in use{bounds}")?;
        if self.by_size.iter().find(used).is_none() {
            return writeln!(f, "  none");
        }
        writeln!(
            f,
            "  {:>20}{:>22}{:>22}{:>22}",
            "object bytes", "mallocs", "frees", "spans"
        )?;
        for class in self.by_size.iter().filter(used) {
            writeln!(
                f,
                "  {:>20}{:>22}{:>22}{:>22}",
                class.size, class.mallocs, class.frees, class.spans
            )?;
        }
        Ok(())
    }
}

/// A whole number with the decimal point moved so many digits to the left.
struct Point(u64, u32);

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, digits) = *self;
        let one = 10_u64.pow(digits);
        write!(f, "{}", number / one)?;
        if digits > 0 {
            write!(f, ".{:0width$}", number % one, width = digits as usize)?;
        }
        Ok(())
    }
}

/// Appends to a string, which cannot fail.
macro_rules! push {
    ($text:expr, $($arg:tt)*) => {
        let _ = write!($text, $($arg)*);
    };
}

impl Stats {
    /// Returns the snapshot as one line of JSON:
    ///
    /// ```text
    /// {"version":1,"exact":0,"forwards":0,"has_served":1,"allocated":..,..,
    ///  "stall_ns":[..],"by_size":[{"size":8,"mallocs":..,"frees":..,"spans":..},..]}
    /// ```
    ///
    /// - All values are whole numbers. Some exceed 2^53, beyond which JavaScript rounds.
    /// - `exact` is 1 if the counts are exact ([`EXACT`](Self::EXACT)), `forwards` is 1 if
    ///   Greyspan forwards to the system's allocator ([`FORWARDS`](Self::FORWARDS)).
    /// - The other keys are the names of the fields.
    /// - Within a version, keys may be added but never removed.
    ///
    /// ```
    /// let json = greyspan::stats().to_json();
    /// assert!(json.starts_with(r#"{"version":1,"#) && json.contains(r#""heap_sys":"#));
    /// ```
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_json(&mut text);
        text
    }

    /// Writes the same text as [`to_json`](Self::to_json). Allocates nothing itself.
    ///
    /// # Errors
    /// Those of `text`.
    pub(crate) fn write_json(&self, text: &mut impl Write) -> fmt::Result {
        let (exact, forwards) = (u8::from(Self::EXACT), u8::from(Self::FORWARDS));
        write!(text, "{{\"version\":1,\"exact\":{exact},\"forwards\":{forwards}")?;
        write!(text, ",\"has_served\":{}", u8::from(self.has_served))?;
        for row in rows() {
            write!(text, ",\"{}\":{}", row.name, (row.read)(self))?;
        }
        text.write_str(",\"stall_ns\":[")?;
        for (index, count) in self.stall_ns.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(text, "{comma}{count}")?;
        }
        text.write_str("],\"by_size\":[")?;
        for (index, class) in self.by_size.iter().enumerate() {
            let SizeClassStats {
                size,
                mallocs,
                frees,
                spans,
            } = class;
            let comma = if index == 0 { "" } else { "," };
            write!(
                text,
                "{comma}{{\"size\":{size},\"mallocs\":{mallocs},\"frees\":{frees},\"spans\":{spans}}}"
            )?;
        }
        text.write_str("]}")
    }

    /// Returns the snapshot in Prometheus' text format, version 0.0.4.
    ///
    /// - Gauges are `greyspan_<field>_bytes`, or `greyspan_<field>` for counts and shares.
    /// - Figures that only grow end in `_total`: `greyspan_mallocs_total`,
    ///   `greyspan_alloc_bytes_total`.
    /// - Times are in seconds: `greyspan_max_stall_seconds`,
    ///   `greyspan_last_gc_timestamp_seconds`.
    /// - Size classes have the label `size`, in bytes. Stalls have the label `ns`, their least
    ///   length in nanoseconds.
    ///
    /// ```
    /// let text = greyspan::stats().to_prometheus();
    /// assert!(text.contains("\n# TYPE greyspan_allocated_bytes gauge\n"));
    /// ```
    pub fn to_prometheus(&self) -> String {
        let mut text = String::new();
        let flags = [
            (
                "forwards",
                "Whether Greyspan forwards to the system's allocator",
                Self::FORWARDS,
            ),
            (
                "has_served",
                "Whether the program has allocated from Greyspan: if not, its memory is not in these figures",
                self.has_served,
            ),
        ];
        for (stem, meaning, holds) in flags {
            let name = format!("greyspan_{stem}");
            push!(
                text,
                "# HELP {name} {meaning}.\n# TYPE {name} gauge\n{name} {}\n",
                u8::from(holds)
            );
        }
        for row in rows() {
            // Prometheus puts `total` last, and has times in seconds and shares as fractions of
            // one.
            let stem = row.name.strip_prefix("total_").unwrap_or(row.name);
            let stem = stem.strip_suffix("_ns").unwrap_or(stem);
            let (suffix, kind, digits) = match row.kind {
                Kind::Bytes => ("_bytes", "gauge", 0),
                Kind::Count => ("", "gauge", 0),
                Kind::BytesEver => ("_bytes_total", "counter", 0),
                Kind::CountEver => ("_total", "counter", 0),
                Kind::Nanos => ("_seconds", "gauge", 9),
                Kind::Since1970 => ("_timestamp_seconds", "gauge", 9),
                Kind::Share => ("", "gauge", 6),
            };
            let meaning = row.meaning.strip_prefix("nano").unwrap_or(row.meaning);
            let meaning = meaning
                .strip_prefix("millionths of")
                .map_or(meaning.to_owned(), |rest| format!("share of{rest}"));
            let name = format!("greyspan_{stem}{suffix}");
            push!(
                text,
                "# HELP {name} {}.\n# TYPE {name} {kind}\n{name} {}\n",
                capital(&meaning),
                Point((row.read)(self), digits)
            );
        }
        type Column = (&'static str, &'static str, &'static str, fn(&SizeClassStats) -> u64);
        let columns: [Column; 3] = [
            (
                "mallocs_total",
                "counter",
                "Objects of the size class handed out since the start",
                |class| class.mallocs,
            ),
            (
                "frees_total",
                "counter",
                "Objects of the size class given back since the start",
                |class| class.frees,
            ),
            ("spans", "gauge", "Spans that the size class holds", |class| class.spans),
        ];
        for (stem, kind, meaning, read) in columns {
            let name = format!("greyspan_size_class_{stem}");
            push!(text, "# HELP {name} {meaning}.\n# TYPE {name} {kind}\n");
            for class in self.by_size.iter().filter(|class| class.size > 0) {
                push!(text, "{name}{{size=\"{}\"}} {}\n", class.size, read(class));
            }
        }
        let name = "greyspan_stalls_total";
        push!(
            text,
            "# HELP {name} Stalls of mutators by the collector that took from the label's nanoseconds to twice as many.\n# TYPE {name} counter\n"
        );
        for (bucket, stalls) in self.stall_ns.iter().enumerate() {
            push!(text, "{name}{{ns=\"{}\"}} {stalls}\n", 1u64 << bucket);
        }
        text
    }
}

/// Returns `text` with its first letter, which is ASCII, in upper case.
fn capital(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    first.to_ascii_uppercase() + rest
}

#[cfg(test)]
mod tests;
