//! The section of the report about rows with a curve of memory over time: one picture per row, and
//! one table with the figures at the moments of the program. Both reports show the table.

use super::html::escape;
use super::numbers::{mebibytes, median};
use super::plot::{mark, open, put};
use super::results::{Cell, Results};
use super::score;
use super::table::Table;
use super::text::row_name;
use std::fmt::Write;

/// The notes of an idle workload, with their headings, in the order in which a program passes them.
const NOTES: [(&str, &str); 9] = [
    ("start", "start"),
    ("peak", "peak"),
    ("fall", "fall"),
    ("purged", "purged"),
    ("rest", "rest"),
    ("live_pages", "live pages"),
    ("empty", "all freed"),
    ("empty_rest", "all freed, rest"),
    ("again", "filled again"),
];
/// Explains the table.
pub const MEANING: &str = "Fall: resident memory at the end of the frees. Rest: after the sleep that follows. Live pages: those of \
                           the blocks that live at rest, the least that any allocator can have. Filled again: after another thread has \
                           filled as much memory.";
/// The seconds between two samples.
const EVERY: f64 = 0.1;
const MIB: f64 = 1_048_576.0;

/// Returns whether the row's cells have a curve.
#[must_use]
pub fn has_curve(row: &[Cell]) -> bool {
    row.iter().any(|cell| !cell.curve.is_empty())
}

/// Returns the headings of a row's table, and each allocator's figures.
fn figures(row: &[Cell]) -> (Vec<String>, Vec<Vec<String>>) {
    let of = |cell: &Cell, key: &str| median(cell.notes.get(key).map_or(&[], Vec::as_slice));
    let running: Vec<&Cell> = row.iter().filter(|cell| !cell.curve.is_empty()).collect();
    let known = |key: &str| running.iter().any(|cell| !of(cell, key).is_nan());
    let columns: Vec<_> = NOTES.into_iter().filter(|(key, _)| known(key)).collect();
    let mut headings = vec![
        row.first()
            .map_or_else(String::new, |cell| row_name(&cell.bench, cell.threads)),
    ];
    headings.extend(columns.iter().map(|(_, heading)| (*heading).to_owned()));
    headings.push("rest / fall".to_owned());
    let line = |cell: &&Cell| {
        let mut line = vec![cell.alloc.clone()];
        line.extend(columns.iter().map(|(key, _)| match of(cell, key) {
            bytes if bytes.is_nan() => "-".to_owned(),
            bytes => mebibytes(bytes),
        }));
        line.push(match of(cell, "rest") / of(cell, "fall") {
            share if share.is_nan() => "-".to_owned(),
            share => format!("{:.0} %", share * 100.0),
        });
        line
    };
    (headings, running.iter().map(line).collect())
}

/// Returns the tables as text; empty if no row has a curve.
#[must_use]
pub fn text(results: &Results) -> String {
    let mut out = String::new();
    for row in results.rows().filter(|row| has_curve(row)) {
        let (headings, lines) = figures(row);
        let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
        lines.into_iter().for_each(|line| table.row(line));
        writeln!(out, "{table}").expect("text grows");
    }
    if !out.is_empty() {
        writeln!(out, "{MEANING}").expect("text grows");
    }
    out
}

