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

mod json;
mod prometheus;
mod rows;
#[cfg(test)]
mod tests;

use super::{SizeClassStats, Stats};
use rows::{Kind, ROWS};
use std::fmt;

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
