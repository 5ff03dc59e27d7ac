//! The objects of a small span: the owner's free list, and fresh objects that are carved from
//! untouched memory. The span's owner calls this, and frees look up objects here. MSPAN-2 to
//! MSPAN-4 hold for the record's counters.

use super::{Block, BlockRef, CHECKED, Cut, MSpan, State, Taken, draw_early};
use crate::base::addr::Addr;
use crate::base::geometry::CARVE;
use crate::base::prefetch::prefetch;
use crate::size_class::{First, SizeClass};
use crate::sync::atomic::Ordering::Relaxed;
use core::ptr::null_mut;

impl MSpan {
    /// Cuts the run into objects of `class`, of which none is carved. The run has one of the
    /// class's lengths.
    pub(crate) fn init_small(&self, class: SizeClass) {
        debug_assert!(class.lengths().contains(&self.pages()));
        draw_early();
        self.free.store(null_mut(), Relaxed);
        self.live.store(0, Relaxed);
        self.carved.store(0, Relaxed);
        self.size.store(class.size(), Relaxed);
        self.objects.store(class.objects_in(self.bytes()) as u32, Relaxed);
        self.class.store(class.index() as u8, Relaxed);
        self.set_state(State::Small);
    }

    /// Makes a retired, empty small span a span of `class`. If it had that class before, its
    /// objects are still on its free list.
    pub(crate) fn revive(&self, class: SizeClass) {
        if self.class() == Some(class) {
            self.set_state(State::Small);
        } else {
            self.set_dirty();
            self.init_small(class);
        }
    }

    /// Returns whether the free list holds an object.
    #[inline]
    pub(crate) fn has_free(&self) -> bool {
        !self.free.load(Relaxed).is_null()
    }

    /// Returns whether the span can give out an object that is not sunk.
    pub(crate) fn has_fresh(&self) -> bool {
        self.has_free() || self.carved.load(Relaxed) < self.objects()
    }

    /// Returns whether the span can give out an object without a look at the remote list.
    pub(crate) fn has_room(&self) -> bool {
        self.has_fresh() || self.sunk() > 0
    }

