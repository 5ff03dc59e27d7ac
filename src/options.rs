//! The options: one table of name, form and help, and their parser.
//!
//! Compile-time geometry comes first, then what the program sets by call; the environment has the last word at the start.

#![forbid(unsafe_code)]

use core::fmt;

/// What every key begins with.
const PREFIX: &[u8] = b"GREYSPAN_";

/// Option values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) purge_delay_ms: i64,
    pub(crate) memory_limit: Option<usize>,
    pub(crate) hard_limit: Option<usize>,
    pub(crate) verbose: bool,
    pub(crate) huge: Huge,
    /// Whether the heap may have a thread, and whether the user has asked for one.
    pub(crate) background: bool,
    pub(crate) background_wanted: bool,
    pub(crate) show_stats: bool,
    /// By how many percent a managed heap may grow before it collects; `None`: off.
    pub(crate) gc_percent: Option<u32>,
    pub(crate) trace_gc: bool,
    /// Mean bytes between the samples of a heap profile that is written at exit.
    #[cfg(any(feature = "profiling", feature = "preload"))]
    pub(crate) profile_rate: Option<usize>,
}

/// Whether to ask for huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Huge {
    /// For what a heap of some size grows by, until parts of it are given back.
    Auto,
    Always,
    Never,
}

impl Options {
    /// What holds where nothing is set.
    pub(crate) const DEFAULT: Self = Self {
        purge_delay_ms: 1000,
        memory_limit: None,
        hard_limit: None,
        verbose: false,
        huge: Huge::Auto,
        background: true,
        background_wanted: false,
        show_stats: false,
        gc_percent: Some(100),
        trace_gc: false,
        #[cfg(any(feature = "profiling", feature = "preload"))]
        profile_rate: None,
    };
}

