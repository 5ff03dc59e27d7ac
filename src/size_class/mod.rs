//! Request to size class: which of the fixed object sizes serves a request of so many bytes at such an alignment.
//!
//! A request for `size` bytes at `align` is served as `size` rounded up to a multiple of `align` ([`rounded`]), from the smallest
//! class that holds it. Spans begin on page boundaries, so an object of a class is aligned to every power of two that divides
//! the class size, up to a page. The rule therefore needs no search:
//!
//! - I1. For every `n <= SMALL_MAX` that is a multiple of a power of two `a <= PAGE`, `SizeClass::holding(n).size()` is a
//!   multiple of `a`. (Classes are evenly spaced, below 128 bytes by 8 and then in each doubling by a power of two `s`: if `a <= s`
//!   every class is a multiple of `a`, and if `a > s` then `n` is itself a class.) The tests check it for every `n` and `a`.
//! - I2. Sizes grow strictly with the class number, so the class of a request is the same in `alloc`, `dealloc` and `realloc`.

#![forbid(unsafe_code)]

mod table;

use crate::base::geometry::{PAGE, SMALL_MAX};
pub(crate) use table::COUNT;
use table::{MEDIUM, SIZES, SMALL, SPAN_PAGES};

/// The number of a size class. Invariant: below [`COUNT`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SizeClass(u8);

/// The bytes that a request of `size` bytes at `align` (a power of two) takes before classes round it: a multiple of `align`.
/// `Layout` keeps the sum below `isize::MAX`.
#[inline(always)]
pub(crate) const fn rounded(size: usize, align: usize) -> usize {
    crate::base::addr::align_up(size, align)
}

impl SizeClass {
    /// The smallest class that holds `n` bytes, where `n` is at most [`SMALL_MAX`]; larger `n` give the largest class.
    #[cfg(test)]
    pub(crate) const fn holding(n: usize) -> Self {
        if n <= 1024 {
            Self(SMALL[n.div_ceil(8)])
        } else {
            Self::holding_medium(n)
        }
    }

    #[inline(always)]
    const fn holding_medium(n: usize) -> Self {
        let slot = n.div_ceil(128);
        if slot < MEDIUM.len() {
            Self(MEDIUM[slot])
        } else {
            Self(COUNT as u8 - 1)
        }
    }

    /// The class that serves `size` bytes at `align`, or `None` where whole pages do.
    #[inline(always)]
    pub(crate) const fn serving(size: usize, align: usize) -> Option<Self> {
        let n = rounded(size, align);
        if n <= 1024 {
            // `align` divides `n`, so it is at most 1024 too, unless the request is empty.
            Some(Self(SMALL[n.div_ceil(8)]))
        } else if n <= SMALL_MAX && align <= PAGE {
            Some(Self::holding_medium(n))
        } else {
            None
        }
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
