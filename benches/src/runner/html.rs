//! The report as one self-contained HTML page: it holds its style and plots, has no script, and
//! loads nothing.

use super::numbers::{mebibytes, median, seconds};
use super::plot::{self, Dot, Line, Point};
use super::results::{Cell, Results};
use super::score::{self, Figure, Figures, LIMITS, Standing, Sum};
use super::text::{self, row_name};
use super::{curves, groups};
use std::fmt::Write;

pub(super) const STYLE: &str = include_str!("report.css");
/// The first places in the palette belong to these allocators; other names take the free ones.
const PALETTE: [&str; 8] = [
    "greyspan",
    "system",
    "mimalloc",
    "mimalloc-v2",
    "jemalloc",
    "snmalloc",
    "rpmalloc",
    "tcmalloc",
];

/// Escapes `text` for use between tags and in attributes.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

/// Returns the whole page.
#[must_use]
pub fn page(results: &Results) -> String {
    let subject = score::subject(results).unwrap_or_default();
    let page = Page {
        places: places(&score::allocators(results), &subject),
        results,
        subject,
    };
    let title = match &results.settings.command {
        Some(_) => "Programs under several allocators".to_owned(),
        None => format!("{} and other allocators compared", page.subject),
    };
    let title = escape(&title);
    let parts = [
        page.head(&title),
        page.groups(),
        page.totals(),
        page.programs(),
        page.scatter(),
        page.strip(),
        curves::section(page.results, &page.places, |alloc| page.key(alloc)),
        page.rows(),
        page.cells(),
        page.notes(),
        page.method(),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
        parts.concat()
    )
}

/// Assigns each allocator a place in the palette. The subject has the first.
pub(super) fn places(allocators: &[String], subject: &str) -> Vec<(String, usize)> {
    let known = |name: &str| match name {
        _ if name == subject => Some(0),
        _ => PALETTE
            .iter()
            .skip(1)
            .position(|known| *known == name)
            .map(|place| place + 1),
    };
    let mut free = (1..PALETTE.len()).filter(|place| !allocators.iter().any(|name| known(name) == Some(*place)));
    let place = |name: &String| {
        (
            name.clone(),
            known(name).or_else(|| free.next()).unwrap_or(PALETTE.len() - 1),
        )
    };
    allocators.iter().map(place).collect()
}

pub(super) struct Page<'a> {
    pub(super) results: &'a Results,
    pub(super) subject: String,
    places: Vec<(String, usize)>,
}

