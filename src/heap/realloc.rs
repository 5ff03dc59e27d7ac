//! Changing the size of a block, without a copy if possible.
//!
//! | from, to | action |
//! |---|---|
//! | same size class | none |
//! | large, shorter | the tail's pages go back, in place |
//! | large, longer | grows into its last page, its headroom, or the free pages behind it |
//! | 1 MiB or longer, no free pages behind | a new run with headroom; pages move if that pays |
//! | any, large and longer | a copy at the start of a long idle run, if one is twice as long |
//! | all other cases | a new block, a copy, a free |

use super::{Heap, end_sample};
use crate::base::addr::Addr;
use crate::base::geometry::{PAGE, REQUEST_MAX, is_servable};
use crate::mcache::MCache;
use crate::mheap::MHeap;
use crate::mspan::{CHECKED, MSpan, State};
use crate::size_class::{SizeClass, large_pages};
use core::alloc::Layout;
use core::ptr::null_mut;

impl Heap {
    /// Gives the block at `ptr` `new_size` bytes, perhaps elsewhere, and returns it. Returns null
    /// if there is no memory; then the old block is untouched.
    ///
    /// # Safety
    /// This heap handed `ptr` out for `layout`, and the caller alone uses it. `new_size` rounded up
    /// to the alignment is at most `isize::MAX`.
    #[inline]
    pub(crate) unsafe fn realloc(&self, cache: &MCache, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let old = SizeClass::serving(layout.size(), layout.align());
        let new = SizeClass::serving(new_size, layout.align());
        if old == new && old.is_some() {
            return ptr;
        }
        if old.is_some() && new.is_some() {
            // SAFETY: the block and its layout are the caller's (contract of this function).
            return unsafe { Self::realloc_small(ptr, layout.size(), layout.align(), new_size, cache, self) };
        }
        // SAFETY: the block and its layout are the caller's (contract of this function).
        unsafe { self.realloc_slow(cache, ptr, layout, new_size) }
    }

    /// Moves a block of `size` bytes at `align` to one of another size class. The arguments stand
    /// in the order of `GlobalAlloc::realloc`'s own, and so stay in their registers.
    ///
    /// # Safety
    /// As for `realloc`; both sizes have a size class.
    #[inline(never)]
    unsafe fn realloc_small(
        ptr: *mut u8,
        size: usize,
        align: usize,
        new_size: usize,
        cache: &MCache,
        heap: &Self,
    ) -> *mut u8 {
        // SAFETY: the alignment is a layout's. The size does not overflow with it (contract of this
        // function).
        let layout = unsafe { Layout::from_size_align_unchecked(new_size, align) };
        let new = heap.alloc::<false>(cache, layout);
        if new.is_null() {
            return new;
        }
        // SAFETY: both blocks hold so many bytes, and the new one is this call's.
        unsafe { ptr.copy_to_nonoverlapping(new, size.min(new_size)) };
        // SAFETY: the size and the alignment are a layout's.
        let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
        // `alloc` may have given the thread its cache.
        // SAFETY: the block and its layout are the caller's, which uses the new block from here on.
        unsafe { heap.dealloc(super::thread::current_or(cache), ptr, layout) };
        new
    }

