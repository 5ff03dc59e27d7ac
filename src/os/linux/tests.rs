use super::*;
use crate::os::tests as contract;
use contract::{at, fill, free, holds, is_readable, ready_range};

static SOURCE: Linux = Linux::new();

#[test]
fn the_page_size_is_the_kernels() {
    contract::the_page_size_is_the_kernels(&SOURCE);
}

#[test]
fn new_memory_is_zero_and_writable_and_zero_again_after_release() {
    contract::new_memory_is_zero_and_writable_and_zero_again_after_release(&SOURCE);
}

#[test]
fn every_alignment_up_to_a_gibibyte_is_kept() {
    contract::every_alignment_up_to_a_gibibyte_is_kept(&SOURCE);
}

#[test]
fn impossible_reservations_are_refused() {
    contract::impossible_reservations_are_refused(&SOURCE);
}

#[test]
fn freed_memory_is_unmapped_and_its_neighbours_stay() {
    contract::freed_memory_is_unmapped_and_its_neighbours_stay(&SOURCE);
}

#[test]
fn reserved_pages_fault_until_they_are_prepared() {
    let page = SOURCE.page_size();
    let base = SOURCE.reserve(4 * page, page).unwrap();
    // SAFETY: the second page is Reserved and ours.
    assert!(unsafe { SOURCE.prepare(at(base, page), page) });
    let readable: Vec<bool> = (0..4).map(|index| is_readable(at(base, index * page))).collect();
    assert_eq!(readable, [false, true, false, false]);
    free(&SOURCE, base, 4 * page);
}

#[test]
fn a_refused_prepare_leaves_every_page_reserved_and_errno_alone() {
    let page = SOURCE.page_size();
    let base = SOURCE.reserve(4 * page, page).unwrap();
    // A hole makes the kernel refuse after it changed the pages before it.
    free(&SOURCE, at(base, 2 * page), page);
    crate::os::errno::set(4711);
    // SAFETY: the hole is nobody's; the test expects the refusal that it provokes.
    let prepared = unsafe { SOURCE.prepare(base, 4 * page) };
    assert_eq!(crate::os::errno::get(), 4711);
    // Another thread of the test process may map into the hole, and then there is nothing to refuse.
    if !prepared {
        assert!(!is_readable(base) && !is_readable(at(base, page)));
    }
    free(&SOURCE, base, 2 * page);
    free(&SOURCE, at(base, 3 * page), page);
}

#[test]
fn remap_moves_the_contents_and_leaves_zeroes_behind() {
    let page = SOURCE.page_size();
    for pages in [1, 2, 33, 1024] {
        let bytes = pages * page;
        let (from, to) = (ready_range(&SOURCE, bytes), ready_range(&SOURCE, bytes));
        fill(from, bytes, 0x11);
        fill(to, bytes, 0x22);
        crate::os::errno::set(4711);
        // SAFETY: both ranges are Ready, ours and disjoint.
        let moved = unsafe { SOURCE.remap(from, to, bytes) };
        assert_eq!(crate::os::errno::get(), 4711);
        assert!(moved, "this kernel knows MREMAP_DONTUNMAP");
        assert!(holds(to, bytes, 0x11) && holds(from, bytes, 0));
        fill(from, bytes, 0x33);
        assert!(holds(to, bytes, 0x11));
        // SAFETY: the range is Ready, ours, and nobody refers into it.
        assert!(unsafe { SOURCE.release(to, bytes) });
        assert!(holds(to, bytes, 0));
        free(&SOURCE, from, bytes);
        free(&SOURCE, to, bytes);
    }
}

#[test]
fn remap_inside_one_reservation_leaves_the_neighbours_alone() {
    let page = SOURCE.page_size();
    let base = ready_range(&SOURCE, 8 * page);
    for index in 0..8u8 {
        fill(at(base, usize::from(index) * page), page, index + 1);
    }
    // SAFETY: both ranges are Ready, ours and disjoint.
    assert!(unsafe { SOURCE.remap(at(base, page), at(base, 5 * page), 2 * page) });
    let found: Vec<u8> = (0..8)
        .filter_map(|index| (0..9).find(|&v| holds(at(base, index * page), page, v)))
        .collect();
    assert_eq!(found, [1, 0, 0, 4, 5, 2, 3, 8]);
    free(&SOURCE, base, 8 * page);
}

/// `from` made of two mappings that the kernel cannot merge: the right half was moved there from elsewhere.
fn patched_range(bytes: usize) -> NonNull<u8> {
    let half = bytes / 2;
    let (range, other) = (ready_range(&SOURCE, bytes), ready_range(&SOURCE, half));
    fill(range, bytes, 0x11);
    fill(other, half, 0x11);
    // SAFETY: both ranges are Ready, ours and disjoint.
    assert!(unsafe { SOURCE.remap(other, at(range, half), half) });
    free(&SOURCE, other, half);
    range
}

#[test]
fn a_refused_remap_changes_nothing_and_leaves_no_hole() {
    let bytes = 8 * SOURCE.page_size();
    let (from, to) = (patched_range(bytes), ready_range(&SOURCE, bytes));
    fill(to, bytes, 0x22);
    // SAFETY: both ranges are Ready, ours and disjoint.
    let moved = unsafe { SOURCE.remap(from, to, bytes) };
    if moved {
        assert!(
            holds(from, bytes, 0) && holds(to, bytes, 0x11),
            "a kernel that moves several mappings at once"
        );
    } else {
        assert!(holds(from, bytes, 0x11) && holds(to, bytes, 0x22));
    }
    free(&SOURCE, from, bytes);
    free(&SOURCE, to, bytes);
}

#[test]
fn the_address_space_left_is_unknown_without_a_limit_and_below_it_with_one() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a live rlimit.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) }, 0);
    let unlimited = limit.rlim_cur == libc::RLIM_INFINITY;
    assert_eq!(SOURCE.address_space_left().is_none(), unlimited);
    assert!(mapped_pages() > 0);
    // The limit holds for the whole process, so one is set in a child; it may only call what is safe after fork.
    // SAFETY: the child calls nothing but system calls and exits without running anybody's handlers.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let most = 1usize << 46;
        let narrow = libc::rlimit {
            rlim_cur: most as libc::rlim_t,
            rlim_max: limit.rlim_max,
        };
        // SAFETY: `narrow` is a live rlimit.
        let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const narrow) } == 0;
        let below = SOURCE.address_space_left().is_some_and(|left| left > 0 && left < most);
        let refused = SOURCE.reserve(most, SOURCE.page_size()).is_none();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(!(set && below && refused))) };
    }
    let mut status = -1;
    // SAFETY: `status` is live, and `child` is our child.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
}

#[test]
fn advice_on_huge_pages_changes_neither_contents_nor_errno() {
    let bytes = 4 << 20;
    let base = ready_range(&SOURCE, bytes);
    fill(base, bytes, 9);
    crate::os::errno::set(4711);
    SOURCE.huge_pages(base, bytes, true);
    SOURCE.huge_pages(base, bytes, false);
    SOURCE.huge_pages(at(base, 1), 1, true);
    assert_eq!(crate::os::errno::get(), 4711);
    assert!(holds(base, bytes, 9));
    free(&SOURCE, base, bytes);
}
