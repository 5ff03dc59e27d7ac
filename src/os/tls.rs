//! The hook that runs when a thread ends: a pthread key with a destructor.
//!
//! Destructors of keys run after those of Rust's and C++'s thread-locals, in no order among themselves, for up to four rounds. glibc keeps the
//! values of the first 32 keys in the thread itself, so a key made early is set without allocating.

use core::ffi::{c_int, c_void};

/// What runs at the end of a thread. It does not unwind; an ABI that forbade it would have the compiler add code for when it does.
pub(crate) type Destructor = extern "C-unwind" fn(*mut c_void);

unsafe extern "C" {
    fn pthread_key_create(key: *mut libc::pthread_key_t, destructor: Destructor) -> c_int;
}

/// A key.
#[derive(Clone, Copy)]
pub(crate) struct Key(libc::pthread_key_t);

impl Key {
    /// The key's number.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    /// The key with number `index`, which came from [`index`](Self::index).
    pub(crate) fn from_index(index: usize) -> Self {
        Self(index as libc::pthread_key_t)
    }
}

/// A new key, whose `destructor` runs at the end of each thread that set it to something else than null.
pub(crate) fn create_key(destructor: Destructor) -> Option<Key> {
    let mut key = 0;
    // SAFETY: `key` is a valid place for the answer, and the destructor lives as long as the process.
    let made = unsafe { pthread_key_create(&raw mut key, destructor) } == 0;
    made.then_some(Key(key))
}

/// Sets the calling thread's value. `false`: no memory.
pub(crate) fn set(key: Key, value: *mut c_void) -> bool {
    // SAFETY: the key came from `create_key`.
    unsafe { libc::pthread_setspecific(key.0, value) == 0 }
}
