//! Words to the user, from a place where nothing may allocate: a fixed buffer on the stack, written to file descriptor 2. A line is one
//! `write`, cut where the buffer ends; a longer text is as many as it needs.

use super::errno::KeepErrno;
use core::fmt::{self, Write};

/// A line that is cut where the buffer ends.
struct Line {
    text: [u8; 512],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for (place, byte) in self.text.iter_mut().skip(self.len).zip(part.bytes()) {
            *place = byte;
            self.len += 1;
        }
        Ok(())
    }
}

fn print(args: fmt::Arguments<'_>) {
    let _errno = KeepErrno::new();
    let mut line = Line { text: [0; 512], len: 0 };
    // Writing to the buffer cannot fail; what a value's own Display may answer changes nothing here.
    let _ = line.write_fmt(format_args!("greyspan: {args}\n"));
    // SAFETY: `len` bytes of the buffer are written.
    unsafe { libc::write(2, line.text.as_ptr().cast(), line.len) };
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
    let mut out = Text {
        text: [0; 512],
        len: 0,
        errno: KeepErrno::new(),
    };
    // An error is for nobody to hear: standard error is where it would be told.
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

/// A warning.
pub(crate) fn warn(args: fmt::Arguments<'_>) {
    print(args);
}

/// A broken invariant, or a call that would break one: says so in one line and aborts.
#[cold]
pub(crate) fn fatal(what: &str, address: usize) -> ! {
    print(format_args!("{what} (address {address:#x}); aborting"));
    // SAFETY: always callable.
    unsafe { libc::abort() }
}

/// A call of the program that would break the heap: says in one line which call, which block, of which size, and why, and aborts.
#[cold]
pub(crate) fn misuse(call: &str, address: usize, size: usize, why: &str) -> ! {
    if size > 0 {
        print(format_args!(
            "{call}({address:#x}): {why} (block of {size} bytes); aborting"
        ));
    } else {
        print(format_args!("{call}({address:#x}): {why}; aborting"));
    }
    // SAFETY: always callable.
    unsafe { libc::abort() }
}
