//! Decides by one multiplication whether an object begins at an offset of a span.
//!
//! Let `m = floor(2^64 / size) + 1` and `e = m * size - 2^64`. The test is `offset * m mod 2^64 <
//! objects * e`:
//!
//! - For the offset of object `k` the product is `k * e`. It is below the bound exactly if the
//!   span has an object `k`.
//! - For any other offset, with remainder `r`, the product is at least `r * m`, and so at least
//!   `m`.
//! - `e` is at most `size`, so `objects * e` is at most a span's bytes, far below `m`.
//!
//! The same holds for a number of objects below all of a span's, and for every offset between
//! -2^48 and 2^48: `k * e` is below 2^48 too, and `m` is at least 2^49.

use super::SizeClass;
use super::table::COUNT;

/// The factors and bounds of all classes, by class number plus one. Index 0 stands for no class:
/// its numbers are 0, so no object begins there.
struct Exact {
    factors: [u64; COUNT + 1],
    bounds: [u64; COUNT + 1],
}

static EXACT: Exact = {
    let (mut factors, mut bounds) = ([0; COUNT + 1], [0; COUNT + 1]);
    let mut index = 0;
    while index < COUNT {
        let class = SizeClass::from_number(index);
        let size = class.size() as u64;
        // If the size is a power of two, it divides 2^64: the quotient is one less, and the error
        // would be 0.
        let mut factor = u64::MAX / size + 1;
        if factor.wrapping_mul(size) == 0 {
            factor += 1;
        }
        factors[index + 1] = factor;
        bounds[index + 1] = class.objects() as u64 * factor.wrapping_mul(size);
        index += 1;
    }
    Exact { factors, bounds }
};

/// Returns whether an object begins at `offset` of a whole span of the class with number `tag - 1`.
/// Always false for tag 0, which stands for no class.
#[inline(always)]
pub(crate) fn begins_object(tag: usize, offset: usize) -> bool {
    match (EXACT.factors.get(tag), EXACT.bounds.get(tag)) {
        (Some(&factor), Some(&bound)) => (offset as u64).wrapping_mul(factor) < bound,
        _ => false,
    }
}

/// The first objects of a span: decides whether one begins at an offset.
#[derive(Clone, Copy)]
pub(crate) struct First {
    factor: u64,
    bound: u64,
}

impl First {
    /// Describes the first `count` objects of a span of `class`.
    #[inline(always)]
    pub(crate) fn new(class: SizeClass, count: u32) -> Self {
        let factor = EXACT.factors.get(class.index() + 1).copied().unwrap_or(0);
        let error = factor.wrapping_mul(class.size() as u64);
        Self {
            factor,
            bound: u64::from(count) * error,
        }
    }

    /// Returns whether one of the objects begins at `offset`, which is below 2^48 or, below zero,
    /// above -2^48.
    #[inline(always)]
    pub(crate) fn begins(self, offset: usize) -> bool {
        (offset as u64).wrapping_mul(self.factor) < self.bound
    }
}
