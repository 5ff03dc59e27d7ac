//! Values, warnings and the listing, parsed from made-up environments.

use super::listing::Listing;
use super::*;

fn parse(pairs: &[(&str, &str)]) -> (Options, Vec<String>) {
    let mut warnings = Vec::new();
    let bytes = pairs.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
    let options = Options::parse(bytes, |warning| warnings.push(warning.to_string()));
    (options, warnings)
}

#[test]
fn sizes_take_units() {
    let (options, warnings) = parse(&[("GREYSPAN_MEMLIMIT", "512MiB"), ("GREYSPAN_HARD_LIMIT", "4096")]);
    assert_eq!(
        (options.memory_limit, options.hard_limit),
        (SoftLimit::Bytes(512 << 20), Some(4096))
    );
    assert!(warnings.is_empty());
}

#[test]
fn a_unit_is_a_power_of_1024_however_it_is_spelled() {
    for (letter, shift) in [("k", 10), ("m", 20), ("g", 30), ("t", 40)] {
        for rest in ["", "b", "ib", "i"] {
            let unit = format!("{letter}{rest}");
            let capital = format!("{}{}", letter.to_uppercase(), rest.to_uppercase());
            let usual = format!("{}{}", letter.to_uppercase(), rest.replace('b', "B"));
            for unit in [unit, capital, usual] {
                let value = format!("3{unit}");
                let (options, warnings) = parse(&[("GREYSPAN_MEMLIMIT", &value)]);
                assert_eq!(options.memory_limit, SoftLimit::Bytes(3 << shift), "{value}");
                assert!(warnings.is_empty(), "{warnings:?}");
            }
        }
    }
    for value in ["77", "77b", "77B"] {
        assert_eq!(parse(&[("GREYSPAN_HARD_LIMIT", value)]).0.hard_limit, Some(77));
    }
    for value in [
        "K",
        "iB",
        "1.5G",
        "1 G",
        "-1G",
        "1KK",
        "1BB",
        "1Kib2",
        "1KBi",
        "1E",
        "16777216T",
        "0x10",
    ] {
        let (options, warnings) = parse(&[("GREYSPAN_HARD_LIMIT", value)]);
        assert_eq!(options, Options::DEFAULT, "{value}");
        assert!(
            warnings.len() == 1 && warnings[0].contains("powers of 1024"),
            "{warnings:?}"
        );
    }
}

#[test]
fn the_soft_limit_may_be_a_share_of_the_systems_or_off() {
    for (value, limit) in [
        ("90%", SoftLimit::Percent(90)),
        ("1%", SoftLimit::Percent(1)),
        ("100%", SoftLimit::Percent(100)),
        ("off", SoftLimit::Off),
        ("0", SoftLimit::Bytes(0)),
        ("90", SoftLimit::Bytes(90)),
    ] {
        let (options, warnings) = parse(&[("GREYSPAN_MEMLIMIT", value)]);
        assert_eq!((options.memory_limit, warnings.len()), (limit, 0), "{value}");
        assert_eq!(options.follows_system(), value.ends_with('%'), "{value}");
    }
    for value in ["0%", "101%", "%", "-5%", "9.5%", "90 %", "90%%", "4294967386%", "OFF"] {
        let (options, warnings) = parse(&[("GREYSPAN_MEMLIMIT", value)]);
        assert_eq!((options, warnings.len()), (Options::DEFAULT, 1), "{value}");
        assert!(warnings[0].contains("a percentage"), "{warnings:?}");
    }
    assert!(parse(&[("GREYSPAN_HARD_LIMIT", "90%")]).1[0].contains("takes a size"));
    // The background thread reads the system's limits.
    assert!(Options::DEFAULT.follows_system());
    for (key, value) in [("BACKGROUND", "0"), ("PURGE_DELAY", "0"), ("PURGE_DELAY", "-1")] {
        let key = format!("GREYSPAN_{key}");
        let (options, _) = parse(&[(&key, value), ("GREYSPAN_MEMLIMIT", "50%")]);
        assert!(!options.follows_system(), "{key}={value}");
    }
}

#[test]
fn the_listing_has_the_limit_of_the_system_with_its_source() {
    let line = |value: &[(&str, &str)], found| {
        let (mut options, _) = parse(value);
        options.found = found;
        let text = Listing {
            options: &options,
            profile: None,
        }
        .to_string();
        let line = text.lines().find(|line| line.contains("MEMLIMIT")).expect("a line");
        let parts = line.split("  ").map(str::trim).filter(|part| !part.is_empty());
        parts.skip(1).collect::<Vec<_>>().join("|")
    };
    let found = |source, percent| {
        Some(Found {
            bytes: 486 << 20,
            source,
            percent,
        })
    };
    let default = line(&[], found("cgroup memory.max", Some(95)));
    assert_eq!(default, "486 MiB|default: cgroup memory.max, 95 %");
    let high = line(&[], found("cgroup memory.high", None));
    assert_eq!(high, "486 MiB|default: cgroup memory.high");
    let share = [("GREYSPAN_MEMLIMIT", "90%")];
    let machine = line(&share, found("the machine's memory", Some(90)));
    assert_eq!(machine, "486 MiB|environment: the machine's memory, 90 %");
    assert_eq!(line(&share, None), "90 %|environment");
    assert_eq!(line(&[], None), "none|default");
    assert_eq!(line(&[("GREYSPAN_MEMLIMIT", "off")], None), "none|environment");
}

