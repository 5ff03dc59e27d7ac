//! What a user can choose at run time: one table of options and the parser of their values.
//!
//! - Owns: nothing; [`Options`] is a plain value.
//! - Callers: `heap`, once, when it starts ([`Options::from_env`]); the documentation of the options is made from
//!   [`TABLE`].
//! - Locks and ordering: none.
//!
//! Invariants:
//! 1. Every field of [`Options`] is set by exactly one row of [`TABLE`], and no two rows share a key.
//! 2. Parsing neither allocates nor panics; what it cannot read leaves the default and yields one [`Warning`].

#![forbid(unsafe_code)]

use core::fmt;

use crate::os;

#[cfg(test)]
mod tests;

/// Every key begins so.
const PREFIX: &[u8] = b"GREYSPAN_";

/// Whether huge pages may back the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thp {
    /// The heap decides by how densely a huge page would be used.
    Auto,
    /// Wherever the system allows.
    Always,
    /// Nowhere.
    Never,
}

/// The options of a heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Bytes of address space to reserve at the start; `None`: the heap chooses.
    pub(crate) reserve: Option<usize>,
    /// Milliseconds until free memory goes back to the system; 0: at once; -1: never.
    pub(crate) purge_delay_ms: i64,
    /// Whether huge pages may back the heap.
    pub(crate) thp: Thp,
    /// Print the statistics to standard error at exit.
    pub(crate) show_stats: bool,
    /// Say on standard error what the allocator decides.
    pub(crate) verbose: bool,
    /// Soft limit of the footprint in bytes.
    pub(crate) memory_limit: Option<usize>,
    /// Bytes beyond which allocation fails.
    pub(crate) hard_limit: Option<usize>,
}

/// How the text of a value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Bytes: digits and an optional suffix.
    Size,
    /// `0` or `1`.
    Switch,
    /// Milliseconds; -1 is never.
    Millis,
    /// One of the names of [`Thp`].
    Thp,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "a size above 0 such as 65536, 512MiB or 2GB (KiB MiB GiB TiB, KB MB GB TB)",
            Self::Switch => "0 or 1",
            Self::Millis => "milliseconds, 0 for at once, -1 for never",
            Self::Thp => "auto, always or never",
        })
    }
}

/// One option.
pub(crate) struct Row {
    /// Name of the field of [`Options`].
    pub(crate) name: &'static str,
    /// Environment key.
    pub(crate) key: &'static str,
    /// Form of the value.
    pub(crate) form: Form,
    /// Text of the default, for people.
    pub(crate) default: &'static str,
    /// What it does.
    pub(crate) help: &'static str,
    /// Reads a value into the field. False: not in the form, nothing changed.
    set: fn(&mut Options, &[u8]) -> bool,
}

/// All options.
pub(crate) const TABLE: &[Row] = &[
    Row {
        name: "reserve",
        key: "GREYSPAN_RESERVE",
        form: Form::Size,
        default: "chosen by the heap",
        help: "address space to reserve at the start",
        set: |options, text| put(&mut options.reserve, size(text).map(Some)),
    },
    Row {
        name: "purge_delay_ms",
        key: "GREYSPAN_PURGE_DELAY",
        form: Form::Millis,
        default: "1000",
        help: "time until free memory goes back to the system",
        set: |options, text| put(&mut options.purge_delay_ms, millis(text)),
    },
    Row {
        name: "thp",
        key: "GREYSPAN_THP",
        form: Form::Thp,
        default: "auto",
        help: "whether huge pages may back the heap",
        set: |options, text| put(&mut options.thp, thp(text)),
    },
    Row {
        name: "show_stats",
        key: "GREYSPAN_SHOW_STATS",
        form: Form::Switch,
        default: "0",
        help: "print the statistics to standard error at exit",
        set: |options, text| put(&mut options.show_stats, switch(text)),
    },
    Row {
        name: "verbose",
        key: "GREYSPAN_VERBOSE",
        form: Form::Switch,
        default: "0",
        help: "say on standard error what the allocator decides",
        set: |options, text| put(&mut options.verbose, switch(text)),
    },
    Row {
        name: "memory_limit",
        key: "GREYSPAN_MEMLIMIT",
        form: Form::Size,
        default: "none",
        help: "soft limit of the footprint: nearing it, memory goes back sooner",
        set: |options, text| put(&mut options.memory_limit, size(text).map(Some)),
    },
    Row {
        name: "hard_limit",
        key: "GREYSPAN_HARD_LIMIT",
        form: Form::Size,
        default: "none",
        help: "limit of the footprint beyond which allocation fails",
        set: |options, text| put(&mut options.hard_limit, size(text).map(Some)),
    },
];

