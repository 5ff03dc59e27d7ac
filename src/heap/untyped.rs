//! C's operations: blocks whose size and alignment nobody tells when they come back, and calls that may be wrong.
//!
//! The fast paths are `malloc` and `free`; everything else is found out from the span. Wrong calls end the process with one line that says
//! which call, which block, of which size, and why. Callers are the C-shaped functions of `api::raw`.
//!
//! - U1. Every object has a multiple of 16 bytes, so it is aligned to 16 and has a second word for its mark.
//! - U2. A large object's span tells what its holder asked for, also when a thread had kept the run.
//! - U3. No block begins with the mark or the link that an earlier block left there: the program, or a `realloc`, may copy what it never wrote,
//!   and the copy may come to lie where the earlier block began.

use super::Heap;
use super::nested::{self, alone, is_nested};
use super::sample::end_sample;
use super::spare;
use super::thread::current_or;
use crate::base::addr::{Addr, align_up};
use crate::base::geometry::{PAGE, REQUEST_MAX, is_servable};
use crate::mcache::{MCache, wipe};
use crate::mspan::{Block, MSpan, State};
use crate::os;
use crate::os::errno::kept;
use crate::os::report::misuse;
use crate::size_class::{RunClass, SizeClass};
use core::alloc::Layout;
use core::ptr::null_mut;

/// The alignment of C's `max_align_t`.
pub(crate) const ALIGN: usize = 16;

/// What a free must be told of a block that is in order.
enum Found {
    Small(SizeClass),
    Large,
}

impl Heap {
    /// `size` bytes, or null with `errno` set.
    #[inline(always)]
    pub(crate) fn malloc(&self, cache: &MCache, size: usize) -> *mut u8 {
        let block = cache.pop_untyped(size);
        if block.is_null() {
            return Self::malloc_medium(size, cache, self);
        }
        self.count_bin(cache, size);
        block.cast()
    }

    /// Counts a block that came out of the bin for `size` bytes, where blocks are counted.
    #[inline(always)]
    fn count_bin(&self, cache: &MCache, size: usize) {
        if cfg!(feature = "stats")
            && let Some(class) = SizeClass::serving(size.max(1), ALIGN)
        {
            self.count_popped(cache, class);
        }
    }

    /// What the bins of small objects do not have: larger objects first.
    #[inline(never)]
    fn malloc_medium(size: usize, cache: &MCache, heap: &Self) -> *mut u8 {
        let block = cache.pop_medium(size);
        if block.is_null() {
            return Self::malloc_slow(size, ALIGN, cache, heap);
        }
        heap.count_bin(cache, size);
        if cache.count(size) {
            return heap.sample_untyped(size, ALIGN, cache, block.cast());
        }
        block.cast()
    }

    /// What the caller gets for a request that was counted below zero and for which it has `block`.
    #[cold]
    #[inline(never)]
    fn sample_untyped(&self, size: usize, align: usize, cache: &MCache, block: *mut u8) -> *mut u8 {
        if !cache.is_ready() {
            return block;
        }
        let block = kept(|| alone(|cache| Self::sampled(size, align, cache, self, block)));
        wipe();
        block
    }

    /// `size` bytes at a multiple of `align`, a power of two; or null with `errno` set.
    pub(crate) fn memalign(&self, cache: &MCache, align: usize, size: usize) -> *mut u8 {
        let align = align.max(ALIGN);
        if let Some(class) = SizeClass::serving(size, align) {
            let block = self.pop(cache, class);
            if !block.is_null() {
                wipe();
                if cache.count(size) {
                    return self.sample_untyped(size, align, cache, block.cast());
                }
                return block.cast();
            }
        }
        Self::malloc_slow(size, align, cache, self)
    }

