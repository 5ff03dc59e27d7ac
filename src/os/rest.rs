//! Whether another thread of the process is at rest: it sleeps in a system call, and no signal
//! handler of it is under way.
//!
//! A thread at rest is in none of the heap's fast operations, because these make no system call. A
//! handler may have interrupted one and sleep. While a handler runs, the kernel blocks its signal,
//! so a thread that blocks no signal runs no handler. Calls that block other signals while they
//! wait hide this, and count as no rest. The signals that have handlers now do not matter: one that
//! ran may be none any more (`SA_RESETHAND`). The exceptions are known or forbidden:
//!
//! - REST-1. If a handler was installed with `SA_NODEFER`, no thread counts as at rest.
//! - REST-2. A handler that interrupts a call of the heap, unblocks its own signal and then sleeps
//!   must not return into that call. The same holds for a handler that was installed with
//!   `SA_NODEFER` and `SA_RESETHAND` together.
//!
//! The kernel tells all this in `/proc`. Where it does not, no thread is at rest.

use super::errno::KeepErrno;
use super::file::{self, Path};
use super::sandbox;
use core::mem::MaybeUninit;

/// The handlers of the process, as the kernel last described them.
pub(crate) struct Handlers {
    /// Signals with a handler, bit 0 for signal 1, of the last question.
    caught: u64,
    defer: bool,
}

impl Handlers {
    pub(crate) fn new() -> Self {
        Self { caught: 0, defer: true }
    }

    /// Whether each of the handlers of `caught` keeps its own signal blocked while it runs.
    fn all_defer(&mut self, caught: u64) -> bool {
        if caught != self.caught {
            self.caught = caught;
            self.defer = (1..=64).filter(|signal| caught >> (signal - 1) & 1 != 0).all(defers);
        }
        self.defer
    }
}

/// Whether the handler of `signal` keeps that signal blocked while it runs. Asks the kernel itself:
/// the program may have a `sigaction` of its own that allocates or waits, and the caller has a
/// lock.
fn defers(signal: i32) -> bool {
    // The kernel's record: the handler, the flags, the restorer and the mask.
    let mut action = [0u64; 4];
    let asks_only = core::ptr::null::<u64>();
    // SAFETY: a valid place that holds the kernel's record, and no new action.
    let known = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, asks_only, action.as_mut_ptr(), 8) } == 0;
    let [_, flags, ..] = action;
    !known || flags & libc::SA_NODEFER as u64 == 0
}

/// The processor clock of a thread.
#[derive(Clone, Copy)]
pub(crate) struct Clock(libc::clockid_t);

impl Clock {
    /// Returns the clock of the thread with this number. `None`: the system has none.
    ///
    /// # Safety
    /// The thread has not ended.
    pub(crate) unsafe fn of(number: usize) -> Option<Self> {
        let mut clock = 0;
        // SAFETY: the thread has not ended (contract of this function), and the place is valid.
        let found = unsafe { libc::pthread_getcpuclockid(number as libc::pthread_t, &raw mut clock) } == 0;
        found.then_some(Self(clock))
    }

