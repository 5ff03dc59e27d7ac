//! TEMPORARY stand-in.
use std::alloc::{GlobalAlloc, Layout, System};
/// TEMPORARY
#[derive(Debug, Default)]
pub struct Greyspan;
impl Greyspan {
    /// TEMPORARY
    pub const fn new() -> Self {
        Greyspan
    }
}
// SAFETY: forwards to System.
unsafe impl GlobalAlloc for Greyspan {
    unsafe fn alloc(&self, l: Layout) -> *mut u8 {
        // SAFETY: forwarded.
        unsafe { System.alloc(l) }
    }
    unsafe fn dealloc(&self, p: *mut u8, l: Layout) {
        // SAFETY: forwarded.
        unsafe { System.dealloc(p, l) }
    }
}
