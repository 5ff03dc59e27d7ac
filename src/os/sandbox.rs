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
    let is_confined = Status::read()?.is_confined();
    STATE.fetch_max(if is_confined { FILTERED } else { FREE }, Relaxed);
    Some(is_confined)
}

/// What the kernel says of a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Status {
    threads: usize,
    no_new_privileges: usize,
    seccomp: usize,
}

impl Status {
    /// Whether there is a filter that may forbid threads. One is known not to if the process has
    /// several threads under it: a container has such a filter from the start, by a process with
    /// privileges. A program that installs a filter itself needs `PR_SET_NO_NEW_PRIVS` as a rule;
    /// its threads may be older than the filter.
    fn is_confined(self) -> bool {
        self.seccomp != 0 && (self.threads < 2 || self.no_new_privileges != 0)
    }

    /// That of the calling thread; `None`: the kernel does not tell.
    fn read() -> Option<Self> {
        let _errno = KeepErrno::new();
        // SAFETY: the path is a C string.
        let file = unsafe { libc::open(c"/proc/thread-self/status".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
        if file < 0 {
            return None;
        }
        let mut fields = Fields::new();
        loop {
            let mut text = [0u8; 512];
            // SAFETY: the buffer is as long as stated.
            let got = unsafe { libc::read(file, text.as_mut_ptr().cast(), text.len()) };
            match usize::try_from(got).ok().and_then(|got| text.get(..got)) {
                None | Some([]) => break,
                Some(part) => part.iter().for_each(|&byte| fields.take(byte)),
            }
        }
        // SAFETY: opened above.
        unsafe { libc::close(file) };
        fields.status()
    }
}

/// The number behind a key in a text that comes byte by byte.
struct Field {
    key: &'static [u8],
    /// How many bytes of the key the last ones were; all of them until the number is over.
    matched: usize,
    value: Option<usize>,
}

impl Field {
    const fn behind(key: &'static [u8]) -> Self {
        Self {
            key,
            matched: 0,
            value: None,
        }
    }

    fn take(&mut self, byte: u8) {
        if self.matched == self.key.len() && byte.is_ascii_digit() {
            let digit = usize::from(byte - b'0');
            self.value = Some(self.value.unwrap_or(0).saturating_mul(10).saturating_add(digit));
            return;
        }
        // Only the first byte of a key is a new line.
        self.matched = match self.key.get(self.matched) {
            Some(&next) if next == byte && self.value.is_none() => self.matched + 1,
            _ => usize::from(byte == b'\n' && self.value.is_none()),
        };
    }
}

/// Those of the status that count.
struct Fields {
    threads: Field,
    no_new_privileges: Field,
    seccomp: Field,
}

impl Fields {
    const fn new() -> Self {
        Self {
            threads: Field::behind(b"\nThreads:\t"),
            no_new_privileges: Field::behind(b"\nNoNewPrivs:\t"),
            seccomp: Field::behind(b"\nSeccomp:\t"),
        }
    }

    fn take(&mut self, byte: u8) {
        self.threads.take(byte);
        self.no_new_privileges.take(byte);
        self.seccomp.take(byte);
    }

    fn status(&self) -> Option<Status> {
        Some(Status {
            threads: self.threads.value?,
            no_new_privileges: self.no_new_privileges.value?,
            seccomp: self.seccomp.value?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_among_others() {
        let mut fields = Fields::new();
        let text =
            b"Name:\tSeccomp:\t7\nThreads:\t12\nNoNewPrivs:\t1\n\nSeccomp:\t2\nSeccomp_filters:\t1\nThreads:\t3\n";
        text.iter().for_each(|&byte| fields.take(byte));
        let found = Status {
            threads: 12,
            no_new_privileges: 1,
            seccomp: 2,
        };
        assert_eq!(fields.status(), Some(found));
        let mut fields = Fields::new();
        b"Seccomp:\t2\nThreads:\t1\n".iter().for_each(|&byte| fields.take(byte));
        assert_eq!(fields.status(), None);
    }

    #[test]
    fn the_kernel_tells() {
        let status = Status::read().expect("Linux tells");
        assert!(status.threads >= 1 && status.seccomp <= 2, "{status:?}");
    }

    #[test]
    fn a_filter_confines_unless_threads_were_made_under_it() {
        let status = |threads, no_new_privileges, seccomp| Status {
            threads,
            no_new_privileges,
            seccomp,
        };
        assert!(!status(1, 1, 0).is_confined(), "no filter");
        assert!(status(1, 0, 2).is_confined(), "no thread yet");
        assert!(!status(2, 0, 2).is_confined(), "as in a container");
        assert!(status(9, 1, 2).is_confined(), "the filter may be the program's own");
    }
}
