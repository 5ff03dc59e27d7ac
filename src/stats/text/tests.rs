//! Tests of the three output formats of `Stats`.

use super::rows::rows;
use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// Returns a snapshot in which every figure is different, with the figures by name.
fn distinct() -> (Stats, BTreeMap<&'static str, u64>) {
    let mut stats = Stats::default();
    let mut expected = BTreeMap::new();
    let mut next = 1000;
    macro_rules! fill {
        ($($field:ident),* $(,)?) => {
            // Without `..`: a new field of `Stats` does not compile until it is named here, and
            // then it needs its row.
            let Stats { $($field,)* by_size, stall_ns, has_served } = &mut stats;
            *has_served = true;
            stall_ns[10] = 7;
            stall_ns[12] = 5;
            $(next += 1; *$field = next; expected.insert(stringify!($field), next);)*
            for (index, class) in by_size.iter_mut().enumerate() {
                let at = 8 * (index as u64 + 1);
                *class = SizeClassStats { size: at, mallocs: 100_000 + at, frees: 200_000 + at, spans: index as u64 % 3 };
            }
        };
    }
    fill!(
        allocated,
        active,
        metadata,
        resident,
        mapped,
        retained,
        peak_allocated,
        peak_resident,
        heap_sys,
        heap_idle,
        heap_inuse,
        heap_released,
        heap_holes,
        heap_objects,
        mspan_inuse,
        mspan_sys,
        mcache_inuse,
        mcache_sys,
        mcache_held,
        mcache_idle,
        purged_asked,
        purged_idle,
        purged_soft,
        purged_hard,
        purged_pressure,
        gc_sys,
        total_alloc,
        mallocs,
        frees,
        lookups,
        next_gc,
        last_gc,
        num_gc,
        num_forced_gc,
        gc_cpu_fraction,
        max_stall_ns,
    );
    (stats, expected)
}

fn largest() -> Stats {
    let (mut stats, _) = distinct();
    let Stats {
        allocated,
        heap_objects,
        mallocs,
        total_alloc,
        gc_sys,
        by_size,
        ..
    } = &mut stats;
    for figure in [allocated, heap_objects, mallocs, total_alloc, gc_sys] {
        *figure = u64::MAX;
    }
    by_size[1] = SizeClassStats {
        size: u64::MAX,
        mallocs: u64::MAX,
        frees: u64::MAX,
        spans: u64::MAX,
    };
    stats
}

#[test]
fn every_field_has_one_row_under_its_own_name() {
    let (stats, expected) = distinct();
    let found: BTreeMap<_, _> = rows().map(|row| (row.name, (row.read)(&stats))).collect();
    assert_eq!(found, expected);
    assert_eq!(rows().count(), expected.len());
}

#[test]
fn every_form_says_whether_the_program_allocates_here() {
    let (served, not) = (distinct().0, Stats::default());
    assert!(!served.to_string().contains("in these figures") && not.to_string().contains("in these figures"));
    assert!(served.to_json().contains("\"has_served\":1") && not.to_json().contains("\"has_served\":0"));
    let line = |stats: &Stats, flag| {
        stats
            .to_prometheus()
            .contains(&format!("\ngreyspan_has_served {flag}\n"))
    };
    assert!(line(&served, 1) && line(&not, 0));
}

#[test]
fn bytes_get_the_unit_a_reader_would_choose() {
    for (bytes, text) in [
        (0, "     0 B  "),
        (1023, "  1023 B  "),
        (1024, "   1.0 KiB"),
        (1536, "   1.5 KiB"),
        (1_048_575, "   1.0 MiB"),
        (1_047_552, "1023.0 KiB"),
        (64 << 20, "  64.0 MiB"),
        (5 << 40, "   5.0 TiB"),
        (u64::MAX, "  16.0 EiB"),
    ] {
        assert_eq!(Human(bytes).to_string(), text);
    }
    assert!((0..64).all(|bit| Human(1 << bit).to_string().len() == 10));
}

