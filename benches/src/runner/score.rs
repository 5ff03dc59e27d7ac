//! Computes the score of each allocator: in each row, its median divided by the best median of the
//! *others*; over the rows of a group, the geometric mean of these ratios. A ratio below 1 beats
//! all others. This module has no side effects.

use super::numbers::{extremes, geometric_mean, median};
use super::results::{Cell, Results};
use super::{groups, measures};

/// A row whose best peak is below this many bytes is the row of a small program, and
/// [`SMALL_SLACK`] applies.
pub const SMALL: f64 = 16.0 * MIB;
/// In a small row, a peak at most this many bytes above the best counts as equal.
pub const SMALL_SLACK: f64 = 2.0 * MIB;
const MIB: f64 = 1_048_576.0;
/// The report counts the rows with a ratio above each of these.
pub const LIMITS: [f64; 2] = [1.10, 1.25];

/// One figure of one cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The median over the rounds.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The comparison with the best of the others; `None` if there is no other.
    pub against: Option<Against>,
}

/// The comparison of a figure with the best of the others in its row.
#[derive(Clone, Debug, PartialEq)]
pub struct Against {
    /// The allocator with the best figure.
    pub rival: String,
    /// Its median.
    pub best: f64,
    /// The median divided by `best`, or 1 if it counts as equal.
    pub ratio: f64,
    /// Whether the figure is larger than the best but counts as equal.
    pub equal: bool,
}

impl Figure {
    /// Returns the range over the rounds, as a share of the median.
    #[must_use]
    pub fn spread(&self) -> f64 {
        (self.max - self.min) / self.median
    }

    /// Returns the ratio, if there is one.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        self.against.as_ref().map(|against| against.ratio)
    }
}

/// A cell with its figures; one that failed or never ran has none.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// The cell.
    pub cell: &'a Cell,
    /// Seconds and peak bytes.
    pub figures: Option<Figures>,
}

/// The figures of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// In seconds.
    pub time: Figure,
    /// Peak resident memory, in bytes.
    pub rss: Figure,
    /// Processor time, in seconds, of a program; a bench has none, because its set-up would count.
    pub cpu: Option<Figure>,
}

/// Compares the cells of one row; the result has the order of its cells.
#[must_use]
pub fn row(cells: &[Cell]) -> Vec<Standing<'_>> {
    let counts = |cell: &Cell| cell.failure.is_none() && !cell.seconds.is_empty();
    let medians = |values: fn(&Cell) -> Vec<f64>| -> Vec<(&str, f64)> {
        let running = cells.iter().filter(|cell| counts(cell));
        running.map(|cell| (&*cell.alloc, median(&values(cell)))).collect()
    };
    let (times, peaks) = (medians(seconds), medians(rss_bytes));
    let is_program = cells.iter().all(groups::is_program);
    let processor = measures::figures(cells, &measures::CPU);
    let standing = |(cell, cpu)| Standing {
        cell,
        figures: counts(cell).then(|| Figures {
            time: figure(&cell.alloc, &seconds(cell), &times, |_| 0.0),
            rss: figure(&cell.alloc, &rss_bytes(cell), &peaks, slack),
            cpu: if is_program { cpu } else { None },
        }),
    };
    cells.iter().zip(processor).map(standing).collect()
}

fn seconds(cell: &Cell) -> Vec<f64> {
    cell.seconds.clone()
}

fn rss_bytes(cell: &Cell) -> Vec<f64> {
    cell.rss_bytes.iter().map(|&bytes| bytes as f64).collect()
}

/// Returns how far above the best peak of a row another one counts as equal.
pub(super) fn slack(best: f64) -> f64 {
    if best < SMALL { SMALL_SLACK } else { 0.0 }
}