    /// # Safety
    /// As for `realloc`.
    #[cold]
    #[inline(never)]
    unsafe fn realloc_slow(&self, cache: &MCache, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let align = layout.align();
        let large = |size| SizeClass::serving(size, align).is_none();
        if large(layout.size())
            && large(new_size)
            && let Some(resized) = self.resize_large(cache, ptr, layout, new_size)
        {
            return resized;
        }
        // SAFETY: the alignment is a layout's. The size does not overflow with it (contract of this
        // function).
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, align) };
        let begun = if new_size > layout.size() && large(new_size) && align <= PAGE {
            self.alloc_begun(cache, new_size, align)
        } else {
            null_mut()
        };
        let new = if begun.is_null() {
            self.alloc::<false>(cache, new_layout)
        } else {
            begun
        };
        if new.is_null() {
            return new;
        }
        let bytes = layout.size().min(new_size);
        // SAFETY: both blocks hold `bytes` bytes, and the new one is this call's.
        unsafe { ptr.copy_to_nonoverlapping(new, bytes) };
        // A later C `free` of the old address must find the block free.
        if CHECKED
            && let Some(span) = self.tiers.mheap.map().span_of(Addr::of(ptr))
            && span.state() == State::Large
        {
            span.keep();
        }
        // `alloc` may have given the thread its cache.
        // SAFETY: the block and its layout are the caller's, which uses the new block from here on.
        unsafe { self.dealloc(super::thread::current_or(cache), ptr, layout) };
        new
    }

    /// Gives the large block at `ptr` `new_size` bytes without a new block for all of it. `None`:
    /// that was not possible. A function of its own, so that its locals cost small blocks nothing.
    #[inline(never)]
    fn resize_large(&self, cache: &MCache, ptr: *mut u8, layout: Layout, new_size: usize) -> Option<*mut u8> {
        let Some(span) = self.tiers.mheap.map().span_of(Addr::of(ptr)) else {
            return Some(null_mut());
        };
        let resized = self.resize_span(cache, span, layout, new_size);
        if resized.is_some() {
            self.after_alloc();
        }
        resized
    }

    fn resize_span(&self, cache: &MCache, span: &'static MSpan, layout: Layout, new_size: usize) -> Option<*mut u8> {
        if !is_servable(new_size, layout.align()) {
            return None;
        }
        let more = large_pages(new_size).saturating_sub(span.pages());
        let resized = self.resize_or_move(cache, span, layout, new_size);
        if resized.is_some() || more == 0 || !self.tiers.mheap.refuses(more) {
            return resized;
        }
        // The growth alone may have room where a second block has none.
        self.reclaim(cache, more * PAGE);
        self.resize_or_move(cache, span, layout, new_size)
    }

    fn resize_or_move(&self, cache: &MCache, span: &'static MSpan, layout: Layout, new_size: usize) -> Option<*mut u8> {
        if self.resize_in_place(span, new_size) {
            end_sample(span);
            self.resampled(cache, new_size, layout.align(), span.base());
            self.count_resize(cache, layout.size(), new_size);
            if new_size > layout.size() {
                self.with_cache(cache, |cache| cache.count_large_bytes(new_size - layout.size()));
            }
            return Some(span.base());
        }
        if new_size <= layout.size() {
            return None;
        }
        let room = MHeap::growth_room(large_pages(new_size));
        let moved = self.move_large(cache, span, layout, new_size, room)?;
        self.resampled(cache, new_size, layout.align(), moved);
        Some(moved)
    }

    /// Allocates a large block for an object that has begun to grow, with room behind it. Returns
    /// null if no such place lies idle.
    pub(super) fn alloc_begun(&self, cache: &MCache, size: usize, align: usize) -> *mut u8 {
        if size > REQUEST_MAX {
            return null_mut();
        }
        let span = self
            .with_cache(cache, |cache| cache.alloc_begun(&self.tiers, size))
            .flatten();
        match span {
            Some(span) => self.hand_out::<false>(cache, size, align, (span.base(), false)),
            None => null_mut(),
        }
    }

    /// Gives the large block `new_size` bytes where it is. Returns whether that was possible.
    fn resize_in_place(&self, span: &'static MSpan, new_size: usize) -> bool {
        if span.state() != State::Large {
            return false;
        }
        let (old, new) = (span.pages(), large_pages(new_size));
        if new > old {
            if self.tiers.mheap.grow_in_place(span, new).is_none() {
                return false;
            }
        } else if new < old - old / 8 {
            self.tiers.mheap.shrink_in_place(span, new);
        }
        span.set_large_size(new_size);
        true
    }

    /// Moves a large block to a run with room to grow, by page table if that pays.
    fn move_large(
        &self,
        cache: &MCache,
        span: &'static MSpan,
        layout: Layout,
        new_size: usize,
        room: usize,
    ) -> Option<*mut u8> {
        if room == 0 || span.state() != State::Large {
            return None;
        }
        let mheap = &self.tiers.mheap;
        let (to, moved) = mheap.relocate(span, new_size, layout.align(), room)?;
        if !moved {
            let bytes = layout.size().min(span.pages() * PAGE);
            // SAFETY: both runs hold the old size, and the new one is this call's.
            unsafe { span.base().copy_to_nonoverlapping(to.base(), bytes) };
        }
        to.set_dirty();
        end_sample(span);
        self.count_free(cache, None, layout.size());
        self.count_alloc(cache, to.base(), new_size, layout.align());
        self.with_cache(cache, |cache| {
            cache.count_large(new_size);
            if moved {
                cache.count_moved_away();
                mheap.give_moved(span);
            } else {
                cache.free_large(&self.tiers, span, span.base());
            }
        });
        Some(to.base())
    }
}
