//! The scoreboard as one SVG that stands alone: each allocator's geometric means over the groups of
//! the headline, time across, memory upward.

use super::html::{STYLE, escape, places};
use super::plot::{self, Point};
use super::results::Results;
use super::{groups, score};

/// Height of the lines of text above the plot.
const HEAD: usize = 64;

/// Draws the scoreboard. Results without a rival give a picture without points.
#[must_use]
pub fn picture(results: &Results) -> String {
    let subject = score::subject(results).unwrap_or_default();
    let places = places(&score::allocators(results), &subject);
    let (named, means) = groups::headline(results);
    let points = means.iter().map(|groups::Means { alloc, time, rss }| {
        let place = places.iter().find(|(name, _)| name == alloc);
        let (time, rss) = (*time, *rss);
        let label = format!("{alloc} {time:.2}, {rss:.2}");
        Point {
            place: place.map_or(0, |(_, place)| *place),
            label: Some(label.clone()),
            ratios: (time, rss),
            title: label,
        }
    });
    let plot = plot::scatter(&points.collect::<Vec<_>>());
    let plot = plot.replacen("<svg ", &format!("<svg y=\"{HEAD}\" "), 1);
    let machine = &results.machine;
    let version = machine.versions.get(&subject).map_or("", String::as_str);
    let lines = [
        "Time and peak memory, each allocator against the best of the others".to_owned(),
        format!(
            "geometric means over {}; left and low is good; both scales double",
            groups::words(&named)
        ),
        format!(
            "{subject} {version}; {}, {} cores, Linux {}; {} UTC",
            machine.cpu, machine.cores, machine.kernel, machine.date
        ),
    ];
    let lines: String = lines
        .iter()
        .zip(["label", "quiet", "quiet"])
        .enumerate()
        .map(|(index, (line, class))| {
            let y = 20 + 19 * index;
            format!("<text class=\"{class}\" x=\"14\" y=\"{y}\">{}</text>\n", escape(line))
        })
        .collect();
    let (width, height) = (650, 470 + HEAD);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <style>\n{STYLE}svg .quiet {{ fill: var(--quiet); }}\n</style>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"6\" style=\"fill: var(--page)\"/>\n{lines}{plot}\n</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::super::results::{Cell, Results, Settings, VERSION};
    use super::*;

    #[test]
    fn the_picture_stands_alone_and_names_each_allocator_with_its_means() {
        let cell = |alloc: &str, seconds: f64, megabytes: u64| {
            let mut cell = Cell::new(alloc, "larson", 2);
            (cell.seconds, cell.rss_bytes, cell.minor_faults) = (vec![seconds], vec![megabytes << 20], vec![1]);
            cell
        };
        let picture = picture(&Results {
            version: VERSION,
            machine: Machine::default(),
            settings: Settings {
                scale: 1.0,
                ..Settings::default()
            },
            cells: vec![cell("greyspan", 1.0, 40), cell("a<b", 2.0, 20)],
        });
        assert!(picture.starts_with("<svg xmlns=") && picture.ends_with("</svg>\n"));
        assert!(picture.contains("greyspan 0.50, 2.00") && picture.contains("a&lt;b 2.00, 0.50"));
        assert!(!picture.contains("a<b") && !picture.contains("url("));
        assert_eq!(picture.matches("<svg ").count(), picture.matches("</svg>").count());
        assert_eq!(picture.matches("<text ").count(), picture.matches("</text>").count());
    }
}
