//! The process's memory figures, and lists of patterned blocks, for the scenarios.

use std::alloc::{GlobalAlloc, Layout};
use std::fs::File;
use std::io::Read;
use std::ptr::NonNull;

use crate::GLOBAL;
use crate::support::oracle::Block;
use crate::support::rng::Rng;

/// Bytes of address space and of resident memory, as the kernel counts them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// All mappings.
    pub(crate) mapped: usize,
    /// Pages in physical memory.
    pub(crate) resident: usize,
}

/// Returns the figures of this process, now. Does not allocate.
pub(crate) fn memory() -> Memory {
    let mut text = [0; 128];
    let count = File::open("/proc/self/statm")
        .and_then(|mut file| file.read(&mut text))
        .expect("procfs");
    let mut fields = std::str::from_utf8(&text[..count])
        .expect("ASCII")
        .split_ascii_whitespace();
    // SAFETY: the call reads a constant of the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let mut field = || {
        fields
            .next()
            .and_then(|field| field.parse::<usize>().ok())
            .expect("a number")
            * page
    };
    Memory {
        mapped: field(),
        resident: field(),
    }
}

/// Allocates a block and writes its pattern; `None` if the allocator returns null.
pub(crate) fn try_make(size: usize, seed: usize) -> Option<Block> {
    try_make_aligned(size, 8, seed)
}

/// Allocates a block at `align` and writes its pattern; `None` if the allocator returns null.
pub(crate) fn try_make_aligned(size: usize, align: usize, seed: usize) -> Option<Block> {
    let layout = Layout::from_size_align(size, align).expect("a small alignment");
    // SAFETY: no test requests a size of zero.
    let ptr = NonNull::new(unsafe { GLOBAL.alloc(layout) })?;
    // SAFETY: the block is new.
    Some(unsafe { Block::write(ptr, layout, seed) })
}

/// Allocates a block and writes its pattern.
pub(crate) fn make(size: usize, seed: usize) -> Block {
    try_make(size, seed).unwrap_or_else(|| panic!("null for {size} bytes"))
}

/// Checks a block and frees it.
pub(crate) fn free(block: Block) {
    block.check("before dealloc");
    // SAFETY: the block is live with this layout and consumed here.
    unsafe { GLOBAL.dealloc(block.as_ptr(), block.layout()) };
}

/// Makes `count` blocks of mixed sizes, mostly small.
pub(crate) fn make_mixed(count: usize, seed: u64) -> Vec<Block> {
    let mut rng = Rng::new(seed);
    (0..count)
        .map(|turn| {
            let size = if turn % 100 == 99 { rng.size(17) } else { rng.size(11) };
            make(size, seed as usize * 1_000 + turn)
        })
        .collect()
}

/// Checks and frees them all.
pub(crate) fn free_all(blocks: impl IntoIterator<Item = Block>) {
    blocks.into_iter().for_each(free);
}

/// Allocates, checks and frees until `go_on` returns false. Panics at the first broken pattern.
pub(crate) fn churn(seed: u64, mut go_on: impl FnMut() -> bool) {
    let mut rng = Rng::new(seed);
    let mut row: Vec<Block> = make_mixed(64, seed);
    while go_on() {
        for _ in 0..32 {
            let size = if rng.below(200) == 0 {
                rng.size(19)
            } else {
                rng.size(12)
            };
            let slot = rng.below(row.len());
            free(std::mem::replace(&mut row[slot], make(size, rng.below(1 << 30))));
        }
    }
    free_all(row);
}
