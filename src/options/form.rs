//! The forms of option values: parses a value, sets its option, and names the form in a warning.
//! The parser of the environment calls this with each row of the table.

use super::limit::SoftLimit;
use super::{Huge, Options};

/// The form of a value, and the function that sets it.
pub(super) enum Form {
    Size(fn(&mut Options, usize)),
    /// A size, a percentage, or off.
    Limit(fn(&mut Options, SoftLimit)),
    Millis(fn(&mut Options, i64)),
    Switch(fn(&mut Options, bool)),
    Huge(fn(&mut Options, Huge)),
    Percent(fn(&mut Options, Option<u32>)),
    /// A file, and the mean bytes between samples.
    Profile(fn(&mut Options, usize)),
    /// A word that turns one option on.
    Name(&'static str, fn(&mut Options)),
    /// The build lacks the feature of this name, which the option needs.
    Without(&'static str),
}

impl Form {
    /// Sets the option to `value`. `false`: the value has another form, and nothing changed.
    pub(super) fn set(&self, options: &mut Options, value: &[u8]) -> bool {
        match self {
            Self::Size(set) => size(value).inspect(|&bytes| set(options, bytes)).is_some(),
            Self::Limit(set) => {
                let limit = SoftLimit::parse(value).or_else(|| size(value).map(SoftLimit::Bytes));
                limit.inspect(|&limit| set(options, limit)).is_some()
            }
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
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Size(_) => {
                "a size such as 1048576 or 512MiB: a whole number of bytes, or one with K, M, G or T for powers of 1024 (K, KB and KiB mean the same, in upper or lower case)"
            }
            Self::Limit(_) => {
                "a size such as 1048576 or 512MiB (K, M, G and T are powers of 1024), a percentage from 1% to 100% of the container's memory limit or without one of the machine's memory, or off"
            }
            Self::Millis(_) => "a number of milliseconds; 0 means at once, and -1 means never",
            Self::Switch(_) => "0 or 1",
            Self::Huge(_) => "auto, always or never",
            Self::Percent(_) => "a whole number of percent, such as 100, or off",
            Self::Profile(_) => {
                "a path, or path:rate, where the rate is the mean number of bytes between samples, such as 64KiB, and not 0"
            }
            Self::Name(name, _) | Self::Without(name) => name,
        }
    }
}

/// Parses a whole number. `None`: no digits, another character, or too large.
pub(super) fn number(digits: &[u8]) -> Option<usize> {
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
pub(crate) const PROFILE_RATE: usize = 512 << 10;

/// Parses `path[:rate]`. Returns the path, and the rate in bytes. A path with a colon needs a rate.
pub(super) fn profile(value: &[u8]) -> Option<(&[u8], usize)> {
    let (path, rate) = match value.iter().rposition(|&byte| byte == b':') {
        Some(colon) => (value.get(..colon)?, size(value.get(colon + 1..)?)?),
        None => (value, PROFILE_RATE),
    };
    (!path.is_empty() && rate > 0).then_some((path, rate))
}

/// Parses milliseconds; -1 means never.
fn millis(value: &[u8]) -> Option<i64> {
    if value == b"-1" {
        Some(-1)
    } else {
        i64::try_from(number(value)?).ok()
    }
}
