//! Computes medians, spreads and means, and formats them.

/// Returns the middle of `values`, or the mean of the two middle ones; NaN if there are none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

/// Returns the smallest and the largest of `values`.
#[must_use]
pub fn extremes(values: &[f64]) -> (f64, f64) {
    let fold = |start, pick: fn(f64, f64) -> f64| values.iter().copied().fold(start, pick);
    (fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max))
}

/// Returns the geometric mean of `values`, which are positive; NaN if there are none.
#[must_use]
pub fn geometric_mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// Formats seconds with a unit that leaves three or four digits.
#[must_use]
pub fn seconds(value: f64) -> String {
    match value {
        _ if value >= 1.0 => format!("{value:.3} s"),
        _ if value >= 1e-3 => format!("{:.2} ms", value * 1e3),
        _ if value >= 1e-6 => format!("{:.2} us", value * 1e6),
        _ => format!("{:.1} ns", value * 1e9),
    }
}

/// Formats bytes in MiB.
#[must_use]
pub fn mebibytes(bytes: f64) -> String {
    format!("{:.2} MiB", bytes / 1_048_576.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_does_not_care_for_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        assert_eq!(extremes(&[3.0, 1.0, 2.0]), (1.0, 3.0));
    }

    #[test]
    fn the_geometric_mean_of_a_ratio_and_its_inverse_is_one() {
        assert!((geometric_mean(&[0.5, 2.0]) - 1.0).abs() < 1e-12);
    }
}
