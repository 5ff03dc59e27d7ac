//! A fence on every processor that runs a thread of this process: the heavy side of
//! [`light_fence`](crate::sync::handover::light_fence).
//!
//! The system call is `membarrier`, of Linux 4.14 and later. Its private, expedited form interrupts
//! only the processors that run this process, and returns after a few microseconds.

use super::errno::KeepErrno;
use super::sandbox;
use crate::sync::IS_MODEL;
use crate::sync::atomic::{Ordering::SeqCst, fence};

const EXPEDITED: libc::c_int = 1 << 3;
const REGISTER_EXPEDITED: libc::c_int = 1 << 4;

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: the call reads and writes no memory of the process.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

/// Executes a fence on every processor that runs a thread of this process, and on the caller's.
/// `false`: the system has no such call, or it may be forbidden here; nothing happened.
pub(crate) fn everywhere() -> bool {
    fence(SeqCst);
    if IS_MODEL {
        return true;
    }
    if sandbox::is_announced() {
        return false;
    }
    let _errno = KeepErrno::new();
    // A process that has not registered is refused, as is the child of some kernels' `fork`.
    membarrier(EXPEDITED) || (membarrier(REGISTER_EXPEDITED) && membarrier(EXPEDITED))
}
