//! The hook that runs when a thread ends: a pthread key with a destructor.
//!
//! Destructors of keys run after those of Rust's and C++'s thread-locals, in no fixed order, for up
//! to four rounds. glibc keeps the values of the first 32 keys in the thread itself, so setting a
//! key that was made early does not allocate.

use core::ffi::{c_int, c_void};

/// A function that runs at the end of a thread. It does not unwind. The ABI allows it all the same,
/// because an ABI that forbids it makes the compiler add code for that case.
pub(crate) type Destructor = extern "C-unwind" fn(*mut c_void);

unsafe extern "C" {
    fn pthread_key_create(key: *mut libc::pthread_key_t, destructor: Destructor) -> c_int;
}

/// A key.
#[derive(Clone, Copy)]
pub(crate) struct Key(libc::pthread_key_t);

impl Key {
    /// Returns the key's number.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the key with number `index`, which came from [`index`](Self::index).
    pub(crate) fn from_index(index: usize) -> Self {
        Self(index as libc::pthread_key_t)
    }
}

/// Makes a key. Its `destructor` runs at the end of each thread whose value is not null. `None`:
/// the system has no more keys.
pub(crate) fn create_key(destructor: Destructor) -> Option<Key> {
    let mut key = 0;
    // SAFETY: `key` is a valid place, and the destructor lives as long as the process.
    let made = unsafe { pthread_key_create(&raw mut key, destructor) } == 0;
    made.then_some(Key(key))
}

/// Sets the calling thread's value. `false`: no memory.
pub(crate) fn set(key: Key, value: *mut c_void) -> bool {
    // SAFETY: the key came from `create_key`.
    unsafe { libc::pthread_setspecific(key.0, value) == 0 }
}

/// Returns the calling thread's value; null before the first `set`.
pub(crate) fn get(key: Key) -> *mut c_void {
    // SAFETY: the key came from `create_key`.
    unsafe { libc::pthread_getspecific(key.0) }
}
