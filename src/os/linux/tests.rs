//! Transitions of real memory.

use super::*;

const MIB: usize = 1 << 20;

fn prepared(bytes: usize) -> (Linux, NonNull<u8>) {
    let linux = Linux::new();
    let base = linux.reserve(bytes, 2 * MIB).expect("address space");
    // SAFETY: just reserved.
    assert!(unsafe { linux.prepare(base, bytes) });
    (linux, base)
}

fn at(base: NonNull<u8>, offset: usize) -> NonNull<u8> {
    NonNull::new(base.as_ptr().wrapping_add(offset)).expect("inside the range")
}

fn fill(base: NonNull<u8>, bytes: usize, value: u8) {
    // SAFETY: the tests' own range, prepared.
    unsafe { base.as_ptr().write_bytes(value, bytes) };
}

fn holds(base: NonNull<u8>, bytes: usize, value: u8) -> bool {
    // SAFETY: the tests' own range, prepared.
    unsafe { core::slice::from_raw_parts(base.as_ptr(), bytes) }
        .iter()
        .all(|&byte| byte == value)
}

#[test]
fn windows_are_aligned_random_and_claimed_piece_by_piece() {
    let linux = Linux::new();
    let (base, bytes) = linux.window(MIB, 1 << 40, 2 * MIB).expect("a window");
    assert!(base.addr().get().is_multiple_of(2 * MIB) && bytes >= MIB);
    let places: Vec<_> = (0..8).filter_map(|_| linux.window(MIB, 1 << 40, 2 * MIB)).collect();
    assert!(places.iter().all(|&(place, _)| place != base), "{places:?}");
    for piece in [0, 3 * MIB, MIB] {
        // SAFETY: a part of the window that was not claimed yet.
        assert_eq!(unsafe { linux.claim(at(base, piece), MIB) }, Claim::Done);
        assert!(holds(at(base, piece), MIB, 0));
        fill(at(base, piece), MIB, 7);
    }
    for taken in [0, MIB / 2, 3 * MIB] {
        // SAFETY: the test breaks the contract on purpose. A mapped place is refused and stays
        // unchanged.
        assert_eq!(unsafe { linux.claim(at(base, taken), 2 * MIB) }, Claim::Taken);
    }
    assert!(holds(base, 2 * MIB, 7) && holds(at(base, 3 * MIB), MIB, 7));
    // SAFETY: a part of the window, of more bytes than there are addresses.
    assert_eq!(unsafe { linux.claim(base, 1 << 60) }, Claim::Refused);
    assert_eq!(linux.window(1 << 60, 1 << 60, 2 * MIB), None);
    for (piece, bytes) in [(0, 2 * MIB), (3 * MIB, MIB)] {
        // SAFETY: claimed above, and not used any more.
        unsafe { linux.free(at(base, piece), bytes) };
    }
}

#[test]
fn a_reservation_is_aligned_and_released_pages_read_zero() {
    let (linux, base) = prepared(4 * MIB);
    assert!(base.addr().get().is_multiple_of(2 * MIB));
    fill(base, MIB, 7);
    // SAFETY: the range is the test's.
    assert!(unsafe { linux.release(base, MIB) });
    assert!(holds(base, MIB, 0));
    // SAFETY: the range is the test's and not used any more.
    unsafe { linux.free(base, 4 * MIB) };
}

#[test]
fn pages_that_the_program_has_locked_are_released_too() {
    let (linux, base) = prepared(4 * MIB);
    fill(base, MIB, 7);
    // SAFETY: the range is the test's.
    if unsafe { libc::mlock(base.as_ptr().cast(), MIB / 4) } != 0 {
        eprintln!("skipped: this user may lock no memory");
        return;
    }
    // SAFETY: the range is the test's.
    let refused = unsafe { libc::madvise(base.as_ptr().cast(), MIB, libc::MADV_DONTNEED) } != 0;
    assert!(refused, "the kernel releases locked pages, and this shows nothing");
    crate::os::errno::set(42);
    // SAFETY: the range is the test's.
    if unsafe { linux.release(base, MIB) } {
        assert!(holds(base, MIB, 0));
    } else {
        eprintln!("skipped: the kernel is older than 5.18");
    }
    assert_eq!(crate::os::errno::get(), 42);
    // SAFETY: the range is the test's and not used any more.
    unsafe { linux.free(base, 4 * MIB) };
}

