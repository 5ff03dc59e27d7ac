//! Shared by the test binaries and the fuzz targets: operations, the oracle that runs them, and the
//! allocators that it can judge.
//!
//! Each binary includes this module by path, and none uses all of it.
#![allow(dead_code, reason = "each binary that includes this module uses a part of it")]

pub(crate) mod ops;
pub(crate) mod oracle;
pub(crate) mod rng;

use std::alloc::{GlobalAlloc, Layout};

use greyspan::Greyspan;

/// An allocator that the oracle can judge.
pub(crate) trait Subject: GlobalAlloc {
    /// Reports that the calling thread will be idle.
    fn thread_idle(&self) {}

    /// Returns free memory to the system.
    fn purge(&self) {}
}

impl Subject for Greyspan {
    fn thread_idle(&self) {
        greyspan::thread_idle();
    }

    fn purge(&self) {
        greyspan::purge();
    }
}

/// The path of compiled code: through the symbols behind `#[global_allocator]`.
pub(crate) struct Registered;

// SAFETY: every method forwards to the function of `std::alloc` with the same contract.
unsafe impl GlobalAlloc for Registered {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { std::alloc::alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { std::alloc::dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc_zeroed`.
        unsafe { std::alloc::alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`.
        unsafe { std::alloc::realloc(ptr, layout, new_size) }
    }
}

impl Subject for Registered {
    fn thread_idle(&self) {
        greyspan::thread_idle();
    }

    fn purge(&self) {
        greyspan::purge();
    }
}
