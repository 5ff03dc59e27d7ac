//! Memory that the system refuses: the answer is null, never the end of the process. Once memory is
//! available again, all goes on.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;

use crate::GLOBAL;
use crate::harness::{DONE, Next, Scenario};
use crate::probe::{free, free_all, make, make_mixed, try_make};
use crate::support::ops::layout;
use crate::support::oracle::{Block, check_zero};

const MIB: usize = 1 << 20;

/// Small enough to be used up at once, and large enough for the image, the stacks and some
/// megabytes of blocks.
const LIMIT: u64 = 192 << 20;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("oom::small_blocks_end_in_null_at_the_limit_of_address_space", small).limited(libc::RLIMIT_AS, LIMIT),
    Scenario::new("oom::large_blocks_end_in_null_at_the_limit_of_address_space", large).limited(libc::RLIMIT_AS, LIMIT),
    Scenario::new("oom::small_blocks_end_in_null_at_the_limit_of_data", small).limited(libc::RLIMIT_DATA, LIMIT),
    Scenario::new("oom::large_blocks_end_in_null_at_the_limit_of_data", large).limited(libc::RLIMIT_DATA, LIMIT),
    Scenario::new("oom::a_refused_realloc_keeps_the_block", realloc).limited(libc::RLIMIT_AS, LIMIT),
    Scenario::new("oom::try_reserve_answers_with_an_error_at_the_limit", try_reserve).limited(libc::RLIMIT_AS, LIMIT),
    Scenario::new("oom::several_threads_meet_the_limit_together", threads).limited(libc::RLIMIT_AS, 2 * LIMIT),
    Scenario::new(
        "oom::a_limit_that_the_program_sets_on_itself_means_what_it_says",
        limits_itself,
    ),
    Scenario::new("oom::memory_freed_in_one_size_serves_another", other_size).limited(libc::RLIMIT_AS, LIMIT),
    Scenario::new("oom::a_process_without_mappings_left_allocates_or_gets_null", mappings),
    Scenario::new(
        "oom::zeroed_memory_is_zero_where_the_kernel_refuses_to_take_pages_back",
        locked,
    ),
];

/// Blocks of one size, linked through themselves, so that the list needs no other memory.
struct Chain {
    layout: Layout,
    last: *mut Link,
    bytes: usize,
}

/// The header of each block in a chain. The block's last byte is written too.
struct Link {
    before: *mut Link,
    check: usize,
}

const CHECK: usize = 0x5eed_0f57_ea5e_1e55;

impl Chain {
    fn new(size: usize) -> Self {
        Self {
            layout: layout(size.max(size_of::<Link>()), 16),
            last: ptr::null_mut(),
            bytes: 0,
        }
    }

    /// Adds a block, if the allocator has one.
    fn grow(&mut self) -> bool {
        // SAFETY: the layout is not empty.
        let block = unsafe { GLOBAL.alloc(self.layout) };
        if block.is_null() {
            return false;
        }
        // SAFETY: the last byte of the new block. If the block is no larger than a link, the link
        // overwrites it.
        unsafe { block.wrapping_add(self.layout.size() - 1).write(1) };
        let link = block.cast::<Link>();
        // SAFETY: a block is large enough for a link and aligned to 16.
        unsafe {
            link.write(Link {
                before: self.last,
                check: link.addr() ^ CHECK,
            })
        };
        self.last = link;
        self.bytes += self.layout.size();
        true
    }

    /// Grows until the allocator returns null, and checks that each later request also returns.
    fn exhaust(&mut self) {
        while self.grow() {
            assert!(self.bytes <= 3 * LIMIT as usize, "the limit is never met");
        }
        for _ in 0..100 {
            self.grow();
            if let Some(block) = try_make(16 * MIB, 0) {
                free(block);
            }
        }
    }

    /// Checks that at least this share of the limit was handed out, in per cent: refusing early
    /// does not count.
    fn assert_used(&self, percent: usize) {
        assert!(
            self.bytes * 100 >= LIMIT as usize * percent,
            "null after {} bytes of {LIMIT}",
            self.bytes
        );
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        while !self.last.is_null() {
            // SAFETY: the chain's links are live until they are freed here.
            let Link { before, check } = unsafe { self.last.read() };
            assert_eq!(check, self.last.addr() ^ CHECK, "a link is broken");
            // SAFETY: the block is live with this layout and leaves the chain here.
            unsafe { GLOBAL.dealloc(self.last.cast(), self.layout) };
            self.last = before;
        }
    }
}

