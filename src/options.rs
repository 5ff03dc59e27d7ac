//! The options: one table of name, form and help, their parser, and their listing.
//!
//! The heap reads the environment once, before its first request is served. This sets every option:
//! an option whose variable is unset gets its default. Later calls of the program, such as
//! `set_memory_limit`, override the values.

#![forbid(unsafe_code)]

use core::fmt;

/// The prefix of every key.
const PREFIX: &[u8] = b"GREYSPAN_";

/// Option values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Milliseconds; 0 for at once, -1 for never.
    pub(crate) purge_delay_ms: i64,
    /// The soft limit in bytes.
    pub(crate) memory_limit: Option<usize>,
    /// The hard limit in bytes.
    pub(crate) hard_limit: Option<usize>,
    pub(crate) verbose: bool,
    pub(crate) huge: Huge,
    /// Whether the heap may have a thread. The next field: whether the user has asked for one.
    pub(crate) background: bool,
    pub(crate) background_wanted: bool,
    pub(crate) show_stats: bool,
    /// Percent by which a managed heap may grow before it collects; `None`: off.
    pub(crate) gc_percent: Option<u32>,
    pub(crate) trace_gc: bool,
    /// Mean bytes between the samples of a heap profile that is written at exit.
    #[cfg(sampling)]
    pub(crate) profile_rate: Option<usize>,
    /// The rows of [`TABLE`] that the environment set, one bit per row.
    from_environment: u32,
}

/// Where the heap asks for huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Huge {
    /// Behind memory by which a larger heap grows, until parts of that memory are returned.
    Auto,
    Always,
    Never,
}

impl Options {
    /// The values of options that are not set.
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
        #[cfg(sampling)]
        profile_rate: None,
        from_environment: 0,
    };
}

/// The form of a value, and the function that sets it.
enum Form {
    Size(fn(&mut Options, usize)),
    Millis(fn(&mut Options, i64)),
    Switch(fn(&mut Options, bool)),
    Huge(fn(&mut Options, Huge)),
    Percent(fn(&mut Options, Option<u32>)),
    /// A file, and the mean bytes between samples.
    #[cfg(sampling)]
    Profile(fn(&mut Options, usize)),
    /// A word that turns one option on.
    Name(&'static str, fn(&mut Options)),
    /// The build lacks the feature of this name, which the option needs.
    Without(&'static str),
}

/// One option.
struct Row {
    key: &'static str,
    form: Form,
    /// Returns the value for the listing.
    show: fn(&Options) -> Value,
    help: &'static str,
}

/// A value of an option in the listing.
enum Value {
    /// Bytes; `None`: no limit.
    Bytes(Option<usize>),
    Millis(i64),
    Switch(bool),
    Word(&'static str),
    Percent(Option<u32>),
    /// Mean bytes between samples; `None`: no profile.
    #[cfg(sampling)]
    Rate(Option<usize>),
}

/// A number of bytes, in the largest unit that divides it.
struct Bytes(usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut number, mut unit) = (self.0, "bytes");
        for larger in ["KiB", "MiB", "GiB", "TiB"] {
            if number == 0 || !number.is_multiple_of(1024) {
                break;
            }
            (number, unit) = (number / 1024, larger);
        }
        write!(f, "{number} {unit}")
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Bytes(Some(bytes)) => write!(f, "{}", Bytes(bytes)),
            Self::Bytes(None) => f.write_str("none"),
            Self::Millis(-1) => f.write_str("never"),
            Self::Millis(0) => f.write_str("at once"),
            Self::Millis(millis) => write!(f, "{millis} ms"),
            Self::Switch(on) => f.write_str(if on { "on" } else { "off" }),
            Self::Word(word) => f.write_str(word),
            Self::Percent(Some(percent)) => write!(f, "{percent} %"),
            Self::Percent(None) => f.write_str("off"),
            #[cfg(sampling)]
            Self::Rate(Some(bytes)) => write!(f, "every {}", Bytes(bytes)),
            #[cfg(sampling)]
            Self::Rate(None) => f.write_str("off"),
        }
    }
}