    /// Puts one freed object on the owner's free list. Returns the number of objects that stay
    /// live.
    ///
    /// # Safety
    /// The caller owns the span. `block` is one of its live objects, and no code uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn push_local(&self, block: *mut Block) -> u32 {
        let head = self.free.load(Relaxed);
        if head.is_null() {
            // SAFETY: the caller owns `block`, a free object of this span that is on no list.
            unsafe { Block::push_trunk(null_mut(), block, self.cut()) };
            self.free.store(block, Relaxed);
        } else {
            // SAFETY: the caller owns `block` and the list, which is not empty.
            self.free
                .store(unsafe { Block::push(head, block, self.cut()) }, Relaxed);
        }
        let live = self.live.load(Relaxed).wrapping_sub(1);
        self.live.store(live, Relaxed);
        live
    }

    /// Returns how the span is cut.
    #[inline(always)]
    pub(crate) fn cut(&self) -> Cut {
        Cut::new(self.base(), self.size())
    }

    /// Returns the number of objects on the free list: all carved ones that are neither live nor
    /// sunk (MSPAN-3).
    pub(crate) fn free_count(&self) -> u32 {
        self.carved.load(Relaxed) - self.live() - self.sunk()
    }

    /// Takes `count` objects off the owner's free list, which has that many, and gives each to
    /// `put`. They count as live from here on.
    #[inline]
    pub(crate) fn take_free(&self, count: u32, put: impl FnMut(*mut Block)) {
        debug_assert!(count <= self.free_count());
        let head = self.free.load(Relaxed);
        let rest = if CHECKED {
            // SAFETY: the list is the owner's and holds `count` objects.
            unsafe { self.take_checked(head, count, put) }
        } else {
            // SAFETY: the list is the owner's and holds `count` objects.
            unsafe { Block::take(head, count, self.cut(), put) }
        };
        self.free.store(rest, Relaxed);
        self.live.store(self.live() + count, Relaxed);
    }

    /// Joins a remote list, which the owner has taken, to the owner's free list.
    pub(crate) fn absorb(&self, taken: Taken) {
        if taken.count == 0 {
            return;
        }
        let head = self.block(taken.head);
        let local = self.free.load(Relaxed);
        if !local.is_null() {
            // SAFETY: the list was sent whole, holds `count` objects and is the caller's now.
            let last = unsafe { self.last(head, taken.count) };
            // SAFETY: `last` is a trunk of the caller's list.
            unsafe { Block::set_next(last, local) };
        }
        self.free.store(head, Relaxed);
        self.live.store(self.live().wrapping_sub(taken.count), Relaxed);
    }

    /// Does what [`Block::take`] does on a list of this span, but follows only recognised trunks. A
    /// leaf is an object of the span; whether it is marked as free, the caller finds out.
    ///
    /// # Safety
    /// The contract of `Block::take`.
    #[inline(always)]
    unsafe fn take_checked(&self, head: *mut Block, count: u32, mut put: impl FnMut(*mut Block)) -> *mut Block {
        let known = self.recogniser();
        let (mut trunk, mut wanted) = (known.object_or_null(head), count as usize);
        while wanted > 0 {
            // SAFETY: `trunk` is an object where the caller's list goes on, or null.
            let (next, leaves) = unsafe { known.recognise(trunk) };
            prefetch(next);
            let stay = leaves - leaves.min(wanted);
            for index in (stay..leaves).rev() {
                // SAFETY: the index is below the number of the trunk's leaves.
                let block = unsafe { Block::leaf(trunk, index, known.cut) };
                prefetch(block);
                if !known.is_object(block) {
                    self.report_link(trunk);
                }
                put(block);
            }
            wanted -= leaves - stay;
            if wanted == 0 {
                // SAFETY: the trunk is the caller's and had at least `stay` leaves.
                unsafe { known.cut.set_count(trunk, stay) };
                break;
            }
            // SAFETY: `trunk` is on no list any more and is the caller's.
            unsafe { Block::unlink(trunk) };
            put(trunk);
            wanted -= 1;
            trunk = next;
        }
        trunk
    }

    /// Returns what it takes to recognise this span's trunks. The span is small.
    #[inline(always)]
    fn recogniser(&self) -> Recogniser<'_> {
        let Some(class) = self.class() else {
            self.report_link(null_mut());
        };
        Recogniser {
            span: self,
            cut: self.cut(),
            objects: First::new(class, self.carved.load(Relaxed)),
            is_marked: self.size() > 8,
        }
    }

    /// Returns whether the first word of `block` is that of a trunk (FREEMARK-2).
    ///
    /// # Safety
    /// `block` is a free object of this span, in a checked build, and the caller's.
    #[inline]
    pub(crate) unsafe fn seems_linked(&self, block: *mut Block) -> bool {
        // SAFETY: the object has a first word, and is the caller's (contract of this function).
        let (next, leaves) = unsafe { Block::head(block) };
        leaves <= self.cut().leaves() as usize && (next.is_null() || self.is_object(next))
    }

    /// Returns the last trunk of a list of `count` objects of this span.
    ///
    /// # Safety
    /// The list is the caller's.
    unsafe fn last(&self, head: *mut Block, count: u32) -> *mut Block {
        let cut = self.cut();
        if !CHECKED {
            // SAFETY: the list is the caller's and holds `count` objects (contract of this
            // function).
            return unsafe { Block::last(head, count, cut) };
        }
        let known = self.recogniser();
        let (mut trunk, mut left) = (known.object_or_null(head), count as usize);
        loop {
            // SAFETY: `trunk` is an object where the caller's list goes on, or null.
            let (next, leaves) = unsafe { known.recognise(trunk) };
            left = left.saturating_sub(leaves + 1);
            if left == 0 {
                return trunk;
            }
            trunk = next;
        }
    }

    /// Returns whether `block` is an object of this span and marked as free. Objects without a mark
    /// pass (FREEMARK-1).
    pub(crate) fn is_free_object(&self, block: *mut Block) -> bool {
        // SAFETY: the block is an object of this span of more than 8 bytes, so it has a second
        // word.
        self.is_object(block) && (self.size() <= 8 || unsafe { Block::is_marked(block) })
    }

    /// Returns whether a carved object of this small span begins at `ptr`.
    pub(crate) fn is_object<T>(&self, ptr: *mut T) -> bool {
        let offset = Addr::of(ptr).offset_from(Addr::of(self.base()));
        let exact = self.class().is_some_and(|class| class.begins_object(offset));
        exact && self.has_carved(offset)
    }

    /// Returns whether the object that begins `offset` bytes from the span's start is carved.
    #[inline(always)]
    pub(crate) fn has_carved(&self, offset: usize) -> bool {
        offset < self.carved.load(Relaxed) as usize * self.size()
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn report_link(&self, block: *mut Block) -> ! {
        crate::os::report::misuse(
            "malloc",
            block.addr(),
            self.size(),
            "a free block was written to or freed twice before this call",
        )
    }

    /// Returns the block that `at` names, or null.
    pub(crate) fn block(&self, at: BlockRef) -> *mut Block {
        if at.0 == 0 {
            return null_mut();
        }
        self.base().wrapping_add((at.0 as usize - 1) * 8).cast()
    }

    /// Returns the name of `block`, an object of this span.
    pub(crate) fn block_ref(&self, block: *mut Block) -> BlockRef {
        BlockRef((Addr::of(block).offset_from(Addr::of(self.base())) / 8 + 1) as u16)
    }

    /// Takes up to `most` fresh objects in a row for the owner, without touching them. If the
    /// memory was never touched, takes at most about [`CARVE`] bytes. The objects count as live.
    ///
    /// Returns the first object and their number; 0 if all objects are carved.
    pub(crate) fn carve(&self, most: u32) -> (*mut u8, u32) {
        let (carved, objects, size) = (self.carved.load(Relaxed), self.objects(), self.size());
        let most = if self.zeroed() {
            most.min((CARVE / size.max(1)) as u32)
        } else {
            most
        };
        let count = most.max(1).min(objects - carved);
        if count == 0 {
            return (null_mut(), 0);
        }
        self.carved.store(carved + count, Relaxed);
        self.live.store(self.live() + count, Relaxed);
        if CHECKED && carved + count == objects {
            self.mark_tail();
        }
        (self.base().wrapping_add(carved as usize * size), count)
    }

    /// Marks the memory behind a short span's last object as a free object. A free that knows only
    /// the size class assumes a whole span.
    #[cold]
    fn mark_tail(&self) {
        let used = self.objects() as usize * self.size();
        let whole = self.class().map_or(0, SizeClass::span_pages);
        if self.pages() == whole || self.bytes() - used < 2 * size_of::<usize>() {
            return;
        }
        let tail: *mut Block = self.base().wrapping_add(used).cast();
        // SAFETY: the two words at `tail` lie in the owner's span, and no object covers them.
        if unsafe { Block::exchange_mark(tail) } != 0 && self.zeroed() {
            self.report_link(tail);
        }
    }

    /// Takes one fresh object for the owner without writing to it. Returns null if the fresh memory
    /// is not known to read as zero, or if all objects are carved.
    pub(crate) fn carve_zeroed(&self) -> *mut u8 {
        let carved = self.carved.load(Relaxed);
        if !self.zeroed() || carved >= self.objects() {
            return null_mut();
        }
        self.carved.store(carved + 1, Relaxed);
        self.live.store(self.live() + 1, Relaxed);
        if CHECKED && carved + 1 == self.objects() {
            self.mark_tail();
        }
        self.base().wrapping_add(carved as usize * self.size())
    }
}

