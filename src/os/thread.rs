//! A thread of the heap, made without the standard library: with a small stack, no signals and no
//! thread-local destructors.

use super::errno::KeepErrno;
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr::null_mut;

/// Bytes of stack.
const STACK: usize = 128 << 10;

/// The function that a thread runs. It does not unwind, like a
/// [`Destructor`](super::tls::Destructor).
type Body = extern "C-unwind" fn(*mut c_void) -> *mut c_void;

unsafe extern "C" {
    fn pthread_create(
        thread: *mut libc::pthread_t,
        attributes: *const libc::pthread_attr_t,
        body: Body,
        argument: *mut c_void,
    ) -> c_int;
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

/// The state of a thread that cannot be cancelled now; the same number in glibc and in musl.
const CANCEL_DISABLE: c_int = 1;

/// Starts a thread that runs `body`. `false`: the system refuses. Either another thread calls
/// [`join`] for it, or it calls [`detach_self`] before it ends.
///
/// May call the process's `malloc`. So the caller holds no lock, and no structure is half changed.
pub(crate) fn spawn(body: Body) -> bool {
    let _errno = KeepErrno::new();
    let mut attributes = MaybeUninit::uninit();
    // SAFETY: a valid place for the attributes.
    if unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: initialised above.
    unsafe { libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK) };
    // The new thread inherits the mask, so that the program's signals go to the program's threads.
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: a valid place for a set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: `all` is initialised, `before` a valid place.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    super::fork::note_thread();
    let mut thread = MaybeUninit::uninit();
    // SAFETY: places and attributes are valid, and the function lives as long as the process.
    let started = unsafe { pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), body, null_mut()) } == 0;
    // SAFETY: `before` was filled above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), null_mut()) };
    // SAFETY: initialised above.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    started
}

/// Returns the number of the calling thread, which is not 0.
pub(crate) fn own_number() -> usize {
    // SAFETY: always callable.
    unsafe { libc::pthread_self() as usize }
}

/// Detaches the calling thread, which [`spawn`] has made: no thread waits for it.
pub(crate) fn detach_self() {
    // SAFETY: always callable.
    let own = unsafe { libc::pthread_self() };
    // SAFETY: the thread is not detached yet.
    unsafe { libc::pthread_detach(own) };
}

/// Waits until the thread with this number has ended, for the kernel too.
///
/// # Safety
/// [`spawn`] has made the thread, it is not detached, and no other thread waits for it.
pub(crate) unsafe fn join(number: usize) {
    let _errno = KeepErrno::new();
    let mut before = 0;
    // SAFETY: a valid place. Cancellation is off, because waiting is a cancellation point.
    unsafe { pthread_setcancelstate(CANCEL_DISABLE, &raw mut before) };
    // SAFETY: the thread is joinable and no other thread waits for it (contract of this function).
    // Its result may stay where it is.
    unsafe { libc::pthread_join(number as libc::pthread_t, null_mut()) };
    // SAFETY: a valid place, and the state from before.
    unsafe { pthread_setcancelstate(before, &raw mut before) };
}

/// Names the calling thread for tools that list threads; at most 15 bytes.
pub(crate) fn name_self(name: &core::ffi::CStr) {
    // SAFETY: the string is valid. The kernel cuts a longer name.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}
