//! Detects whether the process runs under a seccomp filter. A filter may end the process for a
//! system call that its author did not expect.
//!
//! - This module owns two words for the process.
//! - It asks the kernel through `/proc`. A process started under a filter could open its libraries,
//!   so it can open that file.
//! - The program announces a filter of its own by [`enter`] before it installs it, because asking
//!   may be forbidden afterwards.
//! - A process never leaves a filter, and its children inherit it.
//! - No call here is a point at which a thread may be cancelled.

use super::errno::KeepErrno;
use crate::sync::tally::{AtomicU32, AtomicUsize, Ordering::Relaxed};

/// The kernel was not asked yet.
const UNKNOWN: u32 = 0;
/// There was no filter when the kernel was asked.
const FREE: u32 = 1;
/// There was a filter, installed by a privileged process, as in a container.
const HOUSED: u32 = 2;
/// There was a filter that the program may have installed itself, or the kernel does not tell.
const FILTERED: u32 = 3;
/// The program has announced that it confines itself.
const CONFINED: u32 = 4;

// Relaxed, everywhere: the words guard no memory, and only grow.
static STATE: AtomicU32 = AtomicU32::new(UNKNOWN);
/// The one thread that may only read, write and exit; 0 for none, `SEVERAL` for any.
static STRICT: AtomicUsize = AtomicUsize::new(0);
const SEVERAL: usize = usize::MAX;

/// Whether the heap may have a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    Yes,
    /// Perhaps later. The kernel cannot tell now, or the program has no second thread yet that
    /// would show that threads are allowed.
    NotYet,
    No,
}

/// Notes that the program is about to confine itself.
pub(crate) fn enter() {
    STATE.fetch_max(CONFINED, Relaxed);
}

/// Notes that the calling thread is in strict mode: it may not change the process's mappings any
/// more.
pub(crate) fn enter_strict_mode() {
    let own = super::thread::own_number();
    if STRICT
        .compare_exchange(0, own, Relaxed, Relaxed)
        .is_err_and(|other| other != own)
    {
        STRICT.store(SEVERAL, Relaxed);
    }
}

/// Returns whether the calling thread may not make calls that change the process's mappings.
#[inline]
pub(crate) fn is_strict() -> bool {
    match STRICT.load(Relaxed) {
        0 => false,
        SEVERAL => true,
        thread => thread == super::thread::own_number(),
    }
}

/// Returns whether the program has confined itself, or is about to. Does not ask the kernel.
pub(crate) fn is_announced() -> bool {
    STATE.load(Relaxed) >= CONFINED
}

/// Returns whether the heap may ask which pages have memory. Asks the kernel about filters once.
pub(crate) fn allows_looks() -> bool {
    if STATE.load(Relaxed) == UNKNOWN {
        may_have_thread();
    }
    matches!(STATE.load(Relaxed), FREE | HOUSED)
}

/// Returns whether the heap may have a thread, by what the kernel now says of the calling thread.
pub(crate) fn may_have_thread() -> Answer {
    if STATE.load(Relaxed) >= FILTERED {
        return Answer::No;
    }
    let (state, answer) = match Status::read() {
        Ok(status) if status.seccomp == 0 => (FREE, Answer::Yes),
        // The process's threads may be older than the filter.
        Ok(status) if status.no_new_privileges != 0 => (FILTERED, Answer::No),
        Ok(status) if status.threads < 2 => (HOUSED, Answer::NotYet),
        Ok(_) => (HOUSED, Answer::Yes),
        Err(libc::ENOENT | libc::ENOTDIR | libc::EACCES | libc::EPERM) => (FILTERED, Answer::No),
        Err(_) => (UNKNOWN, Answer::NotYet),
    };
    STATE.fetch_max(state, Relaxed);
    answer
}

/// The kernel's statements about a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Status {
    threads: usize,
    no_new_privileges: usize,
    seccomp: usize,
}

impl Status {
    /// Reads those of the calling thread. `Err`: the error by which the kernel refuses.
    fn read() -> Result<Self, i32> {
        let errno = KeepErrno::new();
        let (path, mode) = (c"/proc/thread-self/status".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        // SAFETY: the path is a C string.
        let file = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, mode, 0) };
        if file < 0 {
            return Err(errno.now());
        }
        let mut fields = Fields::new();
        loop {
            let mut text = [0u8; 512];
            // SAFETY: the buffer is as long as stated.
            let got = unsafe { libc::syscall(libc::SYS_read, file, text.as_mut_ptr(), text.len()) };
            match usize::try_from(got).ok().and_then(|got| text.get(..got)) {
                None | Some([]) => break,
                Some(part) => part.iter().for_each(|&byte| fields.take(byte)),
            }
        }
        // SAFETY: opened above.
        unsafe { libc::syscall(libc::SYS_close, file) };
        Ok(fields.status())
    }
}

/// The number behind a key, in a text that arrives byte by byte.
struct Field {
    key: &'static [u8],
    /// Bytes of the key that the last bytes matched; the whole key until the number ends.
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
        // A new line occurs only as the first byte of a key.
        self.matched = match self.key.get(self.matched) {
            Some(&next) if next == byte && self.value.is_none() => self.matched + 1,
            _ => usize::from(byte == b'\n' && self.value.is_none()),
        };
    }
}

/// The fields of the status that matter here.
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

    /// Returns the status. A kernel without filters has no field for them, and one before 4.10 has
    /// none for privileges.
    fn status(&self) -> Status {
        Status {
            threads: self.threads.value.unwrap_or(1),
            no_new_privileges: self.no_new_privileges.value.unwrap_or(1),
            seccomp: self.seccomp.value.unwrap_or(0),
        }
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
        assert_eq!(fields.status(), found);
        let mut fields = Fields::new();
        b"Seccomp:\t2\nThreads:\t4\n".iter().for_each(|&byte| fields.take(byte));
        let found = Status {
            threads: 4,
            no_new_privileges: 1,
            seccomp: 0,
        };
        assert_eq!(fields.status(), found);
    }

    #[test]
    fn the_kernel_tells() {
        let status = Status::read().expect("Linux tells");
        assert!(status.threads >= 1 && status.seccomp <= 2, "{status:?}");
    }
}