/// Returns the section of the page; empty if no row has a curve. `places` are the allocators'
/// places in the palette, `key` draws an allocator's mark.
#[must_use]
pub fn section(results: &Results, places: &[(String, usize)], key: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    for row in results.rows().filter(|row| has_curve(row)) {
        let (headings, lines) = figures(row);
        write!(
            out,
            "<h3>{}</h3>\n<div class=\"wide\">{}",
            escape(&headings[0]),
            picture(row, places)
        )
        .expect("text grows");
        let subject = score::subject(results);
        out.push_str("<table>\n<tr><th class=\"text\">allocator</th>");
        for heading in &headings[1..] {
            write!(out, "<th>{}</th>", escape(heading)).expect("text grows");
        }
        out.push_str("</tr>\n");
        for line in lines {
            let own = subject.as_ref() == Some(&line[0]);
            let class = if own { " class=\"subject\"" } else { "" };
            let (key, name) = (key(&line[0]), escape(&line[0]));
            write!(out, "<tr{class}><td class=\"text\">{key} {name}</td>").expect("text grows");
            for figure in &line[1..] {
                write!(out, "<td>{}</td>", escape(figure)).expect("text grows");
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</table></div>\n");
    }
    if out.is_empty() {
        return out;
    }
    format!(
        "<h2>Memory over time</h2>\n<p class=\"quiet\">Programs that free most of their memory and fall asleep. The curves are of the last \
         round, sampled each 100 ms; the hollow marks are the ends of the frees. The tables have medians over the rounds. \
         {}</p>\n{out}",
        escape(MEANING)
    )
}

/// A linear axis over pixels, from 0. Values beyond its end are drawn at the end.
#[derive(Clone, Copy, Debug)]
struct Linear {
    most: f64,
    start: f64,
    end: f64,
}

impl Linear {
    fn at(&self, value: f64) -> f64 {
        self.start + (self.end - self.start) * (value / self.most).min(1.0)
    }

    /// Returns at most eight round values within the axis.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let power = 10f64.powf((self.most / 8.0).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
        let step = steps
            .into_iter()
            .find(|step| self.most / step <= 8.0)
            .unwrap_or(power * 10.0);
        let count = (self.most / step) as usize;
        (0..=count).map(move |index| index as f64 * step)
    }
}

/// Draws the curves of one row: seconds across, MiB upward.
fn picture(row: &[Cell], places: &[(String, usize)]) -> String {
    let (width, height, left, right, top, bottom) = (860.0, 340.0, 58.0, 700.0, 12.0, 290.0);
    let place = |alloc: &str| {
        places
            .iter()
            .find(|(name, _)| name == alloc)
            .map_or(0, |(_, place)| *place)
    };
    let mut cells: Vec<&Cell> = row.iter().filter(|cell| !cell.curve.is_empty()).collect();
    // The subject, at place 0, comes last and is drawn on top.
    cells.sort_by_key(|cell| std::cmp::Reverse(place(&cell.alloc)));
    let lengths: Vec<f64> = cells.iter().map(|cell| cell.curve.len() as f64 * EVERY).collect();
    let highest = cells.iter().flat_map(|cell| &cell.curve).max().copied().unwrap_or(0);
    // One slow allocator does not press the other curves together: its curve ends at the border.
    let longest = lengths.iter().copied().fold(0.0, f64::max);
    let across = Linear {
        most: longest.min(3.0 * median(&lengths)),
        start: left,
        end: right,
    };
    let upward = Linear {
        most: (highest as f64 / 1024.0).max(1.0) * 1.04,
        start: bottom,
        end: top,
    };
    let mut svg = open(width, height, "Resident memory over time under each allocator");
    for value in across.ticks() {
        let x = across.at(value);
        put(
            &mut svg,
            format_args!("<path class=\"grid\" d=\"M{x:.1} {top}V{bottom}\"/>"),
        );
        put(
            &mut svg,
            format_args!(
                "<text class=\"axis\" x=\"{x:.1}\" y=\"{}\">{value}</text>",
                bottom + 18.0
            ),
        );
    }
    for value in upward.ticks() {
        let y = upward.at(value);
        put(
            &mut svg,
            format_args!("<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/>"),
        );
        put(
            &mut svg,
            format_args!(
                "<text class=\"name\" x=\"{}\" y=\"{:.1}\">{value}</text>",
                left - 8.0,
                y + 4.0
            ),
        );
    }
    let (middle, below) = ((left + right) * 0.5, bottom + 42.0);
    put(
        &mut svg,
        format_args!("<text class=\"axis title\" x=\"{middle}\" y=\"{below}\">seconds</text>"),
    );
    let middle = (top + bottom) * 0.5;
    let turned = format!("transform=\"translate(14 {middle})rotate(-90)\"");
    put(
        &mut svg,
        format_args!("<text class=\"axis title\" {turned}>resident MiB</text>"),
    );
    let ends: Vec<f64> = cells
        .iter()
        .map(|cell| upward.at(mib(last(cell, across.most))))
        .collect();
    for ((cell, end), label) in cells.iter().zip(&ends).zip(apart(&ends, bottom)) {
        curve(&mut svg, cell, place(&cell.alloc), (across, upward));
        let x = across.at(cell.curve.len() as f64 * EVERY);
        let (place, name) = (place(&cell.alloc), escape(&cell.alloc));
        put(
            &mut svg,
            format_args!(
                "<path class=\"leader\" d=\"M{x:.1} {end:.1}L{right} {end:.1}L{:.1} {label:.1}\"/>",
                right + 14.0
            ),
        );
        svg.push_str(&mark(place, right + 22.0, label, 5.0, false));
        let (x, y) = (right + 32.0, label + 4.5);
        put(
            &mut svg,
            format_args!("<text class=\"label\" x=\"{x}\" y=\"{y:.1}\">{name}</text>"),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Draws a cell's curve, with a hollow mark at the end of its frees.
fn curve(svg: &mut String, cell: &Cell, place: usize, (across, upward): (Linear, Linear)) {
    let mut path = String::new();
    for (index, &kib) in cell.curve.iter().enumerate() {
        let seconds = index as f64 * EVERY;
        if seconds <= across.most {
            let (x, y) = (across.at(seconds), upward.at(mib(kib)));
            write!(path, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" }).expect("text grows");
        }
    }
    let title = escape(&cell.alloc);
    put(
        svg,
        format_args!("<path class=\"curve c{place}\" d=\"{path}\"><title>{title}</title></path>"),
    );
    let noted = |key: &str| cell.notes.get(key).and_then(|values| values.last()).copied();
    if let (Some(bytes), Some(milliseconds)) = (noted("fall"), noted("fall_ms")) {
        let (x, y) = (across.at(milliseconds / 1000.0), upward.at(bytes / MIB));
        svg.push_str(&mark(place, x, y, 4.0, true));
    }
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// Returns the last sample up to this second.
fn last(cell: &Cell, seconds: f64) -> u64 {
    let index = (seconds / EVERY) as usize;
    cell.curve.get(index).or(cell.curve.last()).copied().unwrap_or(0)
}

/// Moves labels at these heights apart, as little as possible, and keeps them above `bottom`.
fn apart(heights: &[f64], bottom: f64) -> Vec<f64> {
    const LINE: f64 = 17.0;
    let mut order: Vec<usize> = (0..heights.len()).collect();
    order.sort_by(|&a, &b| heights[b].total_cmp(&heights[a]));
    let (mut placed, mut below) = (vec![0.0; heights.len()], bottom + LINE);
    for index in order {
        below = heights[index].min(below - LINE);
        placed[index] = below;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::super::html::places;
    use super::super::machine::Machine;
    use super::super::results::{Settings, VERSION};
    use super::*;

    fn results() -> Results {
        let cell = |alloc: &str, rest: u64| {
            let mut cell = Cell::new(alloc, "idle-x", 1);
            cell.seconds = vec![1.0];
            cell.rss_bytes = vec![100 << 20];
            cell.curve = vec![1024, 102_400, 102_400, rest << 10];
            for (key, value) in [("fall", 100 << 20), ("rest", rest << 20), ("fall_ms", 200)] {
                cell.notes.insert(key.to_owned(), vec![value as f64]);
            }
            cell
        };
        Results {
            version: VERSION,
            machine: Machine::default(),
            settings: Settings::default(),
            cells: vec![cell("greyspan", 20), cell("a<b", 90), Cell::new("c", "churn", 1)],
        }
    }

    #[test]
    fn a_row_with_a_curve_has_a_table_and_others_have_none() {
        let text = text(&results());
        assert!(text.contains("greyspan  100.00 MiB  20.00 MiB         20 %"), "{text}");
        assert!(
            text.contains("a<b       100.00 MiB  90.00 MiB         90 %") && !text.contains("churn"),
            "{text}"
        );
        let mut without = results();
        without.cells.retain(|cell| cell.curve.is_empty());
        assert_eq!(super::text(&without), "");
        assert_eq!(section(&without, &[], |_| String::new()), "");
    }

    #[test]
    fn each_allocator_has_a_curve_and_the_picture_closes_each_element_that_it_opens() {
        let results = results();
        let places = places(&score::allocators(&results), "greyspan");
        let page = section(&results, &places, |_| String::new());
        assert_eq!(page.matches("<path class=\"curve ").count(), 2, "{page}");
        assert!(page.contains("curve c0\" d=\"M58.0 ") && !page.contains("a<b"));
        for tag in ["svg", "text", "title", "table", "tr", "td", "div", "p", "h3"] {
            let opened = page.matches(&format!("<{tag} ")).count() + page.matches(&format!("<{tag}>")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "<{tag}>");
        }
    }

    #[test]
    fn ticks_are_round_and_labels_do_not_lie_on_each_other() {
        let axis = |most| Linear {
            most,
            start: 0.0,
            end: 100.0,
        };
        assert_eq!(
            axis(1113.0).ticks().collect::<Vec<_>>(),
            [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]
        );
        assert_eq!(axis(7.9).ticks().count(), 8);
        assert_eq!(axis(10.0).at(50.0), 100.0);
        assert_eq!(
            apart(&[100.0, 300.0, 299.0, 300.0], 290.0),
            [100.0, 290.0, 256.0, 273.0]
        );
    }
}
