//! What the allocator says on standard error: one line from a buffer on the stack, written by `write(2)`.
//!
//! - Owns: nothing.
//! - Callers: every module, [`fatal`] for broken invariants, [`warn`] for what the user should know.
//! - Locks and ordering: none; a line of up to `LINE` bytes leaves in one `write`, so lines of threads do not mix.
//!
//! Invariants:
//! 1. Nothing here allocates, panics or takes a lock: it must work inside an allocation with a lock held.
//! 2. [`warn`] keeps `errno`.

use core::fmt::{self, Write};

use super::errno::KeepErrno;

#[cfg(test)]
mod tests;

/// Longest line, its end included; what is longer is cut.
const LINE: usize = 768;

/// A line being composed. Writing to it never fails; what does not fit is dropped.
pub(crate) struct Line {
    bytes: [u8; LINE],
    /// Bytes used, at most `LINE - 1`: the last one is kept for the line end.
    len: usize,
}

impl Line {
    /// A line that begins with the name of the crate.
    pub(crate) fn new() -> Self {
        let mut line = Self {
            bytes: [0; LINE],
            len: 0,
        };
        line.push(b"greyspan: ");
        line
    }

    /// Appends as much of `text` as fits.
    pub(crate) fn push(&mut self, text: &[u8]) {
        let free = self.bytes.get_mut(self.len..LINE - 1).unwrap_or_default();
        for (slot, &byte) in free.iter_mut().zip(text) {
            *slot = byte;
            self.len += 1;
        }
    }

    /// Appends `value` in hexadecimal with its prefix.
    pub(crate) fn push_hex(&mut self, value: usize) {
        self.push(b"0x");
        let digits = (usize::BITS - value.leading_zeros()).div_ceil(4).max(1);
        for place in (0..digits).rev() {
            let digit = (value >> (place * 4)) & 0xf;
            self.push(b"0123456789abcdef".get(digit..=digit).unwrap_or_default());
        }
    }

    /// The text so far, with a line end.
    pub(crate) fn finish(&mut self) -> &[u8] {
        if let Some(end) = self.bytes.get_mut(self.len) {
            *end = b'\n';
        }
        self.bytes.get(..=self.len).unwrap_or_default()
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// Says that the invariant `what` is broken at `addr`, and aborts the process.
#[cold]
pub(crate) fn fatal(what: &str, addr: usize) -> ! {
    let mut line = Line::new();
    line.push(b"fatal: ");
    line.push(what.as_bytes());
    line.push(b" at ");
    line.push_hex(addr);
    write_stderr(line.finish());
    std::process::abort()
}

/// Says `message` and goes on. The message's `Display` must not allocate.
#[cold]
pub(crate) fn warn(message: fmt::Arguments<'_>) {
    let mut line = Line::new();
    // `Line` refuses nothing, and a `Display` that refuses has written what it could.
    let _ = line.write_fmt(message);
    write_stderr(line.finish());
}

/// Writes `text` to standard error; a refusal is ignored, since there is nowhere to report it.
#[cfg(unix)]
pub(crate) fn write_stderr(text: &[u8]) {
    let _keep = KeepErrno::new();
    let mut rest = text;
    while !rest.is_empty() {
        // SAFETY: `rest` is readable for its length.
        let wrote = unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), rest.len()) };
        if wrote < 0 && super::errno::get() == libc::EINTR {
            continue;
        }
        match usize::try_from(wrote)
            .ok()
            .filter(|&wrote| wrote > 0)
            .and_then(|wrote| rest.get(wrote..))
        {
            Some(left) => rest = left,
            None => return,
        }
    }
}

/// Writes `text` to standard error; a refusal is ignored, since there is nowhere to report it.
#[cfg(not(unix))]
pub(crate) fn write_stderr(text: &[u8]) {
    let _keep = KeepErrno::new();
    let _ = std::io::Write::write_all(&mut std::io::stderr(), text);
}
