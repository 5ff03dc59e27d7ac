//! Draws the plots of the report as SVG inside the page; the page's style sheet sets colours and
//! fonts.

use super::html::escape;
use std::fmt::Write;

/// A logarithmic axis over pixels. Values beyond an end are drawn at that end.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// The value at `start`.
    pub low: f64,
    /// The value at `end`.
    pub high: f64,
    /// The pixel of `low`.
    pub start: f64,
    /// The pixel of `high`; it is before `start` on an axis that runs upward.
    pub end: f64,
}

impl Axis {
    /// Returns whether `value` is beyond an end, so that it is drawn there.
    #[must_use]
    pub fn clips(&self, value: f64) -> bool {
        value < self.low || value > self.high
    }

    /// Returns the pixel of `value`.
    #[must_use]
    pub fn at(&self, value: f64) -> f64 {
        let share = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        self.start + (self.end - self.start) * share.min(1.0)
    }

    /// Returns the powers of two within the axis.
    pub fn ticks(&self) -> impl Iterator<Item = f64> {
        let (first, last) = (self.low.log2().ceil() as i32, self.high.log2().floor() as i32);
        (first..=last).map(|power| f64::from(power).exp2())
    }
}

/// Returns the text of a tick: `0.25`, `1`, `8`.
#[must_use]
pub fn tick(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Draws the mark of the allocator with this place in the palette around a point. A `hollow` mark
/// means "counts as equal".
#[must_use]
pub fn mark(place: usize, x: f64, y: f64, size: f64, hollow: bool) -> String {
    let r = size;
    let path = match place {
        0 => format!("M{x:.1} {:.1}l{r:.1} {r:.1}l-{r:.1} {r:.1}l-{r:.1} -{r:.1}z", y - r),
        1 => format!(
            "M{:.1} {y:.1}a{r:.1} {r:.1} 0 1 0 {:.1} 0a{r:.1} {r:.1} 0 1 0 -{:.1} 0z",
            x - r,
            2.0 * r,
            2.0 * r
        ),
        2 => {
            let half = 0.85 * r;
            let side = 2.0 * half;
            format!("M{:.1} {:.1}h{side:.1}v{side:.1}h-{side:.1}z", x - half, y - half)
        }
        3 => format!(
            "M{:.1} {:.1}h{:.1}l-{r:.1} {:.1}z",
            x - r,
            y - 0.7 * r,
            2.0 * r,
            1.6 * r
        ),
        4 => format!(
            "M{:.1} {:.1}h{:.1}l-{r:.1} -{:.1}z",
            x - r,
            y + 0.7 * r,
            2.0 * r,
            1.6 * r
        ),
        5 => {
            let (arm, half) = (0.65 * r, 0.35 * r);
            format!(
                "M{:.1} {:.1}h{a:.1}v{b:.1}h{b:.1}v{a:.1}h-{b:.1}v{b:.1}h-{a:.1}v-{b:.1}h-{b:.1}v-{a:.1}h{b:.1}z",
                x - half,
                y - half - arm,
                a = 2.0 * half,
                b = arm
            )
        }
        6 => {
            let (half, top) = (0.5 * r, 0.87 * r);
            format!(
                "M{:.1} {y:.1}l{half:.1} -{top:.1}h{r:.1}l{half:.1} {top:.1}l-{half:.1} {top:.1}h-{r:.1}z",
                x - r
            )
        }
        _ => format!("M{:.1} {:.1}h{r:.1}v{:.1}h-{r:.1}z", x - 0.5 * r, y - r, 2.0 * r),
    };
    format!(
        "<path class=\"mark c{place}{}\" d=\"{path}\"/>",
        if hollow { " hollow" } else { "" }
    )
}

/// One allocator's figure in a row of a [`strip`].
#[derive(Clone, Debug)]
pub struct Dot {
    /// The place in the palette.
    pub place: usize,
    /// The ratio of the median. `min` and `max` are the ratios of the smallest and largest round.
    pub ratio: f64,
    /// See `ratio`.
    pub min: f64,
    /// See `ratio`.
    pub max: f64,
    /// Whether it counts as equal to the best.
    pub equal: bool,
    /// The text that appears under the pointer.
    pub title: String,
}

/// One row of a [`strip`].
#[derive(Clone, Debug)]
pub struct Line {
    /// The row's name.
    pub name: String,
    /// Time on the left, memory on the right.
    pub dots: [Vec<Dot>; 2],
    /// The allocators that failed.
    pub failed: Vec<String>,
}

const LABELS: f64 = 172.0;
const PANEL: f64 = 420.0;
const GAP: f64 = 36.0;
const HEAD: f64 = 46.0;
const LINE: f64 = 20.0;

/// Draws two panels, time and memory, with one line per row; each mark has a whisker from the
/// smallest to the largest round.
#[must_use]
pub fn strip(lines: &[Line], limits: [f64; 2]) -> String {
    let width = LABELS + 2.0 * PANEL + GAP + 12.0;
    let bottom = HEAD + LINE * lines.len() as f64;
    let height = bottom + 26.0;
    let mut svg = open(
        width,
        height,
        "Ratio of each allocator's time and peak memory to the best rival's, row by row",
    );
    for (index, line) in lines.iter().enumerate() {
        let top = HEAD + LINE * index as f64;
        if index % 2 == 0 {
            put(
                &mut svg,
                format_args!("<rect class=\"band\" x=\"0\" y=\"{top}\" width=\"{width}\" height=\"{LINE}\"/>"),
            );
        }
        let (x, y) = (LABELS - 10.0, top + LINE * 0.5 + 4.0);
        put(
            &mut svg,
            format_args!("<text class=\"name\" x=\"{x}\" y=\"{y}\">{}</text>", escape(&line.name)),
        );
    }
    for (panel, (title, limit)) in ["time", "peak memory"].into_iter().zip(limits).enumerate() {
        let start = LABELS + panel as f64 * (PANEL + GAP);
        let ratios = lines.iter().flat_map(|line| &line.dots[panel]).map(|dot| dot.ratio);
        let axis = range(ratios, 8.4, start + 8.0, start + PANEL - 8.0);
        let middle = start + PANEL * 0.5;
        put(
            &mut svg,
            format_args!("<text class=\"axis title\" x=\"{middle}\" y=\"14\">{title} / best rival's {title}</text>"),
        );
        for value in axis.ticks() {
            let (x, one) = (axis.at(value), if (value - 1.0).abs() < 1e-9 { " one" } else { "" });
            put(
                &mut svg,
                format_args!("<path class=\"grid{one}\" d=\"M{x:.1} {HEAD}V{bottom}\"/>"),
            );
            for y in [HEAD - 8.0, bottom + 16.0] {
                put(
                    &mut svg,
                    format_args!("<text class=\"axis\" x=\"{x:.1}\" y=\"{y}\">{}</text>", tick(value)),
                );
            }
        }
        let x = axis.at(limit);
        put(
            &mut svg,
            format_args!("<path class=\"limit\" d=\"M{x:.1} {HEAD}V{bottom}\"><title>{limit}</title></path>"),
        );
        for (index, line) in lines.iter().enumerate() {
            let y = HEAD + LINE * (index as f64 + 0.5);
            // The subject, at place 0, comes last and is drawn on top.
            let mut dots: Vec<&Dot> = line.dots[panel].iter().collect();
            dots.sort_by_key(|dot| std::cmp::Reverse(dot.place));
            for dot in dots {
                put(&mut svg, format_args!("{}", drawn(dot, &axis, y)));
            }
            if panel == 0 && !line.failed.is_empty() {
                let (x, y) = (start + PANEL - 4.0, y + 4.0);
                put(
                    &mut svg,
                    format_args!(
                        "<text class=\"failed\" x=\"{x}\" y=\"{y}\">failed: {}</text>",
                        escape(&line.failed.join(", "))
                    ),
                );
            }
        }
    }
    svg.push_str("</svg>");
    svg
}

/// Draws a mark with its whisker. A mark beyond the axis becomes an arrowhead at its end; the
/// subject's has its ratio beside it.
fn drawn(dot: &Dot, axis: &Axis, y: f64) -> String {
    let (place, x) = (dot.place, axis.at(dot.ratio));
    let mut out = format!("<g><title>{}</title>", escape(&dot.title));
    if axis.clips(dot.ratio) {
        let (tip, back) = if dot.ratio > axis.high {
            (x + 7.0, x)
        } else {
            (x - 7.0, x)
        };
        write!(
            out,
            "<path class=\"mark c{place}\" d=\"M{back:.1} {:.1}L{tip:.1} {y:.1}L{back:.1} {:.1}z\"/>",
            y - 4.5,
            y + 4.5
        )
        .expect("text grows");
    } else {
        let (from, to) = (axis.at(dot.min), axis.at(dot.max));
        write!(
            out,
            "<path class=\"whisker c{place}\" d=\"M{from:.1} {y:.1}H{to:.1}\"/>"
        )
        .expect("text grows");
        out.push_str(&mark(place, x, y, if place == 0 { 5.5 } else { 3.8 }, dot.equal));
    }
    out + "</g>"
}

/// Returns an axis that covers the ratios: from at most a half to at most `most`.
fn range(ratios: impl Iterator<Item = f64>, most: f64, start: f64, end: f64) -> Axis {
    let (low, high) = ratios.fold((0.7f64, 1.5f64), |(low, high), ratio| (low.min(ratio), high.max(ratio)));
    Axis {
        low: (low.log2().floor().exp2() * 0.95).max(0.1),
        high: (high.log2().ceil().exp2() * 1.05).min(most),
        start,
        end,
    }
}

/// An allocator in a [`scatter`].
#[derive(Clone, Debug)]
pub struct Point {
    /// The place in the palette.
    pub place: usize,
    /// The text beside the point; small points have none.
    pub label: Option<String>,
    /// The ratios in time and in memory.
    pub ratios: (f64, f64),
    /// The text that appears under the pointer.
    pub title: String,
}

/// Draws time across and memory upward: left and low is better.
#[must_use]
pub fn scatter(points: &[Point]) -> String {
    let (width, height, left, right, top, bottom) = (620.0, 470.0, 58.0, 600.0, 14.0, 418.0);
    let across = range(points.iter().map(|point| point.ratios.0), 16.8, left, right);
    let upward = range(points.iter().map(|point| point.ratios.1), 16.8, bottom, top);
    let mut svg = open(
        width,
        height,
        "Time and peak memory of each allocator against the best of the others",
    );
    for value in across.ticks() {
        let (x, one) = (across.at(value), if (value - 1.0).abs() < 1e-9 { " one" } else { "" });
        put(
            &mut svg,
            format_args!("<path class=\"grid{one}\" d=\"M{x:.1} {top}V{bottom}\"/>"),
        );
        put(
            &mut svg,
            format_args!(
                "<text class=\"axis\" x=\"{x:.1}\" y=\"{}\">{}</text>",
                bottom + 18.0,
                tick(value)
            ),
        );
    }
    for value in upward.ticks() {
        let (y, one) = (upward.at(value), if (value - 1.0).abs() < 1e-9 { " one" } else { "" });
        put(
            &mut svg,
            format_args!("<path class=\"grid{one}\" d=\"M{left} {y:.1}H{right}\"/>"),
        );
        put(
            &mut svg,
            format_args!(
                "<text class=\"name\" x=\"{}\" y=\"{:.1}\">{}</text>",
                left - 8.0,
                y + 4.0,
                tick(value)
            ),
        );
    }
    let middle = (left + right) * 0.5;
    put(
        &mut svg,
        format_args!(
            "<text class=\"axis title\" x=\"{middle}\" y=\"{}\">time / best of the others</text>",
            bottom + 42.0
        ),
    );
    let middle = (top + bottom) * 0.5;
    put(
        &mut svg,
        format_args!(
            "<text class=\"axis title\" transform=\"translate(14 {middle})rotate(-90)\">peak memory / best of the others</text>"
        ),
    );
    for point in points.iter().filter(|point| point.label.is_none()) {
        let (x, y) = (across.at(point.ratios.0), upward.at(point.ratios.1));
        put(
            &mut svg,
            format_args!(
                "<circle class=\"small c{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{}</title></circle>",
                point.place,
                escape(&point.title)
            ),
        );
    }
    let named = points.iter().filter_map(|point| Some((point, point.label.as_deref()?)));
    let places = named
        .clone()
        .map(|(point, label)| (across.at(point.ratios.0), upward.at(point.ratios.1), label.len()));
    let labels = apart(&places.collect::<Vec<_>>(), right, bottom);
    for ((point, label), (label_x, label_y)) in named.zip(labels) {
        let (x, y) = (across.at(point.ratios.0), upward.at(point.ratios.1));
        put(&mut svg, format_args!("<g><title>{}</title>", escape(&point.title)));
        put(
            &mut svg,
            format_args!(
                "<path class=\"leader\" d=\"M{x:.1} {y:.1}L{:.1} {:.1}\"/>",
                if label_x > x {
                    label_x - 2.0
                } else {
                    label_x + label.len() as f64 * LETTER
                },
                label_y - 4.0
            ),
        );
        svg.push_str(&mark(
            point.place,
            x,
            y,
            if point.place == 0 { 8.0 } else { 6.0 },
            false,
        ));
        put(
            &mut svg,
            format_args!(
                "<text class=\"label\" x=\"{label_x:.1}\" y=\"{label_y:.1}\">{}</text></g>",
                escape(label)
            ),
        );
    }
    svg.push_str("</svg>");
    svg
}

/// The average width of a letter of a label, rounded up.
const LETTER: f64 = 8.6;

/// Places labels of these lengths, in letters, to the right or left of their points, as near as
/// possible, so that no label covers another or a point.
fn apart(points: &[(f64, f64, usize)], right: f64, bottom: f64) -> Vec<(f64, f64)> {
    const STEP: f64 = 3.0;
    // A box around a text or a mark: left, right, the middle, and half the height.
    let label = |(x, y): (f64, f64), letters: usize| (x - 3.0, x + letters as f64 * LETTER, y - 4.5, 8.0);
    let mark = |&(x, y, _): &(f64, f64, usize)| (x - 8.0, x + 8.0, y, 7.0);
    type Area = (f64, f64, f64, f64);
    let meet = |a: Area, b: Area| a.0 < b.1 && b.0 < a.1 && (a.2 - b.2).abs() < a.3 + b.3;
    let mut placed: Vec<(f64, f64)> = Vec::new();
    for &(x, y, letters) in points {
        let sides = [x + 12.0, x - 10.0 - letters as f64 * LETTER];
        let offsets = (0..60).flat_map(|step| [f64::from(step) * -STEP, f64::from(step) * STEP]);
        let candidates = offsets.flat_map(|offset| sides.map(|side| (side, y + 4.0 + offset)));
        let free = |&place: &(f64, f64)| {
            let area = label(place, letters);
            let inside = area.0 > 0.0 && area.1 < right + 20.0 && area.2 > 0.0 && area.2 < bottom;
            let taken = placed
                .iter()
                .zip(points)
                .any(|(&other, point)| meet(area, label(other, point.2)));
            inside && !taken && !points.iter().any(|point| meet(area, mark(point)))
        };
        let nearest = candidates.clone().find(free).or_else(|| candidates.clone().next());
        placed.extend(nearest);
    }
    placed
}

pub(super) fn open(width: f64, height: f64, what: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{}\">",
        escape(what)
    )
}

