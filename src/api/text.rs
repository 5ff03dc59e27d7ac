//! The human and machine forms of [`Stats`].

#![forbid(unsafe_code)]

use super::stats::Stats;
use std::fmt::{self, Write};

/// Name, value and meaning of each process-wide figure; the last tells whether the value counts bytes.
fn rows(stats: &Stats) -> [(&'static str, u64, &'static str, bool); 20] {
    [
        ("allocated", stats.allocated, "in objects that the program holds", true),
        ("active", stats.active, "in the spans that hold them", true),
        ("metadata", stats.metadata, "in the allocator's own records", true),
        ("resident", stats.resident, "in physical memory, at the most", true),
        ("mapped", stats.mapped, "of readable and writable address space", true),
        ("retained", stats.retained, "of that without physical memory", true),
        ("heap_sys", stats.heap_sys, "ready for spans: in use and idle", true),
        ("heap_inuse", stats.heap_inuse, "in pages that spans use", true),
        ("heap_idle", stats.heap_idle, "in pages that no span uses", true),
        (
            "heap_released",
            stats.heap_released,
            "of the idle pages without physical memory",
            true,
        ),
        (
            "heap_objects",
            stats.heap_objects,
            "objects that the program holds",
            false,
        ),
        ("mspan_inuse", stats.mspan_inuse, "in span records in use", true),
        ("mspan_sys", stats.mspan_sys, "mapped for span records", true),
        ("mcache_inuse", stats.mcache_inuse, "in thread caches in use", true),
        ("mcache_sys", stats.mcache_sys, "mapped for thread caches", true),
        ("gc_sys", stats.gc_sys, "in the page map and the trackers", true),
        ("total_alloc", stats.total_alloc, "handed out since the start", true),
        ("mallocs", stats.mallocs, "objects handed out since the start", false),
        ("frees", stats.frees, "objects given back since the start", false),
        (
            "lookups",
            stats.lookups,
            "pointer look-ups outside the main region",
            false,
        ),
    ]
}

/// `bytes` with a binary unit, eight characters wide at the least.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

impl fmt::Display for Stats {
    /// A table that explains itself; size classes that nothing used are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "greyspan {}", crate::version())?;
        for (name, value, meaning, bytes) in rows(self) {
            let (readable, unit) = if bytes {
                (human(value), "bytes ")
            } else {
                (String::new(), "")
            };
            writeln!(f, "  {name:<14} {value:>20} {readable:>11}  {unit}{meaning}")?;
        }
        writeln!(
            f,
            "  {:>14} {:>20} {:>20} {:>8}  (counts of what passed the tiers)",
            "class, bytes", "mallocs", "frees", "spans"
        )?;
        for row in self.by_size.iter().filter(|row| row.mallocs > 0 || row.spans > 0) {
            writeln!(
                f,
                "  {:>14} {:>20} {:>20} {:>8}",
                row.size, row.mallocs, row.frees, row.spans
            )?;
        }
        Ok(())
    }
}

impl Stats {
    /// The snapshot as JSON: `{"version":1,"allocated":..,..,"by_size":[{"size":8,..},..]}`.
    pub fn to_json(&self) -> String {
        let mut json = String::from("{\"version\":1");
        for (name, value, ..) in rows(self) {
            // Writing to a string does not fail.
            let _ = write!(json, ",\"{name}\":{value}");
        }
        let classes: Vec<String> = self
            .by_size
            .iter()
            .map(|row| {
                format!(
                    "{{\"size\":{},\"mallocs\":{},\"frees\":{},\"spans\":{}}}",
                    row.size, row.mallocs, row.frees, row.spans
                )
            })
            .collect();
        let _ = write!(json, ",\"by_size\":[{}]}}", classes.join(","));
        json
    }

    /// The snapshot in Prometheus' text format, one gauge a figure, classes labelled `size="64"`.
    pub fn to_prometheus(&self) -> String {
        let mut text = String::new();
        for (name, value, meaning, bytes) in rows(self) {
            let (suffix, unit) = if bytes { ("_bytes", "Bytes ") } else { ("", "Count of ") };
            let metric = format!("greyspan_{name}{suffix}");
            let _ = writeln!(
                text,
                "# HELP {metric} {unit}{meaning}.\n# TYPE {metric} gauge\n{metric} {value}"
            );
        }
        for (name, of) in [("mallocs", 0), ("frees", 1), ("spans", 2)] {
            let metric = format!("greyspan_class_{name}");
            let _ = writeln!(
                text,
                "# HELP {metric} Count of {name} of a size class.\n# TYPE {metric} gauge"
            );
            for row in &self.by_size {
                let value = [row.mallocs, row.frees, row.spans][of];
                let _ = writeln!(text, "{metric}{{size=\"{}\"}} {value}", row.size);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned_even_for_the_largest_values() {
        let stats = Stats {
            allocated: u64::MAX,
            heap_objects: u64::MAX,
            ..Stats::default()
        };
        let table = stats.to_string();
        let column = |name: &str| {
            let line = table
                .lines()
                .find(|line| line.trim_start().starts_with(name))
                .expect("a row a figure");
            line.find(line.split_whitespace().nth(1).expect("a value"))
                .map(|at| at + line.split_whitespace().nth(1).unwrap().len())
        };
        assert_eq!(column("allocated"), column("heap_objects"));
        assert_eq!(column("allocated"), column("metadata"));
    }

    #[test]
    fn json_names_every_figure_once_and_is_balanced() {
        let json = Stats::default().to_json();
        for (name, ..) in rows(&Stats::default()) {
            assert_eq!(
                json.matches(&format!("\"{name}\":")).count()
                    - usize::from(matches!(name, "mallocs" | "frees")) * crate::size_class::COUNT,
                1,
                "{name}"
            );
        }
        assert_eq!(json.matches(['{', '[']).count(), json.matches(['}', ']']).count());
    }

    #[test]
    fn every_prometheus_line_is_a_comment_or_a_sample() {
        for line in Stats::default().to_prometheus().lines() {
            let sample = line
                .split_once(' ')
                .is_some_and(|(name, value)| name.starts_with("greyspan_") && value.parse::<u64>().is_ok());
            assert!(
                sample || line.starts_with("# HELP greyspan_") || line.starts_with("# TYPE greyspan_"),
                "{line}"
            );
        }
    }
}
