//! [`Shadow`]: runs operations against an allocator and panics at the first answer that breaks
//! `GlobalAlloc`'s contract.
//!
//! It checks that:
//! 1. a request that can be served returns a block, one beyond the address space returns null, and
//!    neither panics;
//! 2. a block is aligned as requested and overlaps no live block of any shadow of the same
//!    [`Atlas`];
//! 3. data written to a block stays until the block is freed, and a resized block keeps the bytes
//!    that both sizes have;
//! 4. a refused resize leaves the old block unchanged;
//! 5. zeroed memory is zero.
//!
//! A block of up to [`DENSE_MAX`] bytes is written and checked in full. In a larger one, its head,
//! its tail and a word in each 4 KiB page are.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use super::Subject;
use super::ops::{Op, REFUSED_MIN, SERVED_MAX, layout};

/// Blocks up to this size have their pattern in every byte.
pub(crate) const DENSE_MAX: usize = 1 << 20;

/// Blocks up to this size are checked for zero in full.
const ZERO_DENSE_MAX: usize = 4 << 20;

const PAGE: usize = 4096;

/// A prime, so that the pattern does not repeat at any distance that an allocator uses.
const PERIOD: usize = 32_749;

static PATTERN: [u8; PERIOD] = pattern();
static ZEROS: [u8; PAGE] = [0; PAGE];

const fn pattern() -> [u8; PERIOD] {
    let mut bytes = [0; PERIOD];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut i = 0;
    while i < PERIOD {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (state >> 32) as u8;
        i += 1;
    }
    bytes
}

/// The address ranges of all live blocks of the shadows that share this atlas.
#[derive(Debug, Default)]
pub(crate) struct Atlas(Mutex<BTreeMap<usize, usize>>);

impl Atlas {
    fn insert(&self, start: usize, size: usize) {
        let mut ranges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = start
            .checked_add(size)
            .expect("a block wraps around the end of the address space");
        if let Some((&at, &other)) = ranges.range(..end).next_back() {
            assert!(
                other <= start,
                "overlap: new {start:#x}..{end:#x}, live {at:#x}..{other:#x}"
            );
        }
        ranges.insert(start, end);
    }

    fn remove(&self, start: usize) {
        let mut ranges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(
            ranges.remove(&start).is_some(),
            "the test frees {start:#x}, which is not live"
        );
    }
}

/// A live block with its pattern in it. The block does not know its allocator, so dropping it leaks
/// it.
#[derive(Debug)]
pub(crate) struct Block {
    ptr: NonNull<u8>,
    layout: Layout,
    seed: usize,
}

// SAFETY: a block is the only owner of its memory, which is plain bytes.
unsafe impl Send for Block {}

impl Block {
    /// Returns the address of the block.
    pub(crate) fn addr(&self) -> usize {
        self.ptr.addr().get()
    }

    /// Returns a pointer to the block's first byte.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// Returns the layout that the block was requested with.
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// Takes over the block at `ptr` and writes the pattern of `seed` into it.
    ///
    /// # Safety
    /// `ptr` is a live block of `layout`, and the caller is its only user.
    pub(crate) unsafe fn write(ptr: NonNull<u8>, layout: Layout, seed: usize) -> Self {
        let mut block = Self { ptr, layout, seed };
        block.fill();
        block
    }

    fn fill(&mut self) {
        let size = self.layout.size();
        for (at, len) in marks(size, self.seed) {
            // SAFETY: `marks` stays within the size, and this value is the block's only owner.
            let bytes = unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr().wrapping_add(at), len) };
            for_pieces(self.seed, at, len, |piece, source| bytes[piece].copy_from_slice(source));
        }
    }

    /// Panics if any byte of the pattern has changed.
    pub(crate) fn check(&self, when: &str) {
        self.check_moved(self.ptr, self.layout.size(), when);
    }

    /// Panics if the first `kept` bytes of the pattern are not at `ptr`, to which the block may
    /// have moved.
    fn check_moved(&self, ptr: NonNull<u8>, kept: usize, when: &str) {
        let dense = self.layout.size() <= DENSE_MAX;
        for (at, len) in marks(self.layout.size(), self.seed) {
            let len = if dense { len.min(kept) } else { len };
            if at + len > kept {
                continue;
            }
            // SAFETY: the block at `ptr` has at least `kept` bytes. `fill` or the allocator's copy
            // initialised them.
            let bytes = unsafe { std::slice::from_raw_parts(ptr.as_ptr().wrapping_add(at), len) };
            for_pieces(self.seed, at, len, |piece, source| {
                let start = at + piece.start;
                let found = &bytes[piece];
                if found != source {
                    let bad = found.iter().zip(source).position(|(a, b)| a != b).expect("they differ");
                    panic!(
                        "pattern broken {when}: {self:?} at {ptr:p}, byte {} of the first {kept}",
                        start + bad
                    );
                }
            });
        }
    }
}