    /// Returns the processor time that the thread has used, in nanoseconds. `None`: the system does
    /// not tell.
    pub(crate) fn nanos(self) -> Option<u64> {
        let _errno = KeepErrno::new();
        let mut time = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: a valid place for a time.
        if unsafe { libc::clock_gettime(self.0, time.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: filled by the call above.
        let time = unsafe { time.assume_init() };
        Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    /// Returns the kernel's number of the thread, which it keeps in the clock's.
    fn thread(self) -> u32 {
        !(self.0 >> 3) as u32
    }

    /// Returns whether the thread is at rest now, and has been since before the call.
    pub(crate) fn is_at_rest(self, handlers: &mut Handlers) -> bool {
        let _errno = KeepErrno::new();
        let before = self.nanos();
        let mut text = [0; 4096];
        // Twice, around the other questions: the kernel writes the lines of a file one after the
        // other, so the thread may wake between two of them.
        let Some(status) = read(self.thread(), b"/status", &mut text).and_then(parse) else {
            return false;
        };
        status.sleeps
            && status.blocked == 0
            && handlers.all_defer(status.caught)
            && read(self.thread(), b"/syscall", &mut text).is_some_and(keeps_signals)
            && read(self.thread(), b"/status", &mut text).and_then(parse) == Some(status)
            && before.is_some()
            && before == self.nanos()
    }
}

/// The kernel's statements about a thread.
#[derive(PartialEq, Eq, Debug)]
struct Status {
    sleeps: bool,
    blocked: u64,
    caught: u64,
    /// Times that the thread has left the processor to wait, the decimal digits as hexadecimal
    /// ones.
    waits: u64,
}

/// Reads a file about a thread into `text`.
fn read<'a>(thread: u32, name: &[u8], text: &'a mut [u8]) -> Option<&'a [u8]> {
    if !sandbox::allows_looks() {
        return None;
    }
    let mut digits = [0; 10];
    let path = Path::of(&[b"/proc/self/task/", decimal(thread, &mut digits), name])?;
    file::contents(&path, text).ok()
}

/// Writes a number to the end of `digits`. Returns the part that it fills.
fn decimal(number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let (mut rest, mut first) = (number, 0);
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        first = index;
        if rest == 0 {
            break;
        }
    }
    digits.get(first..).unwrap_or_default()
}

fn parse(text: &[u8]) -> Option<Status> {
    let field = |key: &[u8]| {
        text.split(|&byte| byte == b'\n')
            .find_map(|line| line.strip_prefix(key))
    };
    Some(Status {
        sleeps: field(b"State:\t")?.first() == Some(&b'S'),
        blocked: mask(field(b"SigBlk:\t")?)?,
        caught: mask(field(b"SigCgt:\t")?)?,
        waits: mask(field(b"voluntary_ctxt_switches:\t")?)?,
    })
}

/// The system calls that may change the blocked signals while they wait, and which of their
/// arguments, counted from 0, says so unless it is 0.
const CHANGES: [(libc::c_long, usize); 8] = [
    (libc::SYS_rt_sigsuspend, 0),
    (libc::SYS_rt_sigtimedwait, 0),
    (libc::SYS_ppoll, 3),
    (libc::SYS_epoll_pwait, 4),
    // `epoll_pwait2`, on all processors.
    (441, 4),
    (libc::SYS_io_uring_enter, 4),
    (libc::SYS_pselect6, 5),
    // `io_pgetevents`.
    (if cfg!(target_arch = "x86_64") { 333 } else { 292 }, 5),
];

/// Returns whether a thread with this `syscall` file waits in a system call that leaves the blocked
/// signals as they are. A thread may sleep elsewhere: in a fault, or because it was frozen.
fn keeps_signals(text: &[u8]) -> bool {
    let mut words = text.split(|byte| byte.is_ascii_whitespace());
    let number = words.next().and_then(|word| {
        word.iter().try_fold(0, |number, &byte| {
            let digit = char::from(byte).to_digit(10)?;
            Some(number * 10 + libc::c_long::from(digit))
        })
    });
    let Some(number) = number.filter(|_| text.first().is_some_and(u8::is_ascii_digit)) else {
        return false;
    };
    match CHANGES.iter().find(|change| change.0 == number) {
        Some(&(_, argument)) => words.nth(argument).is_some_and(|word| word == b"0x0"),
        None => true,
    }
}

