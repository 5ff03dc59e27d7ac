//! The contract of [`PageSource`] as checks that the tests of every backend call.

use std::ptr::NonNull;

use super::PageSource;

/// Pages of one test range.
const PAGES: usize = 16;

/// Returns whether the byte at `at` can be read. Asks the kernel, so that the answer "no" is not a
/// fault.
pub(crate) fn is_readable(at: NonNull<u8>) -> bool {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for both descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: the kernel answers EFAULT for an address that cannot be read.
    let wrote = unsafe { libc::write(ends[1], at.as_ptr().cast(), 1) };
    for end in ends {
        // SAFETY: the descriptors were made above and are not used again.
        unsafe { libc::close(end) };
    }
    wrote == 1
}

/// Returns the address `offset` bytes behind `base`.
pub(crate) fn at(base: NonNull<u8>, offset: usize) -> NonNull<u8> {
    NonNull::new(base.as_ptr().wrapping_add(offset)).unwrap()
}

/// Fills Ready memory.
pub(crate) fn fill(base: NonNull<u8>, bytes: usize, value: u8) {
    // SAFETY: the tests pass Ready ranges of their own.
    unsafe { base.write_bytes(value, bytes) };
}

/// Returns whether Ready memory holds one value throughout.
pub(crate) fn holds(base: NonNull<u8>, bytes: usize, value: u8) -> bool {
    // SAFETY: the tests pass Ready ranges of their own, which no other thread writes.
    let memory = unsafe { std::slice::from_raw_parts(base.as_ptr(), bytes) };
    memory.iter().all(|&byte| byte == value)
}

/// Returns a new Ready range.
pub(crate) fn ready_range(source: &dyn PageSource, bytes: usize) -> NonNull<u8> {
    let base = source.reserve(bytes, source.page_size()).unwrap();
    // SAFETY: the range is Reserved and ours.
    assert!(unsafe { source.prepare(base, bytes) });
    // SAFETY: the range is Prepared and ours.
    assert!(unsafe { source.ready(base, bytes) });
    base
}

/// Frees a range of the test.
pub(crate) fn free(source: &dyn PageSource, base: NonNull<u8>, bytes: usize) {
    // SAFETY: the tests pass ranges of their own that they do not use any more.
    unsafe { source.free(base, bytes) };
}

pub(crate) fn the_page_size_is_the_kernels(source: &dyn PageSource) {
    // SAFETY: `sysconf` takes any name.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    assert_eq!(source.page_size(), usize::try_from(page).unwrap());
    assert_eq!(source.page_size(), source.page_size());
}

pub(crate) fn new_memory_is_zero_and_writable_and_zero_again_after_release(source: &dyn PageSource) {
    let page = source.page_size();
    let base = ready_range(source, PAGES * page);
    assert!(holds(base, PAGES * page, 0));
    fill(base, PAGES * page, 0x5A);
    // SAFETY: the two pages are Ready and ours, and no reference points into them.
    assert!(unsafe { source.release(at(base, 3 * page), 2 * page) });
    // SAFETY: the two pages are Prepared and ours.
    assert!(unsafe { source.ready(at(base, 3 * page), 2 * page) });
    assert!(holds(base, 3 * page, 0x5A));
    assert!(holds(at(base, 3 * page), 2 * page, 0));
    assert!(holds(at(base, 5 * page), (PAGES - 5) * page, 0x5A));
    free(source, base, PAGES * page);
}

pub(crate) fn every_alignment_up_to_a_gibibyte_is_kept(source: &dyn PageSource) {
    let page = source.page_size();
    for shift in 0..=30 {
        let base = source.reserve(page, 1 << shift).unwrap();
        assert_eq!(base.addr().get() % page.max(1 << shift), 0);
        // SAFETY: the range is Reserved and ours.
        assert!(unsafe { source.prepare(base, page) });
        // SAFETY: the range is Prepared and ours.
        assert!(unsafe { source.ready(base, page) });
        fill(base, page, 1);
        free(source, base, page);
    }
}

pub(crate) fn freed_memory_is_unmapped_and_its_neighbours_stay(source: &dyn PageSource) {
    let page = source.page_size();
    let base = ready_range(source, PAGES * page);
    fill(base, PAGES * page, 7);
    // In a child, whose one thread maps nothing. In this process, another test could map the hole
    // at once.
    // SAFETY: the child makes system calls only and exits without running exit handlers.
    let child = unsafe { libc::fork() };
    if child == 0 {
        free(source, at(base, 4 * page), 4 * page);
        let gone = !is_readable(at(base, 4 * page)) && !is_readable(at(base, 8 * page - 1));
        let kept = is_readable(at(base, 4 * page - 1)) && is_readable(at(base, 8 * page));
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(!(gone && kept))) };
    }
    let mut status = -1;
    // SAFETY: `status` is live, and `child` is our child.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    free(source, at(base, 4 * page), 4 * page);
    assert!(holds(base, 4 * page, 7));
    assert!(holds(at(base, 8 * page), (PAGES - 8) * page, 7));
    free(source, base, 4 * page);
    free(source, at(base, 8 * page), (PAGES - 8) * page);
}

#[test]
fn the_coarse_clock_never_runs_backwards() {
    let first = super::coarse_millis();
    assert!(first > 0);
    assert!((0..1000).all(|_| super::coarse_millis() >= first));
}

#[test]
fn errno_is_restored_when_the_guard_goes() {
    super::errno::set(11);
    {
        let _keep = super::errno::KeepErrno::new();
        super::errno::set(22);
    }
    assert_eq!(super::errno::get(), 11);
}
