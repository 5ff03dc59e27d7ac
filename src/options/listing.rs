//! The listing of the options in force, for `GREYSPAN_VERBOSE`: an aligned line per option with its
//! name, its value and its source. [`Options::from_env`] prints it while the heap starts.

use super::Options;
use super::form::Form;
use super::table::TABLE;
use core::fmt;

/// A value of an option in the listing.
pub(super) enum Value {
    /// Bytes; `None`: no limit.
    Bytes(Option<usize>),
    Millis(i64),
    Switch(bool),
    Word(&'static str),
    Percent(Option<u32>),
    /// Mean bytes between samples; `None`: no profile.
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
            Self::Rate(Some(bytes)) => write!(f, "every {}", Bytes(bytes)),
            Self::Rate(None) => f.write_str("off"),
        }
    }
}

/// The options in force: an aligned line per option with its name, its value and its source.
/// Formatting it allocates nothing, because it is printed while the heap starts.
pub(super) struct Listing<'a> {
    pub(super) options: &'a Options,
    /// The file of the heap profile.
    pub(super) profile: Option<&'a [u8]>,
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

fn spaces(f: &mut fmt::Formatter<'_>, count: usize) -> fmt::Result {
    (0..count).try_for_each(|_| f.write_str(" "))
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
            // A width that is known at run time only would keep code in the library that panics.
            write!(f, "  GREYSPAN_{}", row.key)?;
            spaces(f, key_width - row.key.len() + 2)?;
            write!(f, "{value}")?;
            spaces(f, pad + 2)?;
            match row.form {
                Form::Without(feature) => write!(f, "this build lacks the feature {feature}")?,
                _ if self.options.from_environment & (1 << index) == 0 => f.write_str("default")?,
                _ => f.write_str("environment")?,
            }
            if row.key == "MEMLIMIT"
                && let Some(found) = self.options.found
            {
                write!(f, ": {found}")?;
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