#[test]
fn a_bad_value_is_named_with_what_would_be_right_and_changes_nothing() {
    for (key, value) in [
        ("GREYSPAN_MEMLIMIT", "lots"),
        ("GREYSPAN_MEMLIMIT", ""),
        ("GREYSPAN_HARD_LIMIT", "99999999999999999999"),
        ("GREYSPAN_MEMLIMIT", "99999999TiB"),
        ("GREYSPAN_PURGE_DELAY", "-2"),
        ("GREYSPAN_VERBOSE", "yes"),
        ("GREYSPAN_THP", "sometimes"),
        ("GREYSPAN_SHOW_STATS", "2"),
        ("GREYSPAN_GC", "-1"),
        ("GREYSPAN_GC", "99999999999"),
        ("GREYSPAN_TRACE", "everything"),
    ] {
        let (options, warnings) = parse(&[(key, value)]);
        assert_eq!(options, Options::DEFAULT);
        // Without the collector, its options take no value.
        let reason = if warnings[0].contains("lacks") {
            "lacks the feature gc"
        } else {
            "takes"
        };
        assert!(
            warnings.len() == 1 && warnings[0].contains(key) && warnings[0].contains(reason),
            "{warnings:?}"
        );
    }
}

#[test]
fn an_unknown_key_lists_the_known_ones() {
    let (_, warnings) = parse(&[("GREYSPAN_MEMLIMT", "1")]);
    assert!(
        warnings.len() == 1 && TABLE.iter().all(|row| warnings[0].contains(row.key)),
        "{warnings:?}"
    );
    assert!(warnings[0].len() < 900, "it fits into a line: {}", warnings[0].len());
}

#[test]
fn switches_are_on_or_off_and_the_last_word_holds() {
    for (key, of) in [
        ("GREYSPAN_VERBOSE", (|options| options.verbose) as fn(&Options) -> bool),
        ("GREYSPAN_SHOW_STATS", |options| options.show_stats),
    ] {
        assert!(of(&parse(&[(key, "1")]).0) && !of(&parse(&[(key, "0")]).0), "{key}");
        assert!(!of(&parse(&[(key, "1"), (key, "0")]).0), "{key}");
    }
}

#[cfg(not(feature = "gc"))]
#[test]
fn an_option_of_a_feature_that_is_not_built_names_it() {
    for (key, value) in [("GREYSPAN_GC", "200"), ("GREYSPAN_GC", "x"), ("GREYSPAN_TRACE", "gc")] {
        let (options, warnings) = parse(&[(key, value)]);
        assert_eq!(options, Options::DEFAULT);
        assert!(
            warnings.len() == 1 && warnings[0].contains(key) && warnings[0].contains("lacks the feature gc"),
            "{warnings:?}"
        );
    }
}

#[cfg(not(sampling))]
#[test]
fn a_profile_that_this_build_cannot_write_names_the_feature() {
    let (options, warnings) = parse(&[("GREYSPAN_PROFILE", "heap.pb.gz")]);
    assert_eq!(options, Options::DEFAULT);
    assert!(
        warnings.len() == 1 && warnings[0].contains("lacks the feature profiling"),
        "{warnings:?}"
    );
}

#[cfg(feature = "gc")]
#[test]
fn the_collector_takes_a_percentage_or_is_off() {
    for (value, percent) in [("off", None), ("0", Some(0)), ("250", Some(250))] {
        assert_eq!(parse(&[("GREYSPAN_GC", value)]).0.gc_percent, percent);
    }
    assert!(parse(&[("GREYSPAN_TRACE", "gc")]).0.trace_gc);
}

#[test]
fn the_listing_has_an_aligned_line_per_option_in_units_for_people() {
    let (options, _) = parse(&[
        ("GREYSPAN_MEMLIMIT", "200MiB"),
        ("GREYSPAN_HARD_LIMIT", "1000001"),
        ("GREYSPAN_VERBOSE", "1"),
    ]);
    let listing = Listing {
        options: &options,
        profile: None,
    };
    let text = listing.to_string();
    let lines: Vec<_> = text.lines().skip(1).collect();
    assert_eq!(lines.len(), TABLE.len(), "{text}");
    for (line, row) in lines.iter().zip(TABLE) {
        assert!(line.starts_with(&format!("  GREYSPAN_{} ", row.key)), "{text}");
        assert!(line.len() > 40, "{text}");
    }
    let find = |key: &str| {
        let line = lines.iter().find(|line| line.contains(key)).expect("a line");
        line.split("  ")
            .filter(|part| !part.is_empty())
            .map(str::trim)
            .collect::<Vec<_>>()
    };
    assert_eq!(find("MEMLIMIT"), ["GREYSPAN_MEMLIMIT", "200 MiB", "environment"]);
    assert_eq!(
        find("HARD_LIMIT"),
        ["GREYSPAN_HARD_LIMIT", "1000001 bytes", "environment"]
    );
    assert_eq!(find("PURGE_DELAY"), ["GREYSPAN_PURGE_DELAY", "1000 ms", "default"]);
    assert_eq!(find("THP"), ["GREYSPAN_THP", "auto", "default"]);
    assert_eq!(find("VERBOSE"), ["GREYSPAN_VERBOSE", "on", "environment"]);
    let columns: Vec<_> = lines
        .iter()
        .filter_map(|line| line.find("default").or(line.find("environment")))
        .collect();
    assert!(columns.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
}

#[test]
fn a_purge_delay_may_be_never() {
    assert_eq!(parse(&[("GREYSPAN_PURGE_DELAY", "-1")]).0.purge_delay_ms, -1);
}