static TABLE: &[Row] = &[
    Row {
        key: "PURGE_DELAY",
        form: Form::Millis(|options, millis| options.purge_delay_ms = millis),
        show: |options| Value::Millis(options.purge_delay_ms),
        help: "how long idle memory stays with the program",
    },
    Row {
        key: "MEMLIMIT",
        form: Form::Size(|options, bytes| options.memory_limit = Some(bytes)),
        show: |options| Value::Bytes(options.memory_limit),
        help: "soft limit: above it, free memory is returned at once",
    },
    Row {
        key: "HARD_LIMIT",
        form: Form::Size(|options, bytes| options.hard_limit = Some(bytes)),
        show: |options| Value::Bytes(options.hard_limit),
        help: "hard limit: above it, requests fail",
    },
    Row {
        key: "BACKGROUND",
        form: Form::Switch(|options, on| (options.background, options.background_wanted) = (on, on)),
        show: |options| Value::Switch(options.background),
        help: "a background thread returns idle memory",
    },
    Row {
        key: "THP",
        form: Form::Huge(|options, huge| options.huge = huge),
        show: |options| {
            Value::Word(match options.huge {
                Huge::Auto => "auto",
                Huge::Always => "always",
                Huge::Never => "never",
            })
        },
        help: "transparent huge pages",
    },
    Row {
        key: "VERBOSE",
        form: Form::Switch(|options, on| options.verbose = on),
        show: |options| Value::Switch(options.verbose),
        help: "list the options at the start",
    },
    Row {
        key: "SHOW_STATS",
        form: Form::Switch(|options, on| options.show_stats = on),
        show: |options| Value::Switch(options.show_stats),
        help: "print the statistics at exit",
    },
    Row {
        key: "GC",
        form: with_gc(Form::Percent(|options, percent| options.gc_percent = percent)),
        show: |options| Value::Percent(options.gc_percent),
        help: "growth of a managed heap before it collects",
    },
    Row {
        key: "TRACE",
        form: with_gc(Form::Name("gc", |options| options.trace_gc = true)),
        show: |options| Value::Word(if options.trace_gc { "gc" } else { "off" }),
        help: "print a line per cycle of the collector",
    },
    #[cfg(sampling)]
    Row {
        key: "PROFILE",
        form: Form::Profile(|options, rate| options.profile_rate = Some(rate)),
        show: |options| Value::Rate(options.profile_rate),
        help: "write a heap profile at exit",
    },
    #[cfg(not(sampling))]
    Row {
        key: "PROFILE",
        form: Form::Without("profiling"),
        show: |_| Value::Word("off"),
        help: "write a heap profile at exit",
    },
];

/// Returns the form of an option of the collector.
const fn with_gc(form: Form) -> Form {
    if cfg!(feature = "gc") {
        form
    } else {
        Form::Without("gc")
    }
}

impl Form {
    /// Sets the option to `value`. `false`: the value has another form, and nothing changed.
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
            #[cfg(sampling)]
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

    /// Returns the words that follow "it takes" in a warning.
    fn describe(&self) -> &'static str {
        match self {
            Self::Size(_) => {
                "a size such as 1048576 or 512MiB: a whole number of bytes, or one with K, M, G or T for powers of 1024 (K, KB and KiB mean the same, in upper or lower case)"
            }
            Self::Millis(_) => "a number of milliseconds; 0 means at once, and -1 means never",
            Self::Switch(_) => "0 or 1",
            Self::Huge(_) => "auto, always or never",
            Self::Percent(_) => "a whole number of percent, such as 100, or off",
            #[cfg(sampling)]
            Self::Profile(_) => {
                "a path, or path:rate, where the rate is the mean number of bytes between samples, such as 64KiB, and not 0"
            }
            Self::Name(name, _) | Self::Without(name) => name,
        }
    }
}