fn until_null_and_again(size: usize, percent: usize) -> Next {
    for _ in 0..3 {
        let mut chain = Chain::new(size);
        chain.exhaust();
        chain.assert_used(percent);
        drop(chain);
        free_all(make_mixed(2_000, 61));
        free(make(4 * MIB, 62));
    }
    DONE
}

fn small() -> Next {
    until_null_and_again(48, 40)
}

fn large() -> Next {
    until_null_and_again(MIB, 40)
}

fn realloc() -> Next {
    let mut kept = [make(1_000, 71), make(100_000, 72), make(3 * MIB, 73)];
    let mut chain = Chain::new(MIB);
    chain.exhaust();
    for block in &kept {
        for new_size in [LIMIT as usize, 1 << 40, isize::MAX as usize - 7] {
            // SAFETY: the block is live with this layout, and `Layout` allows the size.
            let moved = unsafe { GLOBAL.realloc(block.as_ptr(), block.layout(), new_size) };
            assert!(moved.is_null(), "{new_size} bytes at the limit");
            block.check("after a refused realloc");
        }
    }
    // Shrinking a small block may move it, and the allocator may refuse that. A large one shrinks
    // in place.
    for (block, size) in kept.iter_mut().zip([500, 40_000, 2 * MIB]) {
        // SAFETY: the block is live with this layout and replaced by the new one.
        let smaller = unsafe { GLOBAL.realloc(block.as_ptr(), block.layout(), size) };
        match ptr::NonNull::new(smaller) {
            // SAFETY: the block is live, and no other pointer to it exists.
            Some(smaller) => *block = unsafe { Block::write(smaller, layout(size, 8), 74) },
            None => assert!(size < MIB, "null for a shrink to {size}"),
        }
        block.check("after a shrink");
    }
    drop(chain);
    free_all(kept);
    free(make(8 * MIB, 75));
    DONE
}

fn try_reserve() -> Next {
    let mut rows: Vec<Vec<u8>> = Vec::with_capacity(4_096);
    let mut bytes = vec![7_u8; MIB];
    loop {
        let mut row = Vec::new();
        if row.try_reserve_exact(MIB).is_err() {
            break;
        }
        row.resize(MIB, 1_u8);
        rows.push(row);
        assert!(rows.len() < rows.capacity(), "the limit is never met");
    }
    assert!(bytes.try_reserve(LIMIT as usize).is_err());
    assert!(bytes.iter().all(|&byte| byte == 7));
    drop(rows);
    bytes.try_reserve(8 * MIB).expect("there is memory again");
    bytes.resize(8 * MIB, 7);
    assert!(bytes.iter().all(|&byte| byte == 7));
    DONE
}

fn threads() -> Next {
    let ready = &std::sync::Barrier::new(4);
    let rows: Vec<_> = std::thread::scope(|scope| {
        // Allocates the threads' own lists before the first thread uses up all memory.
        let rows: Vec<_> = (0..4).map(|_| Vec::with_capacity(1 << 15)).collect();
        let makers: Vec<_> = rows
            .into_iter()
            .enumerate()
            .map(|(id, mut row)| {
                scope.spawn(move || {
                    ready.wait();
                    for size in [20_000, 20_000, 300_000, 2_000] {
                        while row.len() < row.capacity()
                            && let Some(block) = try_make(size + id * 8, row.len())
                        {
                            row.push(block);
                        }
                    }
                    row
                })
            })
            .collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect()
    });
    // This thread frees all the memory that the makers used up.
    free_all(rows.into_iter().flatten());
    free_all(make_mixed(5_000, 81));
    free(make(16 * MIB, 82));
    DONE
}

/// Returns the bytes of address space that the process uses.
fn address_space() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages: u64 = statm.split(' ').next().expect("a number").parse().expect("a number");
    pages * 4096
}