impl Page<'_> {
    fn place(&self, alloc: &str) -> usize {
        self.places
            .iter()
            .find(|(name, _)| name == alloc)
            .map_or(0, |(_, place)| *place)
    }

    fn head(&self, title: &str) -> String {
        let mut out = format!("<h1>{title}</h1>\n<ul class=\"head\">\n");
        for line in text::head_lines(self.results).iter().filter(|line| !line.is_empty()) {
            // Warnings contain words in capitals.
            let loud = line
                .split(' ')
                .any(|word| word.len() > 4 && word.chars().all(char::is_uppercase));
            writeln!(
                out,
                "<li{}>{}</li>",
                if loud { " class=\"loud\"" } else { "" },
                escape(line)
            )
            .expect("text grows");
        }
        out + "</ul>\n"
    }

    fn totals(&self) -> String {
        let totals = score::totals(self.results);
        if totals.iter().all(|total| total.rows == 0) {
            return String::new();
        }
        let mut out = String::from(
            "<h2>Over all rows</h2>\n<p class=\"quiet\">The number of rows with a ratio above 1.10 and above 1.25.</p>\n\
             <div class=\"wide\"><table>\n<tr><th class=\"text\">allocator</th><th>time &gt; 1.10</th><th>&gt; 1.25</th>\
             <th class=\"apart\">peak memory &gt; 1.10</th><th>&gt; 1.25</th><th class=\"apart\">rows</th><th>failed</th></tr>\n",
        );
        for total in &totals {
            let class = if total.alloc == self.subject {
                " class=\"subject\""
            } else {
                ""
            };
            write!(
                out,
                "<tr{class}><td class=\"text\">{} {}</td>",
                self.key(&total.alloc),
                escape(&total.alloc)
            )
            .expect("text grows");
            for (sum, class) in [(&total.time, ""), (&total.rss, " class=\"apart\"")] {
                write!(out, "<td{class}>{}</td><td>{}</td>", sum.above[0], sum.above[1]).expect("text grows");
            }
            let failed = if total.failed > 0 { " class=\"bad\"" } else { "" };
            writeln!(
                out,
                "<td class=\"apart\">{}</td><td{failed}>{}</td></tr>",
                total.rows, total.failed
            )
            .expect("text grows");
        }
        out.push_str("</table></div>\n");
        if let Some(total) = totals.iter().find(|total| total.alloc == self.subject) {
            let sums = [
                ("time", &total.time),
                ("CPU time", &total.cpu),
                ("peak memory", &total.rss),
            ];
            for (what, sum) in sums.into_iter().filter(|(_, sum)| !sum.worst.is_empty()) {
                writeln!(
                    out,
                    "<p>Worst rows of {} in {what}: {}.</p>",
                    escape(&self.subject),
                    worst(sum)
                )
                .expect("text grows");
            }
        }
        out
    }

    /// Returns an allocator's mark for the legend.
    pub(super) fn key(&self, alloc: &str) -> String {
        let mark = plot::mark(self.place(alloc), 7.0, 7.0, 5.0, false);
        format!("<svg viewBox=\"0 0 14 14\" width=\"14\" height=\"14\" aria-hidden=\"true\">{mark}</svg>")
    }

    fn scatter(&self) -> String {
        let mut points = Vec::new();
        for row in self.results.rows() {
            let row = score::row(row);
            for standing in row.iter().filter(|standing| standing.cell.alloc == self.subject) {
                let Some(figures) = &standing.figures else { continue };
                if let (Some(time), Some(rss)) = (figures.time.ratio(), figures.rss.ratio()) {
                    let name = row_name(&standing.cell.bench, standing.cell.threads);
                    points.push(Point {
                        place: 0,
                        label: None,
                        ratios: (time, rss),
                        title: format!("{name}: time {time:.2}, peak memory {rss:.2}"),
                    });
                }
            }
        }
        let (groups, means) = groups::headline(self.results);
        for groups::Means { alloc, time, rss } in means {
            points.push(Point {
                place: self.place(&alloc),
                title: format!("{alloc}: geometric means: time {time:.3}, peak memory {rss:.3}"),
                label: Some(alloc),
                ratios: (time, rss),
            });
        }
        if points.is_empty() {
            return String::new();
        }
        format!(
            "<h2>Time and memory together</h2>\n<p class=\"quiet\">Large marks: each allocator's geometric means over {}. Dots: the rows of {}. \
             Left and low is better; both scales double from line to line.</p>\n<div class=\"wide\">{}</div>\n",
            escape(&groups::words(&groups)),
            escape(&self.subject),
            plot::scatter(&points)
        )
    }

    fn strip(&self) -> String {
        let lines: Vec<Line> = self.results.rows().map(|row| self.line(row)).collect();
        if lines.iter().all(|line| line.dots[0].is_empty()) {
            return String::new();
        }
        let keys: Vec<String> = self
            .places
            .iter()
            .map(|(name, _)| format!("<span>{} {}</span>", self.key(name), escape(name)))
            .collect();
        format!(
            "<section>\n<h2>Row by row</h2>\n<p class=\"quiet\">Each mark is a median divided by the best rival's median in the row. The scale \
             doubles from line to line; left is better. Whiskers go from the smallest to the largest round. Arrowheads are beyond the scale. \
             A hollow mark {}. The dashed lines are at {:.2} and {:.2}. The number after a row's name is its number of threads.</p>\n\
             <div class=\"legend\">{}</div>\n<div class=\"wide\">{}</div>\n</section>\n",
            escape(text::EQUAL),
            LIMITS[0],
            LIMITS[1],
            keys.join(""),
            plot::strip(&lines, LIMITS)
        )
    }

    /// Returns all allocators of a row, as ratios to the best of those that are not the subject.
    fn line(&self, cells: &[Cell]) -> Line {
        let row = score::row(cells);
        let running = || {
            row.iter()
                .filter_map(|standing| Some((standing.cell, standing.figures.as_ref()?)))
        };
        let panel = |pick: fn(&Figures) -> &Figure, unit: fn(f64) -> String| -> Vec<Dot> {
            let rivals = running().filter(|(cell, _)| cell.alloc != self.subject);
            let best = rivals
                .map(|(_, figures)| pick(figures).median)
                .fold(f64::INFINITY, f64::min);
            if !best.is_finite() || best <= 0.0 {
                return Vec::new();
            }
            let dot = |(cell, figures): (&Cell, &Figures)| {
                let figure = pick(figures);
                let ratio = figure.median / best;
                Dot {
                    place: self.place(&cell.alloc),
                    ratio,
                    min: figure.min / best,
                    max: figure.max / best,
                    equal: figure.against.as_ref().is_some_and(|against| against.equal),
                    title: format!(
                        "{} under {}: {} ({} to {}), {ratio:.2} of the best rival's",
                        row_name(&cell.bench, cell.threads),
                        cell.alloc,
                        unit(figure.median),
                        unit(figure.min),
                        unit(figure.max)
                    ),
                }
            };
            running().map(dot).collect()
        };
        let failed = cells.iter().filter(|cell| cell.failure.is_some());
        Line {
            name: cells
                .first()
                .map_or_else(String::new, |cell| row_name(&cell.bench, cell.threads)),
            dots: [
                panel(|figures| &figures.time, seconds),
                panel(|figures| &figures.rss, mebibytes),
            ],
            failed: failed.map(|cell| cell.alloc.clone()).collect(),
        }
    }

    /// Returns the subject's figures in each row.
    fn rows(&self) -> String {
        let subject = escape(&self.subject);
        let mut out = format!(
            "<h2>{subject} in each row</h2>\n<p class=\"quiet\">Time and peak memory, each with the best of the other allocators and the ratio to it. *: {}.</p>\n<div class=\"wide\"><table>\n\
             <tr><th class=\"text\">row</th><th class=\"apart\">time</th><th>best other</th><th class=\"text\"></th><th>ratio</th>\
             <th class=\"apart\">peak memory</th><th>best other</th><th class=\"text\"></th><th>ratio</th></tr>\n",
            escape(text::EQUAL)
        );
        for row in self.results.rows() {
            let row = score::row(row);
            for standing in row.iter().filter(|standing| standing.cell.alloc == self.subject) {
                let name = escape(&row_name(&standing.cell.bench, standing.cell.threads));
                write!(out, "<tr><td class=\"text\">{name}</td>").expect("text grows");
                match &standing.figures {
                    None => write!(out, "{}", missing(standing, 8)).expect("text grows"),
                    Some(figures) => {
                        out.push_str(&pair(&figures.time, seconds, LIMITS[0]));
                        out.push_str(&pair(&figures.rss, mebibytes, LIMITS[1]));
                    }
                }
                out.push_str("</tr>\n");
            }
        }
        out + "</table></div>\n"
    }

    fn cells(&self) -> String {
        let mut out = String::from(
            "<h2>All cells</h2>\n<details><summary>Medians, spread, peak memory and page faults of every allocator in every row\
             </summary>\n<div class=\"wide\"><table>\n<tr><th class=\"text\">row</th><th class=\"text\">allocator</th><th>ns/op</th>\
             <th>median</th><th>smallest</th><th>largest</th><th>x other</th><th class=\"apart\">peak memory</th><th>x other</th>\
             <th>page faults</th></tr>\n",
        );
        for row in self.results.rows() {
            for (index, standing) in score::row(row).iter().enumerate() {
                let cell = standing.cell;
                let name = if index == 0 {
                    escape(&row_name(&cell.bench, cell.threads))
                } else {
                    String::new()
                };
                let class = if index == 0 { " class=\"next\"" } else { "" };
                write!(
                    out,
                    "<tr{class}><td class=\"text\">{name}</td><td class=\"text\">{}</td>",
                    escape(&cell.alloc)
                )
                .expect("text grows");
                let Some(Figures { time, rss, .. }) = &standing.figures else {
                    writeln!(out, "{}</tr>", missing(standing, 8)).expect("text grows");
                    continue;
                };
                let per_op = if cell.ops == 0 {
                    "–".to_owned()
                } else {
                    format!("{:.2}", time.median / cell.ops as f64 * 1e9)
                };
                let faults: Vec<f64> = cell.minor_faults.iter().map(|&count| count as f64).collect();
                writeln!(
                    out,
                    "<td>{per_op}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"apart\">{}</td><td>{}</td><td>{:.0}</td></tr>",
                    seconds(time.median),
                    seconds(time.min),
                    seconds(time.max),
                    text::ratio(time),
                    mebibytes(rss.median),
                    text::ratio(rss),
                    median(&faults)
                )
                .expect("text grows");
            }
        }
        out + "</table></div>\n</details>\n"
    }

    fn notes(&self) -> String {
        let mut out = String::new();
        for row in self.results.rows() {
            let keys = text::note_keys(row);
            if keys.is_empty() {
                continue;
            }
            write!(
                out,
                "<table>\n<tr><th class=\"text\">{}</th>",
                escape(&row_name(&row[0].bench, row[0].threads))
            )
            .expect("text grows");
            for key in &keys {
                write!(out, "<th>{}</th>", escape(&key.replace('_', " "))).expect("text grows");
            }
            out.push_str("</tr>\n");
            for cell in row.iter().filter(|cell| !cell.seconds.is_empty()) {
                write!(out, "<tr><td class=\"text\">{}</td>", escape(&cell.alloc)).expect("text grows");
                for key in &keys {
                    write!(out, "<td>{}</td>", text::note(cell, key)).expect("text grows");
                }
                out.push_str("</tr>\n");
            }
            out.push_str("</table>\n");
        }
        if out.is_empty() {
            return out;
        }
        format!("<h2>Further figures of some rows</h2>\n<div class=\"wide\">{out}</div>\n")
    }

    fn method(&self) -> String {
        let what = match self.results.settings.command {
            Some(_) => {
                "The same command runs under each allocator's shared library (LD_PRELOAD). Time is from its start to its end. The \
                 kernel counts its memory, page faults and processor time (wait4)."
            }
            None if self.results.settings.preload => {
                "A cell is one workload under one allocator's shared library (LD_PRELOAD), in a process of its own. The program is the same \
                 for all, and uses C's malloc family. Time is that of the workload alone, without set-up. Peak memory is the kernel's \
                 VmHWM of the process."
            }
            None => {
                "A cell is one workload under one allocator. Each cell is a separate program with that allocator as Rust's global \
                 one, built with fat LTO and without debug information. Time is that of the workload alone, without set-up. Peak memory is \
                 the kernel's VmHWM of the process, so it includes the program itself. A cell fails if its checksum differs from that of \
                 the others in its row."
            }
        };
        format!(
            "<h2>Method</h2>\n<p>{what} In each round every allocator runs every row once. Another allocator begins in each round, so that a \
             drift of the machine affects all alike. The first round warms up and does not count. Figures are medians over the rounds. A \
             ratio is a median divided by the best median of the other allocators in the row, so only the best in a row is below 1. In \
             memory, if the best of a row is below 16 MiB, a figure at most 2 MiB above it counts as equal. Made with \
             <code>compare</code> of greyspan-bench; its JSON file holds all figures.</p>\n"
        )
    }
}