/// Returns the places of a block of `size` bytes that carry the pattern, as (offset, length).
fn marks(size: usize, seed: usize) -> impl Iterator<Item = (usize, usize)> {
    let dense = size <= DENSE_MAX;
    let pages = if dense { 0 } else { size / PAGE };
    let ends = if dense {
        [Some((0, size)), None]
    } else {
        [Some((0, 64)), Some((size - 64, 64))]
    };
    let words = (0..pages).map(move |page| (page * PAGE + seed % (PAGE / 8) * 8, 8));
    ends.into_iter().flatten().chain(words)
}

/// Calls `f` with each piece of `0..len` that lies in one period of the pattern, and with the
/// pattern there.
fn for_pieces(seed: usize, at: usize, len: usize, mut f: impl FnMut(std::ops::Range<usize>, &[u8])) {
    let mut done = 0;
    while done < len {
        let from = (seed + at + done) % PERIOD;
        let count = (PERIOD - from).min(len - done);
        f(done..done + count, &PATTERN[from..from + count]);
        done += count;
    }
}

/// Panics if the block is not zero. Checks a small block in full, and a large one in 64 bytes of
/// each page and in its tail.
///
/// # Safety
/// `ptr` is a live block of `size` initialised bytes.
pub(crate) unsafe fn check_zero(ptr: NonNull<u8>, size: usize) {
    let step = if size <= ZERO_DENSE_MAX { PAGE } else { 64 };
    for at in (0..size).step_by(PAGE).chain([size.saturating_sub(64)]) {
        let len = step.min(size - at);
        // SAFETY: within the block, which has `size` initialised bytes (contract of this function).
        let bytes = unsafe { std::slice::from_raw_parts(ptr.as_ptr().wrapping_add(at), len) };
        assert!(
            bytes == &ZEROS[..len],
            "not zero: {size} bytes at {ptr:p}, near byte {at}"
        );
    }
}

/// The limits of a shadow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most bytes in live blocks.
    pub(crate) bytes: usize,
    /// The most address space that live blocks may need for their alignment.
    pub(crate) reach: usize,
    /// The number of operations between two checks of every live block.
    pub(crate) check_every: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 160 << 20,
            reach: 8 << 30,
            check_every: 64,
        }
    }
}

/// Runs operations against an allocator and judges each answer.
pub(crate) struct Shadow<'a, A: Subject> {
    subject: &'a A,
    atlas: &'a Atlas,
    limits: Limits,
    blocks: Vec<Block>,
    bytes: usize,
    reach: usize,
    seed: usize,
    steps: usize,
}

impl<'a, A: Subject> Shadow<'a, A> {
    /// Returns a shadow without blocks. `seed` makes its patterns differ from those of other
    /// shadows.
    pub(crate) fn new(subject: &'a A, atlas: &'a Atlas, limits: Limits, seed: usize) -> Self {
        Self {
            subject,
            atlas,
            limits,
            blocks: Vec::new(),
            bytes: 0,
            reach: 0,
            seed,
            steps: 0,
        }
    }

    /// Returns the number of live blocks.
    pub(crate) fn live(&self) -> usize {
        self.blocks.len()
    }

    /// Runs one operation.
    pub(crate) fn run(&mut self, op: Op) {
        match op {
            Op::Alloc { size, align } => self.alloc(layout(size, align), false),
            Op::AllocZeroed { size, align } => self.alloc(layout(size, align), true),
            Op::Realloc { slot, new_size } if !self.blocks.is_empty() => {
                self.realloc(slot % self.blocks.len(), new_size);
            }
            Op::Dealloc { slot } if !self.blocks.is_empty() => self.dealloc(slot % self.blocks.len()),
            Op::Realloc { .. } | Op::Dealloc { .. } => {}
            Op::ThreadIdle => self.subject.thread_idle(),
            Op::Purge => self.subject.purge(),
        }
        self.steps += 1;
        if self.steps.is_multiple_of(self.limits.check_every) {
            self.check();
        }
    }

    /// Checks every live block.
    pub(crate) fn check(&self) {
        for block in &self.blocks {
            block.check("while live");
        }
    }

    /// Frees every block.
    pub(crate) fn clear(&mut self) {
        while let Some(last) = self.blocks.len().checked_sub(1) {
            self.dealloc(last);
        }
    }

