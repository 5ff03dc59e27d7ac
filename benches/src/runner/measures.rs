//! The measures of whole programs, and one table of text for each: a row per program, a column per
//! allocator.
//!
//! Benches report time and memory alone ([`super::score`]): their processor time includes set-up,
//! which their time does not.

use super::groups::is_program;
use super::numbers::{geometric_mean, mebibytes, median, seconds};
use super::results::{Cell, Results};
use super::score::{self, Figure};
use super::table::Table;
use super::text::{self, row_name};

/// One measure.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Its name.
    pub name: &'static str,
    /// One line: the things that it adds up.
    pub help: &'static str,
    /// The figures of a cell, one per round.
    pub values: fn(&Cell) -> Vec<f64>,
    /// Formats one figure.
    pub format: fn(f64) -> String,
    /// Returns how far above the best figure another one counts as equal.
    pub slack: fn(f64) -> f64,
    /// Whether ratios of two figures say something. Counts near zero have none.
    pub ratios: bool,
}

const fn measure(
    name: &'static str,
    help: &'static str,
    values: fn(&Cell) -> Vec<f64>,
    format: fn(f64) -> String,
) -> Measure {
    Measure {
        name,
        help,
        values,
        format,
        slack: |_| 0.0,
        ratios: true,
    }
}

/// Processor time.
pub const CPU: Measure = measure(
    "CPU time",
    "user and system time, of the command and of the children that it waited for",
    cpu_seconds,
    seconds,
);
/// Time by the clock.
pub const WALL: Measure = measure(
    "wall time",
    "from the start to the end",
    |cell| cell.seconds.clone(),
    seconds,
);
/// Peak memory.
pub const PEAK: Measure = Measure {
    slack: score::slack,
    ..measure(
        "peak RSS",
        "of the largest process",
        |cell| floats(&cell.rss_bytes),
        mebibytes,
    )
};

/// All measures, in the order of the report. A file has figures for some of them.
pub const MEASURES: &[Measure] = &[
    CPU,
    WALL,
    PEAK,
    measure("page faults", "minor and major", faults, count),
    Measure {
        ratios: false,
        ..measure("context switches", "voluntary and involuntary", switches, count)
    },
    measure(
        "instructions",
        "counted by cachegrind, of all processes",
        |cell| floats(&cell.instructions),
        millions,
    ),
    measure(
        "D1 misses",
        "misses of the first data cache that cachegrind simulates, reads and writes",
        |cell| floats(&cell.d1_misses),
        millions,
    ),
    measure(
        "LL misses",
        "data misses of the last cache that cachegrind simulates, reads and writes",
        |cell| floats(&cell.ll_misses),
        millions,
    ),
];

fn floats(counts: &[u64]) -> Vec<f64> {
    counts.iter().map(|&count| count as f64).collect()
}

/// Returns a cell's processor time in each round.
#[must_use]
pub fn cpu_seconds(cell: &Cell) -> Vec<f64> {
    let both = cell.user_seconds.iter().zip(&cell.system_seconds);
    both.map(|(user, system)| user + system).collect()
}

fn faults(cell: &Cell) -> Vec<f64> {
    // Older files have no major faults.
    let major = cell.major_faults.iter().chain(std::iter::repeat(&0));
    let both = cell.minor_faults.iter().zip(major);
    both.map(|(minor, major)| (minor + major) as f64).collect()
}

fn switches(cell: &Cell) -> Vec<f64> {
    let both = cell.voluntary_switches.iter().zip(&cell.involuntary_switches);
    both.map(|(voluntary, involuntary)| (voluntary + involuntary) as f64)
        .collect()
}

fn count(value: f64) -> String {
    format!("{value:.0}")
}

fn millions(value: f64) -> String {
    match value / 1e6 {
        many if many >= 100.0 => format!("{many:.0} M"),
        some if some >= 1.0 => format!("{some:.2} M"),
        few => format!("{few:.4} M"),
    }
}

/// One measure of all programs.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// The measure.
    pub measure: Measure,
    /// The allocators, in the order of the columns.
    pub allocators: Vec<String>,
    /// The programs.
    pub lines: Vec<Line>,
    /// Whether there are several rounds, and so a spread.
    pub spread: bool,
    /// For each allocator, the geometric mean of its ratios to the best of the others; `None` if it
    /// has none, or if the measure has no ratios.
    pub means: Vec<Option<f64>>,
}

/// One program under all allocators.
#[derive(Clone, Debug)]
pub struct Line {
    /// The program.
    pub name: String,
    /// A figure for each allocator; the reason if there is none.
    pub figures: Vec<Result<Figure, &'static str>>,
    /// The largest spread of an allocator in the row.
    pub spread: f64,
}