#[test]
fn a_move_by_page_table_takes_the_contents_and_leaves_zero() {
    let (linux, base) = prepared(8 * MIB);
    let to = at(base, 4 * MIB);
    fill(base, 2 * MIB, 5);
    fill(to, 2 * MIB, 9);
    // SAFETY: both ranges are the test's and apart.
    if unsafe { linux.remap(base, to, 2 * MIB) } {
        assert!(holds(to, 2 * MIB, 5) && holds(base, 2 * MIB, 0));
    } else {
        assert!(holds(base, 2 * MIB, 5), "a refused move keeps what was there");
    }
    // SAFETY: the range is the test's and not used any more.
    unsafe { linux.free(base, 8 * MIB) };
}

#[test]
fn a_refused_move_of_several_mappings_changes_nothing_and_leaves_no_hole() {
    let (linux, base) = prepared(16 * MIB);
    let (to, end) = (at(base, 4 * MIB), at(base, 12 * MIB));
    fill(base, 2 * MIB, 5);
    // SAFETY: the ranges are the test's and apart.
    let moved = unsafe { linux.remap(base, to, 2 * MIB) };
    // Where the kernel keeps moved pages apart, a separate mapping now begins at `to`.
    fill(to, 4 * MIB, 6);
    fill(end, 4 * MIB, 8);
    // SAFETY: the ranges are the test's and apart.
    if unsafe { linux.remap(to, end, 4 * MIB) } {
        assert!(holds(end, 4 * MIB, 6) && holds(to, 4 * MIB, 0));
    } else {
        assert!(holds(to, 4 * MIB, 6) && holds(end, 4 * MIB, 8));
        assert!(
            !moved || !linux.no_remap.load(Relaxed),
            "one odd range does not end moving for good"
        );
    }
    // SAFETY: the range is the test's and not used any more.
    unsafe { linux.free(base, 16 * MIB) };
}

/// Moves pages in a fork child that has only `left` mappings left. Returns 0 if they moved, 1 if
/// they did not, and more if the contract is broken.
fn move_with_mappings_left(left: usize) -> i32 {
    const PAGE: usize = 4096;
    // SAFETY: the child makes system calls only and ends by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let (linux, base) = prepared(8 * MIB);
        let to = at(base, 4 * MIB);
        fill(base, 2 * MIB, 5);
        fill(to, 2 * MIB, 9);
        let range = linux.reserve(400_000 * PAGE, PAGE).expect("address space").as_ptr();
        let split = |page: usize, protection| {
            // SAFETY: a page of the range made above, which holds nothing.
            unsafe { libc::mprotect(range.wrapping_add(page * PAGE).cast(), PAGE, protection) == 0 }
        };
        let used = (0..400_000)
            .step_by(2)
            .take_while(|&page| split(page, libc::PROT_READ))
            .count();
        // Each page that is like its neighbours again leaves room for two mappings. The range's end
        // gives an odd number.
        (1..=left).for_each(|back| {
            split((used - back) * 2, libc::PROT_NONE);
        });
        // SAFETY: both ranges are the test's and apart.
        let moved = unsafe { linux.remap(base, to, 2 * MIB) };
        let right = if moved {
            holds(to, 2 * MIB, 5) && holds(base, 2 * MIB, 0)
        } else {
            // The contents of `to` are undefined, but it is mapped.
            fill(to, 2 * MIB, 1);
            holds(base, 2 * MIB, 5) && holds(to, 2 * MIB, 1)
        };
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(if right { i32::from(!moved) } else { 2 }) };
    }
    let mut status = -1;
    // SAFETY: `status` is live, and `child` is our child.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        status
    }
}

