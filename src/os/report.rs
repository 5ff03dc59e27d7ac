//! Words to the user, from a place where nothing may allocate: a fixed buffer on the stack, one `write` to file descriptor 2.

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