/// The form of a value, and where it goes.
enum Form {
    Size(fn(&mut Options, usize)),
    Millis(fn(&mut Options, i64)),
    Switch(fn(&mut Options, bool)),
    Huge(fn(&mut Options, Huge)),
    Percent(fn(&mut Options, Option<u32>)),
    /// A file, and the mean bytes between samples.
    #[cfg(any(feature = "profiling", feature = "preload"))]
    Profile(fn(&mut Options, usize)),
    /// A word that switches one thing on.
    Name(&'static str, fn(&mut Options)),
    /// The build lacks the feature of this name, without which the option has no effect.
    Without(&'static str),
}

/// One option.
struct Row {
    key: &'static str,
    form: Form,
    help: &'static str,
}

static TABLE: &[Row] = &[
    Row {
        key: "PURGE_DELAY",
        form: Form::Millis(|options, millis| options.purge_delay_ms = millis),
        help: "how long free memory stays",
    },
    Row {
        key: "MEMLIMIT",
        form: Form::Size(|options, bytes| options.memory_limit = Some(bytes)),
        help: "soft limit",
    },
    Row {
        key: "HARD_LIMIT",
        form: Form::Size(|options, bytes| options.hard_limit = Some(bytes)),
        help: "hard limit",
    },
    Row {
        key: "BACKGROUND",
        form: Form::Switch(|options, on| (options.background, options.background_wanted) = (on, on)),
        help: "a thread gives memory back",
    },
    Row {
        key: "THP",
        form: Form::Huge(|options, huge| options.huge = huge),
        help: "transparent huge pages",
    },
    Row {
        key: "VERBOSE",
        form: Form::Switch(|options, on| options.verbose = on),
        help: "say what is set",
    },
    Row {
        key: "SHOW_STATS",
        form: Form::Switch(|options, on| options.show_stats = on),
        help: "table at exit",
    },
    Row {
        key: "GC",
        form: with_gc(Form::Percent(|options, percent| options.gc_percent = percent)),
        help: "growth before a managed heap collects",
    },
    Row {
        key: "TRACE",
        form: with_gc(Form::Name("gc", |options| options.trace_gc = true)),
        help: "a line for each cycle of the collector",
    },
    #[cfg(any(feature = "profiling", feature = "preload"))]
    Row {
        key: "PROFILE",
        form: Form::Profile(|options, rate| options.profile_rate = Some(rate)),
        help: "heap profile at exit",
    },
    #[cfg(not(any(feature = "profiling", feature = "preload")))]
    Row {
        key: "PROFILE",
        form: Form::Without("profiling"),
        help: "heap profile at exit",
    },
];

/// The form of an option of the collector's.
const fn with_gc(form: Form) -> Form {
    if cfg!(feature = "gc") {
        form
    } else {
        Form::Without("gc")
    }
}

impl Form {
    fn set(&self, options: &mut Options, value: &[u8]) -> bool {
        match self {
            Self::Size(set) => size(value).inspect(|&bytes| set(options, bytes)).is_some(),
            Self::Millis(set) => millis(value).inspect(|&millis| set(options, millis)).is_some(),
            Self::Switch(set) => {
                let on = value == b"1";
                if on || value == b"0" {
                    set(options, on);
                }
                on || value == b"0"
            }
            Self::Huge(set) => {
                let choice = match value {
                    b"auto" => Some(Huge::Auto),
                    b"always" => Some(Huge::Always),
                    b"never" => Some(Huge::Never),
                    _ => None,
                };
                choice.inspect(|&choice| set(options, choice)).is_some()
            }
            Self::Percent(set) => {
                let percent = match value {
                    b"off" => Some(None),
                    _ => number(value).and_then(|percent| u32::try_from(percent).ok()).map(Some),
                };
                percent.inspect(|&percent| set(options, percent)).is_some()
            }
            #[cfg(any(feature = "profiling", feature = "preload"))]
            Self::Profile(set) => profile(value).inspect(|&(_, rate)| set(options, rate)).is_some(),
            Self::Name(name, set) => {
                if value == name.as_bytes() {
                    set(options);
                }
                value == name.as_bytes()
            }
            Self::Without(_) => false,
        }
    }

    fn describe(&self) -> &'static str {
        match self {
            Self::Size(_) => {
                "a size such as 1048576 or 512MiB: a whole number of bytes, or of K, M, G or T in powers of 1024 (K, KB and KiB are the same, in any case)"
            }
            Self::Millis(_) => "milliseconds, 0 for at once, -1 for never",
            Self::Switch(_) => "0 or 1",
            Self::Huge(_) => "auto, always or never",
            Self::Percent(_) => "percent such as 100, or off",
            #[cfg(any(feature = "profiling", feature = "preload"))]
            Self::Profile(_) => {
                "a path, or path:rate with a mean number of bytes between samples such as 64KiB, and not 0"
            }
            Self::Name(name, _) | Self::Without(name) => name,
        }
    }
}

/// What was wrong with one variable; its `Display` says what would be right.
pub(crate) enum Warning<'a> {
    Unknown(&'a [u8]),
    /// Known, but the build lacks the feature of this name.
    Without(&'a [u8], &'static str),
    Bad {
        key: &'a [u8],
        value: &'a [u8],
        form: &'static str,
    },
}

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(key) => {
                write!(f, "unknown option {}; known are", key.escape_ascii())?;
                for (index, row) in TABLE.iter().enumerate() {
                    write!(
                        f,
                        "{} GREYSPAN_{} ({})",
                        if index == 0 { "" } else { "," },
                        row.key,
                        row.help
                    )?;
                }
                Ok(())
            }
            Self::Without(key, feature) => write!(
                f,
                "{} has no effect: greyspan was built without its feature {feature}",
                key.escape_ascii()
            ),
            Self::Bad { key, value, form } => {
                write!(
                    f,
                    "{}={} is ignored: it takes {form}",
                    key.escape_ascii(),
                    value.escape_ascii()
                )
            }
        }
    }
}

impl Options {
    /// What `pairs` of full key and value set; everything wrong with them goes to `warn`.
    pub(crate) fn parse<'a>(
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        mut warn: impl FnMut(Warning<'a>),
    ) -> Self {
        let mut options = Self::DEFAULT;
        for (key, value) in pairs {
            let name = key.strip_prefix(PREFIX).unwrap_or(key);
            match TABLE.iter().find(|row| row.key.as_bytes() == name) {
                None => warn(Warning::Unknown(key)),
                Some(Row {
                    form: Form::Without(feature),
                    ..
                }) => warn(Warning::Without(key, feature)),
                Some(row) if !row.form.set(&mut options, value) => {
                    warn(Warning::Bad {
                        key,
                        value,
                        form: row.form.describe(),
                    });
                }
                Some(_) => {}
            }
        }
        options
    }