#[test]
fn columns_of_the_table_align_whatever_the_figures() {
    for stats in [Stats::default(), distinct().0, largest()] {
        let table = stats.to_string();
        for row in rows() {
            let line = table
                .lines()
                .find(|line| line.split_whitespace().next() == Some(row.name))
                .expect("one line per row");
            let value = (row.read)(&stats).to_string();
            assert_eq!(
                line[..38].split_whitespace().collect::<Vec<_>>(),
                [row.name, value.as_str()],
                "{line}"
            );
            assert_eq!(&line[52..], row.meaning, "{line}");
        }
        let classes = table.lines().skip_while(|line| !line.contains("object bytes"));
        let ends: BTreeSet<usize> = classes.map(str::len).collect();
        assert!(ends.len() <= 1, "{table}");
    }
}

#[test]
fn the_table_shows_classes_in_use_and_no_other() {
    let mut stats = Stats::default();
    assert!(stats.to_string().ends_with("  none\n"));
    for (index, class) in stats.by_size.iter_mut().enumerate() {
        class.size = 8 * (index as u64 + 1);
    }
    stats.by_size[7].spans = 1;
    let table = stats.to_string();
    let classes: Vec<&str> = table
        .lines()
        .skip_while(|line| !line.contains("object bytes"))
        .skip(1)
        .collect();
    assert_eq!(classes.len(), 1, "{table}");
    assert_eq!(classes[0].split_whitespace().collect::<Vec<_>>(), ["64", "0", "0", "1"]);
}

/// Reads one JSON value of the kinds that `to_json` writes, and returns the text after it. Keys and
/// numbers go to `seen` by path.
fn value<'a>(text: &'a str, path: &str, seen: &mut BTreeMap<String, u64>) -> Result<&'a str, String> {
    let items = |text: &'a str, close: char, seen: &mut BTreeMap<String, u64>| {
        let (mut rest, mut index) = (text, 0);
        if let Some(rest) = rest.strip_prefix(close) {
            return Ok(rest);
        }
        loop {
            let mut name = index.to_string();
            if close == '}' {
                let quoted = rest
                    .strip_prefix('"')
                    .and_then(|rest| rest.split_once("\":"))
                    .ok_or(rest)?;
                (name, rest) = (quoted.0.to_owned(), quoted.1);
            }
            rest = value(rest, &format!("{path}/{name}"), seen)?;
            index += 1;
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => return rest.strip_prefix(close).ok_or_else(|| rest.to_owned()),
            }
        }
    };
    match text.chars().next() {
        Some('{') => items(&text[1..], '}', seen),
        Some('[') => items(&text[1..], ']', seen),
        _ => {
            let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number = text[..digits].parse().map_err(|_| text.to_owned())?;
            match seen.insert(path.to_owned(), number) {
                None => Ok(&text[digits..]),
                Some(_) => Err(format!("{path} is there twice")),
            }
        }
    }
}

#[test]
fn json_parses_and_holds_every_figure_once() {
    let (stats, expected) = distinct();
    let mut seen = BTreeMap::new();
    assert_eq!(value(&stats.to_json(), "", &mut seen), Ok(""));
    assert_eq!(seen.remove("/version"), Some(1));
    assert_eq!(seen.remove("/exact"), Some(u64::from(Stats::EXACT)));
    assert_eq!(seen.remove("/forwards"), Some(u64::from(Stats::FORWARDS)));
    assert_eq!(seen.remove("/has_served"), Some(1));
    for (name, figure) in expected {
        assert_eq!(seen.remove(&format!("/{name}")), Some(figure), "{name}");
    }
    for (index, class) in stats.by_size.iter().enumerate() {
        for (name, figure) in [
            ("size", class.size),
            ("mallocs", class.mallocs),
            ("frees", class.frees),
            ("spans", class.spans),
        ] {
            assert_eq!(seen.remove(&format!("/by_size/{index}/{name}")), Some(figure));
        }
    }
    for (index, count) in stats.stall_ns.iter().enumerate() {
        assert_eq!(seen.remove(&format!("/stall_ns/{index}")), Some(*count));
    }
    assert_eq!(seen, BTreeMap::new(), "nothing else is in it");
}