#[test]
fn a_move_keeps_its_promise_however_few_mappings_are_left() {
    let outcomes: Vec<i32> = (0..8).map(move_with_mappings_left).collect();
    assert!(outcomes.iter().all(|&outcome| outcome <= 1), "{outcomes:?}");
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").expect("procfs");
    // If the kernel allows more mappings than the children make, the moves above were ordinary
    // ones.
    if limit.trim().parse::<usize>().expect("a number") < 200_000 {
        assert_eq!(outcomes[0], 1, "without mappings nothing can move: {outcomes:?}");
    }
}

#[test]
fn memory_is_counted_page_by_page_and_errno_is_kept() {
    let (linux, base) = prepared(4 * MIB);
    let page = linux.page_size();
    assert_eq!(linux.resident(base, 4 * MIB), Some(0));
    // Pages beyond those that one system call covers.
    for number in [0, 3, 300, 4 * MIB / page - 1] {
        fill(at(base, number * page), 1, 7);
    }
    assert_eq!(linux.resident(base, 4 * MIB), Some(4 * page));
    assert_eq!(linux.resident(at(base, page), page), Some(0));
    // SAFETY: the range is the test's and not used any more.
    unsafe { linux.free(base, 4 * MIB) };
    crate::os::errno::set(42);
    assert_eq!(linux.resident(base, MIB), None, "the system does not tell");
    assert_eq!(crate::os::errno::get(), 42);
}

#[test]
fn no_call_of_the_system_shows_in_errno_whether_it_is_granted_or_refused() {
    let (linux, base) = prepared(4 * MIB);
    // An address inside a page, so that the kernel refuses the call and touches nothing.
    let (odd, to) = (at(base, 8), at(base, 2 * MIB));
    let no_errno = |what: &str, granted: bool, call: &dyn Fn() -> bool| {
        for errno in [0, 4711] {
            crate::os::errno::set(errno);
            let got = call();
            assert_eq!(crate::os::errno::get(), errno, "{what}, granted: {granted}");
            assert_eq!(got, granted, "{what}");
        }
    };
    // SAFETY: the range is the test's, and its contents are not needed.
    no_errno("release", true, &|| unsafe { linux.release(base, MIB) });
    // SAFETY: the kernel refuses a range that begins inside a page.
    no_errno("release", false, &|| unsafe { linux.release(odd, MIB) });
    // SAFETY: the range is the test's, and its contents are not needed.
    no_errno("prepare", true, &|| unsafe { linux.prepare(base, MIB) });
    // SAFETY: the kernel refuses a range that begins inside a page.
    no_errno("prepare", false, &|| unsafe { linux.prepare(odd, MIB) });
    // SAFETY: the range is the test's, and its contents are not needed.
    no_errno("ready", true, &|| unsafe { linux.ready(base, MIB) });
    // SAFETY: the kernel refuses a range that begins inside a page.
    no_errno("remap", false, &|| unsafe { linux.remap(odd, to, MIB) });
    no_errno("advice", false, &|| linux.advise_huge(odd, MIB, false));
    no_errno("reserve", false, &|| linux.reserve(1 << 60, 2 * MIB).is_some());
    no_errno("resident", true, &|| linux.resident(odd, MIB).is_none());
    no_errno("address space", true, &|| {
        linux.address_space_left().is_none_or(|left| left > 0)
    });
    // SAFETY: the kernel refuses a range that begins inside a page.
    no_errno("free", true, &|| unsafe {
        linux.free(odd, MIB);
        true
    });
    fill(base, 4 * MIB, 1);
    // SAFETY: the range is the test's and not used any more.
    unsafe { linux.free(base, 4 * MIB) };
}
