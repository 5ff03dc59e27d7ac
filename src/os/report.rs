//! Words to the user, from a place where nothing may allocate: a fixed buffer on the stack, written to file descriptor 2. A line is one
//! `write`, cut where the buffer ends; a longer text is as many as it needs.

use super::errno::KeepErrno;
use core::fmt::{self, Write};
use core::mem::ManuallyDrop;

/// Bytes of a line: the list of all options fits.
const LINE: usize = 1024;

/// A line that is cut where the buffer ends.
struct Line {
    text: [u8; LINE],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.push(part);
        Ok(())
    }
}

impl Line {
    fn new() -> Self {
        Self {
            text: [0; LINE],
            len: 0,
        }
    }

    /// Ends the line, also where it was cut.
    fn end(&mut self) {
        self.len = self.len.min(LINE - 1);
        self.push("\n");
    }

    fn push_bytes(&mut self, part: &[u8]) {
        for (place, byte) in self.text.iter_mut().skip(self.len).zip(part) {
            *place = *byte;
            self.len += 1;
        }
    }

    fn push(&mut self, part: &str) {
        self.push_bytes(part.as_bytes());
    }

    /// Digits to a base of 16 at the most. `core::fmt` is not used where the process is about to abort: the compiler would hold that it may
    /// unwind, and prepare for that in every caller.
    fn push_number<const BASE: usize>(&mut self, number: usize) {
        const { assert!(BASE > 1 && BASE <= 16) };
        let (mut rest, mut digits, mut first) = (number, [0u8; usize::BITS as usize], usize::BITS as usize);
        for place in digits.iter_mut().rev() {
            let digit = (rest % BASE) as u8;
            *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
            first -= 1;
            rest /= BASE;
            if rest == 0 {
                break;
            }
        }
        self.push_bytes(digits.get(first..).unwrap_or_default());
    }

    fn write(&self) {
        // By number, since `write` is a point at which a thread may be cancelled.
        // SAFETY: `len` bytes of the buffer are written.
        unsafe { libc::syscall(libc::SYS_write, 2, self.text.as_ptr(), self.len) };
    }
}

fn print(args: fmt::Arguments<'_>) {
    // Put back by hand: nothing unwinds here, which the compiler does not see.
    let errno = ManuallyDrop::new(KeepErrno::new());
    let mut line = Line::new();
    // Writing to the buffer cannot fail; what a value's own Display may answer changes nothing here.
    let _ = line.write_fmt(format_args!("greyspan: {args}"));
    line.end();
    line.write();
    drop(ManuallyDrop::into_inner(errno));
}

/// A text of any length, written whenever the buffer is full; what is left of it is dropped once writing fails.
#[cfg(not(loom))]
struct Text {
    text: [u8; 512],
    len: usize,
    errno: KeepErrno,
}

#[cfg(not(loom))]
impl Text {
    fn flush(&mut self) -> fmt::Result {
        let mut rest = self.text.get(..core::mem::take(&mut self.len)).unwrap_or_default();
        while !rest.is_empty() {
            // SAFETY: the pointer and the length are those of a slice.
            let written = unsafe { libc::write(2, rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(written) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(_) if self.errno.now() == libc::EINTR => {}
                Err(_) => return Err(fmt::Error),
            }
        }
        Ok(())
    }
}

#[cfg(not(loom))]
impl Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for byte in part.bytes() {
            if self.len == self.text.len() {
                self.flush()?;
            }
            if let Some(place) = self.text.get_mut(self.len) {
                *place = byte;
                self.len += 1;
            }
        }
        Ok(())
    }
}

/// A whole text as it stands, with nothing before it.
#[cfg(not(loom))]
pub(crate) fn text(text: &impl fmt::Display) {
    // Put back by hand, as in `print`.
    let mut out = ManuallyDrop::new(Text {
        text: [0; 512],
        len: 0,
        errno: KeepErrno::new(),
    });
    // An error is for nobody to hear: standard error is where it would be told.
    let _ = write!(*out, "{text}").and_then(|()| out.flush());
    drop(ManuallyDrop::into_inner(out));
}

/// A file could not be written: which, where, and the system's error by number, and by name where it is a frequent one. Without `core::fmt`,
/// whose reports of errors libgreyspan.so does not have.
#[cfg(all(feature = "preload", not(loom)))]
pub(crate) fn unwritten(what: &str, path: &[u8], error: i32) {
    let mut line = Line::new();
    line.push("greyspan: no ");
    line.push(what);
    line.push(" in ");
    line.push_bytes(path.get(..path.len().min(300)).unwrap_or_default());
    line.push(match error {
        libc::ENOENT => ": no such folder",
        libc::EACCES | libc::EPERM | libc::EROFS => ": it may not be written to",
        libc::EISDIR => ": it is a folder",
        libc::ENOSPC => ": the disk is full",
        libc::ENAMETOOLONG => ": the path is too long",
        libc::ENOMEM => ": no memory",
        _ => ": it cannot be written",
    });
    line.push(" (error ");
    line.push_number::<10>(error.unsigned_abs() as usize);
    line.push(")\n");
    line.write();
}

/// The hard limit refuses a request. `errno` stays.
#[cfg(not(loom))]
pub(crate) fn limited(limit: usize, wanted: usize, footprint: usize) {
    // Put back by hand, as in `print`.
    let errno = ManuallyDrop::new(KeepErrno::new());
    let mut line = Line::new();
    line.push("greyspan: the hard limit of ");
    line.push_number::<10>(limit);
    line.push(" bytes (GREYSPAN_HARD_LIMIT or set_hard_limit) refuses a request for ");
    line.push_number::<10>(wanted);
    line.push(" bytes: ");
    line.push_number::<10>(footprint);
    line.push(" are in use; later refusals are not told");
    line.end();
    line.write();
    drop(ManuallyDrop::into_inner(errno));
}

/// A warning.
pub(crate) fn warn(args: fmt::Arguments<'_>) {
    print(args);
}

/// A broken invariant, or a call that would break one: says so in one line and aborts.
#[cold]
pub(crate) fn fatal(what: &str, address: usize) -> ! {
    let mut line = Line::new();
    line.push("greyspan: ");
    line.push(what);
    line.push(" (address 0x");
    line.push_number::<16>(address);
    line.push("); aborting\n");
    line.write();
    // SAFETY: always callable.
    unsafe { libc::abort() }
}

/// A call of the program that would break the heap: says in one line which call, which block, of which size, and why, and aborts.
#[cold]
pub(crate) fn misuse(call: &str, address: usize, size: usize, why: &str) -> ! {
    let mut line = Line::new();
    line.push("greyspan: ");
    line.push(call);
    line.push("(0x");
    line.push_number::<16>(address);
    line.push("): ");
    line.push(why);
    if size > 0 {
        line.push(" (block of ");
        line.push_number::<10>(size);
        line.push(" bytes)");
    }
    line.push("; aborting\n");
    line.write();
    // SAFETY: always callable.
    unsafe { libc::abort() }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_cut_is_ended_all_the_same() {
        for (length, kept) in [(0, 0), (LINE - 1, LINE - 1), (LINE, LINE - 1), (2 * LINE, LINE - 1)] {
            let mut line = Line::new();
            line.push(&"x".repeat(length));
            line.end();
            assert_eq!(line.len, kept + 1);
            assert!(line.text[..line.len].ends_with(b"\n"));
        }
    }
}
