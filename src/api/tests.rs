//! The public functions, on the heap of the process. The tests' own allocator is the system's.

use super::*;
use crate::heap::global::Greyspan;
#[cfg(all(greyspan_heap, not(feature = "passthrough")))]
use crate::heap::thread::has_cache;
use core::alloc::GlobalAlloc;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a good layout")
}

#[test]
fn requests_through_the_trait_are_served_whichever_value_they_come_through() {
    const KIB: usize = 1 << 10;
    for (size, align) in [
        (1, 1),
        (24, 8),
        (1000, 64),
        (32 * KIB, 8),
        (100 * KIB, 8),
        (100, 64 * KIB),
    ] {
        let (layout, longer) = (layout(size, align), size * 2 + 10);
        // SAFETY: the layout is not empty.
        let ptr = unsafe { Greyspan::new().alloc_zeroed(layout) };
        let block = NonNull::new(ptr).expect("memory");
        assert!(ptr.addr().is_multiple_of(align) && usable_size(block, layout) >= size);
        for place in 0..size {
            // SAFETY: the block is the test's, and has so many bytes.
            let byte = unsafe { ptr.wrapping_add(place).replace(place as u8) };
            assert_eq!(byte, 0, "at {place} of {size} bytes");
        }
        // SAFETY: the block is live, of this layout, and the new size is not 0.
        let ptr = unsafe { Greyspan.realloc(ptr, layout, longer) };
        assert!(!ptr.is_null() && ptr.addr().is_multiple_of(align));
        for place in 0..size {
            // SAFETY: the block is the test's, and has so many bytes.
            assert_eq!(unsafe { ptr.wrapping_add(place).read() }, place as u8);
        }
        // SAFETY: the block is live, of this layout, and freed once.
        unsafe { Greyspan.dealloc(ptr, Layout::from_size_align(longer, align).expect("a good layout")) };
    }
}

#[test]
fn a_request_that_cannot_be_served_is_refused_with_null() {
    let layout = layout(isize::MAX as usize - 7, 8);
    // SAFETY: the layout is not empty.
    assert!(unsafe { Greyspan.alloc(layout) }.is_null());
    // SAFETY: the layout is not empty.
    assert!(unsafe { Greyspan.alloc_zeroed(layout) }.is_null());
}

#[test]
fn a_limit_is_told_as_it_was_set() {
    set_hard_limit(Some(1 << 45));
    assert_eq!(hard_limit(), Some(1 << 45));
    set_hard_limit(None);
    set_memory_limit(Some(1 << 46));
    assert_eq!((memory_limit(), hard_limit()), (Some(1 << 46), None));
    set_memory_limit(None);
    assert_eq!((memory_limit(), hard_limit()), (None, None));
}

#[test]
fn the_version_is_the_packages() {
    assert!(!version().is_empty() && version().split('.').all(|part| part.parse::<u32>().is_ok()));
}

#[cfg(all(greyspan_heap, not(feature = "passthrough")))]
#[test]
fn a_thread_that_has_not_allocated_may_purge_and_go_idle() {
    std::thread::spawn(|| {
        purge();
        thread_idle();
        assert!(!has_cache() || cfg!(feature = "preload"));
        let layout = layout(100, 8);
        // SAFETY: the layout is not empty.
        let ptr = unsafe { Greyspan.alloc(layout) };
        assert!(!ptr.is_null() && has_cache());
        // SAFETY: the block is live, of this layout, and freed once.
        unsafe { Greyspan.dealloc(ptr, layout) };
        thread_idle();
        let first = purge();
        assert!(first < 1 << 46, "bytes, not an error: {first}");
        assert!(has_cache(), "the thread keeps its cache");
    })
    .join()
    .expect("none of it fails");
}

#[cfg(all(greyspan_heap, not(feature = "passthrough")))]
#[test]
fn an_idle_thread_holds_no_free_memory() {
    std::thread::spawn(|| {
        let layout = layout(100 << 10, 8);
        // Another test that purges may park this thread at any moment.
        let keeps = (0..1000).any(|_| {
            // SAFETY: the layout is not empty.
            let row: Vec<*mut u8> = (0..4).map(|_| unsafe { Greyspan.alloc(layout) }).collect();
            // SAFETY: the blocks are live, of this layout, and each is freed once.
            row.into_iter().for_each(|ptr| unsafe { Greyspan.dealloc(ptr, layout) });
            current().room() > 0
        });
        assert!(keeps);
        thread_idle();
        assert_eq!(current().room(), 0);
    })
    .join()
    .expect("the thread has nothing");
}

