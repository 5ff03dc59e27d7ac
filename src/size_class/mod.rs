//! Size classes: maps a request, its size and alignment, to the fixed object size that serves it.
//!
//! A request for `size` bytes at `align` counts as `size` rounded up to a multiple of `align`. The
//! smallest class that holds so many bytes serves it, and the look-up needs only its [`last_byte`].
//! Spans begin on page boundaries, so an object is aligned to every power of two up to a page that
//! divides the class size. The rule therefore needs no search:
//!
//! - SIZE-1. Let `n` be a multiple of a power of two `a`, and either `a` at most a cache line or
//!   `n` at most [`PACKED_MAX`]. Then the size of the class of `n` is a multiple of `a`. (Classes
//!   are evenly spaced: by 8 below 128 bytes, and then in each doubling by a power of two `s`. If
//!   `a <= s`, every class is a multiple of `a`. If `a > s`, `n` is itself a class.) The tests
//!   check this for every `n` and `a`.
//! - SIZE-2. Sizes grow strictly with the class number up to [`PACKED`], so a request has the
//!   same class in `alloc`, `dealloc` and `realloc`.
//! - SIZE-3. Requests beyond [`PACKED_MAX`] at more than a cache line have separate classes, the
//!   multiples of 4096. Objects of the other classes begin at any cache line of a page. So the
//!   first lines of many objects do not share the few places that a cache has for one offset.

#![forbid(unsafe_code)]

mod exact;
pub(crate) use exact::{First, begins_object};
mod run;
pub(crate) use run::{RUN_CLASSES, RunClass, large_pages};
mod table;

use crate::base::geometry::{CACHE_LINE, PAGE, SMALL_MAX};
pub(crate) use table::COUNT;
use table::{ALIGNED_STEP, LENGTHS, MEDIUM, PACKED, PACKED_MAX, SIZES, SMALL, SPAN_PAGES};

/// The number of a size class. Invariant: below [`COUNT`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SizeClass(u8);

/// Returns the offset of the last byte in `size` bytes rounded up to a multiple of `align` (a power
/// of two). The empty request has no last byte: the result is a number beyond all classes.
#[inline(always)]
const fn last_byte(size: usize, align: usize) -> usize {
    size.wrapping_sub(1) | (align - 1)
}

impl SizeClass {
    /// Returns the smallest class that holds `n` bytes. `n` is at most [`SMALL_MAX`]; a larger `n`
    /// gives the largest class.
    #[cfg(test)]
    pub(crate) fn holding(n: usize) -> Self {
        Self::serving(n.max(1), 1).unwrap_or(Self(PACKED as u8 - 1))
    }

    /// Returns the class that serves `size` bytes at `align`, if that is a small request.
    ///
    /// One table serves all small sizes: programs mix them, and a mispredicted branch costs more
    /// than the look-up.
    #[inline(always)]
    pub(crate) const fn small(size: usize, align: usize) -> Option<Self> {
        let last = last_byte(size, align);
        if last < SMALL.len() - 1 {
            Some(Self(SMALL[last + 1]))
        } else {
            None
        }
    }

    /// Returns the class that serves `size` bytes at `align`. Returns `None` for the empty request,
    /// and if whole pages serve it.
    #[inline(always)]
    pub(crate) const fn serving(size: usize, align: usize) -> Option<Self> {
        match Self::small(size, align) {
            Some(class) => Some(class),
            None => Self::medium(last_byte(size, align), align),
        }
    }

    /// Returns the class whose bin may take a freed block of `size` bytes at `align`. Its objects
    /// are no larger and no more aligned than those of the class that served the request.
    ///
    /// The two classes are the same for every size that a type can have, a multiple of `align`. To
    /// tell the other requests apart would cost instructions. (If the class that served the request
    /// is not the smallest that holds `size`, then `align` does not divide the size of that
    /// smallest one.)
    #[inline(always)]
    pub(crate) const fn freed(size: usize, align: usize) -> Option<Self> {
        match Self::small_freed(size) {
            Some(class) => Some(class),
            None => Self::medium(last_byte(size, 1), align),
        }
    }

    /// Returns the class of [`freed`](Self::freed) for a small block, for which the alignment does
    /// not matter.
    #[inline(always)]
    pub(crate) const fn small_freed(size: usize) -> Option<Self> {
        if size < SMALL.len() {
            Some(Self(SMALL[size]))
        } else {
            None
        }
    }

    /// Returns the class of a request beyond the small ones, by its last byte.
    #[inline(always)]
    const fn medium(last: usize, align: usize) -> Option<Self> {
        if last >= SMALL_MAX || align > PAGE {
            None
        } else if align > CACHE_LINE && last >= PACKED_MAX {
            Some(Self((PACKED + last / ALIGNED_STEP) as u8))
        } else {
            Some(Self(MEDIUM[last / 128]))
        }
    }

    /// Returns the class with number `index`.
    ///
    /// # Panics
    /// If `index` is not below [`COUNT`].
    pub(crate) const fn from_number(index: usize) -> Self {
        assert!(index < COUNT);
        Self(index as u8)
    }

    /// Returns the class with number `index`, if there is one.
    pub(crate) fn from_index(index: usize) -> Option<Self> {
        (index < COUNT).then_some(Self(index as u8))
    }

    /// Returns all classes, in order.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..COUNT as u8).map(Self)
    }

    /// Returns the class number.
    #[inline(always)]
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the bytes of one object.
    #[inline(always)]
    pub(crate) const fn size(self) -> usize {
        SIZES[self.index() & 127] as usize
    }

    /// Returns the pages of one whole span, the longest of the class.
    #[inline(always)]
    pub(crate) const fn span_pages(self) -> usize {
        SPAN_PAGES[LENGTHS - 1][self.index() & 127] as usize
    }

    /// Returns the lengths of spans in pages, shortest first; some may be equal. The last is that
    /// of a whole span. Each holds at least 2 objects.
    pub(crate) fn lengths(self) -> [usize; LENGTHS] {
        SPAN_PAGES.map(|row| row[self.index() & 127] as usize)
    }

    /// Returns the bytes of one whole span.
    #[inline(always)]
    pub(crate) const fn span_bytes(self) -> usize {
        self.span_pages() * PAGE
    }

    /// Returns the number of objects in one whole span.
    pub(crate) const fn objects(self) -> usize {
        self.span_bytes() / self.size()
    }

    /// Returns the number of objects in `bytes` bytes.
    pub(crate) fn objects_in(self, bytes: usize) -> usize {
        bytes.checked_div(self.size()).unwrap_or(0)
    }

    /// Returns whether an object begins at `offset` of a whole span.
    #[inline]
    pub(crate) fn begins_object(self, offset: usize) -> bool {
        begins_object(self.index() + 1, offset)
    }
}

#[cfg(test)]
mod tests;
