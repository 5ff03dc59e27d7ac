//! A program whose `mmap` a tool has replaced, as sanitizers do. The tool reserves the wide middle
//! of the address space for itself. It replaces the place that a request names by null, and leaves
//! the flags. With `MAP_FIXED_NOREPLACE`, such a request asks for page 0, and a privileged program
//! gets it.
#![cfg(all(target_os = "linux", greyspan_heap, not(feature = "passthrough")))]

use greyspan::{Greyspan, stats};
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

/// Requests whose place the tool has replaced; those of them that were orders; and mappings made
/// for them that the heap gave back.
static REPLACED: AtomicUsize = AtomicUsize::new(0);
static ORDERS: AtomicUsize = AtomicUsize::new(0);
static GIVEN_BACK: AtomicUsize = AtomicUsize::new(0);
/// The last such mapping that the heap has not given back.
static LAST: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// The tool's `mmap`.
///
/// # Safety
/// As for the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn mmap(
    at: *mut c_void,
    bytes: usize,
    protection: c_int,
    flags: c_int,
    file: c_int,
    offset: i64,
) -> *mut c_void {
    let replaced = !at.is_null() && flags & libc::MAP_FIXED == 0;
    let is_order = replaced && flags & libc::MAP_FIXED_NOREPLACE != 0;
    let (at, flags) = match replaced {
        // The test would not survive page 0.
        true => (null_mut(), flags & !libc::MAP_FIXED_NOREPLACE),
        false => (at, flags),
    };
    // SAFETY: the caller's request, at a place of the kernel's choice if the tool replaced it.
    let made = unsafe { libc::syscall(libc::SYS_mmap, at, bytes, protection, flags, file, offset) };
    if replaced {
        REPLACED.fetch_add(1, Relaxed);
        ORDERS.fetch_add(usize::from(is_order), Relaxed);
        LAST[0].store(made as usize, Relaxed);
        LAST[1].store(bytes, Relaxed);
    }
    #[expect(clippy::disallowed_methods, reason = "a raw system call returns a number")]
    std::ptr::with_exposed_provenance_mut(made as usize)
}

/// The tool's `munmap`.
///
/// # Safety
/// As for the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn munmap(at: *mut c_void, bytes: usize) -> c_int {
    if LAST[0].load(Relaxed) == at.addr() && LAST[1].load(Relaxed) == bytes {
        GIVEN_BACK.fetch_add(1, Relaxed);
        LAST[0].store(0, Relaxed);
    }
    // SAFETY: the caller's request.
    unsafe { libc::syscall(libc::SYS_munmap, at, bytes) as c_int }
}

/// A single test: no other thread maps memory meanwhile.
#[test]
fn a_heap_that_gets_no_place_of_its_choice_lives_elsewhere_and_leaves_nothing_behind() {
    let blocks: Vec<Vec<u8>> = (1..=60u8).map(|number| vec![number; 2 << 20]).collect();
    assert!(stats().heap_sys >= 120 << 20);
    let replaced = REPLACED.load(Relaxed);
    assert!(replaced > 0, "the heap does not call the tool's `mmap`");
    assert_eq!(ORDERS.load(Relaxed), 0, "requests for page 0");
    assert_eq!(GIVEN_BACK.load(Relaxed), replaced, "mappings that the heap gave back");
    for (number, block) in (1..).zip(&blocks) {
        assert!(block.iter().all(|&byte| byte == number));
    }
}