/// Compares the `values` of `alloc` with the medians of its row.
pub(super) fn figure(alloc: &str, values: &[f64], medians: &[(&str, f64)], slack: impl Fn(f64) -> f64) -> Figure {
    let own = median(values);
    let (min, max) = extremes(values);
    let others = medians.iter().filter(|(name, value)| *name != alloc && *value > 0.0);
    let best = others.min_by(|a, b| a.1.total_cmp(&b.1));
    let against = best.map(|&(rival, best)| {
        let equal = own > best && own <= best + slack(best);
        Against {
            rival: rival.to_owned(),
            best,
            ratio: if equal { 1.0 } else { own / best },
            equal,
        }
    });
    Figure {
        median: own,
        min,
        max,
        against,
    }
}

/// The score of one allocator over all rows.
#[derive(Clone, Debug)]
pub struct Total {
    /// The allocator.
    pub alloc: String,
    /// The score in time.
    pub time: Sum,
    /// The score in peak resident memory.
    pub rss: Sum,
    /// The score in processor time, over the programs.
    pub cpu: Sum,
    /// The rows in which it and at least one other allocator have figures.
    pub rows: usize,
    /// The rows in which it failed.
    pub failed: usize,
}

/// The ratios of one allocator over all rows.
#[derive(Clone, Debug)]
pub struct Sum {
    /// Their geometric mean; NaN if there are none.
    pub mean: f64,
    /// The number of rows above each of [`LIMITS`].
    pub above: [usize; 2],
    /// All rows by their ratio, the worst first: bench, threads, ratio.
    pub worst: Vec<(String, usize, f64)>,
}

/// Returns the totals over all rows, of all allocators in the order in which they first appear.
#[must_use]
pub fn totals(results: &Results) -> Vec<Total> {
    totals_where(results, |_| true)
}

/// Returns the totals over the rows whose cells are `wanted`.
#[must_use]
pub fn totals_where(results: &Results, wanted: impl Fn(&Cell) -> bool) -> Vec<Total> {
    let rows: Vec<Vec<Standing<'_>>> = results.rows().filter(|row| wanted(&row[0])).map(row).collect();
    allocators(results)
        .into_iter()
        .map(|alloc| {
            let mine = || rows.iter().flatten().filter(|standing| standing.cell.alloc == alloc);
            let sum = |pick: fn(&Figures) -> Option<&Figure>| {
                let ratio = |standing: &Standing<'_>| {
                    let ratio = pick(standing.figures.as_ref()?)?.ratio()?;
                    Some((standing.cell.bench.clone(), standing.cell.threads, ratio))
                };
                Sum::of(mine().filter_map(ratio).collect())
            };
            let (time, rss) = (sum(|figures| Some(&figures.time)), sum(|figures| Some(&figures.rss)));
            Total {
                rows: time.worst.len(),
                failed: mine().filter(|standing| standing.cell.failure.is_some()).count(),
                cpu: sum(|figures| figures.cpu.as_ref()),
                alloc,
                time,
                rss,
            }
        })
        .collect()
}

/// Returns all names, in the order in which they first appear.
#[must_use]
pub fn allocators(results: &Results) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for cell in &results.cells {
        if !names.contains(&cell.alloc) {
            names.push(cell.alloc.clone());
        }
    }
    names
}

/// Returns the allocator that the report is about: Greyspan, or the first allocator of a run
/// without it.
#[must_use]
pub fn subject(results: &Results) -> Option<String> {
    let names = allocators(results);
    names.iter().find(|name| *name == "greyspan").or(names.first()).cloned()
}

