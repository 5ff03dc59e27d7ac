//! Memory for nested calls (`nested`): they are few, ask for any size, and must not be refused.
//!
//! Blocks are cut from strips of memory that the system gives. A strip serves again when all its
//! blocks are back. This code takes no lock, so a call may interrupt another one at any point.
//! Neither a fork nor a thread that is gone leaves anything half done.
//!
//! - SPARE-1. Strips form a list that only grows, so an address is looked up in it at any time.
//!   Their address space is never given back. A strip for large blocks gives its memory back when
//!   its last block comes back.
//! - SPARE-2. In front of a block in use stand its size and its strip. The size of a block that
//!   came back is 0.

use crate::base::addr::align_up;
use crate::base::geometry::REQUEST_MAX;
use crate::heap::HEAP;
use crate::os::PageSource;
use crate::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sync::strip::{Strip, UNIT};
use core::ptr::null_mut;

/// Bytes of a strip for small blocks, its record included.
const STRIP: usize = 256 << 10;

/// The record at the front of a strip's memory.
struct Record {
    strip: Strip,
    /// The bytes that pieces are cut from, and where they begin.
    room: usize,
    front: *mut u8,
    next: *const Record,
    /// Whether pieces of a large strip may hold old contents, because the system kept the memory.
    dirty: AtomicBool,
}

/// Returns the bytes of a large strip that stay when the rest goes back to the system: those on the
/// page of its record.
fn kept() -> usize {
    align_up(FRONT + HEAD, HEAP.tiers.mheap.os().page_size()) - FRONT
}

/// Bytes in front of the pieces.
const FRONT: usize = size_of::<Record>().next_multiple_of(UNIT);

/// The strip that was made last (SPARE-1).
static LAST: AtomicPtr<Record> = AtomicPtr::new(null_mut());

/// The words in front of a block (SPARE-2).
#[repr(C)]
struct Head {
    size: AtomicUsize,
    record: *const Record,
}

const HEAD: usize = size_of::<Head>();

/// Returns all strips, the newest first.
fn records() -> impl Iterator<Item = &'static Record> {
    // Acquire: pairs with the Release in `grow`.
    let mut at = LAST.load(Acquire).cast_const();
    core::iter::from_fn(move || {
        // SAFETY: null, or a record. A record is written before it joins the list, and stays
        // forever.
        let record = unsafe { at.as_ref() }?;
        at = record.next;
        Some(record)
    })
}

impl Record {
    /// Whether the strip gives its memory back when its last block comes back.
    fn is_large(&self) -> bool {
        self.room > STRIP
    }

    /// Cuts a zeroed block at a multiple of `align`, if there is room.
    fn cut(&self, size: usize, align: usize) -> Option<*mut u8> {
        let front = self.front.addr();
        let place = |cut: usize| align_up(front + cut + HEAD, align) - front;
        let end = |cut: usize| place(cut).checked_add(size).filter(|&end| end <= self.room);
        let cut = self.strip.cut(end)?;
        let block = self.front.wrapping_add(place(cut));
        let head = Head {
            size: AtomicUsize::new(size.max(1)),
            record: self,
        };
        // SAFETY: there are as many bytes in front of the block, in a piece that is this call's.
        unsafe { block.cast::<Head>().wrapping_sub(1).write(head) };
        let used = if self.is_large() && !self.dirty.load(Relaxed) {
            kept().saturating_sub(place(cut))
        } else {
            size
        };
        // SAFETY: the block is this call's, and has `size` bytes.
        unsafe { block.write_bytes(0, used.min(size)) };
        Some(block)
    }

    fn has(&self, ptr: *mut u8) -> bool {
        let offset = ptr.addr().wrapping_sub(self.front.addr());
        (HEAD..self.room).contains(&offset) && ptr.addr().is_multiple_of(UNIT)
    }
}

/// Returns `size` zeroed bytes at a multiple of `align`, a power of two; null if the system has
/// none.
pub(super) fn malloc(size: usize, align: usize) -> *mut u8 {
    let align = align.max(UNIT);
    if size > REQUEST_MAX || align > REQUEST_MAX {
        return null_mut();
    }
    loop {
        if let Some(block) = records().find_map(|record| record.cut(size, align)) {
            return block;
        }
        // The sum fits: the alignment is a power of two below 2^63.
        if !grow(size.saturating_add(2 * align)) {
            return null_mut();
        }
    }
}

/// Adds a strip with room for a block of `bytes` with its head. `false`: the system has no memory
/// for it.
fn grow(bytes: usize) -> bool {
    if bytes > REQUEST_MAX {
        return false;
    }
    let os = HEAP.tiers.mheap.os();
    let whole = (bytes + FRONT + HEAD).max(STRIP);
    let whole = align_up(whole, os.page_size());
    let Some(memory) = os.reserve(whole, os.page_size()) else {
        return false;
    };
    // SAFETY: `reserve` returned this memory just now.
    if !unsafe { os.prepare(memory, whole) } {
        // SAFETY: `reserve` returned this memory just now, and no code uses it.
        unsafe { os.free(memory, whole) };
        return false;
    }
    let record = memory.cast::<Record>().as_ptr();
    let mut last = LAST.load(Relaxed);
    loop {
        let new = Record {
            strip: Strip::new(),
            room: whole - FRONT,
            front: memory.as_ptr().wrapping_add(FRONT),
            next: last,
            dirty: AtomicBool::new(false),
        };
        // SAFETY: the memory is this call's, large enough, and at a page's start.
        unsafe { record.write(new) };
        // Release: pairs with the Acquire in `records`.
        match LAST.compare_exchange(last, record, Release, Relaxed) {
            Ok(_) => return true,
            Err(now) => last = now,
        }
    }
}

/// Returns the head and the size of the block of this memory at `ptr`. `None`: no block in use
/// begins there.
fn find(ptr: *mut u8) -> Option<(&'static Head, usize)> {
    let record = records().find(|record| record.has(ptr))?;
    // SAFETY: the strip has so many bytes in front of `ptr`; all of them may be read at any time.
    let head = unsafe { &*ptr.cast::<Head>().wrapping_sub(1) };
    let size = head.size.load(Relaxed);
    (core::ptr::eq(head.record, record) && size > 0).then_some((head, size))
}

/// Returns the size of the block of this memory at `ptr`. `None`: no block in use begins there.
#[cold]
pub(super) fn size(ptr: *mut u8) -> Option<usize> {
    Some(find(ptr)?.1)
}

/// Takes the block at `ptr` back. `false`: it is not of this memory.
#[cold]
pub(super) fn release(ptr: *mut u8) -> bool {
    let Some((head, size)) = find(ptr) else { return false };
    // Relaxed: one caller gets the block; `bring_back` orders the accesses to it.
    if head.size.compare_exchange(size, 0, Relaxed, Relaxed).is_err() {
        return false;
    }
    // SAFETY: a record of the list, which stays forever.
    let record = unsafe { &*head.record };
    if record.strip.bring_back() {
        if record.is_large()
            && let Some(memory) = core::ptr::NonNull::new(record.front.wrapping_add(kept()))
        {
            // SAFETY: whole pages of the strip. No piece of it is out, and it is this call's
            // (STRIP-2).
            let gone = unsafe { HEAP.tiers.mheap.os().release(memory, record.room - kept()) };
            // Relaxed: `renew` orders it.
            record.dirty.store(!gone, Relaxed);
        }
        record.strip.renew();
    }
    true
}