    #[cold]
    #[inline(never)]
    fn malloc_slow(size: usize, align: usize, cache: &MCache, heap: &Self) -> *mut u8 {
        if !is_servable(size, align) {
            return refuse();
        }
        if is_nested(cache) {
            return malloc_nested(size, align);
        }
        let block = alone(|cache| {
            let block = match Layout::from_size_align(size, align) {
                Ok(layout) => heap.alloc(cache, layout),
                Err(_) => null_mut(),
            };
            heap.finish(block, size, align, true);
            block
        });
        wipe();
        block
    }

    /// The end of every allocation that may have failed or be large. Only a block of `malloc` is `fresh`: what it holds is nothing yet.
    fn finish(&self, block: *mut u8, size: usize, align: usize, fresh: bool) {
        if block.is_null() {
            os::errno::set(libc::ENOMEM);
        } else if SizeClass::serving(size.max(1), align).is_none()
            && let Some(span) = self.tiers.mheap.map().span_of(Addr::of(block))
        {
            if fresh && (span.kept() || !span.zeroed()) {
                // U3. Memory that is known to be zero stays untouched.
                // SAFETY: a large object has more than two words, and is this call's.
                unsafe { block.write_bytes(0, 2 * size_of::<usize>()) };
            }
            // U2: a run that a thread had kept has the size of its holder before.
            span.clear_kept();
            span.set_large_size(size);
        }
    }

    /// `size` bytes that read as zero, as do all that may be used behind them; or null with `errno` set.
    #[inline]
    pub(crate) fn calloc(&self, cache: &MCache, size: usize) -> *mut u8 {
        let block: *mut u8 = cache.pop_medium(size).cast();
        if let Some(class) = SizeClass::serving(size, ALIGN)
            && !block.is_null()
        {
            self.count_popped(cache, class);
            let mut block = block;
            if cache.count(size) {
                block = self.sample_untyped(size, ALIGN, cache, block);
            }
            // SAFETY: the object is this call's, and of the class's size.
            unsafe { block.write_bytes(0, class.size()) };
            return block;
        }
        Self::calloc_slow(size, cache, self)
    }

    #[cold]
    #[inline(never)]
    fn calloc_slow(size: usize, cache: &MCache, heap: &Self) -> *mut u8 {
        // What is usable is asked for: a large object that is used again is then zero to its last usable byte.
        let size = size.max(1);
        if !is_servable(size, ALIGN) {
            return refuse();
        }
        if is_nested(cache) {
            return malloc_nested(size, ALIGN);
        }
        let whole = if SizeClass::serving(size, ALIGN).is_some() {
            size
        } else {
            usable_of(size)
        };
        let block = alone(|cache| {
            let block = match Layout::from_size_align(whole, ALIGN) {
                Ok(layout) => heap.alloc_zeroed(cache, layout),
                Err(_) => null_mut(),
            };
            heap.finish(block, whole, ALIGN, false);
            block
        });
        wipe();
        block
    }