impl Sheet {
    /// Returns the allocator's figure in a row and its comparison with the best other one.
    #[must_use]
    pub fn of(&self, line: &Line, alloc: &str) -> Option<Figure> {
        let column = self.allocators.iter().position(|name| name == alloc)?;
        line.figures[column].clone().ok()
    }
}

/// Returns the sheets of all measures that have figures.
#[must_use]
pub fn sheets(results: &Results) -> Vec<Sheet> {
    let programs: Vec<&[Cell]> = results.rows().filter(|row| is_program(&row[0])).collect();
    let mut allocators = score::allocators(results);
    allocators.retain(|alloc| programs.iter().copied().flatten().any(|cell| cell.alloc == *alloc));
    let has_rounds = |measure: &Measure| {
        let mut cells = programs.iter().copied().flatten();
        cells.any(|cell| (measure.values)(cell).len() > 1)
    };
    let sheet = |measure: &Measure| Sheet {
        measure: *measure,
        spread: has_rounds(measure),
        means: allocators.iter().map(|alloc| mean(&programs, measure, alloc)).collect(),
        lines: programs.iter().map(|row| line(row, measure, &allocators)).collect(),
        allocators: allocators.clone(),
    };
    let has_figures = |measure: &&Measure| {
        let mut cells = programs.iter().copied().flatten();
        cells.any(|cell| cell.failure.is_none() && !(measure.values)(cell).is_empty())
    };
    MEASURES.iter().filter(has_figures).map(sheet).collect()
}

fn line(row: &[Cell], measure: &Measure, allocators: &[String]) -> Line {
    let standings = figures(row, measure);
    let of = |alloc: &String| {
        let index = row.iter().position(|cell| cell.alloc == *alloc).ok_or("-")?;
        let missing = if row[index].failure.is_some() { "FAILED" } else { "-" };
        standings[index].clone().ok_or(missing)
    };
    let spreads = standings.iter().flatten().map(Figure::spread);
    Line {
        name: row_name(&row[0].bench, row[0].threads),
        figures: allocators.iter().map(of).collect(),
        spread: spreads.filter(|spread| spread.is_finite()).fold(0.0, f64::max),
    }
}

fn mean(programs: &[&[Cell]], measure: &Measure, alloc: &str) -> Option<f64> {
    let ratio = |row: &&[Cell]| {
        let index = row.iter().position(|cell| cell.alloc == alloc)?;
        figures(row, measure)[index].as_ref()?.ratio()
    };
    let ratios: Vec<f64> = programs.iter().filter_map(ratio).collect();
    (measure.ratios && !ratios.is_empty()).then(|| geometric_mean(&ratios))
}

/// Compares the cells of one row by one measure; the result has the order of its cells.
#[must_use]
pub fn figures(cells: &[Cell], measure: &Measure) -> Vec<Option<Figure>> {
    let values = |cell: &Cell| {
        let values = (measure.values)(cell);
        (cell.failure.is_none() && !values.is_empty()).then_some(values)
    };
    let medians: Vec<(&str, f64)> = cells
        .iter()
        .filter_map(|cell| Some((&*cell.alloc, median(&values(cell)?))))
        .collect();
    let figure = |cell: &Cell| Some(score::figure(&cell.alloc, &values(cell)?, &medians, measure.slack));
    cells.iter().map(figure).collect()
}

/// Returns the tables of all measures.
#[must_use]
pub fn text(results: &Results) -> String {
    let subject = score::subject(results).unwrap_or_default();
    let tables = sheets(results).into_iter().map(|sheet| table(&sheet, &subject));
    tables.collect::<Vec<_>>().join("\n")
}

fn table(sheet: &Sheet, subject: &str) -> String {
    let Measure {
        name,
        help,
        ratios,
        format,
        ..
    } = sheet.measure;
    let mut headings = vec![name];
    headings.extend(sheet.allocators.iter().map(String::as_str));
    if ratios {
        headings.extend(["best other", "ratio"]);
    }
    if sheet.spread {
        headings.push("spread");
    }
    let mut table = Table::new(&headings);
    for line in &sheet.lines {
        let mut entries = vec![line.name.clone()];
        let entry = |figure: &Result<Figure, &str>| match figure {
            Ok(figure) => format(figure.median),
            Err(missing) => (*missing).to_owned(),
        };
        entries.extend(line.figures.iter().map(entry));
        if ratios {
            let own = sheet.of(line, subject);
            let best = own
                .as_ref()
                .and_then(|figure| Some(figure.against.as_ref()?.rival.clone()));
            entries.push(best.unwrap_or("-".to_owned()));
            entries.push(own.map_or("-".to_owned(), |figure| text::ratio(&figure)));
        }
        if sheet.spread {
            entries.push(format!("{:.0} %", line.spread * 100.0));
        }
        table.row(entries);
    }
    if ratios {
        let mean = |mean: &Option<f64>| mean.map_or("-".to_owned(), |mean| format!("{mean:.3}"));
        let mut entries = vec!["mean ratio".to_owned()];
        entries.extend(sheet.means.iter().map(mean));
        table.row(entries);
    }
    format!("{name}: {help}\n{table}")
}