/// Reads a number of hexadecimal digits, such as a set of signals.
fn mask(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |mask, &byte| {
        let digit = char::from(byte).to_digit(16)?;
        Some(mask << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::thread::own_number;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn the_kernels_text_is_understood() {
        let text = b"Name:\tx\nState:\tS (sleeping)\nSigBlk:\t0000000000000200\nSigCgt:\t0000000180000440\n\
            voluntary_ctxt_switches:\t15\n";
        let status = Status {
            sleeps: true,
            blocked: 0x200,
            caught: 0x1_8000_0440,
            waits: 0x15,
        };
        assert_eq!(parse(text), Some(status));
        assert_eq!(parse(b"State:\tR (running)\nSigBlk:\t0\n"), None);
        assert_eq!(parse(b"State:\tR (running)\nSigBlk:\tx\nSigCgt:\t0\n"), None);
        assert_eq!(
            [decimal(u32::MAX, &mut [0; 10]), decimal(70, &mut [0; 10])],
            [b"4294967295".as_slice(), b"70"]
        );
    }

    #[test]
    fn a_call_that_changes_the_blocked_signals_is_no_rest() {
        let rests = |text: String| keeps_signals(text.as_bytes());
        let futex = libc::SYS_futex;
        assert!(rests(format!(
            "{futex} 0x7f00 0x80 0x0 0x0 0x0 0xffffffff 0x7ffd 0x7f11\n"
        )));
        assert!(!keeps_signals(b"running\n") && !keeps_signals(b"-1 0x7ffd 0x7f11\n") && !keeps_signals(b""));
        for (call, argument) in CHANGES {
            let text = |mask: &str| {
                let words: Vec<&str> = (0..6).map(|at| if at == argument { mask } else { "0x1" }).collect();
                format!("{call} {} 0x7ffd 0x7f11\n", words.join(" "))
            };
            assert!(rests(text("0x0")) && !rests(text("0x7ffd10")), "{call}");
        }
    }

    /// Returns whether a thread that runs `before` and then waits comes to rest.
    fn comes_to_rest(before: fn()) -> bool {
        let (tell, told) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            before();
            tell.send(own_number()).unwrap();
            let _ = ended.recv();
        });
        // SAFETY: the thread waits until `end` is dropped.
        let clock = unsafe { Clock::of(told.recv().unwrap()) }.expect("a clock");
        let rests = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            clock.is_at_rest(&mut Handlers::new())
        });
        drop(end);
        thread.join().unwrap();
        rests
    }

    #[test]
    fn a_thread_that_waits_is_at_rest() {
        assert!(comes_to_rest(|| ()));
    }

    #[test]
    fn a_thread_that_blocks_a_signal_may_be_in_a_handler() {
        // No handler has this signal now. One that has ended its own installation may still run.
        assert!(!comes_to_rest(|| {
            let mut set = MaybeUninit::uninit();
            // SAFETY: a valid place for a set.
            unsafe { libc::sigemptyset(set.as_mut_ptr()) };
            // SAFETY: initialised above.
            unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGURG) };
            // SAFETY: the set is initialised.
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), core::ptr::null_mut()) };
        }));
    }

    #[test]
    fn a_running_thread_is_not_at_rest() {
        // SAFETY: the calling thread has not ended.
        let own = unsafe { Clock::of(own_number()) }.expect("a clock");
        assert!(!own.is_at_rest(&mut Handlers::new()));
        let busy = own.nanos();
        while own.nanos() == busy {}
    }

    #[test]
    fn a_handler_that_does_not_block_its_signal_rules_rest_out() {
        extern "C" fn handler(_: i32) {}
        let signal = libc::SIGWINCH;
        // SAFETY: all bytes zero is an action without flags.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = handler as extern "C" fn(i32) as usize;
        action.sa_flags = libc::SA_NODEFER;
        let mut before = MaybeUninit::uninit();
        // SAFETY: the action is whole, and the place is valid.
        unsafe { libc::sigaction(signal, &raw const action, before.as_mut_ptr()) };
        let with = Handlers::new().all_defer(1 << (signal - 1));
        // SAFETY: the action from before, filled above.
        unsafe { libc::sigaction(signal, before.as_ptr(), core::ptr::null_mut()) };
        assert!(!with && Handlers::new().all_defer(1 << (signal - 1)));
    }
}
