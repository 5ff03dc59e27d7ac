//! The report as text: every cell, then the comparison row by row, then the totals. Programs have a
//! table per measure instead of the first two.

use super::groups::is_program;
use super::numbers::{mebibytes, median, seconds};
use super::results::{Cell, Results};
use super::score::{self, Against, Figure, LIMITS, Standing, Total};
use super::table::Table;
use super::{curves, groups, measures};
use std::fmt::Write;

/// Explains the asterisk behind a ratio.
pub const EQUAL: &str =
    "counts as equal, because the row's best peak is below 16 MiB and this one is at most 2 MiB above it";
/// Explains the tilde before a time.
pub const SHARE: &str = "a slow cell did only a part of the work; its time is extrapolated to the whole";
/// How `--count` measures.
pub const COUNTED: &str =
    "each command ran once, under cachegrind: it counts instructions and simulates data caches, and has no TLB";
/// The report names this many of the worst rows.
const WORST: usize = 10;

/// Returns the head of the report: the machine and the settings of the run.
#[must_use]
pub fn head(results: &Results) -> String {
    let mut text = String::new();
    for line in head_lines(results) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Returns the lines of [`head`].
#[must_use]
pub fn head_lines(results: &Results) -> Vec<String> {
    let (machine, settings) = (&results.machine, &results.settings);
    let mut lines = vec![format!(
        "{}, {} cores, {:.0} GiB; Linux {}, huge pages: {}; {}; {} UTC",
        machine.cpu,
        machine.cores,
        machine.memory_bytes as f64 / (1u64 << 30) as f64,
        machine.kernel,
        machine.thp,
        machine.rustc,
        machine.date
    )];
    let rounds = results.cells.iter().map(|cell| cell.seconds.len()).max().unwrap_or(0);
    let word = if rounds == 1 { "round" } else { "rounds" };
    let counted = results.cells.iter().any(|cell| !cell.instructions.is_empty());
    let mut how = match rounds {
        0 if counted => COUNTED.to_owned(),
        _ => format!("{rounds} {word} after one warm-up round, allocators in turns; each cell ran in its own process"),
    };
    if settings.command.is_none() && settings.scale < 1.0 {
        write!(
            how,
            "; QUICK LOOK at {} of the work: too short for conclusions",
            settings.scale
        )
        .expect("text grows");
    }
    if settings.interrupted {
        write!(how, "; INTERRUPTED: {} rounds were requested", settings.rounds).expect("text grows");
    }
    lines.push(how);
    if let Some(command) = &settings.command {
        lines.push(format!("command: {command}"));
    }
    if settings.preload {
        lines.push("each allocator as a shared library, by LD_PRELOAD".to_owned());
    }
    let present = score::allocators(results);
    let versions = present
        .iter()
        .filter_map(|alloc| Some(format!("{alloc}: {}", machine.versions.get(alloc)?)));
    lines.push(versions.collect::<Vec<_>>().join("; "));
    if !settings.environment.is_empty() {
        let set: Vec<String> = settings
            .environment
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        lines.push(format!("SET IN THE ENVIRONMENT: {}", set.join(" ")));
    }
    lines.extend(
        settings
            .skipped
            .iter()
            .map(|(alloc, why)| format!("SKIPPED: {alloc}: {why}")),
    );
    if let Some(busy) = others(results) {
        lines.push(busy);
    }
    lines
}

/// Returns a warning if other work kept the machine busy.
fn others(results: &Results) -> Option<String> {
    let all: Vec<f64> = results
        .cells
        .iter()
        .flat_map(|cell| cell.others.iter().copied())
        .collect();
    let mean = all.iter().sum::<f64>() / all.len().max(1) as f64;
    (mean > 0.1).then(|| format!("MACHINE NOT IDLE: other work used {mean:.2} cores on average"))
}

/// Returns the table of all cells: medians, spread, peak memory, and the ratios to the best of the
/// others.
#[must_use]
pub fn cells(results: &Results) -> String {
    let headings = [
        "bench", "threads", "alloc", "ns/op", "median", "spread", "x other", "peak RSS", "x other", "faults",
    ];
    let mut table = Table::with_names(3, &headings);
    for row in benches(results) {
        for standing in score::row(row) {
            table.row(cell(&standing));
        }
        table.gap();
    }
    if benches(results).next().is_none() {
        return String::new();
    }
    format!(
        "{table}x other: the median divided by the best median of the other allocators in the row; below 1 beats all.\n\
         *: {EQUAL}.\n~: {SHARE}.\n"
    )
}

fn benches(results: &Results) -> impl Iterator<Item = &[Cell]> {
    results.rows().filter(|row| !is_program(&row[0]))
}

/// Returns one line for each cell that failed.
#[must_use]
pub fn failures(results: &Results) -> String {
    let line = |cell: &Cell| {
        let failure = cell.failure.as_ref()?;
        Some(format!("FAILED: {} under {}: {failure}\n", name(cell), cell.alloc))
    };
    results.cells.iter().filter_map(line).collect()
}

/// Returns the tables of the programs, one per measure.
#[must_use]
pub fn programs(results: &Results) -> String {
    let tables = measures::text(results);
    let subject = score::subject(results).unwrap_or_default();
    match tables.is_empty() {
        true => tables,
        false => format!("{tables}\n{}", measures::legend(&subject)),
    }
}

/// Returns a cell's entries in the table.
fn cell(standing: &Standing<'_>) -> Vec<String> {
    let Cell {
        alloc,
        bench,
        threads,
        ops,
        share,
        minor_faults,
        failure,
        ..
    } = standing.cell;
    let mut entries = vec![bench.clone(), threads.to_string(), alloc.clone()];
    let Some(figures) = &standing.figures else {
        entries.push("-".to_owned());
        entries.push(if failure.is_some() { "FAILED" } else { "not run" }.to_owned());
        return entries;
    };
    let faults: Vec<f64> = minor_faults.iter().map(|&count| count as f64).collect();
    entries.extend([
        match ops {
            0 => "-".to_owned(),
            &ops => format!("{:.2}", figures.time.median / ops as f64 * 1e9),
        },
        format!(
            "{}{}",
            if *share < 1.0 { "~" } else { "" },
            seconds(figures.time.median)
        ),
        format!("{:.0} %", figures.time.spread() * 100.0),
        ratio(&figures.time),
        mebibytes(figures.rss.median),
        ratio(&figures.rss),
        format!("{:.0}", median(&faults)),
    ]);
    entries
}

fn name(cell: &Cell) -> String {
    row_name(&cell.bench, cell.threads)
}

/// Returns a row's name: the bench, with the number of threads if there are several.
#[must_use]
pub fn row_name(bench: &str, threads: usize) -> String {
    match threads {
        0 | 1 => bench.to_owned(),
        _ => format!("{bench} x{threads}"),
    }
}

/// Formats the ratio of a figure: `-` if there is none, with an asterisk if it counts as equal.
#[must_use]
pub fn ratio(figure: &Figure) -> String {
    let text = |against: &Against| format!("{:.2}{}", against.ratio, if against.equal { "*" } else { "" });
    figure.against.as_ref().map_or("-".to_owned(), text)
}

/// Returns the table of the subject's figures in each row, with the best of the others.
#[must_use]
pub fn score(results: &Results) -> String {
    let Some(subject) = score::subject(results) else {
        return String::new();
    };
    let headings = [
        "row",
        &*subject,
        "best other",
        "",
        "ratio",
        "",
        &*subject,
        "best other",
        "",
        "ratio",
        "",
    ];
    let mut table = Table::new(&headings);
    let mut any = false;
    for row in benches(results) {
        let row = score::row(row);
        let Some(own) = row.iter().find(|standing| standing.cell.alloc == subject) else {
            continue;
        };
        let Some(figures) = &own.figures else {
            table.row(vec![
                name(own.cell),
                if own.cell.failure.is_some() {
                    "FAILED"
                } else {
                    "not run"
                }
                .to_owned(),
            ]);
            continue;
        };
        let mut entries = vec![name(own.cell)];
        let pair = [
            (&figures.time, seconds as fn(f64) -> String, LIMITS[0]),
            (&figures.rss, mebibytes, LIMITS[1]),
        ];
        for (figure, unit, limit) in pair {
            entries.push(unit(figure.median));
            match &figure.against {
                None => entries.extend(["-", "", "-", ""].map(str::to_owned)),
                Some(against) => {
                    any = true;
                    let mark = if against.ratio > limit { "<" } else { "" };
                    entries.extend([
                        unit(against.best),
                        against.rival.clone(),
                        ratio(figure),
                        mark.to_owned(),
                    ]);
                }
            }
        }
        table.row(entries);
    }
    if !any {
        return String::new();
    }
    format!(
        "{subject} in each row: first time, then peak RSS, each with the best of the other allocators and the ratio to it.\n\
         <: ratio above {:.2} in time or {:.2} in RSS.\n*: {EQUAL}.\n{table}",
        LIMITS[0], LIMITS[1]
    )
}

/// Returns the totals of all allocators, and the worst rows of the subject.
#[must_use]
pub fn totals(results: &Results) -> String {
    let totals: Vec<Total> = score::totals(results)
        .into_iter()
        .filter(|total| total.rows > 0 || total.failed > 0)
        .collect();
    if totals.iter().all(|total| total.rows == 0) {
        return String::new();
    }
    let mut table = Table::new(&[
        "over all rows",
        "time > 1.10",
        "> 1.25",
        "peak RSS > 1.10",
        "> 1.25",
        "rows",
        "failed",
    ]);
    for total in &totals {
        let mut entries = vec![total.alloc.clone()];
        for sum in [&total.time, &total.rss] {
            entries.extend(sum.above.map(|count| count.to_string()));
        }
        entries.extend([total.rows.to_string(), total.failed.to_string()]);
        table.row(entries);
    }
    let mut text = format!(
        "{}\nOver all rows: the number of rows with a ratio above 1.10 and above 1.25\n{table}",
        groups::text(results)
    );
    let subject = score::subject(results).unwrap_or_default();
    if let Some(total) = totals.iter().find(|total| total.alloc == subject) {
        let sums = [
            ("time", &total.time),
            ("CPU time", &total.cpu),
            ("peak RSS", &total.rss),
        ];
        for (what, sum) in sums.into_iter().filter(|(_, sum)| !sum.worst.is_empty()) {
            let worst = sum.worst.iter().filter(|row| row.2 > 1.0).take(WORST);
            let worst: Vec<String> = worst
                .map(|(bench, threads, ratio)| format!("{} {ratio:.2}", row_name(bench, *threads)))
                .collect();
            let worst = if worst.is_empty() {
                "none above 1".to_owned()
            } else {
                worst.join(", ")
            };
            write!(text, "\nworst rows of {subject} in {what}: {worst}").expect("text grows");
        }
        text.push('\n');
    }
    text
}

/// Returns the further figures of the workloads: medians of their notes.
#[must_use]
pub fn notes(results: &Results) -> String {
    let mut text = String::new();
    for row in results.rows() {
        let keys = note_keys(row);
        if keys.is_empty() {
            continue;
        }
        let mut headings = vec![name(&row[0])];
        headings.extend(keys.iter().cloned());
        let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
        for cell in row.iter().filter(|cell| cell.failure.is_none()) {
            let mut entries = vec![cell.alloc.clone()];
            entries.extend(keys.iter().map(|key| note(cell, key)));
            table.row(entries);
        }
        writeln!(text, "{table}").expect("text grows");
    }
    text
}

/// Returns the keys of all notes in a row; none if the section about memory over time has them.
#[must_use]
pub fn note_keys(row: &[Cell]) -> Vec<String> {
    if curves::has_curve(row) {
        return Vec::new();
    }
    let mut keys: Vec<String> = row.iter().flat_map(|cell| cell.notes.keys().cloned()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Returns the median of a note, with the unit that its name implies.
#[must_use]
pub fn note(cell: &Cell, key: &str) -> String {
    match median(cell.notes.get(key).map_or(&[], Vec::as_slice)) {
        value if value.is_nan() => "-".to_owned(),
        value if key.ends_with("_ppm") => format!("{:.3} %", value / 1e4),
        value if key.ends_with("_ps_per_op") => format!("{:.1} ns", value / 1e3),
        value if key.ends_with("_ns") => seconds(value / 1e9),
        value => mebibytes(value),
    }
}

/// Returns the whole report.
#[must_use]
pub fn report(results: &Results, with_notes: bool) -> String {
    let mut parts = vec![cells(results), programs(results), failures(results)];
    if with_notes {
        parts.push(notes(results));
    }
    parts.extend([curves::text(results), score(results), totals(results), head(results)]);
    parts.retain(|part| !part.is_empty());
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::super::results::{Settings, VERSION};
    use super::*;

    fn results() -> Results {
        let cell = |alloc: &str, bench: &str, threads, seconds: f64, mib: u64| {
            let mut cell = Cell::new(alloc, bench, threads);
            cell.seconds = vec![seconds, seconds * 1.1, seconds * 0.9];
            cell.rss_bytes = vec![mib << 20; 3];
            cell.minor_faults = vec![77; 3];
            cell.ops = 1_000_000;
            cell
        };
        let mut broken = cell("system", "larson", 2, 1.0, 20);
        broken.failure = Some("signal: 11 (SIGSEGV)".to_owned());
        Results {
            version: VERSION,
            machine: Machine::default(),
            settings: Settings {
                rounds: 5,
                scale: 1.0,
                interrupted: true,
                ..Settings::default()
            },
            cells: vec![
                cell("greyspan", "churn", 1, 0.5, 4),
                cell("system", "churn", 1, 1.0, 3),
                cell("mimalloc", "churn", 1, 2.0, 40),
                cell("greyspan", "larson", 2, 0.9, 30),
                broken,
                cell("mimalloc", "larson", 2, 0.6, 20),
            ],
        }
    }

    #[test]
    fn every_cell_stands_in_the_table_with_its_ratios() {
        let text = cells(&results());
        let line = |start: &str| {
            text.lines()
                .find(|line| line.starts_with(start))
                .map(|line| line.split_whitespace().collect::<Vec<_>>())
        };
        assert_eq!(
            line("churn   1        greyspan").unwrap(),
            [
                "churn", "1", "greyspan", "500.00", "500.00", "ms", "20", "%", "0.50", "4.00", "MiB", "1.00*", "77"
            ]
        );
        assert_eq!(
            line("larson  2        system").unwrap(),
            ["larson", "2", "system", "-", "FAILED"]
        );
        let text = failures(&results());
        assert_eq!(text, "FAILED: larson x2 under system: signal: 11 (SIGSEGV)\n");
    }

    #[test]
    fn the_score_marks_rows_above_the_limits_and_the_totals_count_them() {
        let text = score(&results());
        let larson = text.lines().find(|line| line.starts_with("larson")).unwrap();
        assert!(
            larson.contains("mimalloc   1.50  <") && larson.trim_end().ends_with("1.50  <"),
            "{text}"
        );
        let text = totals(&results());
        assert!(
            text.contains("worst rows of greyspan in time: larson x2 1.50\n"),
            "{text}"
        );
        let greyspan = |nth| {
            let mut lines = text.lines().filter(|line| line.starts_with("greyspan"));
            lines.nth(nth).unwrap().split_whitespace().collect::<Vec<_>>()
        };
        // A row of mixed sizes and one of threads: two groups, each with its mean.
        assert_eq!(greyspan(0), ["greyspan", "0.500", "1.500"]);
        assert_eq!(greyspan(1), ["greyspan", "1.000", "1.500"]);
        assert_eq!(greyspan(2), ["greyspan", "1", "1", "1", "1", "2", "0"]);
    }

    #[test]
    fn an_interruption_and_a_busy_machine_are_said() {
        let mut results = results();
        results.cells[0].others = vec![1.0; 3];
        let text = head(&results);
        assert!(text.contains("INTERRUPTED: 5 rounds were requested"), "{text}");
        assert!(text.contains("MACHINE NOT IDLE: other work used 1.00 cores"), "{text}");
    }

    #[test]
    fn notes_have_their_units() {
        let mut results = results();
        results.cells[0].notes.insert("metadata_ppm".to_owned(), vec![12_345.0]);
        results.cells[0]
            .notes
            .insert("rss_after_10s".to_owned(), vec![3.0 * 1_048_576.0]);
        results.cells[0].notes.insert("p99.9_ns".to_owned(), vec![1500.0]);
        let text = notes(&results);
        assert!(text.contains("1.50 us"), "{text}");
        assert!(text.contains("1.234 %") && text.contains("3.00 MiB"), "{text}");
        assert!(
            text.lines()
                .any(|line| line.starts_with("system") && line.matches('-').count() == 3),
            "{text}"
        );
    }
}
