//! A signal with a handler that sleeps, for the scenarios of parking.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

const SIGNAL: i32 = libc::SIGUSR2;

static TURNS: AtomicUsize = AtomicUsize::new(0);

/// Sleeps a moment; now and then as long as a thread that counts as idle.
extern "C" fn sleep(_: i32) {
    let turn = TURNS.fetch_add(1, Ordering::Relaxed);
    let millis = if turn.is_multiple_of(40) { 1_100 } else { 1 + turn % 12 };
    let time = libc::timespec {
        tv_sec: millis as i64 / 1_000,
        tv_nsec: millis as i64 % 1_000 * 1_000_000,
    };
    // SAFETY: sets and reads the place of this thread's `errno`.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    // SAFETY: the time is valid, and no rest is asked for.
    unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
    // SAFETY: as above.
    unsafe { *errno = before };
}

/// Installs the handler, for the whole process.
pub(crate) fn install_handler() {
    // SAFETY: all bytes zero is an action without flags.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = sleep as extern "C" fn(i32) as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the action is whole; the handler calls only functions that a handler may call.
    let failed = unsafe { libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut()) };
    assert_eq!(failed, 0);
}

/// A timer of a thread. It ends when this is dropped.
pub(crate) struct Timer(libc::timer_t);

/// Lets the signal interrupt the calling thread again and again, while it runs.
pub(crate) fn interrupt_this_thread() -> Timer {
    // SAFETY: all bytes zero is an event.
    let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
    event.sigev_notify = libc::SIGEV_THREAD_ID;
    event.sigev_signo = SIGNAL;
    // SAFETY: has no preconditions.
    event.sigev_notify_thread_id = unsafe { libc::gettid() };
    let mut timer = MaybeUninit::uninit();
    // SAFETY: the event and the place are valid.
    let failed = unsafe { libc::timer_create(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut event, timer.as_mut_ptr()) };
    assert_eq!(failed, 0);
    // SAFETY: filled by the call above.
    let timer = Timer(unsafe { timer.assume_init() });
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000,
    };
    let often = libc::itimerspec {
        it_interval: time,
        it_value: time,
    };
    // SAFETY: the timer exists, and the times are valid.
    let failed = unsafe { libc::timer_settime(timer.0, 0, &raw const often, std::ptr::null_mut()) };
    assert_eq!(failed, 0);
    timer
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timer exists.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// The signal is blocked in this thread until this is dropped.
pub(crate) struct Blocked;

/// Blocks the signal in the calling thread. From then on the keeper cannot know that no handler of
/// it is under way.
pub(crate) fn block() -> Blocked {
    change_mask(libc::SIG_BLOCK);
    Blocked
}

impl Drop for Blocked {
    fn drop(&mut self) {
        change_mask(libc::SIG_UNBLOCK);
    }
}

fn change_mask(how: i32) {
    let mut set = MaybeUninit::uninit();
    // SAFETY: a valid place for a set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised above.
    unsafe { libc::sigaddset(set.as_mut_ptr(), SIGNAL) };
    // SAFETY: the set is initialised.
    unsafe { libc::pthread_sigmask(how, set.as_ptr(), std::ptr::null_mut()) };
}
