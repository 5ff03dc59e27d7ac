//! A small deterministic random number generator, the same on every machine, so that checksums are
//! comparable.
//!
//! Each generator has one owner and is never shared between threads.

#![forbid(unsafe_code)]

/// An xorshift64* generator.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Returns a generator whose sequence depends on `seed` alone.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // One round of splitmix64 spreads small seeds; an xorshift state must not be zero.
        let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self((z ^ (z >> 31)) | 1)
    }

    /// Returns the next 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Returns a number in `0..bound`; `bound` must fit in 32 bits.
    #[inline]
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = (self.next_u64() >> 32) * bound as u64;
        (wide >> 32) as usize
    }
}

/// Returns `N` sizes between `low` and `high` whose logarithms are evenly spread. Loops draw them
/// once and then pay for an index only, not for a logarithm.
#[must_use]
pub fn log_uniform_sizes<const N: usize>(rng: &mut Rng, low: usize, high: usize) -> [usize; N] {
    let (from, to) = ((low as f64).ln(), (high as f64).ln());
    std::array::from_fn(|_| {
        let unit = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        ((from + (to - from) * unit).exp() as usize).clamp(low, high)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_the_bound_and_reach_both_ends() {
        let mut rng = Rng::new(1);
        let mut seen = [0u32; 7];
        for _ in 0..1000 {
            seen[rng.below(7)] += 1;
        }
        assert!(seen.iter().all(|&count| count > 80), "{seen:?}");
    }

    #[test]
    fn sizes_halve_their_share_with_each_doubling_of_the_width() {
        let sizes: [usize; 4096] = log_uniform_sizes(&mut Rng::new(2), 16, 1024);
        let small = sizes.iter().filter(|&&size| size < 128).count();
        assert!(sizes.iter().all(|size| (16..=1024).contains(size)));
        assert!(
            (1800..2300).contains(&small),
            "{small} of 4096 are in the lower half of the logarithms"
        );
    }
}
