use core::cell::Cell;

use super::*;
use crate::sync::unmodeled::{AtomicU32, Ordering};

/// One decimal digit a handler that ran, in order.
static RAN: AtomicU32 = AtomicU32::new(0);
thread_local! {
    /// Whether this test watches this thread's fork: other tests fork too. A child's thread inherits the answer.
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

fn note(digit: u32) {
    if WATCHED.get() {
        RAN.store(RAN.load(Ordering::Relaxed) * 10 + digit, Ordering::Relaxed);
    }
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
    WATCHED.set(true);
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