/// Explains the columns of the tables.
#[must_use]
pub fn legend(subject: &str) -> String {
    format!(
        "Figures are medians over the rounds. ratio: {subject}'s figure divided by the best of the other allocators; below 1\n\
         beats all. mean ratio: the geometric mean of each allocator's ratios to the best of its own rivals. spread: the\n\
         largest range over the rounds of an allocator in the row, as a share of its median.\n*: {}.\n",
        text::EQUAL
    )
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::super::results::{Settings, VERSION};
    use super::*;

    fn cell(alloc: &str, user: f64, switches: u64) -> Cell {
        let mut cell = Cell::new(alloc, "perl", 0);
        (cell.seconds, cell.rss_bytes) = (vec![1.0, 3.0, 2.0], vec![40 << 20; 3]);
        (cell.user_seconds, cell.system_seconds) = (vec![user; 3], vec![0.5, 0.5, 0.75]);
        (cell.minor_faults, cell.major_faults) = (vec![100; 3], vec![7; 3]);
        (cell.voluntary_switches, cell.involuntary_switches) = (vec![switches; 3], vec![2; 3]);
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

    fn words<'a>(text: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
        let lines = text
            .lines()
            .skip_while(|line| !line.starts_with(&format!("{heading}:")));
        let table = lines.skip(1).take_while(|line| !line.is_empty());
        table.map(|line| line.split_whitespace().collect()).collect()
    }

    #[test]
    fn each_measure_has_a_table_with_a_column_per_allocator() {
        let mut bench = Cell::new("greyspan", "churn", 1);
        bench.seconds = vec![1.0];
        let text = text(&results(vec![cell("greyspan", 1.5, 0), cell("system", 0.5, 9), bench]));
        let cpu = words(&text, "CPU time");
        assert_eq!(
            cpu[1],
            ["perl", "2.000", "s", "1.000", "s", "system", "2.00", "25", "%"]
        );
        assert_eq!(cpu[2], ["mean", "ratio", "2.000", "0.500"]);
        assert_eq!(cpu.len(), 3, "a bench is not a program: {cpu:?}");
        assert_eq!(words(&text, "wall time")[1][..3], ["perl", "2.000", "s"]);
        assert_eq!(words(&text, "page faults")[1][..3], ["perl", "107", "107"]);
        assert_eq!(words(&text, "context switches")[1], ["perl", "2", "11", "0", "%"]);
        assert_eq!(words(&text, "context switches").len(), 2);
        assert!(!text.contains("instructions"), "nothing was counted");
    }

    #[test]
    fn counts_alone_are_a_report_and_a_failure_stands_in_its_column() {
        let counted = |alloc: &str, instructions: u64| {
            let mut cell = Cell::new(alloc, "perl", 0);
            (cell.instructions, cell.d1_misses, cell.ll_misses) = (vec![instructions], vec![1_234_567], vec![89]);
            cell
        };
        let mut broken = counted("jemalloc", 1);
        broken.failure = Some("signal".to_owned());
        let cells = vec![counted("greyspan", 150_000_000), counted("system", 300_000_000), broken];
        let text = text(&results(cells));
        assert_eq!(
            words(&text, "instructions")[1],
            ["perl", "150", "M", "300", "M", "FAILED", "system", "0.50"]
        );
        assert_eq!(words(&text, "D1 misses")[1][1..3], ["1.23", "M"]);
        assert_eq!(words(&text, "LL misses")[1][1..3], ["0.0001", "M"]);
        assert!(!text.contains("wall time"));
    }

    #[test]
    fn an_older_file_has_faults_and_no_switches() {
        let mut old = cell("system", 1.0, 0);
        old.major_faults.clear();
        old.voluntary_switches.clear();
        let names: Vec<_> = sheets(&results(vec![old]))
            .iter()
            .map(|sheet| sheet.measure.name)
            .collect();
        assert_eq!(names, ["CPU time", "wall time", "peak RSS", "page faults"]);
    }
}
