//! Messages to the user, from places where nothing may allocate: a buffer on the stack, written to
//! file descriptor 2.
//!
//! A line is one `write`, and is cut where the buffer ends. A longer text takes several writes.

use super::errno::KeepErrno;
use core::fmt::{self, Write};
use core::mem::ManuallyDrop;

/// Bytes of a line. The message that lists all options fits.
const LINE: usize = 1024;

/// The reason of [`misuse`] for a block that the program has freed before.
pub(crate) const ALREADY_FREE: &str = "the block is already free";

/// The reason of [`misuse`] for a pointer into no span. The span of a free block may have ended.
pub(crate) const NO_BLOCK: &str = "no block of this heap begins here, or it is already free";

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

    /// Ends the line, even if it was cut.
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

    // Not inlined: the messages have many parts.
    #[inline(never)]
    fn push(&mut self, part: &str) {
        self.push_bytes(part.as_bytes());
    }

    /// Writes a number to a base of at most 16. A process that is about to abort does not use
    /// `core::fmt`: the compiler would assume that it may unwind, and add code to all callers.
    #[inline(never)]
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
        // A system call by number, because `libc::write` is a cancellation point.
        // SAFETY: `len` bytes of the buffer are written.
        unsafe { libc::syscall(libc::SYS_write, 2, self.text.as_ptr(), self.len) };
    }
}

fn print(args: fmt::Arguments<'_>) {
    // Restored by hand: nothing unwinds here, but the compiler does not know that.
    let errno = ManuallyDrop::new(KeepErrno::new());
    let mut line = Line::new();
    // Writing to the buffer cannot fail, and an error of a value's own `Display` changes nothing.
    let _ = line.write_fmt(format_args!("greyspan: {args}"));
    line.end();
    line.write();
    drop(ManuallyDrop::into_inner(errno));
}

/// A text of any length, written whenever the buffer is full. Once writing fails, the rest is lost.
struct Text {
    text: [u8; 512],
    len: usize,
    errno: KeepErrno,
}

impl Text {
    fn flush(&mut self) -> fmt::Result {
        let mut rest = self.text.get(..core::mem::take(&mut self.len)).unwrap_or_default();
        while !rest.is_empty() {
            // A system call by number, because `libc::write` is a cancellation point.
            // SAFETY: the pointer and the length are those of a slice.
            let written = unsafe { libc::syscall(libc::SYS_write, 2, rest.as_ptr(), rest.len()) };
            match usize::try_from(written) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(_) if self.errno.now() == libc::EINTR => {}
                Err(_) => return Err(fmt::Error),
            }
        }
        Ok(())
    }
}

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

/// Writes a whole text unchanged, without a prefix.
pub(crate) fn text(text: &impl fmt::Display) {
    // Restored by hand: nothing unwinds here, but the compiler does not know that.
    let mut out = ManuallyDrop::new(Text {
        text: [0; 512],
        len: 0,
        errno: KeepErrno::new(),
    });
    // An error has no place to go: it would be reported on standard error too.
    let _ = write!(*out, "{text}").and_then(|()| out.flush());
    drop(ManuallyDrop::into_inner(out));
}

/// Reports that a file could not be written: the file, its path, and the system's error by number
/// (frequent ones also in words). Without `core::fmt`, whose texts for errors libgreyspan.so lacks.
pub(crate) fn unwritten(what: &str, path: &[u8], error: i32) {
    let mut line = Line::new();
    line.push("greyspan: cannot write the ");
    line.push(what);
    line.push(" to ");
    line.push_bytes(path.get(..path.len().min(300)).unwrap_or_default());
    line.push(match error {
        libc::ENOENT => ": no such folder",
        libc::EACCES | libc::EPERM => ": no permission to write there",
        libc::EROFS => ": the file system is read-only",
        libc::EISDIR => ": it is a folder",
        libc::ENOSPC => ": the disk is full",
        libc::ENAMETOOLONG => ": the path is too long",
        libc::ENOMEM => ": no memory",
        _ => ": the system refused",
    });
    line.push(" (error ");
    line.push_number::<10>(error.unsigned_abs() as usize);
    line.push(")\n");
    line.write();
}

/// Reports that the hard limit refuses a request; all numbers are bytes. Keeps `errno`.
pub(crate) fn limited(limit: usize, wanted: usize, footprint: usize) {
    // Restored by hand: nothing unwinds here, but the compiler does not know that.
    let errno = ManuallyDrop::new(KeepErrno::new());
    let mut line = Line::new();
    line.push("greyspan: the hard limit of ");
    line.push_number::<10>(limit);
    line.push(" bytes (GREYSPAN_HARD_LIMIT or set_hard_limit) refuses a request for ");
    line.push_number::<10>(wanted);
    line.push(" bytes: ");
    line.push_number::<10>(footprint);
    line.push(" bytes are in use; raise the limit or free memory (later refusals are not reported)");
    line.end();
    line.write();
    drop(ManuallyDrop::into_inner(errno));
}

/// Reports a return of memory to the system, and its cause. Keeps `errno`.
#[cold]
pub(crate) fn returned(bytes: usize, cause: &str) {
    // Restored by hand: nothing unwinds here, but the compiler does not know that.
    let errno = ManuallyDrop::new(KeepErrno::new());
    let mut line = Line::new();
    line.push("greyspan: returned ");
    line.push_number::<10>(bytes);
    line.push(" bytes to the system: ");
    line.push(cause);
    line.end();
    line.write();
    drop(ManuallyDrop::into_inner(errno));
}

/// Prints a warning in one line.
pub(crate) fn warn(args: fmt::Arguments<'_>) {
    print(args);
}

/// Reports a broken invariant, or a call that would break one, in one line. Aborts.
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

/// Reports a call of the program that would break the heap, in one line: the call, the block's
/// address, its size in bytes (if `size` is above 0), and the reason. Aborts.
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

#[cfg(test)]
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
