//! Request to size class: which of the fixed object sizes serves a request of so many bytes at such an alignment.
//!
//! A request for `size` bytes at `align` is served as `size` rounded up to a multiple of `align`, from the smallest class that holds
//! it. Its [`last_byte`] is all that the look-up needs. Spans begin on page boundaries, so an object of a class is aligned to every power of two that divides
//! the class size, up to a page. The rule therefore needs no search:
//!
//! - I1. For every `n` that is a multiple of a power of two `a`, where `a` is at most a cache line or `n` at most [`PACKED_MAX`], the class of
//!   `n` has a size that is a multiple of `a`. (Classes are evenly spaced, below 128 bytes by 8 and then in each doubling by a power of two
//!   `s`: if `a <= s` every class is a multiple of `a`, and if `a > s` then `n` is itself a class.) The tests check it for every `n`, `a`.
//! - I2. Sizes grow strictly with the class number up to [`PACKED`], so the class of a request is the same in `alloc`, `dealloc` and `realloc`.
//! - I3. Requests beyond [`PACKED_MAX`] at more than a cache line have classes of their own, the multiples of 4096: the others' objects
//!   begin at any cache line of a page, so that the first lines of many objects do not share the few places that a cache has for one
//!   offset.

#![forbid(unsafe_code)]

mod exact;
pub(crate) use exact::begins_object;
mod run;
pub(crate) use run::{RUN_CLASSES, RunClass, large_pages};
mod table;

use crate::base::geometry::{CACHE_LINE, PAGE, SMALL_MAX};
pub(crate) use table::COUNT;
use table::{ALIGNED_STEP, LENGTHS, MEDIUM, PACKED, PACKED_MAX, SIZES, SMALL, SPAN_PAGES};

/// The number of a size class. Invariant: below [`COUNT`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SizeClass(u8);

/// Offset of the last byte in `size` bytes rounded up to a multiple of `align` (a power of two). The empty request has none: it gives
/// a number beyond those of all classes.
#[inline(always)]
const fn last_byte(size: usize, align: usize) -> usize {
    size.wrapping_sub(1) | (align - 1)
}

impl SizeClass {
    /// The smallest class that holds `n` bytes, where `n` is at most [`SMALL_MAX`]; larger `n` give the largest class.
    #[cfg(test)]
    pub(crate) fn holding(n: usize) -> Self {
        Self::serving(n.max(1), 1).unwrap_or(Self(PACKED as u8 - 1))
    }

    /// The class that serves `size` bytes at `align`, if that is a small request: by one table, since programs mix small sizes, and a
    /// mispredicted branch costs more than the look-up.
    #[inline(always)]
    pub(crate) const fn small(size: usize, align: usize) -> Option<Self> {
        let last = last_byte(size, align);
        if last < SMALL.len() - 1 {
            Some(Self(SMALL[last + 1]))
        } else {
            None
        }
    }

    /// The class that serves `size` bytes at `align`, or `None` where whole pages do, and for the empty request.
    #[inline(always)]
    pub(crate) const fn serving(size: usize, align: usize) -> Option<Self> {
        match Self::small(size, align) {
            Some(class) => Some(class),
            None => Self::medium(last_byte(size, align), align),
        }
    }

    /// A class whose objects are no larger and no more aligned than the one that serves `size` bytes at `align`: where a block of that
    /// layout may be reused. It is the same class for every size that a type can have, which is a multiple of `align`; telling the
    /// others costs instructions. (If a class above the smallest that holds `size` was taken, the alignment does not divide that one.)
    #[inline(always)]
    pub(crate) const fn freed(size: usize, align: usize) -> Option<Self> {
        match Self::small_freed(size) {
            Some(class) => Some(class),
            None => Self::medium(last_byte(size, 1), align),
        }
    }

    /// [`freed`](Self::freed) of small blocks, for which the alignment does not matter.
    #[inline(always)]
    pub(crate) const fn small_freed(size: usize) -> Option<Self> {
        if size < SMALL.len() {
            Some(Self(SMALL[size]))
        } else {
            None
        }
    }

    /// The class of requests beyond the small ones, by their last byte.
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

    /// The class with number `index`, which is below [`COUNT`].
    pub(crate) const fn from_number(index: usize) -> Self {
        assert!(index < COUNT);
        Self(index as u8)
    }

    /// The class with number `index`, if there is one.
    pub(crate) fn from_index(index: usize) -> Option<Self> {
        (index < COUNT).then_some(Self(index as u8))
    }

    /// All classes, in order.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..COUNT as u8).map(Self)
    }

    /// The class number.
    #[inline(always)]
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Bytes of one object.
    #[inline(always)]
    pub(crate) const fn size(self) -> usize {
        SIZES[self.index() & 127] as usize
    }

    /// Pages of one whole span: a span has no more.
    #[inline(always)]
    pub(crate) const fn span_pages(self) -> usize {
        SPAN_PAGES[LENGTHS - 1][self.index() & 127] as usize
    }

    /// The lengths of spans in pages, shortest first; some may be the same. The last is that of a whole one. Each holds at least 2 objects.
    pub(crate) fn lengths(self) -> [usize; LENGTHS] {
        SPAN_PAGES.map(|row| row[self.index() & 127] as usize)
    }

    /// Bytes of one whole span.
    #[inline(always)]
    pub(crate) const fn span_bytes(self) -> usize {
        self.span_pages() * PAGE
    }

    /// Objects in one whole span.
    pub(crate) const fn objects(self) -> usize {
        self.span_bytes() / self.size()
    }

    /// Objects in so many bytes.
    pub(crate) fn objects_in(self, bytes: usize) -> usize {
        bytes.checked_div(self.size()).unwrap_or(0)
    }

    /// Whether an object begins at `offset` of a whole span.
    #[inline]
    pub(crate) fn begins_object(self, offset: usize) -> bool {
        begins_object(self.index() + 1, offset)
    }
}

#[cfg(test)]
mod tests;