/// An error in one variable. Its `Display` names the variable and the values that are right.
pub(crate) enum Warning<'a> {
    Unknown(&'a [u8]),
    /// The option is known, but the build lacks the feature of this name.
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
                write!(
                    f,
                    "{} is ignored: there is no such option; the options are",
                    key.escape_ascii()
                )?;
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
                "{} is ignored: this build of greyspan lacks the feature {feature}; to use the option, rebuild with it",
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
    /// Parses `pairs` of full key and value. Ignores each wrong pair, and calls `warn` for it.
    pub(crate) fn parse<'a>(
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        mut warn: impl FnMut(Warning<'a>),
    ) -> Self {
        let mut options = Self::DEFAULT;
        for (key, value) in pairs {
            let name = key.strip_prefix(PREFIX).unwrap_or(key);
            let row = TABLE.iter().enumerate().find(|(_, row)| row.key.as_bytes() == name);
            match row {
                None => warn(Warning::Unknown(key)),
                Some((
                    _,
                    Row {
                        form: Form::Without(feature),
                        ..
                    },
                )) => warn(Warning::Without(key, feature)),
                Some((index, row)) if row.form.set(&mut options, value) => {
                    options.from_environment |= 1 << index;
                }
                Some((_, row)) => {
                    warn(Warning::Bad {
                        key,
                        value,
                        form: row.form.describe(),
                    });
                }
            }
        }
        options
    }

    /// Reads the process's environment, and ignores wrong variables without a warning.
    #[cfg(feature = "gc")]
    pub(crate) fn from_env_quietly() -> Self {
        Self::parse(crate::os::env::variables(PREFIX), |_| ())
    }

    /// Reads the process's environment. Prints a warning per wrong variable on standard error, and
    /// with `GREYSPAN_VERBOSE` the options in force.
    #[cfg(any(greyspan_heap, feature = "gc"))]
    pub(crate) fn from_env() -> Self {
        let options = Self::parse(crate::os::env::variables(PREFIX), |warning| {
            crate::os::report::warn(format_args!("{warning}"));
        });
        if options.verbose {
            crate::os::report::text(&Listing {
                options: &options,
                profile: profile_path(),
            });
        }
        options
    }
}

/// The options in force: an aligned line per option with its name, its value and its source.
/// Formatting it allocates nothing, because it is printed while the heap starts.
struct Listing<'a> {
    options: &'a Options,
    /// The file of the heap profile.
    profile: Option<&'a [u8]>,
}

/// Counts the characters of a text.
struct Width(usize);

impl fmt::Write for Width {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0 += part.chars().count();
        Ok(())
    }
}

/// Returns the number of characters of `text`.
fn width(text: impl fmt::Display) -> usize {
    use fmt::Write;
    let mut width = Width(0);
    // Counting cannot fail.
    let _ = write!(width, "{text}");
    width.0
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = TABLE.iter().map(|row| width((row.show)(self.options)));
        let value_width = values.max().unwrap_or(0);
        let key_width = TABLE.iter().map(|row| row.key.len()).max().unwrap_or(0);
        f.write_str("greyspan: the options in force, and their sources:\n")?;
        for (index, row) in TABLE.iter().enumerate() {
            let value = (row.show)(self.options);
            let pad = value_width - width(&value);
            write!(f, "  GREYSPAN_{:key_width$}  {value}{:pad$}  ", row.key, "")?;
            match row.form {
                Form::Without(feature) => write!(f, "this build lacks the feature {feature}")?,
                _ if self.options.from_environment & (1 << index) == 0 => f.write_str("default")?,
                _ => f.write_str("environment")?,
            }
            if row.key == "PROFILE"
                && let Some(path) = self.profile
            {
                write!(f, ", to {}", path.escape_ascii())?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}

/// Parses a whole number. `None`: no digits, another character, or too large.
fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0usize, |sum, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        sum.checked_mul(10)?.checked_add(digit as usize)
    })
}

/// Parses a size, in bytes, as [`Form::describe`] describes it.
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

/// The default mean bytes between samples: 512 KiB, as in Go.
#[cfg(sampling)]
pub(crate) const PROFILE_RATE: usize = 512 << 10;

/// Parses `path[:rate]`. Returns the path, and the rate in bytes. A path with a colon needs a rate.
#[cfg(sampling)]
fn profile(value: &[u8]) -> Option<(&[u8], usize)> {
    let (path, rate) = match value.iter().rposition(|&byte| byte == b':') {
        Some(colon) => (value.get(..colon)?, size(value.get(colon + 1..)?)?),
        None => (value, PROFILE_RATE),
    };
    (!path.is_empty() && rate > 0).then_some((path, rate))
}

/// Returns the path and the rate of `GREYSPAN_PROFILE`; `None` if it is unset or wrong.
#[cfg(all(sampling, greyspan_heap))]
pub(crate) fn profile_target() -> Option<(&'static [u8], usize)> {
    let mut all = crate::os::env::variables(PREFIX);
    all.find_map(|(key, value)| (key == b"GREYSPAN_PROFILE").then(|| profile(value))?)
}

/// Returns the path of `GREYSPAN_PROFILE`, for the listing.
#[cfg(all(sampling, greyspan_heap))]
fn profile_path() -> Option<&'static [u8]> {
    profile_target().map(|(path, _)| path)
}

/// Returns `None`: this build writes no profile at exit.
#[cfg(not(all(sampling, greyspan_heap)))]
fn profile_path() -> Option<&'static [u8]> {
    None
}

/// Parses milliseconds; -1 means never.
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
}
