//! The groups of rows, and the means of each. No mean is taken over all rows: the rows of fixed
//! sizes are many, and the least like programs.

use super::numbers::geometric_mean;
use super::results::{Cell, Results};
use super::score::{self, Total};
use super::table::Table;
use crate::workload::{self, Group};

/// The groups, the headline first.
pub const GROUPS: [Group; 7] = [
    Group::Programs,
    Group::Mixed,
    Group::Threads,
    Group::Large,
    Group::Fixed,
    Group::Latency,
    Group::Rest,
];
/// The groups whose means are the headline of a report.
pub const HEADLINE: [Group; 2] = [Group::Programs, Group::Mixed];

/// Returns a group's name.
#[must_use]
pub fn name(group: Group) -> &'static str {
    match group {
        Group::Programs => "programs",
        Group::Mixed => "mixed",
        Group::Threads => "threads",
        Group::Large => "large",
        Group::Fixed => "fixed sizes",
        Group::Latency => "latency",
        Group::Rest => "at rest",
    }
}

/// Returns whether the cell ran a command and not a bench.
#[must_use]
pub fn is_program(cell: &Cell) -> bool {
    cell.threads == 0
}

/// Returns the group of a cell; `None` if this version does not know the bench.
#[must_use]
pub fn of(cell: &Cell) -> Option<Group> {
    if is_program(cell) {
        return Some(Group::Programs);
    }
    workload::find(&cell.bench).map(|bench| bench.group)
}

/// Returns the groups that have comparable rows, each with the totals of all allocators.
#[must_use]
pub fn totals(results: &Results) -> Vec<(Group, Vec<Total>)> {
    let of_group = |group| (group, score::totals_where(results, |cell| of(cell) == Some(group)));
    let all = GROUPS.into_iter().map(of_group);
    all.filter(|(_, totals)| totals.iter().any(|total| total.rows > 0))
        .collect()
}

/// The means of one allocator over the groups of the headline.
#[derive(Clone, Debug, PartialEq)]
pub struct Means {
    /// The allocator.
    pub alloc: String,
    /// The geometric mean in time.
    pub time: f64,
    /// The geometric mean in peak resident memory.
    pub rss: f64,
}

/// Returns the headline: its groups, each with its number of rows, and each allocator's mean over
/// them. Each group weighs the same. If a file has rows of neither, all of its groups stand in.
#[must_use]
pub fn headline(results: &Results) -> (Vec<(Group, usize)>, Vec<Means>) {
    let mut groups = totals(results);
    if groups.iter().any(|(group, _)| HEADLINE.contains(group)) {
        groups.retain(|(group, _)| HEADLINE.contains(group));
    }
    let rows = |totals: &[Total]| totals.iter().map(|total| total.rows).max().unwrap_or(0);
    let named = groups.iter().map(|(group, totals)| (*group, rows(totals))).collect();
    let mean = |alloc: &String, pick: fn(&Total) -> f64| {
        let own = groups.iter().flat_map(|(_, totals)| totals);
        let own: Vec<f64> = own.filter(|total| total.alloc == *alloc).map(pick).collect();
        geometric_mean(&own.into_iter().filter(|mean| mean.is_finite()).collect::<Vec<_>>())
    };
    let means = score::allocators(results).into_iter().map(|alloc| Means {
        time: mean(&alloc, |total| total.time.mean),
        rss: mean(&alloc, |total| total.rss.mean),
        alloc,
    });
    (named, means.filter(|means| means.time.is_finite()).collect())
}

