//! The options: their values, and the parser of the environment.
//!
//! The heap reads the environment once, before its first request is served. This sets every option:
//! an option whose variable is unset gets its default. Later calls of the program, such as
//! `set_memory_limit`, override the values.
//!
//! - `table`: one row per option with its key, form and help.
//! - `form`: the forms of values, and how they are parsed.
//! - `limit`: the soft limit, which may be a share of the system's.
//! - `listing`: the listing of the options in force, for `GREYSPAN_VERBOSE`.

#![forbid(unsafe_code)]

mod form;
mod limit;
mod listing;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use form::PROFILE_RATE;
pub(crate) use limit::{Found, SoftLimit};

use core::fmt;
use form::Form;
use listing::Listing;
use table::{Row, TABLE};

/// The prefix of every key.
const PREFIX: &[u8] = b"GREYSPAN_";

/// Option values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Milliseconds; 0 for at once, -1 for never.
    pub(crate) purge_delay_ms: i64,
    pub(crate) memory_limit: SoftLimit,
    /// The soft limit that comes from the system, for the listing.
    found: Option<Found>,
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
        memory_limit: SoftLimit::Auto,
        found: None,
        hard_limit: None,
        verbose: false,
        huge: Huge::Auto,
        background: true,
        background_wanted: false,
        show_stats: false,
        gc_percent: Some(100),
        trace_gc: false,
        profile_rate: None,
        from_environment: 0,
    };
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
    pub(crate) fn from_env_quietly() -> Self {
        Self::parse(crate::os::env::variables(PREFIX), |_| ())
    }

    /// Reads the process's environment. Prints a warning per wrong variable on standard error, and
    /// with `GREYSPAN_VERBOSE` the options in force. Only then `find` looks for a limit of the
    /// system.
    pub(crate) fn from_env(find: impl Fn(SoftLimit) -> Option<Found>) -> Self {
        let mut options = Self::parse(crate::os::env::variables(PREFIX), |warning| {
            crate::os::report::warn(format_args!("{warning}"));
        });
        if options.verbose {
            if options.follows_system() {
                options.found = find(options.memory_limit);
            }
            crate::os::report::text(&Listing {
                options: &options,
                profile: profile_path(),
            });
        }
        options
    }

    /// Whether the soft limit comes from the system. The background thread reads it there.
    pub(crate) fn follows_system(&self) -> bool {
        let reads = self.background && self.purge_delay_ms > 0;
        reads && matches!(self.memory_limit, SoftLimit::Auto | SoftLimit::Percent(_))
    }
}

/// Returns the path and the rate of `GREYSPAN_PROFILE`; `None` if it is unset or wrong.
pub(crate) fn profile_target() -> Option<(&'static [u8], usize)> {
    let mut all = crate::os::env::variables(PREFIX);
    all.find_map(|(key, value)| (key == b"GREYSPAN_PROFILE").then(|| form::profile(value))?)
}

/// Returns the path of `GREYSPAN_PROFILE`, for the listing. `None` too if this build writes no
/// profile.
fn profile_path() -> Option<&'static [u8]> {
    let (path, _) = profile_target()?;
    cfg!(all(sampling, greyspan_heap)).then_some(path)
}