fn limits_itself() -> Next {
    free(make(100, 1));
    assert!(address_space() < LIMIT / 2, "{}", address_space());
    let bytes = address_space() + LIMIT;
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: `limit` points to a valid limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
    std::thread::spawn(|| free(make(100, 2)))
        .join()
        .expect("a thread has room");
    let mapping = memmap2::MmapMut::map_anon(MIB).expect("a mapping has room");
    for size in [MIB, 48] {
        let mut chain = Chain::new(size);
        chain.exhaust();
        assert!(
            (LIMIT as usize / 2..LIMIT as usize).contains(&chain.bytes),
            "{}",
            chain.bytes
        );
        drop(chain);
        greyspan::purge();
    }
    drop(mapping);
    free(make(MIB, 3));
    DONE
}

fn other_size() -> Next {
    for size in [64, MIB, 4_096, 30_000, 256 << 10, 16] {
        let mut chain = Chain::new(size);
        chain.exhaust();
        chain.assert_used(30);
        drop(chain);
        greyspan::thread_idle();
        greyspan::purge();
    }
    DONE
}

/// Uses up the process's mappings by giving every second page of one range another protection.
fn mappings() -> Next {
    const PAGE: usize = 4_096;
    const PAGES: usize = 400_000;
    let blocks = make_mixed(3_000, 91);
    let larges: Vec<Block> = (0..8).map(|seed| make(5 * MIB, seed)).collect();
    let (protection, flags) = (
        libc::PROT_NONE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
    );
    // SAFETY: this makes a new mapping, at an address of the kernel's choice.
    let range = unsafe { libc::mmap(ptr::null_mut(), PAGES * PAGE, protection, flags, -1, 0) };
    assert_ne!(range, libc::MAP_FAILED);
    let refused = (0..PAGES).step_by(2).any(|page| {
        // SAFETY: within the mapping made above, which holds no data.
        let done = unsafe { libc::mprotect(range.wrapping_byte_add(page * PAGE), PAGE, libc::PROT_READ) };
        done != 0
    });
    // If the kernel allows more mappings than that, the rest is an ordinary test.
    let mut more: Vec<Option<Block>> = Vec::with_capacity(10_000);
    for turn in 0..5_000 {
        more.push(try_make(turn % 3_000 + 1, turn));
    }
    more.extend([5 * MIB, 5 * MIB, 70 * MIB, 300_000].map(|size| try_make(size, 1)));
    // To return this memory, the heap has to split a mapping, which the kernel refuses. The heap
    // must simply keep it.
    free_all(larges);
    free_all(blocks);
    greyspan::purge();
    free_all(more.into_iter().flatten());
    greyspan::purge();
    // SAFETY: exactly the mapping made above.
    let unmapped = unsafe { libc::munmap(range, PAGES * PAGE) };
    assert_eq!(unmapped, 0, "mappings used up: {refused}");
    free_all(make_mixed(5_000, 92));
    free(make(80 * MIB, 93));
    DONE
}

/// The kernel does not take pages back from a locked range, so the allocator must not assume that
/// such a page is zero.
fn locked() -> Next {
    for size in [40_000, MIB, 3 * MIB] {
        let layout = layout(size, 8);
        for _ in 0..4 {
            // SAFETY: the layout is not empty.
            let ptr = unsafe { GLOBAL.alloc(layout) };
            assert!(!ptr.is_null());
            // SAFETY: the block has `size` bytes.
            unsafe { ptr.write_bytes(0xff, size) };
            // SAFETY: the call locks pages and changes no byte. If the kernel refuses, the rest is
            // an ordinary test.
            unsafe { libc::mlock(ptr.cast(), size) };
            // SAFETY: the block is live with this layout.
            unsafe { GLOBAL.dealloc(ptr, layout) };
            greyspan::purge();
            // SAFETY: the layout is not empty.
            let zeroed = unsafe { GLOBAL.alloc_zeroed(layout) };
            let zeroed = ptr::NonNull::new(zeroed).expect("served");
            // SAFETY: `alloc_zeroed` returned the block, so all of it is initialised.
            unsafe { check_zero(zeroed, size) };
            // SAFETY: the block is live with this layout.
            unsafe { GLOBAL.dealloc(zeroed.as_ptr(), layout) };
        }
    }
    DONE
}
