//! Checks that the oracle rejects allocators that break the contract, one broken rule each: a test
//! that cannot fail proves nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;

use crate::support::Subject;
use crate::support::ops::Op;
use crate::support::oracle::{Atlas, Limits, Shadow};

/// The rule that an allocator breaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Misaligned,
    SameBlockTwice,
    LastByteNotZero,
    ReallocLosesTheLastByte,
    WritesToALiveBlock,
    RefusesOnePage,
    ServesTheImpossible,
    RefusedReallocSpoilsTheBlock,
}

/// The system's allocator with one fault.
struct Broken {
    fault: Fault,
    last: Cell<*mut u8>,
}

// SAFETY: it forwards to the system's allocator. The faults are deliberate; none of them writes
// outside live blocks.
unsafe impl GlobalAlloc for Broken {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.fault {
            Fault::SameBlockTwice if !self.last.get().is_null() => return self.last.get(),
            Fault::RefusesOnePage if layout.size() == 4096 => return ptr::null_mut(),
            Fault::ServesTheImpossible if layout.size() > 1 << 48 => return ptr::without_provenance_mut(1 << 20),
            Fault::WritesToALiveBlock if !self.last.get().is_null() => {
                // SAFETY: the operations of this test free nothing, so the last block is live.
                unsafe { *self.last.get() ^= 1 };
            }
            _ => {}
        }
        // SAFETY: the caller keeps the contract.
        let ptr = unsafe { System.alloc(layout) };
        self.last.set(ptr);
        if self.fault == Fault::Misaligned {
            ptr.wrapping_add(layout.align() / 2)
        } else {
            ptr
        }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract.
        let ptr = unsafe { System.alloc_zeroed(layout) };
        if self.fault == Fault::LastByteNotZero {
            // SAFETY: the last byte of a live block.
            unsafe { ptr.wrapping_add(layout.size() - 1).write(1) };
        }
        ptr
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if self.fault == Fault::RefusedReallocSpoilsTheBlock && new_size > 1 << 48 {
            // SAFETY: the first byte of a live block.
            unsafe { *ptr ^= 1 };
        }
        // SAFETY: the caller keeps the contract.
        let new = unsafe { System.realloc(ptr, layout, new_size) };
        if self.fault == Fault::ReallocLosesTheLastByte {
            // SAFETY: within the new block, whose size the tests make at least the old one.
            unsafe { *new.wrapping_add(layout.size() - 1) ^= 1 };
        }
        new
    }
}

impl Subject for Broken {}

fn judge(fault: Fault, ops: &[Op]) {
    let broken = Broken {
        fault,
        last: Cell::new(ptr::null_mut()),
    };
    let atlas = Atlas::default();
    let mut shadow = Shadow::new(&broken, &atlas, Limits::default(), 1);
    for &op in ops {
        shadow.run(op);
    }
    shadow.check();
}

const GIANT: usize = isize::MAX as usize;

#[test]
fn a_sound_allocator_passes() {
    for size in [1, 64, 4096, 3 << 20] {
        judge(
            Fault::None,
            &[
                Op::Alloc { size, align: 8 },
                Op::AllocZeroed { size, align: 64 },
                Op::Realloc {
                    slot: 0,
                    new_size: 2 * size,
                },
                Op::Realloc {
                    slot: 1,
                    new_size: size.div_ceil(2),
                },
                Op::Realloc {
                    slot: 0,
                    new_size: GIANT,
                },
                Op::Alloc { size: GIANT, align: 8 },
                Op::Dealloc { slot: 0 },
            ],
        );
    }
}

#[test]
#[should_panic(expected = "misaligned")]
fn a_misaligned_block_is_seen() {
    judge(Fault::Misaligned, &[Op::Alloc { size: 64, align: 16 }]);
}

#[test]
#[should_panic(expected = "overlap")]
fn a_block_handed_out_twice_is_seen() {
    judge(Fault::SameBlockTwice, &[Op::Alloc { size: 64, align: 8 }; 2]);
}

#[test]
#[should_panic(expected = "not zero")]
fn a_dirty_byte_in_a_small_zeroed_block_is_seen() {
    judge(Fault::LastByteNotZero, &[Op::AllocZeroed { size: 5_000, align: 8 }]);
}

#[test]
#[should_panic(expected = "not zero")]
fn a_dirty_byte_at_the_end_of_a_large_zeroed_block_is_seen() {
    judge(
        Fault::LastByteNotZero,
        &[Op::AllocZeroed {
            size: 9_000_001,
            align: 8,
        }],
    );
}

#[test]
#[should_panic(expected = "by realloc")]
fn a_byte_lost_by_realloc_is_seen() {
    judge(
        Fault::ReallocLosesTheLastByte,
        &[
            Op::Alloc { size: 100, align: 8 },
            Op::Realloc { slot: 0, new_size: 200 },
        ],
    );
}

#[test]
#[should_panic(expected = "by realloc")]
fn a_byte_lost_by_a_large_realloc_is_seen() {
    let ops = [
        Op::Alloc {
            size: 5 << 20,
            align: 8,
        },
        Op::Realloc {
            slot: 0,
            new_size: 6 << 20,
        },
    ];
    judge(Fault::ReallocLosesTheLastByte, &ops);
}

#[test]
#[should_panic(expected = "pattern broken")]
fn a_write_into_a_live_block_is_seen() {
    judge(Fault::WritesToALiveBlock, &[Op::Alloc { size: 1, align: 1 }; 2]);
}

#[test]
#[should_panic(expected = "null for")]
fn a_needless_refusal_is_seen() {
    judge(Fault::RefusesOnePage, &[Op::Alloc { size: 4096, align: 8 }]);
}

#[test]
#[should_panic(expected = "cannot be served")]
fn a_block_for_an_impossible_request_is_seen() {
    judge(Fault::ServesTheImpossible, &[Op::Alloc { size: GIANT, align: 8 }]);
}

#[test]
#[should_panic(expected = "after a refused realloc")]
fn a_block_spoilt_by_a_refused_realloc_is_seen() {
    let ops = [
        Op::Alloc { size: 64, align: 8 },
        Op::Realloc {
            slot: 0,
            new_size: GIANT,
        },
    ];
    judge(Fault::RefusedReallocSpoilsTheBlock, &ops);
}