/// Names groups with their numbers of rows, for captions.
#[must_use]
pub fn words(groups: &[(Group, usize)]) -> String {
    let word = |(group, rows): &(Group, usize)| {
        let unit = if *rows == 1 { "row" } else { "rows" };
        format!("{} ({rows} {unit})", name(*group))
    };
    groups.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// A kind of mean, for tables: a name and a way to read one.
pub type Kind = (&'static str, fn(&Total) -> f64);

/// The kinds of means.
pub const KINDS: [Kind; 3] = [
    ("time", |total| total.time.mean),
    ("CPU time", |total| total.cpu.mean),
    ("peak RSS", |total| total.rss.mean),
];

/// Formats a mean.
#[must_use]
pub fn mean(value: f64) -> String {
    if value.is_nan() {
        "-".to_owned()
    } else {
        format!("{value:.3}")
    }
}

/// Returns the tables of all means.
#[must_use]
pub fn text(results: &Results) -> String {
    let groups = totals(results);
    if groups.is_empty() {
        return String::new();
    }
    let mut text =
        "Means per group of rows: the geometric mean of the ratio to the best of the other allocators; below 1 beats\n\
                    them. The headline is programs and mixed. The time of a latency row is its percentile."
            .to_owned();
    for (kind, pick) in KINDS {
        // Only programs have a processor time.
        let has = |totals: &[Total]| totals.iter().any(|total| pick(total).is_finite());
        let shown: Vec<_> = groups.iter().filter(|(_, totals)| has(totals)).collect();
        if shown.is_empty() {
            continue;
        }
        let mut headings = vec![kind];
        headings.extend(shown.iter().map(|(group, _)| name(*group)));
        let mut table = Table::new(&headings);
        for alloc in score::allocators(results) {
            let mut entries = vec![alloc.clone()];
            for (_, totals) in &shown {
                let total = totals.iter().find(|total| total.alloc == alloc);
                entries.push(mean(total.map_or(f64::NAN, pick)));
            }
            table.row(entries);
        }
        let mut entries = vec!["rows".to_owned()];
        for (_, totals) in &shown {
            entries.push(totals.iter().map(|total| total.rows).max().unwrap_or(0).to_string());
        }
        table.row(entries);
        text.push_str(&format!("\n{table}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::super::results::{Settings, VERSION};
    use super::*;

    fn pair(bench: &str, threads: usize, ratio: f64) -> [Cell; 2] {
        ["greyspan", "system"].map(|alloc| {
            let mut cell = Cell::new(alloc, bench, threads);
            let own = if alloc == "greyspan" { ratio } else { 1.0 };
            (cell.seconds, cell.rss_bytes) = (vec![own], vec![100 << 20]);
            (cell.user_seconds, cell.system_seconds) = (vec![3.0 * own], vec![own]);
            cell
        })
    }

    fn results(rows: &[(&str, usize, f64)]) -> Results {
        Results {
            version: VERSION,
            machine: Machine::default(),
            settings: Settings::default(),
            cells: rows
                .iter()
                .flat_map(|&(bench, threads, ratio)| pair(bench, threads, ratio))
                .collect(),
        }
    }

    #[test]
    fn rows_of_fixed_sizes_do_not_move_the_headline() {
        let mut rows = vec![("churn", 1, 2.0), ("hashmap", 1, 2.0), ("perl", 0, 0.5)];
        let before = headline(&results(&rows));
        rows.extend((0..30).map(|threads| ("lifo-64", threads + 1, 0.001)));
        let after = headline(&results(&rows));
        assert_eq!(before, after);
        assert_eq!(after.0, [(Group::Programs, 1), (Group::Mixed, 2)]);
        // The groups weigh the same: 2 and 0.5 make 1, though two rows are mixed.
        assert!((after.1[0].time - 1.0).abs() < 1e-12, "{after:?}");
        assert_eq!(words(&after.0), "programs (1 row), mixed (2 rows)");
    }

    #[test]
    fn a_file_without_the_headline_is_about_the_groups_that_it_has() {
        let (groups, means) = headline(&results(&[("lifo-64", 1, 3.0), ("no-longer-known", 1, 9.0)]));
        assert_eq!(groups, [(Group::Fixed, 1)]);
        assert!((means[0].time - 3.0).abs() < 1e-12);
    }

    #[test]
    fn each_group_is_a_column_and_only_programs_have_processor_time() {
        let text = text(&results(&[
            ("perl", 0, 0.5),
            ("churn", 1, 2.0),
            ("xmalloc", 2, 4.0),
            ("large", 1, 1.0),
        ]));
        let line = |start: &str, nth: usize| {
            let mut lines = text.lines().filter(|line| line.starts_with(start));
            lines.nth(nth).unwrap().split_whitespace().collect::<Vec<_>>()
        };
        assert_eq!(line("time ", 0), ["time", "programs", "mixed", "threads", "large"]);
        assert_eq!(line("greyspan", 0), ["greyspan", "0.500", "2.000", "4.000", "1.000"]);
        assert_eq!(line("CPU time", 0), ["CPU", "time", "programs"]);
        assert_eq!(line("greyspan", 1), ["greyspan", "0.500"]);
        assert_eq!(line("rows", 2), ["rows", "1", "1", "1", "1"]);
        let report = super::super::text::totals(&results(&[("perl", 0, 3.0), ("churn", 1, 2.0)]));
        assert!(report.contains("in CPU time: perl 3.00\n") && report.contains("in time: perl 3.00, churn 2.00\n"));
    }
}