impl Sum {
    fn of(mut rows: Vec<(String, usize, f64)>) -> Self {
        rows.sort_by(|a, b| b.2.total_cmp(&a.2));
        let ratios: Vec<f64> = rows.iter().map(|row| row.2).collect();
        Self {
            mean: geometric_mean(&ratios),
            above: LIMITS.map(|limit| ratios.iter().filter(|&&ratio| ratio > limit).count()),
            worst: rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::super::results::{Settings, VERSION};
    use super::*;

    fn cell(alloc: &str, bench: &str, seconds: &[f64], mib: f64) -> Cell {
        let mut cell = Cell::new(alloc, bench, 1);
        cell.seconds = seconds.to_vec();
        cell.rss_bytes = vec![(mib * MIB) as u64; seconds.len()];
        cell
    }

    fn results(cells: Vec<Cell>) -> Results {
        Results {
            version: VERSION,
            machine: Machine::default(),
            settings: Settings::default(),
            cells,
        }
    }

    fn against(standing: &Standing<'_>) -> (Against, Against) {
        let figures = standing.figures.clone().unwrap();
        (figures.time.against.unwrap(), figures.rss.against.unwrap())
    }

    #[test]
    fn each_is_held_against_the_best_of_the_others() {
        let cells = [
            cell("a", "x", &[1.0, 3.0, 2.0], 100.0),
            cell("b", "x", &[4.0], 50.0),
            cell("c", "x", &[8.0], 200.0),
        ];
        let row = row(&cells);
        let of = |index: usize| {
            let (time, rss) = against(&row[index]);
            (time.rival, time.ratio, rss.rival, rss.ratio)
        };
        assert_eq!(of(0), ("b".into(), 0.5, "b".into(), 2.0));
        assert_eq!(of(1), ("a".into(), 2.0, "a".into(), 0.5));
        assert_eq!(of(2), ("a".into(), 4.0, "b".into(), 4.0));
        let time = row[0].figures.clone().unwrap().time;
        assert_eq!((time.median, time.min, time.max, time.spread()), (2.0, 1.0, 3.0, 1.0));
    }

    #[test]
    fn in_a_small_row_two_mebibytes_above_the_best_are_equal_and_no_more() {
        let rss = |own: f64, best: f64| {
            let cells = [cell("a", "x", &[1.0], own), cell("b", "x", &[1.0], best)];
            let rss = against(&row(&cells)[0]).1;
            (rss.ratio, rss.equal)
        };
        assert_eq!(rss(4.0, 2.0), (1.0, true));
        assert_eq!(rss(5.0, 2.0), (2.5, false));
        assert_eq!(rss(1.0, 2.0), (0.5, false));
        assert_eq!(rss(2.0, 2.0), (1.0, false));
        assert_eq!(rss(17.0, 15.9), (1.0, true));
        assert_eq!(rss(17.0, 16.0), (17.0 / 16.0, false));
    }

    #[test]
    fn who_failed_or_is_alone_has_no_ratio() {
        let mut cells = vec![cell("a", "x", &[1.0], 1.0), cell("b", "x", &[0.1], 1.0)];
        cells[1].failure = Some("signal".to_owned());
        cells.push(Cell::new("c", "x", 1));
        let row = row(&cells);
        assert_eq!(row[0].figures.clone().unwrap().time.against, None);
        assert!(row[1].figures.is_none() && row[2].figures.is_none());
        let totals = totals(&results(cells));
        assert_eq!((totals[0].rows, totals[0].failed, totals[1].failed), (0, 0, 1));
        assert!(totals[0].time.mean.is_nan());
    }

    #[test]
    fn totals_are_geometric_means_and_counts_over_the_rows() {
        let cells = vec![
            cell("greyspan", "x", &[0.5], 120.0),
            cell("b", "x", &[1.0], 100.0),
            cell("greyspan", "y", &[2.0], 130.0),
            cell("b", "y", &[1.0], 100.0),
        ];
        let results = results(cells);
        let total = &totals(&results)[0];
        assert!((total.time.mean - 1.0).abs() < 1e-12);
        assert!((total.rss.mean - (1.2f64 * 1.3).sqrt()).abs() < 1e-9);
        assert_eq!((total.time.above, total.rss.above, total.rows), ([1, 1], [2, 1], 2));
        assert_eq!(total.time.worst[0].0, "y");
        assert_eq!(subject(&results).as_deref(), Some("greyspan"));
    }
}
