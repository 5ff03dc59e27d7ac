//! The mathematical functions that sampling needs. They replace the C library's, which may not be
//! loaded in the process of a C program.

#![forbid(unsafe_code)]

use core::f64::consts::{LN_2, LOG2_E, SQRT_2};

/// Counts are kept in 1/`SCALE` of a byte or of an object.
pub(crate) const SCALE: f64 = 256.0;

/// Returns the natural logarithm of a normal, positive `x`, to 1e-14.
pub(crate) fn ln(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & MANTISSA) | 1023 << 52);
    if mantissa > SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln m = 2 artanh z, and |z| is at most 0.172.
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let square = z * z;
    let series = (0..9)
        .rev()
        .fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    exponent as f64 * LN_2 + 2.0 * z * series
}

/// Returns `1 - exp(-x)` for `x >= 0`, to a relative error of 1e-14.
pub(crate) fn one_minus_exp_neg(x: f64) -> f64 {
    if x > 40.0 {
        return 1.0;
    }
    if x < LN_2 {
        return near_zero(x);
    }
    // exp(-x) = exp(-rest) / 2^halvings
    let halvings = (x * LOG2_E) as u32;
    let rest = x - f64::from(halvings) * LN_2;
    1.0 - (1.0 - near_zero(rest)) / (1u64 << (halvings & 63)) as f64
}

/// Returns the series x - x^2/2! + x^3/3! - .., for `x` up to 0.7.
fn near_zero(x: f64) -> f64 {
    x * (1..18).rev().fold(1.0, |rest, k| 1.0 - x / f64::from(k + 1) * rest)
}

/// Returns the objects and bytes that a sampled request of `size` bytes stands for, in 1/[`SCALE`].
pub(crate) fn weight(size: usize, rate: usize) -> (u64, u64) {
    let size = size.max(1) as f64;
    let objects = SCALE / one_minus_exp_neg(size / rate.max(1) as f64);
    ((objects + 0.5) as u64, (objects * size + 0.5) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_functions_agree_with_those_of_the_c_library() {
        for k in 1..200_000u32 {
            let x = f64::from(k) * 0.000_21;
            assert!((ln(x) - x.ln()).abs() <= 1e-13 * x.ln().abs().max(1.0), "ln {x}");
            let (ours, exact) = (one_minus_exp_neg(x), -(-x).exp_m1());
            assert!((ours - exact).abs() <= 1e-13 * exact, "1 - exp(-{x}): {ours} {exact}");
        }
        for tiny in [1e-18, 3e-9, 2e-5] {
            assert!((one_minus_exp_neg(tiny) / -(-tiny).exp_m1() - 1.0).abs() < 1e-13);
        }
        assert_eq!(one_minus_exp_neg(0.0), 0.0);
        assert_eq!(one_minus_exp_neg(1e9), 1.0);
    }
}
