//! Where in a span objects begin: the test of an offset, by one multiplication.
//!
//! With `m = floor(2^64 / size) + 1` and `e = m * size - 2^64` the product `offset * m`, modulo 2^64, is `k * e` for the offset of object
//! `k`, and at least `m` for any other offset in a span: its remainder `r` adds `r * m`. `e` is at most `size`, so objects times `e` is at
//! most a span's bytes, far below `m`; and one compare with that product also tells those from offsets behind the last object
//! of a whole span.

use super::SizeClass;
use super::table::COUNT;

/// The numbers of all classes, by class number plus one; for what has no class they are 0, and nothing begins there.
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
        // Where the size is a power of two, the quotient is one less than 2^64 divided by it, and the error would be 0.
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

/// Whether an object begins at `offset` of a whole span of the class with number `tag - 1`; never for tag 0, which stands for no class.
#[inline(always)]
pub(crate) fn begins_object(tag: usize, offset: usize) -> bool {
    match (EXACT.factors.get(tag), EXACT.bounds.get(tag)) {
        (Some(&factor), Some(&bound)) => (offset as u64).wrapping_mul(factor) < bound,
        _ => false,
    }
}
