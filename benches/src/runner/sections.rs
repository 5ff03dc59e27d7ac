//! Two sections of the HTML page: the means of each group of rows, and one table for each measure
//! of the programs.

use super::html::{Page, escape};
use super::measures::{Measure, Sheet};
use super::score::LIMITS;
use super::{groups, measures, score, text};
use std::fmt::Write;

impl Page<'_> {
    /// Returns the means of each group of rows.
    pub(super) fn groups(&self) -> String {
        let groups = groups::totals(self.results);
        if groups.is_empty() {
            return String::new();
        }
        let mut out = String::from(
            "<h2>Groups of rows</h2>\n<p class=\"quiet\">The geometric mean of each row's ratio to the best of the <em>other</em> \
             allocators; below 1 is better than the best of the others. The headline is programs and mixed. The time of a \
             latency row is its percentile.</p>\n",
        );
        for (kind, pick) in groups::KINDS {
            let has = |totals: &[score::Total]| totals.iter().any(|total| pick(total).is_finite());
            let shown: Vec<_> = groups.iter().filter(|(_, totals)| has(totals)).collect();
            if shown.is_empty() {
                continue;
            }
            write!(out, "<div class=\"wide\"><table>\n<tr><th class=\"text\">{kind}</th>").expect("text grows");
            for (group, totals) in &shown {
                let rows = totals.iter().map(|total| total.rows).max().unwrap_or(0);
                write!(out, "<th>{} ({rows})</th>", groups::name(*group)).expect("text grows");
            }
            out.push_str("</tr>\n");
            for alloc in score::allocators(self.results) {
                out.push_str(&self.allocator(&alloc));
                for (_, totals) in &shown {
                    let total = totals.iter().find(|total| total.alloc == alloc);
                    let mean = groups::mean(total.map_or(f64::NAN, pick));
                    write!(out, "<td>{mean}</td>").expect("text grows");
                }
                out.push_str("</tr>\n");
            }
            out.push_str("</table></div>\n");
        }
        out
    }

    /// Returns the first cell of an allocator's line, after the beginning of the line.
    fn allocator(&self, alloc: &str) -> String {
        let class = if alloc == self.subject {
            " class=\"subject\""
        } else {
            ""
        };
        format!(
            "<tr{class}><td class=\"text\">{} {}</td>",
            self.key(alloc),
            escape(alloc)
        )
    }

    /// Returns the tables of the programs.
    pub(super) fn programs(&self) -> String {
        let sheets = measures::sheets(self.results);
        if sheets.is_empty() {
            return String::new();
        }
        let tables: String = sheets.iter().map(|sheet| self.sheet(sheet)).collect();
        format!(
            "<section>\n<h2>Programs</h2>\n<p class=\"quiet\">{}</p>\n{tables}</section>\n",
            escape(&measures::legend(&self.subject))
        )
    }

    fn sheet(&self, sheet: &Sheet) -> String {
        let Measure {
            name,
            help,
            ratios,
            format,
            ..
        } = sheet.measure;
        let mut out = format!(
            "<h3>{name}</h3>\n<p class=\"quiet\">{help}</p>\n<div class=\"wide\"><table>\n<tr><th class=\"text\">program</th>"
        );
        for alloc in &sheet.allocators {
            write!(out, "<th>{}</th>", escape(alloc)).expect("text grows");
        }
        if ratios {
            out.push_str("<th class=\"text apart\">best other</th><th>ratio</th>");
        }
        out.push_str(if sheet.spread {
            "<th>spread</th></tr>\n"
        } else {
            "</tr>\n"
        });
        for line in &sheet.lines {
            write!(out, "<tr><td class=\"text\">{}</td>", escape(&line.name)).expect("text grows");
            for figure in &line.figures {
                match figure {
                    Ok(figure) => write!(out, "<td>{}</td>", format(figure.median)).expect("text grows"),
                    Err(missing) => write!(out, "<td class=\"bad\">{missing}</td>").expect("text grows"),
                }
            }
            if ratios {
                out.push_str(&match sheet.of(line, &self.subject) {
                    Some(figure) if figure.against.is_some() => {
                        let rival = figure.against.as_ref().map_or("", |against| &against.rival);
                        let class = match figure.ratio() {
                            Some(ratio) if ratio > LIMITS[0] => " class=\"bad\"",
                            Some(ratio) if ratio < 0.95 => " class=\"good\"",
                            _ => "",
                        };
                        format!(
                            "<td class=\"text apart\">{}</td><td{class}>{}</td>",
                            escape(rival),
                            text::ratio(&figure)
                        )
                    }
                    _ => "<td class=\"text apart\">–</td><td>–</td>".to_owned(),
                });
            }
            if sheet.spread {
                write!(out, "<td>{:.0} %</td>", line.spread * 100.0).expect("text grows");
            }
            out.push_str("</tr>\n");
        }
        if ratios {
            out.push_str("<tr class=\"next\"><td class=\"text\">mean ratio</td>");
            for mean in &sheet.means {
                write!(out, "<td>{}</td>", groups::mean(mean.unwrap_or(f64::NAN))).expect("text grows");
            }
            out.push_str("<td class=\"apart\"></td><td></td></tr>\n");
        }
        out + "</table></div>\n"
    }
}