    /// Takes back the block at `ptr`; nothing for null.
    ///
    /// # Safety
    /// If `ptr` points to a block of this heap that is not free, nobody uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn free_untyped(&self, cache: &MCache, ptr: *mut u8) {
        // SAFETY: as the caller promised.
        if !unsafe { cache.push_untyped(ptr.cast()) } {
            // SAFETY: likewise.
            unsafe { Self::free_untyped_slow(ptr, cache, self) };
        }
    }

    /// # Safety
    /// As for `free_untyped`.
    #[cold]
    #[inline(never)]
    unsafe fn free_untyped_slow(ptr: *mut u8, cache: &MCache, heap: &Self) {
        if ptr.is_null() {
            return;
        }
        if is_nested(cache) {
            kept(|| nested::free(ptr));
            return;
        }
        let free = |cache: &'static MCache| {
            cache.learn_map(&heap.tiers);
            match heap.find("free", ptr) {
                // SAFETY: as the caller promised, and the block was found in order.
                Some((span, found)) => unsafe { heap.free_found(cache, ptr, span, &found) },
                None => {
                    spare::release(ptr);
                }
            }
            heap.after_free();
        };
        kept(|| alone(free));
        wipe();
    }

    /// # Safety
    /// `ptr` points to a block of `span` that was found in order, and nobody uses it any more.
    unsafe fn free_found(&self, cache: &MCache, ptr: *mut u8, span: &'static MSpan, found: &Found) {
        let block: *mut Block = ptr.cast();
        let class = match *found {
            Found::Small(class) => Some(class),
            // A small object that was sampled was counted by its class.
            Found::Large if span.sample().0 => SizeClass::serving(span.size(), ALIGN),
            Found::Large => None,
        };
        self.count_free(cache, class, span.size());
        match *found {
            Found::Small(class) => {
                // SAFETY: the block is an object of its class.
                if unsafe { cache.push(class, block) } {
                    return;
                }
                if cache.is_ready() {
                    // SAFETY: likewise.
                    unsafe { cache.push_over(&self.tiers, class, block) };
                    return;
                }
            }
            Found::Large => {
                end_sample(span);
                if span.keep() {
                    misuse("free", ptr.addr(), span.size(), "the block is free: freed twice");
                }
                if let Some(class) = RunClass::serving(span.size(), 1)
                    && cache.is_ready()
                {
                    // SAFETY: the object has at least the pages of its size's class.
                    if !unsafe { cache.push_run(class, block) } {
                        // SAFETY: likewise.
                        unsafe { cache.push_run_over(&self.tiers, class, block) };
                    }
                    return;
                }
            }
        }
        // SAFETY: as the caller promised.
        unsafe { self.free(cache, block) };
    }

    /// The span of the block at `ptr` and what it is. `None`: memory that another allocator handed out, which is left in peace. Anything else
    /// that is no block of this heap in use ends the process in the name of `call`.
    fn find(&self, call: &str, ptr: *mut u8) -> Option<(&'static MSpan, Found)> {
        let address = ptr.addr();
        let Some(span) = self.tiers.mheap.map().span_of(Addr::of(ptr)) else {
            if spare::size(ptr).is_some() || os::foreign::is_others(ptr) {
                return None;
            }
            misuse(
                call,
                address,
                0,
                "no block of this heap begins here, or it was freed before",
            );
        };
        match (span.state(), span.class()) {
            (State::Small, Some(class)) => {
                let size = class.size();
                if !span.is_object(ptr) {
                    misuse(call, address, size, "the pointer is not to where a block begins");
                }
                // SAFETY: an object of the span, of 16 bytes or more (U1).
                if size > 8 && unsafe { Block::is_marked(ptr.cast()) } {
                    misuse(call, address, size, "the block is free: freed twice");
                }
                Some((span, Found::Small(class)))
            }
            (State::Large, _) => {
                if ptr != span.base() {
                    misuse(
                        call,
                        address,
                        span.size(),
                        "the pointer is not to where the block begins",
                    );
                }
                if span.kept() {
                    misuse(call, address, span.size(), "the block is free: freed twice");
                }
                Some((span, Found::Large))
            }
            _ => misuse(call, address, 0, "the block is free: freed twice"),
        }
    }

    /// Takes the block at `ptr` from the program, by a call that cannot free it yet: marks it as
    /// free. `false`: another allocator's.
    pub(super) fn set_aside(&self, ptr: *mut u8) -> bool {
        match self.find("free", ptr) {
            // SAFETY: an object of the span, of 16 bytes or more (U1), which the program has given
            // up.
            Some((_, Found::Small(_))) => unsafe { Block::set_mark(ptr.cast()) },
            Some((span, Found::Large)) => {
                if span.keep() {
                    misuse("free", ptr.addr(), span.size(), "the block is free: freed twice");
                }
            }
            None => return false,
        }
        true
    }

    /// Ends the process unless a block begins at `ptr` that was set aside: a link that the program
    /// has written over leads anywhere.
    pub(super) fn check_set_aside(&self, ptr: *mut u8) {
        let right = match self.tiers.mheap.map().span_of(Addr::of(ptr)) {
            Some(span) if span.state() == State::Small && span.is_object(ptr) => {
                // SAFETY: an object of the span, of 16 bytes or more (U1).
                unsafe { Block::is_marked(ptr.cast()) }
            }
            Some(span) => span.state() == State::Large && ptr == span.base() && span.kept(),
            None => false,
        };
        if !right {
            misuse("free", ptr.addr(), 0, "the program wrote to a block after it was freed");
        }
    }

    /// Frees a block that was set aside, and unlinked.
    ///
    /// # Safety
    /// [`check_set_aside`](Self::check_set_aside) found it in order, and nothing uses it any more.
    pub(super) unsafe fn free_set_aside(&self, cache: &MCache, ptr: *mut u8) {
        match self.tiers.mheap.map().span_of(Addr::of(ptr)) {
            Some(span) if span.state() == State::Large => span.clear_kept(),
            // SAFETY: the object is of 16 bytes or more (U1), and this call's.
            _ => unsafe { Block::clear_mark(ptr.cast()) },
        }
        // SAFETY: as the caller promised.
        unsafe { self.free_untyped(cache, ptr) };
    }

    /// Bytes that may be used behind `ptr`; 0 for null and for what is not a block of this heap in use.
    pub(crate) fn usable_untyped(&self, ptr: *mut u8) -> usize {
        if ptr.is_null() {
            return 0;
        }
        match self.tiers.mheap.map().span_of(Addr::of(ptr)) {
            Some(span) => match span.state() {
                // SAFETY: an object of the span, of 16 bytes or more (U1).
                State::Small if span.is_object(ptr) && !unsafe { Block::is_marked(ptr.cast()) } => span.size(),
                State::Large if ptr == span.base() && !span.kept() => large_usable(span),
                _ => 0,
            },
            None => usable_elsewhere(ptr),
        }
    }

    /// As `free_untyped`, of a block that was asked for with `size` bytes. A size that cannot be that of the block ends the process.
    ///
    /// # Safety
    /// As for `free_untyped`.
    pub(crate) unsafe fn free_sized(&self, cache: &MCache, ptr: *mut u8, align: usize, size: usize) {
        if ptr.is_null() {
            return;
        }
        if let Some((span, found)) = self.find("free_sized", ptr) {
            let fits = match found {
                Found::Small(class) => size <= class.size(),
                Found::Large => size <= large_usable(span) && usable_of(size.max(1)) >= span.size(),
            };
            if !fits || !ptr.addr().is_multiple_of(align) {
                misuse(
                    "free_sized",
                    ptr.addr(),
                    span.size(),
                    "the size or the alignment is not the block's",
                );
            }
        }
        // SAFETY: as the caller promised.
        unsafe { self.free_untyped(cache, ptr) };
    }

    /// The block at `ptr` with `size` bytes, which are not 0, perhaps elsewhere. Null with `errno` set, and the block as it was, when that cannot
    /// be had.
    ///
    /// # Safety
    /// If `ptr` points to a block of this heap that is not free, the caller alone uses it.
    pub(crate) unsafe fn realloc_untyped(&self, cache: &MCache, ptr: *mut u8, size: usize) -> *mut u8 {
        if size > REQUEST_MAX {
            return refuse();
        }
        let Some((span, found)) = self.find("realloc", ptr) else {
            return self.leave_foreign(cache, ptr, size);
        };
        let old = match found {
            Found::Small(class) => {
                // A block keeps its place while at least three quarters of it are in use.
                if size <= class.size() && size > class.size() / 4 * 3 {
                    return ptr;
                }
                if SizeClass::serving(size, ALIGN) == Some(class) {
                    return ptr;
                }
                class.size()
            }
            Found::Large => {
                if SizeClass::serving(size, ALIGN).is_none() && !is_nested(cache) {
                    // SAFETY: the old size is one that has no class, or is made so: what the span says is at most that.
                    return unsafe { self.realloc_large(ptr, span, size) };
                }
                large_usable(span)
            }
        };
        let begun = if size > old && SizeClass::serving(size, ALIGN).is_none() {
            self.malloc_begun(cache, size)
        } else {
            null_mut()
        };
        let new = if begun.is_null() {
            self.malloc(cache, size)
        } else {
            begun
        };
        if !new.is_null() {
            // SAFETY: both blocks hold so many bytes, and the new one is this call's.
            unsafe { new.copy_from_nonoverlapping(ptr, old.min(size)) };
            // SAFETY: the caller has the new block, and gives the old one up.
            unsafe { self.free_untyped(current_or(cache), ptr) };
        }
        new
    }

    /// A large block for an object that has just outgrown the classes, where it can go on growing; null where no such place lies idle.
    #[cold]
    #[inline(never)]
    fn malloc_begun(&self, cache: &MCache, size: usize) -> *mut u8 {
        if is_nested(cache) {
            return null_mut();
        }
        let begin = |cache: &'static MCache| {
            let mut block = self.alloc_begun(cache, size);
            if !block.is_null() {
                block = self.counted(cache, size, ALIGN, block);
                self.finish(block, size, ALIGN, true);
            }
            block
        };
        let block = kept(|| alone(begin));
        wipe();
        block
    }

    /// # Safety
    /// `ptr` points to the large object of `span`, which the caller alone uses; `size` has no class.
    unsafe fn realloc_large(&self, ptr: *mut u8, span: &'static MSpan, size: usize) -> *mut u8 {
        // Of an object that is large for its alignment alone the layout must say so.
        let align = if SizeClass::serving(span.size().max(1), ALIGN).is_none() {
            ALIGN
        } else {
            2 * PAGE
        };
        let resize = |cache: &'static MCache| {
            let new = match Layout::from_size_align(large_usable(span), align) {
                // SAFETY: as the caller promised; the size was found to be in bounds.
                Ok(layout) => unsafe { self.realloc(cache, ptr, layout, size) },
                Err(_) => null_mut(),
            };
            if !new.is_null() {
                self.finish(new, size, align, false);
            }
            new
        };
        let new = kept(|| alone(resize));
        if new.is_null() {
            os::errno::set(libc::ENOMEM);
        }
        wipe();
        new
    }

    /// `realloc` of memory that another allocator handed out: a block of this heap with what it held, as far as that can be told.
    fn leave_foreign(&self, cache: &MCache, ptr: *mut u8, size: usize) -> *mut u8 {
        let new = self.malloc(cache, size);
        if !new.is_null() {
            let bytes = usable_elsewhere(ptr).min(size);
            // SAFETY: the other allocator says that so many bytes may be used, and the new block is this call's.
            unsafe { new.copy_from_nonoverlapping(ptr, bytes) };
            kept(|| spare::release(ptr));
        }
        new
    }
}

/// What a request gets that cannot be served.
#[cold]
fn refuse() -> *mut u8 {
    os::errno::set(libc::ENOMEM);
    null_mut()
}

/// What an allocation gives that came while another call of the thread was under way.
#[cold]
fn malloc_nested(size: usize, align: usize) -> *mut u8 {
    let block = kept(|| spare::malloc(size, align));
    if block.is_null() {
        os::errno::set(libc::ENOMEM);
    }
    block
}

/// Bytes that may be used of a block that the page map does not know.
#[cold]
fn usable_elsewhere(ptr: *mut u8) -> usize {
    spare::size(ptr).unwrap_or_else(|| os::foreign::usable(ptr))
}

/// Bytes that may be used of a large object of `size` bytes: to the end of its last 4 KiB, not to the end of its run.
fn usable_of(size: usize) -> usize {
    align_up(size, 4096)
}

fn large_usable(span: &MSpan) -> usize {
    usable_of(span.size().max(1)).min(span.pages() * PAGE)
}
