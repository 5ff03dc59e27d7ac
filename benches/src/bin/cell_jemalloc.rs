//! Workloads under jemalloc.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

/// Purges the dirty pages of all arenas; 4096 stands for all in jemalloc's control names.
const PURGE: &CStr = c"arena.4096.purge";

unsafe extern "C" {
    /// `mallctl` of jemalloc's manual.
    fn _rjem_mallctl(
        name: *const c_char,
        old: *mut c_void,
        old_length: *mut usize,
        new: *const c_void,
        new_length: usize,
    ) -> c_int;
}

fn purge() {
    // SAFETY: the name is a C string, and this control reads and writes no value.
    let status = unsafe { _rjem_mallctl(PURGE.as_ptr(), null_mut(), null_mut(), null(), 0) };
    assert_eq!(status, 0, "jemalloc does not know {PURGE:?}");
}

greyspan_bench::cell_main!(
    tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc,
    "jemalloc",
    None,
    Some(purge)
);
