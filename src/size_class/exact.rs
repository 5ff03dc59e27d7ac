//! Where in a span objects begin: the test of an offset, by one multiplication.
//!
//! With `m = floor(2^64 / size) + 1` and `e = m * size - 2^64` the product `offset * m`, modulo 2^64, is `k * e` for the offset of object
//! `k`, and at least `m` for any other offset in a span: its remainder `r` adds `r * m`. `e` is at most `size`, so objects times `e` is at
//! most a span's bytes, far below `m`; and one compare with that product also tells those from offsets behind the last object.

use super::SizeClass;
use super::table::COUNT;

/// One class's numbers.
#[derive(Clone, Copy)]
pub(super) struct Exact {
    factor: u64,
    bound: u64,
}

impl Exact {
    /// No offset passes.
    const NEVER: Self = Self { factor: 0, bound: 0 };

    const fn of(class: SizeClass) -> Self {
        let size = class.size() as u64;
        let factor = u64::MAX / size + 1;
        // Modulo 2^64. Where the size is a power of two the quotient above is one less than 2^64 / size.
        let error = factor.wrapping_mul(size);
        let (factor, error) = if error == 0 {
            (factor + 1, size)
        } else {
            (factor, error)
        };
        Self {
            factor,
            bound: class.objects() as u64 * error,
        }
    }

    #[inline(always)]
    pub(super) const fn begins(self, offset: usize) -> bool {
        (offset as u64).wrapping_mul(self.factor) < self.bound
    }
}

/// By class number plus one; what has no class has 0, where nothing begins. A power of two long, so that an index can be masked.
pub(super) static EXACT: [Exact; 128] = {
    let mut all = [Exact::NEVER; 128];
    let mut index = 0;
    while index < COUNT {
        all[index + 1] = Exact::of(SizeClass::from_number(index));
        index += 1;
    }
    all
};