    /// What the process's environment sets, without a word about what is wrong with it.
    #[cfg(feature = "gc")]
    pub(crate) fn from_env_quietly() -> Self {
        Self::parse(crate::os::env::variables(PREFIX), |_| ())
    }

    /// What the process's environment sets; what is wrong with it is said on standard error.
    #[cfg(any(greyspan_heap, feature = "gc"))]
    pub(crate) fn from_env() -> Self {
        let options = Self::parse(crate::os::env::variables(PREFIX), |warning| {
            crate::os::report::warn(format_args!("{warning}"));
        });
        if options.verbose {
            crate::os::report::warn(format_args!("{options:?}"));
        }
        options
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0usize, |sum, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        sum.checked_mul(10)?.checked_add(digit as usize)
    })
}

/// A size by the one rule that [`Form::describe`] tells.
fn size(value: &[u8]) -> Option<usize> {
    let split = value
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(value.len());
    let (digits, unit) = value.split_at_checked(split)?;
    let shift = match unit.split_first() {
        None => 0,
        Some((letter, rest)) => {
            let is_unit = [&b""[..], b"b", b"i", b"ib"]
                .iter()
                .any(|word| rest.eq_ignore_ascii_case(word));
            match letter.to_ascii_lowercase() {
                b'b' if rest.is_empty() => 0,
                b'k' if is_unit => 10,
                b'm' if is_unit => 20,
                b'g' if is_unit => 30,
                b't' if is_unit => 40,
                _ => return None,
            }
        }
    };
    number(digits)?.checked_mul(1usize.checked_shl(shift)?)
}

/// Mean bytes between samples unless told, as in Go: 512 KiB.
#[cfg(any(feature = "profiling", feature = "preload"))]
pub(crate) const PROFILE_RATE: usize = 512 << 10;

/// The path and the rate of `path[:rate]`. A path with a colon in it needs a rate behind it.
#[cfg(any(feature = "profiling", feature = "preload"))]
fn profile(value: &[u8]) -> Option<(&[u8], usize)> {
    let (path, rate) = match value.iter().rposition(|&byte| byte == b':') {
        Some(colon) => (value.get(..colon)?, size(value.get(colon + 1..)?)?),
        None => (value, PROFILE_RATE),
    };
    (!path.is_empty() && rate > 0).then_some((path, rate))
}

/// Where `GREYSPAN_PROFILE` wants a profile, and at which rate; nothing where it is not set, or wrong.
#[cfg(all(any(feature = "profiling", feature = "preload"), greyspan_heap))]
pub(crate) fn profile_target() -> Option<(&'static [u8], usize)> {
    let mut all = crate::os::env::variables(PREFIX);
    all.find_map(|(key, value)| (key == b"GREYSPAN_PROFILE").then(|| profile(value))?)
}

fn millis(value: &[u8]) -> Option<i64> {
    if value == b"-1" {
        Some(-1)
    } else {
        i64::try_from(number(value)?).ok()
    }
}

#[cfg(test)]
mod tests {
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
            (Some(512 << 20), Some(4096))
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
                    assert_eq!(options.memory_limit, Some(3 << shift), "{value}");
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
            #[cfg(feature = "gc")]
            ("GREYSPAN_GC", "-1"),
            #[cfg(feature = "gc")]
            ("GREYSPAN_GC", "99999999999"),
            #[cfg(feature = "gc")]
            ("GREYSPAN_TRACE", "everything"),
        ] {
            let (options, warnings) = parse(&[(key, value)]);
            assert_eq!(options, Options::DEFAULT);
            assert!(
                warnings.len() == 1 && warnings[0].contains(key) && warnings[0].contains("takes"),
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
                warnings.len() == 1 && warnings[0].contains(key) && warnings[0].ends_with("its feature gc"),
                "{warnings:?}"
            );
        }
    }

    #[cfg(not(any(feature = "profiling", feature = "preload")))]
    #[test]
    fn a_profile_that_this_build_cannot_write_names_the_feature() {
        let (options, warnings) = parse(&[("GREYSPAN_PROFILE", "heap.pb.gz")]);
        assert_eq!(options, Options::DEFAULT);
        assert!(
            warnings.len() == 1 && warnings[0].ends_with("its feature profiling"),
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
    fn a_purge_delay_may_be_never() {
        assert_eq!(parse(&[("GREYSPAN_PURGE_DELAY", "-1")]).0.purge_delay_ms, -1);
    }
}
