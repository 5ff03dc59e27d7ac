//! C's operations: callers name neither size nor alignment of a block that they free, and may be
//! wrong.
//!
//! Each operation has a file of its own, whose public functions are C's. `api::raw` passes them on
//! to libgreyspan.so, which gives them their names in C. `malloc` and `free` have fast paths. Every
//! other call that names a block finds the block's span ([`find`]). A wrong call ends the process
//! with one line that names the call, the block, its size and the reason.
//!
//! A request that cannot be served returns null and sets `errno` as POSIX.1-2024 and glibc do.
//!
//! - C-1. Every object has a multiple of 16 bytes, so it is aligned to 16 and has a second word
//!   for its mark.
//! - C-2. A large object's span tells the size that its holder asked for, even if a thread had kept
//!   the run.
//! - C-3. No block begins with the mark or the link that an earlier block left there. Otherwise the
//!   program, or a `realloc`, could copy words that it never wrote to the place where the earlier
//!   block began.

pub(crate) mod aligned;
mod find;
pub(crate) mod free;
pub(crate) mod malloc;
pub(crate) mod nested;
pub(crate) mod realloc;
pub(super) mod spare;
pub(crate) mod usable;

use crate::os;
use core::ptr::null_mut;

/// The alignment of C's `max_align_t`.
const ALIGN: usize = 16;

/// Refuses a request that cannot be served: returns null with `errno` set.
#[cold]
fn refuse(error: i32) -> *mut u8 {
    os::errno::set(error);
    null_mut()
}