#[test]
fn prometheus_lines_are_well_formed_and_no_series_comes_twice() {
    for stats in [Stats::default(), distinct().0, largest()] {
        let text = stats.to_prometheus();
        assert!(text.ends_with('\n'));
        let (mut series, mut families, mut current) =
            (BTreeSet::new(), BTreeSet::new(), (String::new(), String::new()));
        for line in text.lines() {
            let word = |index: usize| line.split(' ').nth(index).expect("enough words").to_owned();
            if line.starts_with("# HELP ") {
                assert!(line.ends_with('.') && line.split(' ').count() > 4, "{line}");
                assert!(families.insert(word(2)), "{line}");
            } else if line.starts_with("# TYPE ") {
                current = (word(2), word(3));
                assert!(families.contains(&current.0) && line.split(' ').count() == 4, "{line}");
                assert_eq!(current.1 == "counter", current.0.ends_with("_total"), "{line}");
                assert!(["gauge", "counter"].contains(&current.1.as_str()), "{line}");
            } else {
                let (name, figure) = line.split_once(' ').expect("a name and a figure");
                let (whole, part) = figure.split_once('.').unwrap_or((figure, "0"));
                whole.parse::<u64>().expect("a number");
                part.parse::<u64>().expect("a number, with one point at the most");
                assert!(series.insert(name.to_owned()), "{line}");
                let (family, label) = name.split_once('{').unwrap_or((name, "size=\"1\"}"));
                assert_eq!(family, current.0, "a sample stands under its own TYPE line");
                assert!(
                    family.starts_with("greyspan_") && !family.contains(|c: char| !c.is_ascii_lowercase() && c != '_')
                );
                let size = label
                    .strip_prefix("size=\"")
                    .or_else(|| label.strip_prefix("ns=\""))
                    .and_then(|rest| rest.strip_suffix("\"}"))
                    .expect("the label");
                size.parse::<u64>().expect("a size");
            }
        }
    }
}

#[test]
fn prometheus_names_are_those_that_dashboards_know() {
    let (stats, expected) = distinct();
    let text = stats.to_prometheus();
    for (sample, field) in [
        ("greyspan_allocated_bytes", "allocated"),
        ("greyspan_heap_inuse_bytes", "heap_inuse"),
        ("greyspan_heap_objects", "heap_objects"),
        ("greyspan_peak_resident_bytes", "peak_resident"),
        ("greyspan_purged_idle_bytes_total", "purged_idle"),
        ("greyspan_mallocs_total", "mallocs"),
        ("greyspan_alloc_bytes_total", "total_alloc"),
    ] {
        let line = format!("{sample} {}", expected[field]);
        assert!(text.lines().any(|found| found == line), "{line}");
    }
    assert!(text.contains("greyspan_size_class_mallocs_total{size=\"64\"} 100064\n"));
}

#[test]
fn prometheus_has_times_in_seconds_and_shares_in_ones() {
    let stats = Stats {
        last_gc: 1_700_000_000_123_456_789,
        gc_cpu_fraction: 12_345,
        max_stall_ns: 42_000,
        ..Stats::default()
    };
    let text = stats.to_prometheus();
    for line in [
        "greyspan_last_gc_timestamp_seconds 1700000000.123456789",
        "greyspan_gc_cpu_fraction 0.012345",
        "greyspan_max_stall_seconds 0.000042000",
        "# HELP greyspan_max_stall_seconds Seconds of the longest stall of a mutator.",
        "# HELP greyspan_gc_cpu_fraction Share of the processors' time spent on collecting.",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}