    /// Gives a block away, for a shadow of the same atlas to adopt.
    pub(crate) fn give(&mut self, slot: usize) -> Option<Block> {
        if self.blocks.is_empty() {
            return None;
        }
        let block = self.blocks.swap_remove(slot % self.blocks.len());
        self.forget(block.layout);
        Some(block)
    }

    /// Takes over a block that another shadow of the same atlas gave away.
    pub(crate) fn adopt(&mut self, block: Block) {
        block.check("when handed over");
        self.remember(block.layout);
        self.blocks.push(block);
    }

    fn alloc(&mut self, layout: Layout, zeroed: bool) {
        self.make_room(layout);
        let ptr = if zeroed {
            // SAFETY: the operations ask for at least one byte.
            unsafe { self.subject.alloc_zeroed(layout) }
        } else {
            // SAFETY: the operations ask for at least one byte.
            unsafe { self.subject.alloc(layout) }
        };
        let Some(ptr) = judge(ptr, layout) else { return };
        self.atlas.insert(ptr.addr().get(), layout.size());
        if zeroed {
            // SAFETY: `alloc_zeroed` returned the block, so all of it is initialised.
            unsafe { check_zero(ptr, layout.size()) };
        }
        self.seed = self.seed.wrapping_mul(31).wrapping_add(7) % (1 << 40);
        // SAFETY: the block is live, and the atlas has checked that no other block overlaps it.
        let block = unsafe { Block::write(ptr, layout, self.seed) };
        self.remember(layout);
        self.blocks.push(block);
    }

    fn realloc(&mut self, slot: usize, new_size: usize) {
        let align = self.blocks[slot].layout.align();
        let new_layout = layout(new_size, align);
        // Takes the block out of the list, so that making room does not free it.
        let mut block = self.blocks.swap_remove(slot);
        block.check("before realloc");
        self.forget(block.layout);
        self.make_room(new_layout);
        self.atlas.remove(block.addr());
        // SAFETY: the block is live with this layout, and `layout` makes the new size valid.
        let ptr = unsafe {
            self.subject
                .realloc(block.ptr.as_ptr(), block.layout, new_layout.size())
        };
        if let Some(ptr) = judge(ptr, new_layout) {
            self.atlas.insert(ptr.addr().get(), new_layout.size());
            block.check_moved(ptr, block.layout.size().min(new_layout.size()), "by realloc");
            // SAFETY: the block is live, and the atlas has checked that no other block overlaps it.
            block = unsafe { Block::write(ptr, new_layout, block.seed.wrapping_add(1)) };
        } else {
            self.atlas.insert(block.addr(), block.layout.size());
            block.check("after a refused realloc");
        }
        self.remember(block.layout);
        self.blocks.push(block);
    }

    fn dealloc(&mut self, slot: usize) {
        let block = self.blocks.swap_remove(slot);
        block.check("before dealloc");
        self.forget(block.layout);
        self.atlas.remove(block.addr());
        // SAFETY: the block is live with this layout and was taken out of the list.
        unsafe { self.subject.dealloc(block.ptr.as_ptr(), block.layout) };
    }

    /// Frees blocks, oldest first, until one of `layout` fits into the limits.
    fn make_room(&mut self, layout: Layout) {
        if layout.size() >= REFUSED_MIN {
            return;
        }
        let over = |shadow: &Self| {
            shadow.bytes + layout.size() > shadow.limits.bytes
                || shadow.reach + layout.align().max(layout.size()) > shadow.limits.reach
        };
        while over(self) && !self.blocks.is_empty() {
            self.dealloc(0);
        }
    }

    fn remember(&mut self, layout: Layout) {
        self.bytes += layout.size();
        self.reach += layout.align().max(layout.size());
    }

    fn forget(&mut self, layout: Layout) {
        self.bytes -= layout.size();
        self.reach -= layout.align().max(layout.size());
    }
}

impl<A: Subject> Drop for Shadow<'_, A> {
    fn drop(&mut self) {
        // After a failure, the heap must not be used any more.
        if !std::thread::panicking() {
            self.clear();
        }
    }
}

/// Returns the block that an allocator returned, or `None` if it returned null and may do so.
fn judge(ptr: *mut u8, layout: Layout) -> Option<NonNull<u8>> {
    let Some(ptr) = NonNull::new(ptr) else {
        assert!(layout.size() > SERVED_MAX, "null for {layout:?}");
        return None;
    };
    assert!(
        layout.size() < REFUSED_MIN,
        "a block at {ptr:p} for {layout:?}, which cannot be served"
    );
    assert!(
        ptr.addr().get().is_multiple_of(layout.align()),
        "misaligned: {ptr:p} for {layout:?}"
    );
    Some(ptr)
}