pub(super) fn put(svg: &mut String, text: std::fmt::Arguments<'_>) {
    svg.write_fmt(text).expect("text grows");
    svg.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_is_logarithmic_and_ends_where_it_ends() {
        let axis = Axis {
            low: 0.5,
            high: 8.0,
            start: 100.0,
            end: 500.0,
        };
        assert_eq!(axis.ticks().collect::<Vec<_>>(), [0.5, 1.0, 2.0, 4.0, 8.0]);
        for (value, pixel) in [(0.5, 100.0), (1.0, 200.0), (8.0, 500.0), (99.0, 500.0), (0.01, 100.0)] {
            assert!((axis.at(value) - pixel).abs() < 1e-9, "{value}");
        }
        assert!(axis.clips(9.0) && !axis.clips(8.0));
        assert_eq!(
            (tick(0.25).as_str(), tick(1.0).as_str(), tick(16.0).as_str()),
            ("0.25", "1", "16")
        );
    }

    #[test]
    fn labels_of_points_in_one_place_do_not_lie_on_each_other() {
        let labels = apart(&[(100.0, 100.0, 8), (101.0, 101.0, 8), (300.0, 100.0, 8)], 600.0, 400.0);
        let beside = (labels[0].0 - labels[1].0).abs() > 60.0;
        assert!(beside || (labels[0].1 - labels[1].1).abs() >= 16.0, "{labels:?}");
        assert_eq!(labels[2], (312.0, 104.0));
    }

    #[test]
    fn each_allocator_has_a_mark_of_its_own() {
        let marks: Vec<String> = (0..8).map(|place| mark(place, 10.0, 10.0, 4.0, false)).collect();
        for (index, one) in marks.iter().enumerate() {
            let shape = |mark: &str| mark.split(" d=").nth(1).unwrap().to_owned();
            assert!(marks[..index].iter().all(|other| shape(other) != shape(one)), "{one}");
        }
    }
}