/// The facts of a small span by which its trunks are recognised, read once for a whole list.
#[derive(Clone, Copy)]
struct Recogniser<'a> {
    span: &'a MSpan,
    cut: Cut,
    objects: First,
    is_marked: bool,
}

impl Recogniser<'_> {
    /// Returns whether a carved object of the span begins at `block`, which lies below 2^48.
    #[inline(always)]
    fn is_object(self, block: *mut Block) -> bool {
        self.objects.begins(self.cut.offset(block))
    }

    /// Returns `block`. If it is neither null nor an object of the span, ends the process.
    #[inline(always)]
    fn object_or_null(self, block: *mut Block) -> *mut Block {
        if !block.is_null() && !self.is_object(block) {
            self.span.report_link(block);
        }
        block
    }

    /// Returns the trunk behind `trunk`, an object or null, and the number of leaves of `trunk`. If
    /// the program wrote to `trunk` or its list is too short, ends the process.
    ///
    /// # Safety
    /// `trunk` is null, or an object where a list of this span that is the caller's goes on.
    #[inline(always)]
    unsafe fn recognise(self, trunk: *mut Block) -> (*mut Block, usize) {
        // SAFETY: an object of the span of more than 8 bytes has a second word.
        if trunk.is_null() || self.is_marked && !unsafe { Block::is_marked(trunk) } {
            self.span.report_link(trunk);
        }
        // SAFETY: a free object of the span, and the caller's (contract of this function).
        let (next, leaves) = unsafe { Block::head(trunk) };
        // Whether the next trunk is marked is found out once the list gets there.
        if leaves > self.cut.leaves() as usize || !next.is_null() && !self.is_object(next) {
            self.span.report_link(trunk);
        }
        (next, leaves)
    }
}
