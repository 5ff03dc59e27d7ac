//! Request to size class: which of the fixed object sizes serves a request of so many bytes at such an alignment.
//!
//! A request for `size` bytes at `align` is served as `size` rounded up to a multiple of `align`, from the smallest class that holds
//! it. Its [`last_unit`] is all that the look-up needs. Spans begin on page boundaries, so an object of a class is aligned to every power of two that divides
//! the class size, up to a page. The rule therefore needs no search:
//!
//! - I1. For every `n <= SMALL_MAX` that is a multiple of a power of two `a <= PAGE`, `SizeClass::holding(n).size()` is a
//!   multiple of `a`. (Classes are evenly spaced, below 128 bytes by 8 and then in each doubling by a power of two `s`: if `a <= s`
//!   every class is a multiple of `a`, and if `a > s` then `n` is itself a class.) The tests check it for every `n` and `a`.
//! - I2. Sizes grow strictly with the class number, so the class of a request is the same in `alloc`, `dealloc` and `realloc`.

#![forbid(unsafe_code)]

mod run;
pub(crate) use run::{RUN_CLASSES, RunClass, large_pages};
mod table;

use crate::base::geometry::{PAGE, SMALL_MAX};
pub(crate) use table::COUNT;
use table::{EVERY_8, MEDIUM, SIZES, SMALL, SPAN_PAGES};

/// The number of a size class. Invariant: below [`COUNT`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SizeClass(u8);

/// The last unit of 8 bytes in `size` bytes rounded up to a multiple of `align` (a power of two). The empty request has none: it gives
/// a number beyond those of all classes.
#[inline(always)]
const fn last_unit(size: usize, align: usize) -> usize {
    (size.wrapping_sub(1) | (align - 1)) / 8
}

impl SizeClass {
    /// The smallest class that holds `n` bytes, where `n` is at most [`SMALL_MAX`]; larger `n` give the largest class.
    #[cfg(test)]
    pub(crate) fn holding(n: usize) -> Self {
        Self::serving(n.max(1), 1).unwrap_or(Self(COUNT as u8 - 1))
    }

    /// The class that serves `size` bytes at `align`, if it is one of the smallest, which need no table.
    #[inline(always)]
    pub(crate) const fn smallest(size: usize, align: usize) -> Option<Self> {
        let last = last_unit(size, align);
        if last < EVERY_8 / 8 {
            Some(Self(last as u8))
        } else {
            None
        }
    }

    /// The class that serves `size` bytes at `align`, or `None` where whole pages do, and for the empty request.
    #[inline(always)]
    pub(crate) const fn serving(size: usize, align: usize) -> Option<Self> {
        let last = last_unit(size, align);
        if last < EVERY_8 / 8 {
            Some(Self(last as u8))
        } else if last < 1024 / 8 {
            Some(Self(SMALL[last / 2]))
        } else if last < SMALL_MAX / 8 && align <= PAGE {
            Some(Self(MEDIUM[last / 16]))
        } else {
            None
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

    /// All classes, smallest first.
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

    /// Pages of one span.
    #[inline(always)]
    pub(crate) const fn span_pages(self) -> usize {
        SPAN_PAGES[self.index() & 127] as usize
    }

    /// Bytes of one span.
    #[inline(always)]
    pub(crate) const fn span_bytes(self) -> usize {
        self.span_pages() * PAGE
    }

    /// Objects in one span.
    pub(crate) const fn objects(self) -> usize {
        self.span_bytes() / self.size()
    }
}

#[cfg(test)]
mod tests;
