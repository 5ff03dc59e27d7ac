//! The soft limit as the user wants it, and as it was found on the system. The parser makes the
//! first, the heap decides the second, and the listing prints both.

use core::fmt;

/// The soft limit that the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SoftLimit {
    /// The default: a limit if the process's control groups have one.
    Auto,
    /// Percent of the limit of the control groups, or without one of the machine's memory.
    Percent(u32),
    Bytes(usize),
    Off,
}

impl SoftLimit {
    /// Parses a percentage from 1 to 100, or `off`. `None`: the value is neither.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        if value == b"off" {
            return Some(Self::Off);
        }
        let percent = super::form::number(value.strip_suffix(b"%")?)?;
        let percent = u32::try_from(percent)
            .ok()
            .filter(|percent| (1..=100).contains(percent));
        percent.map(Self::Percent)
    }
}

/// A soft limit that was found on the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) bytes: usize,
    /// The file or the memory that it comes from.
    pub(crate) source: &'static str,
    /// The percent of the source; `None` for all of it.
    pub(crate) percent: Option<u32>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source)?;
        match self.percent {
            Some(percent) => write!(f, ", {percent} %"),
            None => Ok(()),
        }
    }
}
