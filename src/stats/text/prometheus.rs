//! The statistics in Prometheus' text format. Users call [`Stats::to_prometheus`].

use super::super::{SizeClassStats, Stats};
use super::rows::{Kind, rows};
use std::fmt::{self, Write};

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
        self.push_flags(&mut text);
        self.push_rows(&mut text);
        self.push_classes(&mut text);
        self.push_stalls(&mut text);
        text
    }

    /// Appends the facts that are 0 or 1.
    fn push_flags(&self, text: &mut String) {
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
    }

    /// Appends the process-wide figures.
    fn push_rows(&self, text: &mut String) {
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
    }

    /// Appends the figures of each size class.
    fn push_classes(&self, text: &mut String) {
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
    }

    /// Appends the number of stalls by length.
    fn push_stalls(&self, text: &mut String) {
        let name = "greyspan_stalls_total";
        push!(
            text,
            "# HELP {name} Stalls of mutators by the collector that took from the label's nanoseconds to twice as many.\n# TYPE {name} counter\n"
        );
        for (bucket, stalls) in self.stall_ns.iter().enumerate() {
            push!(text, "{name}{{ns=\"{}\"}} {stalls}\n", 1u64 << bucket);
        }
    }
}

/// Returns `text` with its first letter, which is ASCII, in upper case.
fn capital(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    first.to_ascii_uppercase() + rest
}