#[cfg(feature = "profiling")]
#[test]
fn a_profile_has_no_rate_of_zero() {
    let error = profile::start(0).expect_err("no mean distance");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[cfg(all(feature = "preload", greyspan_heap))]
mod c {
    use super::super::raw::*;
    use crate::heap::c::nested::{alone_unless_nested, turn};
    use std::ptr::null_mut;

    fn release(ptr: *mut u8) {
        // SAFETY: the block is the test's, which gives it up.
        unsafe { free(ptr) };
    }

    /// The result of `call`, and what it sets `errno` to, or 0.
    fn error<R>(call: impl FnOnce() -> R) -> (R, i32) {
        set_errno(0);
        let result = call();
        (result, std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }

    #[test]
    fn calloc_refuses_a_product_that_overflows() {
        let _turn = turn();
        for (count, size) in [(usize::MAX, 2), (1 << 33, 1 << 33), (3, usize::MAX / 2)] {
            assert_eq!(error(|| calloc(count, size)), (null_mut(), libc::ENOMEM));
        }
        for (count, size) in [(0, 10), (10, 0), (10, 10), (0, usize::MAX)] {
            let (ptr, error) = error(|| calloc(count, size));
            assert!(!ptr.is_null() && error == 0 && usable_size(ptr) >= count * size);
            release(ptr);
        }
    }

    #[test]
    fn realloc_of_null_allocates_and_to_nothing_frees() {
        let _turn = turn();
        // SAFETY: null is no block.
        let ptr = unsafe { realloc(null_mut(), 100) };
        assert!(usable_size(ptr) >= 100);
        // SAFETY: the block is the test's.
        assert!(unsafe { realloc(ptr, 0) }.is_null());
        assert_eq!(usable_size(ptr), 0, "it is free");
        assert_eq!(usable_size(null_mut()), 0);
    }

    #[test]
    fn only_powers_of_two_are_alignments_and_memalign_takes_the_next_one() {
        let _turn = turn();
        for align in [0, 3, 24, usize::MAX] {
            assert_eq!(
                error(|| aligned_alloc(align, 100)),
                (null_mut(), libc::EINVAL),
                "{align}"
            );
        }
        for (align, next) in [(0, 16), (3, 16), (17, 32), (100, 128), (4096, 4096), (5000, 8192)] {
            let ptr = memalign(align, 100);
            assert!(!ptr.is_null() && ptr.addr().is_multiple_of(next), "{align}");
            release(ptr);
        }
        assert_eq!(error(|| memalign(usize::MAX / 2 + 2, 100)), (null_mut(), libc::EINVAL));
        let ptr = aligned_alloc(4096, 100);
        assert!(!ptr.is_null() && ptr.addr().is_multiple_of(4096));
        release(ptr);
    }

    #[test]
    fn posix_memalign_returns_its_error_and_sets_errno_for_memory_alone() {
        let _turn = turn();
        for align in [0, 1, 2, 4, 12, 24, 100] {
            let (result, errno) = error(|| posix_memalign(align, 100));
            assert_eq!((result, errno), (Err(libc::EINVAL), 0), "{align}");
        }
        let (result, errno) = error(|| posix_memalign(64, usize::MAX));
        assert_eq!((result, errno), (Err(libc::ENOMEM), libc::ENOMEM));
        let (result, errno) = error(|| posix_memalign(64, 100));
        let ptr = result.expect("memory");
        assert!(errno == 0 && ptr.addr().is_multiple_of(64));
        release(ptr);
    }

    #[test]
    fn whole_pages_are_at_least_one_and_begin_at_a_page() {
        let _turn = turn();
        let page = crate::os::PageSource::page_size(&crate::os::NATIVE);
        for (size, whole, least) in [
            (0, true, page),
            (1, true, page),
            (page + 1, true, 2 * page),
            (10, false, 10),
        ] {
            let ptr = page_aligned(size, whole);
            assert!(ptr.addr().is_multiple_of(page) && usable_size(ptr) >= least);
            release(ptr);
        }
        let (ptr, errno) = error(|| page_aligned(usize::MAX, true));
        assert_eq!((ptr, errno), (null_mut(), libc::ENOMEM));
    }

    #[test]
    fn a_free_keeps_errno() {
        let _turn = turn();
        for size in [10, 5000, 100 << 10, 8 << 20] {
            let ptr = malloc(size);
            set_errno(libc::EPERM);
            release(ptr);
            let errno = std::io::Error::last_os_error().raw_os_error();
            assert_eq!(errno, Some(libc::EPERM), "{size} bytes");
        }
    }

    #[test]
    fn statistics_are_cut_to_the_buffer_and_counted_whole() {
        let _turn = turn();
        let mut whole = vec![0xffu8; 64 << 10];
        let length = stats_json(&mut whole);
        assert!(length > 100 && length < whole.len() && whole[length] == 0);
        assert!(whole[..length].starts_with(b"{") && !whole[..length].contains(&0));
        let mut part = [0xffu8; 10];
        assert!(stats_json(&mut part) > 100);
        assert!(part[..9] == whole[..9] && part[9] == 0);
        assert!(stats_json(&mut []) > 100);
        // A call that has interrupted another one of its thread gets none.
        alone_unless_nested(|_| assert_eq!(stats_json(&mut part), 0)).expect("it is no nested call");
        assert_eq!(part[0], 0);
    }

    #[test]
    fn a_profile_has_no_rate_of_zero() {
        let _turn = turn();
        assert_eq!(start_profile(0), Err(libc::EINVAL));
    }

    #[test]
    fn a_nested_call_gives_nothing_back() {
        let _turn = turn();
        let nested = alone_unless_nested(|_| {
            assert_eq!(purge(), 0);
            thread_idle();
            assert!(stats().is_none());
        });
        assert!(nested.is_some(), "this call is not nested itself");
        assert!(stats().is_some());
    }
}
