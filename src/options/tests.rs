use super::*;

/// The options of `pairs` and the warnings as text.
fn parse(pairs: &[(&'static str, &'static str)]) -> (Options, Vec<String>) {
    let mut warnings = Vec::new();
    let pairs = pairs.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
    let options = Options::parse(pairs, &mut |warning| warnings.push(warning.to_string()));
    (options, warnings)
}

#[test]
fn nothing_chosen_gives_the_defaults_and_no_warning() {
    assert_eq!(parse(&[]), (Options::DEFAULT, Vec::new()));
    assert_eq!(Options::DEFAULT.purge_delay_ms, 1000);
}

#[test]
fn every_option_is_set_by_its_key() {
    let (options, warnings) = parse(&[
        ("GREYSPAN_RESERVE", "1GiB"),
        ("GREYSPAN_PURGE_DELAY", "-1"),
        ("GREYSPAN_THP", "never"),
        ("GREYSPAN_SHOW_STATS", "1"),
        ("GREYSPAN_VERBOSE", "1"),
        ("GREYSPAN_MEMLIMIT", "512MiB"),
        ("GREYSPAN_HARD_LIMIT", "4096"),
    ]);
    assert_eq!(warnings, Vec::<String>::new());
    let expected = Options {
        reserve: Some(1 << 30),
        purge_delay_ms: -1,
        thp: Thp::Never,
        show_stats: true,
        verbose: true,
        memory_limit: Some(512 << 20),
        hard_limit: Some(4096),
    };
    assert_eq!(options, expected);
}

#[test]
fn a_row_changes_something_and_rows_do_not_share_keys() {
    for (index, row) in TABLE.iter().enumerate() {
        assert!(row.key.as_bytes().starts_with(PREFIX) && !row.name.is_empty() && !row.help.is_empty());
        assert!(
            TABLE
                .iter()
                .skip(index + 1)
                .all(|other| other.key != row.key && other.name != row.name)
        );
        let sample: &[u8] = match row.form {
            Form::Size => b"4096",
            Form::Switch => b"1",
            Form::Millis => b"7",
            Form::Thp => b"always",
        };
        let mut options = Options::DEFAULT;
        assert!((row.set)(&mut options, sample));
        assert_ne!(options, Options::DEFAULT, "{}", row.key);
    }
}

#[test]
fn the_defaults_in_the_table_are_the_defaults() {
    for row in TABLE.iter().filter(|row| row.form != Form::Size) {
        let mut options = Options::DEFAULT;
        assert!((row.set)(&mut options, row.default.as_bytes()));
        assert_eq!(options, Options::DEFAULT, "{}", row.key);
    }
}

#[test]
fn sizes_take_binary_and_decimal_suffixes_in_either_case() {
    let good: [(&[u8], usize); 9] = [
        (b"1", 1),
        (b"17B", 17),
        (b"3KiB", 3 << 10),
        (b"512MiB", 512 << 20),
        (b"2gib", 2 << 30),
        (b"1TiB", 1 << 40),
        (b"5KB", 5_000),
        (b"5mb", 5_000_000),
        (b"1TB", 1_000_000_000_000),
    ];
    for (text, bytes) in good {
        assert_eq!(size(text), Some(bytes), "{}", text.escape_ascii());
    }
    assert_eq!(size(usize::MAX.to_string().as_bytes()), Some(usize::MAX));
}

#[test]
fn sizes_that_are_not_sizes_are_refused_without_overflow() {
    let bad: [&[u8]; 12] = [
        b"",
        b"0",
        b"0MiB",
        b"MiB",
        b"-1",
        b"+1",
        b"1 MiB",
        b"1.5GiB",
        b"1XiB",
        b"18446744073709551616",
        b"99999999999TiB",
        b"\xff",
    ];
    for text in bad {
        assert_eq!(size(text), None, "{}", text.escape_ascii());
    }
}

#[test]
fn milliseconds_know_minus_one_and_no_other_negative() {
    assert_eq!(
        [millis(b"0"), millis(b"250"), millis(b"-1")],
        [Some(0), Some(250), Some(-1)]
    );
    for text in [&b"-2"[..], b"--1", b"", b"1s", b"9223372036854775808"] {
        assert_eq!(millis(text), None);
    }
    assert_eq!(millis(b"9223372036854775807"), Some(i64::MAX));
}

#[test]
fn an_unknown_key_warns_once_and_lists_every_key() {
    let (options, warnings) = parse(&[("GREYSPAN_TPH", "auto"), ("HOME", "/"), ("GREYSPANX", "1")]);
    assert_eq!(options, Options::DEFAULT);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("GREYSPAN_TPH is not an option"));
    assert!(TABLE.iter().all(|row| warnings[0].contains(row.key)));
}

#[test]
fn a_bad_value_warns_with_the_form_and_leaves_the_default() {
    for row in TABLE {
        let (options, warnings) = parse(&[(row.key, "nonsense")]);
        assert_eq!(options, Options::DEFAULT);
        assert_eq!(
            warnings,
            [format!("{}=nonsense is ignored; it takes {}", row.key, row.form)]
        );
    }
}

#[test]
fn a_bad_value_does_not_undo_an_earlier_good_one() {
    let (options, warnings) = parse(&[("GREYSPAN_THP", "never"), ("GREYSPAN_THP", "NEVER")]);
    assert_eq!((options.thp, warnings.len()), (Thp::Never, 1));
}

#[test]
fn foreign_text_is_escaped_and_cut() {
    let value = [b"\n\x1b\xff", &[b'x'; 100][..]].concat();
    let text = Warning::BadValue {
        key: "GREYSPAN_THP",
        value: &value,
        form: Form::Thp,
    }
    .to_string();
    assert!(text.starts_with("GREYSPAN_THP=\\n\\x1b\\xffxxx") && text.is_ascii());
    assert!(text.contains("x.. is ignored") && text.len() < 200);
}

#[test]
fn the_longest_list_of_keys_fits_in_a_line() {
    let warning = Warning::UnknownKey { key: &[b'\xff'; 1000] };
    assert!(warning.to_string().len() < 700, "os::report would cut it");
}

#[test]
fn the_environment_of_the_process_can_be_read() {
    let ours = std::env::vars_os().any(|(key, _)| key.as_encoded_bytes().starts_with(PREFIX));
    let options = Options::from_env();
    assert!(ours || options == Options::DEFAULT);
}