fn worst(sum: &Sum) -> String {
    let rows: Vec<String> = sum
        .worst
        .iter()
        .filter(|row| row.2 > 1.0)
        .take(8)
        .map(|(bench, threads, ratio)| format!("{} {ratio:.2}", escape(&row_name(bench, *threads))))
        .collect();
    if rows.is_empty() {
        "none above 1".to_owned()
    } else {
        rows.join(", ")
    }
}

fn pair(figure: &Figure, unit: fn(f64) -> String, limit: f64) -> String {
    let own = format!("<td class=\"apart\">{}</td>", unit(figure.median));
    let Some(against) = &figure.against else {
        return own + "<td>–</td><td></td><td>–</td>";
    };
    let class = match against.ratio {
        ratio if ratio > limit => " class=\"bad\"",
        ratio if ratio < 0.95 => " class=\"good\"",
        _ => "",
    };
    format!(
        "{own}<td>{}</td><td class=\"text\">{}</td><td{class}>{}</td>",
        unit(against.best),
        escape(&against.rival),
        text::ratio(figure)
    )
}

fn missing(standing: &Standing<'_>, columns: usize) -> String {
    let why = standing
        .cell
        .failure
        .as_ref()
        .map_or("not run".to_owned(), |failure| format!("failed: {failure}"));
    format!("<td class=\"text bad\" colspan=\"{columns}\">{}</td>", escape(&why))
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::super::results::{Settings, VERSION};
    use super::*;

    fn results() -> Results {
        let cell = |alloc: &str, seconds: f64| {
            let mut cell = Cell::new(alloc, "larson", 2);
            (cell.seconds, cell.rss_bytes, cell.minor_faults) = (vec![seconds; 3], vec![20 << 20; 3], vec![1; 3]);
            cell
        };
        let mut broken = cell("snmalloc", 1.0);
        broken.failure = Some("<script>alert(\"&\")</script>".to_owned());
        Results {
            version: VERSION,
            machine: Machine::default(),
            settings: Settings {
                scale: 1.0,
                ..Settings::default()
            },
            cells: vec![cell("greyspan", 1.0), cell("system", 2.0), broken],
        }
    }

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(escape("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
        let page = page(&results());
        assert!(!page.contains("<script"), "a failure's text became markup");
        assert!(page.contains("failed: &lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;"));
    }

    #[test]
    fn the_page_stands_alone_and_closes_what_it_opens() {
        let mut results = results();
        let programs = ["greyspan", "system"].map(|alloc| {
            let mut cell = Cell::new(alloc, "a<program>", 0);
            (cell.seconds, cell.rss_bytes) = (vec![1.0], vec![20 << 20]);
            (cell.user_seconds, cell.system_seconds) = (vec![1.0], vec![0.5]);
            cell
        });
        let mut broken = Cell::new("snmalloc", "a<program>", 0);
        broken.failure = Some("signal".to_owned());
        results.cells.extend(programs);
        results.cells.push(broken);
        let page = page(&results);
        for part in ["<h3>CPU time</h3>", "a&lt;program&gt;", "programs (1)", "FAILED"] {
            assert!(page.contains(part), "no {part}");
        }
        assert!(!page.contains("a<program>"), "a program's name became markup");
        for outside in ["http:", "https:", "src=", "url(", "@import"] {
            assert!(!page.contains(outside), "the page asks for {outside}");
        }
        for tag in [
            "section", "table", "tr", "td", "svg", "g", "div", "p", "h2", "details", "span", "text", "title", "h3",
            "th",
        ] {
            let (opened, closed) = (
                page.matches(&format!("<{tag} ")).count() + page.matches(&format!("<{tag}>")).count(),
                page.matches(&format!("</{tag}>")).count(),
            );
            assert_eq!(opened, closed, "<{tag}>");
        }
        assert!(page.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn each_allocator_has_a_place_of_its_own_and_the_subject_the_first() {
        let names = ["mimalloc", "mine", "system", "yours"].map(str::to_owned);
        let places = places(&names, "mimalloc");
        assert_eq!(places[0], ("mimalloc".to_owned(), 0));
        assert_eq!(places[2], ("system".to_owned(), 1));
        let mut numbers: Vec<usize> = places.iter().map(|place| place.1).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 4, "{places:?}");
    }

    #[test]
    fn a_row_is_drawn_over_the_best_rival() {
        let results = results();
        let page = Page {
            places: places(&score::allocators(&results), "greyspan"),
            subject: "greyspan".to_owned(),
            results: &results,
        };
        let line = page.line(&results.cells);
        let ratios: Vec<f64> = line.dots[0].iter().map(|dot| dot.ratio).collect();
        assert_eq!(
            (line.name.as_str(), ratios, line.failed),
            ("larson x2", vec![0.5, 1.0], vec!["snmalloc".to_owned()])
        );
    }
}