impl Options {
    /// What holds where nothing is chosen.
    pub(crate) const DEFAULT: Self = Self {
        reserve: None,
        purge_delay_ms: 1000,
        thp: Thp::Auto,
        show_stats: false,
        verbose: false,
        memory_limit: None,
        hard_limit: None,
    };

    /// The options that the environment of this process chooses; a mistake in it is reported on standard error.
    pub(crate) fn from_env() -> Self {
        os::env::with_pairs(|pairs| Self::parse(pairs, &mut |warning| os::report::warn(format_args!("{warning}"))))
    }

    /// The options that `pairs` of key and value choose; later pairs win over earlier ones. Keys that do not begin with
    /// `GREYSPAN_` are somebody else's and passed over. `warn` hears of every mistake.
    pub(crate) fn parse<'a>(
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        warn: &mut dyn FnMut(Warning<'a>),
    ) -> Self {
        let mut options = Self::DEFAULT;
        for (key, value) in pairs.filter(|(key, _)| key.starts_with(PREFIX)) {
            match TABLE.iter().find(|row| row.key.as_bytes() == key) {
                None => warn(Warning::UnknownKey { key }),
                Some(row) if (row.set)(&mut options, value) => {}
                Some(row) => warn(Warning::BadValue {
                    key: row.key,
                    value,
                    form: row.form,
                }),
            }
        }
        options
    }
}

/// A mistake in the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warning<'a> {
    /// No option has this key.
    UnknownKey {
        /// The key as it was written.
        key: &'a [u8],
    },
    /// The option's value is not in its form; the option is as if it was not given.
    BadValue {
        /// The option's key.
        key: &'static str,
        /// The value as it was written.
        value: &'a [u8],
        /// The form that it should have.
        form: Form,
    },
}

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { key } => {
                write!(f, "{} is not an option; the options are", Quoted(key))?;
                for (index, row) in TABLE.iter().enumerate() {
                    write!(f, "{} {}", if index == 0 { "" } else { "," }, row.key)?;
                }
                Ok(())
            }
            Self::BadValue { key, value, form } => write!(f, "{key}={} is ignored; it takes {form}", Quoted(value)),
        }
    }
}

/// Foreign text in a message: its printable ASCII, at most `SHOWN` bytes of it, everything else escaped.
struct Quoted<'a>(&'a [u8]);

/// Bytes of foreign text that a message shows.
const SHOWN: usize = 64;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..SHOWN).unwrap_or(self.0);
        write!(
            f,
            "{}{}",
            shown.escape_ascii(),
            if shown.len() < self.0.len() { ".." } else { "" }
        )
    }
}

/// Stores `value` if there is one, and says whether there was.
fn put<T>(field: &mut T, value: Option<T>) -> bool {
    value.map(|value| *field = value).is_some()
}

/// Digits, at least one, as a number.
fn digits(text: &[u8]) -> Option<usize> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0usize, |sum, &byte| {
        let digit = byte.is_ascii_digit().then(|| usize::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// A size above 0: digits and a suffix, whose letters may be of either case.
fn size(text: &[u8]) -> Option<usize> {
    let split = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(split)?;
    let units: [(&[u8], u64); 10] = [
        (b"", 1),
        (b"B", 1),
        (b"KiB", 1 << 10),
        (b"MiB", 1 << 20),
        (b"GiB", 1 << 30),
        (b"TiB", 1 << 40),
        (b"KB", 1_000),
        (b"MB", 1_000_000),
        (b"GB", 1_000_000_000),
        (b"TB", 1_000_000_000_000),
    ];
    let (_, unit) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(suffix))?;
    let bytes = digits(number)?.checked_mul(usize::try_from(*unit).ok()?)?;
    (bytes > 0).then_some(bytes)
}

/// `0` or `1`.
fn switch(text: &[u8]) -> Option<bool> {
    match text {
        b"0" => Some(false),
        b"1" => Some(true),
        _ => None,
    }
}

/// Milliseconds, or -1.
fn millis(text: &[u8]) -> Option<i64> {
    if text == b"-1" {
        Some(-1)
    } else {
        i64::try_from(digits(text)?).ok()
    }
}

/// A name of [`Thp`].
fn thp(text: &[u8]) -> Option<Thp> {
    match text {
        b"auto" => Some(Thp::Auto),
        b"always" => Some(Thp::Always),
        b"never" => Some(Thp::Never),
        _ => None,
    }
}
