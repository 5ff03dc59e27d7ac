//! Tests every size and every edge in turn, because random tests may miss one.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use crate::GLOBAL;
use crate::support::Subject;
use crate::support::ops::{Op, SERVED_MAX, edge_sizes, layout};
use crate::support::oracle::{Atlas, Limits, Shadow, check_zero};

fn with_shadow(test: impl FnOnce(&mut Shadow<'_, greyspan::Greyspan>)) {
    let atlas = Atlas::default();
    let limits = Limits {
        check_every: 4_000,
        ..Limits::default()
    };
    let mut shadow = Shadow::new(&GLOBAL, &atlas, limits, 3);
    test(&mut shadow);
    shadow.check();
}

/// Frees a block in the middle of the shadow's list, once the list is long enough.
fn trim(shadow: &mut Shadow<'_, greyspan::Greyspan>, most: usize, step: usize) {
    if shadow.live() > most {
        shadow.run(Op::Dealloc {
            slot: step.wrapping_mul(7_919),
        });
    }
}

#[test]
fn every_size_to_40_000_is_served() {
    with_shadow(|shadow| {
        for size in 1..=40_000 {
            shadow.run(Op::Alloc { size, align: 8 });
            trim(shadow, 200, size);
        }
    });
}

#[test]
fn every_size_to_40_000_is_served_at_some_alignment_to_64_kib() {
    with_shadow(|shadow| {
        for size in 1..=40_000_usize {
            shadow.run(Op::Alloc {
                size,
                align: 1 << (size * 7 % 17),
            });
            trim(shadow, 100, size);
        }
    });
}

#[test]
fn every_alignment_to_1_gib_is_honoured_at_every_kind_of_size() {
    with_shadow(|shadow| {
        for power in 0..=30 {
            let align = 1_usize << power;
            for size in [
                1,
                8,
                24,
                48,
                100,
                4_095,
                4_096,
                4_097,
                32_768,
                32_769,
                100_000,
                1 << 20,
                5 << 20,
            ] {
                shadow.run(Op::Alloc { size, align });
                shadow.run(Op::AllocZeroed { size, align });
                shadow.run(Op::Realloc {
                    slot: shadow.live() - 1,
                    new_size: 2 * size + 1,
                });
                shadow.run(Op::Realloc {
                    slot: shadow.live() - 1,
                    new_size: size / 2 + 1,
                });
            }
            shadow.check();
        }
    });
}

#[test]
fn a_block_climbs_and_descends_over_every_edge() {
    let sizes = edge_sizes(SERVED_MAX);
    with_shadow(|shadow| {
        shadow.run(Op::AllocZeroed { size: 1, align: 8 });
        for &new_size in sizes.iter().chain(sizes.iter().rev()) {
            shadow.run(Op::Realloc { slot: 0, new_size });
        }
    });
}

#[test]
fn aligned_blocks_climb_and_descend_over_every_edge() {
    let sizes = edge_sizes(1 << 20);
    with_shadow(|shadow| {
        for align in [1, 64, 4_096, 65_536] {
            shadow.run(Op::Alloc { size: 1, align });
            for &new_size in sizes.iter().chain(sizes.iter().rev()) {
                shadow.run(Op::Realloc {
                    slot: shadow.live() - 1,
                    new_size,
                });
            }
        }
    });
}

#[test]
fn a_block_jumps_from_every_edge_to_every_edge_with_neighbours_around_it() {
    let sizes: Vec<usize> = edge_sizes(160 << 10).into_iter().step_by(2).collect();
    with_shadow(|shadow| {
        for &size in &sizes {
            shadow.run(Op::Alloc { size, align: 8 });
        }
        for &from in &sizes {
            for &to in &sizes {
                shadow.run(Op::Realloc {
                    slot: 0,
                    new_size: from,
                });
                shadow.run(Op::Realloc {
                    slot: shadow.live() - 1,
                    new_size: to,
                });
            }
            trim(shadow, sizes.len() / 2, from);
        }
    });
}

/// Keeps large blocks side by side, so that growth in place meets a live neighbour.
#[test]
fn large_neighbours_grow_and_shrink_without_harm() {
    with_shadow(|shadow| {
        for _ in 0..8 {
            shadow.run(Op::Alloc {
                size: 200_000,
                align: 8,
            });
        }
        for step in 0..400_usize {
            let new_size = 40_000 + step * 7_919 % 3_000_000;
            shadow.run(Op::Realloc {
                slot: step % 5,
                new_size,
            });
            if step.is_multiple_of(16) {
                shadow.run(Op::Dealloc { slot: step });
                shadow.run(Op::Alloc {
                    size: new_size,
                    align: 4_096,
                });
            }
        }
    });
}

fn dirty(subject: &impl Subject, layout: Layout, count: usize) {
    let blocks: Vec<*mut u8> = (0..count)
        .map(|_| {
            // SAFETY: the layout has at least one byte.
            let ptr = unsafe { subject.alloc(layout) };
            assert!(!ptr.is_null());
            // SAFETY: the block has `size` bytes.
            unsafe { ptr.write_bytes(0xff, layout.size()) };
            ptr
        })
        .collect();
    for ptr in blocks {
        // SAFETY: the block is live with this layout.
        unsafe { subject.dealloc(ptr, layout) };
    }
}

#[test]
fn zeroed_memory_is_zero_after_dirty_use() {
    for (turn, size) in edge_sizes(8 << 20).into_iter().step_by(2).enumerate() {
        let layout = layout(size, 1 << (turn % 8));
        let count = (64 << 10) / size + 1;
        dirty(&GLOBAL, layout, count);
        if turn.is_multiple_of(16) {
            greyspan::purge();
        }
        let blocks: Vec<NonNull<u8>> = (0..count)
            .map(|_| {
                // SAFETY: the layout has at least one byte.
                let ptr = unsafe { GLOBAL.alloc_zeroed(layout) };
                let ptr = NonNull::new(ptr).expect("served");
                // SAFETY: `alloc_zeroed` returned the block, so all of it is initialised.
                unsafe { check_zero(ptr, size) };
                ptr
            })
            .collect();
        for ptr in blocks {
            // SAFETY: the block is live with this layout.
            unsafe { GLOBAL.dealloc(ptr.as_ptr(), layout) };
        }
    }
}

/// A zeroed block may come from memory that blocks of a very different size have dirtied.
#[test]
fn zeroed_memory_is_zero_after_dirty_use_by_other_sizes() {
    for (dirty_size, sizes) in [
        (64, [4_096, 40_000, 1 << 20]),
        (1 << 20, [16, 1_000, 70_000]),
        (8 << 20, [48, 9_000, 3 << 20]),
    ] {
        for size in sizes {
            dirty(&GLOBAL, layout(dirty_size, 8), (16 << 20) / dirty_size);
            with_shadow(|shadow| {
                for _ in 0..((8 << 20) / size).min(20_000) {
                    shadow.run(Op::AllocZeroed { size, align: 8 });
                }
            });
        }
    }
}

#[test]
fn requests_beyond_the_address_space_are_refused_at_every_alignment() {
    with_shadow(|shadow| {
        shadow.run(Op::Alloc { size: 100, align: 8 });
        shadow.run(Op::Alloc {
            size: 5 << 20,
            align: 8,
        });
        for power in 0..=62 {
            for size in [
                isize::MAX as usize,
                isize::MAX as usize - 4_096,
                isize::MAX as usize / 2 + 1,
                1 << 48,
            ] {
                shadow.run(Op::Alloc {
                    size,
                    align: 1 << power,
                });
                shadow.run(Op::AllocZeroed {
                    size,
                    align: 1 << power,
                });
                shadow.run(Op::Realloc {
                    slot: power,
                    new_size: size,
                });
            }
        }
        assert_eq!(shadow.live(), 2);
    });
}

#[test]
fn try_reserve_answers_with_an_error_and_the_vector_lives_on() {
    let mut bytes = vec![7_u8; 1_000];
    assert!(bytes.try_reserve(usize::MAX).is_err());
    assert!(bytes.try_reserve(isize::MAX as usize - 1_000).is_err());
    assert!(bytes.try_reserve_exact(1 << 60).is_err());
    assert!(Vec::<u64>::new().try_reserve_exact(isize::MAX as usize / 8).is_err());
    bytes.push(8);
    assert_eq!((bytes[999], bytes[1_000], bytes.len()), (7, 8, 1_001));
}

/// A free reports no failure. If the kernel refuses a call meanwhile, `errno` must stay as it was.
#[test]
fn dealloc_keeps_errno() {
    for size in [1, 48, 4_096, 40_000, 1 << 20, 40 << 20] {
        let layout = layout(size, 8);
        let blocks: Vec<*mut u8> = (0..64_usize.min((128 << 20) / size))
            // SAFETY: the layout has at least one byte.
            .map(|_| unsafe { GLOBAL.alloc(layout) })
            .collect();
        for ptr in blocks {
            // SAFETY: the call is always valid; the address belongs to the calling thread.
            let errno = unsafe { libc::__errno_location() };
            // SAFETY: a thread may write its own `errno`.
            unsafe { errno.write(123) };
            // SAFETY: the block is live with this layout.
            unsafe { GLOBAL.dealloc(ptr, layout) };
            // SAFETY: a thread may read its own `errno`.
            assert_eq!(unsafe { errno.read() }, 123, "after freeing {size} bytes");
        }
    }
}
