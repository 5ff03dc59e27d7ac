use super::*;
use crate::sync::unmodeled::{AtomicU32, Ordering};

/// One decimal digit a handler that ran, in order.
static RAN: AtomicU32 = AtomicU32::new(0);
/// The thread whose fork this test watches: other tests fork too.
static WATCHED: AtomicU32 = AtomicU32::new(0);

fn note(digit: u32) {
    // SAFETY: takes no argument and cannot fail.
    let thread = unsafe { libc::pthread_self() };
    if WATCHED.load(Ordering::Relaxed) == name_of(thread) {
        RAN.store(RAN.load(Ordering::Relaxed) * 10 + digit, Ordering::Relaxed);
    }
}

/// A number that differs between threads that are alive at the same time, never 0.
fn name_of(thread: libc::pthread_t) -> u32 {
    u32::try_from((thread >> 6) & 0xffff_ffff).unwrap() | 1 << 31
}

unsafe extern "C" fn prepare() {
    note(1);
}

unsafe extern "C" fn parent() {
    note(2);
}

unsafe extern "C" fn child() {
    note(3);
}

#[test]
fn handlers_run_before_and_on_both_sides_of_a_fork() {
    assert!(register(prepare, parent, child));
    // SAFETY: takes no argument and cannot fail.
    WATCHED.store(name_of(unsafe { libc::pthread_self() }), Ordering::Relaxed);
    // SAFETY: the child only reads a static and exits without running anybody's handlers.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(RAN.load(Ordering::Relaxed) != 13)) };
    }
    assert_eq!(RAN.load(Ordering::Relaxed), 12);
    let mut status = -1;
    // SAFETY: `status` is live, and `pid` is our child.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0);
}
