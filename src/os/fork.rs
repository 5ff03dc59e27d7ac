//! Hooks around `fork`, and the identity of the thread that forks.

use crate::sync::tally::{AtomicBool, Ordering::Relaxed};
use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::ptr::null_mut;

/// A function that runs around a fork. It does not unwind, like a
/// [`Destructor`](super::tls::Destructor).
pub(crate) type Hook = extern "C-unwind" fn();

unsafe extern "C" {
    fn pthread_atfork(prepare: Hook, parent: Hook, child: Hook) -> c_int;
}

/// Runs `prepare` before each fork, and `parent` or `child` after it. `false`: the system has no
/// room for the hooks.
pub(crate) fn register(prepare: Hook, parent: Hook, child: Hook) -> bool {
    // SAFETY: the functions live as long as the process.
    unsafe { pthread_atfork(prepare, parent, child) == 0 }
}

/// Returns a number for the calling thread. No other live thread has it, and the thread keeps it in
/// a fork child. Never 0.
pub(crate) fn me() -> u64 {
    if let Some(me) = crate::sync::model_thread() {
        return me;
    }
    // SAFETY: always callable.
    unsafe { libc::pthread_self() as u64 }
}

/// Returns the id of this process.
pub(crate) fn process() -> u32 {
    // SAFETY: always callable.
    (unsafe { libc::getpid() }) as u32
}

/// Whether this process, or a process that it was forked from, ever had a thread of the heap.
static HAD_THREAD: AtomicBool = AtomicBool::new(false);

/// Notes that the heap is about to start a thread.
pub(crate) fn note_thread() {
    HAD_THREAD.store(true, Relaxed);
}

/// The calling thread's signals, held back around a fork.
///
/// In a program with threads, some C libraries (such as glibc 2.36) hold an internal lock from the
/// last hook before a fork to the first hook after it. A signal handler that forks in between waits
/// for that lock for ever. A program without threads has no such problem, and the heap's thread
/// must not create it. If the heap has no thread, no system call is made.
#[derive(Clone, Copy)]
pub(crate) struct Signals(MaybeUninit<libc::sigset_t>);

impl Signals {
    /// Holds all signals back. `None`: there is no need.
    pub(crate) fn hold() -> Option<Self> {
        if !HAD_THREAD.load(Relaxed) {
            return None;
        }
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: a valid place for a set.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: `all` is initialised, `before` a valid place.
        let held = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) } == 0;
        held.then_some(Self(before))
    }

    /// Restores the signal mask from before `hold`.
    pub(crate) fn let_through(self) {
        // SAFETY: `hold` filled the set.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, self.0.as_ptr(), null_mut()) };
    }
}
