//! Whether the process runs under a seccomp filter, which may end it for a system call that its
//! author did not think of.
//!
//! Owns one word for the process. The kernel is asked through `/proc`: a process that was started
//! under a filter could open the libraries that it is linked with, so it can open that file. A
//! filter that the process installs later is announced by [`enter`], before it is there, since
//! asking may be forbidden afterwards. A process never gets out of a filter, and its children
//! inherit it.

use super::errno::KeepErrno;
use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Not asked yet.
const UNKNOWN: u32 = 0;
/// There was no filter when the kernel was asked.
const FREE: u32 = 1;
/// There was a filter when the kernel was asked, which the process may have been started under, as
/// in a container.
const FILTERED: u32 = 2;
/// The program has said that it confines itself.
const CONFINED: u32 = 3;
/// Reading, writing and ending are all that is left.
const STRICT: u32 = 4;

// Relaxed, everywhere: the word guards no memory, and only grows once it is known.
static STATE: AtomicU32 = AtomicU32::new(UNKNOWN);

/// The program is about to confine itself; `strictly`: it may not ask for memory any more.
pub(crate) fn enter(strictly: bool) {
    STATE.fetch_max(if strictly { STRICT } else { CONFINED }, Relaxed);
}

/// Whether calls that change the process's memory are forbidden.
pub(crate) fn is_strict() -> bool {
    STATE.load(Relaxed) == STRICT
}

/// Whether the program has confined itself, or is about to. Does not ask the kernel.
pub(crate) fn is_announced() -> bool {
    STATE.load(Relaxed) >= CONFINED
}

/// Whether the heap makes no other system calls than those that any allocator makes. Asks the
/// kernel once.
pub(crate) fn is_on() -> bool {
    match STATE.load(Relaxed) {
        UNKNOWN => ask().unwrap_or(true),
        FREE => false,
        _ => true,
    }
}

/// As [`is_on`], by what the kernel says of the calling thread now. `None`: it does not tell.
pub(crate) fn ask() -> Option<bool> {
    if STATE.load(Relaxed) >= FILTERED {
        return Some(true);
    }
    let mode = mode()?;
    STATE.fetch_max(if mode == b'0' { FREE } else { FILTERED }, Relaxed);
    Some(mode != b'0')
}

/// The digit behind `Seccomp:` in the status of the calling thread.
fn mode() -> Option<u8> {
    let _errno = KeepErrno::new();
    // SAFETY: the path is a C string.
    let file = unsafe { libc::open(c"/proc/thread-self/status".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return None;
    }
    let (mut finder, mut mode) = (Finder(0), None);
    while mode.is_none() {
        let mut text = [0u8; 512];
        // SAFETY: the buffer is as long as stated.
        let got = unsafe { libc::read(file, text.as_mut_ptr().cast(), text.len()) };
        let Some(part) = usize::try_from(got).ok().and_then(|got| text.get(..got)) else {
            break;
        };
        if part.is_empty() {
            break;
        }
        mode = part.iter().copied().find(|&byte| finder.is_behind_key(byte));
    }
    // SAFETY: opened above.
    unsafe { libc::close(file) };
    mode
}

/// How much of the key the last bytes were.
struct Finder(usize);

impl Finder {
    const KEY: &[u8] = b"\nSeccomp:\t";

    /// Whether the key stands right before `byte`, the next one.
    fn is_behind_key(&mut self, byte: u8) -> bool {
        if self.0 == Self::KEY.len() {
            return true;
        }
        // Only the first byte of the key is a new line.
        self.0 = match Self::KEY.get(self.0) {
            Some(&next) if next == byte => self.0 + 1,
            _ => usize::from(byte == b'\n'),
        };
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_found_in_any_parts_of_the_text() {
        let text = b"Name:\tSeccomp:\t7\nNoNewPrivs:\t1\n\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        let mut finder = Finder(0);
        let found = text.iter().copied().find(|&byte| finder.is_behind_key(byte));
        assert_eq!(found, Some(b'2'));
        let mut finder = Finder(0);
        assert!(!b"Seccomp:\t2".iter().any(|&byte| finder.is_behind_key(byte)));
    }

    #[test]
    fn the_kernel_tells_the_mode() {
        assert!(matches!(mode(), Some(b'0'..=b'2')));
    }
}
