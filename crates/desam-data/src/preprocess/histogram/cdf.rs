//! Matching of cumulative distribution functions (CDF).

/// For each value of a target, the value of a source at the same share of the cumulative distribution:
/// the rule of scikit-image's `match_histograms`.
///
/// `target` has the number of occurrences of each target value, by rising value; `source` that of each
/// source value, which is interpolated linearly between shares and held at both ends. Source values that
/// do not occur are left out. Empty without source values.
pub fn match_cdf(target: &[u64], source: &[(f64, u64)]) -> Vec<f64> {
    let occurring = || source.iter().filter(|(_, count)| *count > 0);
    let counts: Vec<u64> = occurring().map(|(_, count)| *count).collect();
    let values: Vec<f64> = occurring().map(|(value, _)| *value).collect();
    let shares = cumulative_shares(&counts);
    cumulative_shares(target).iter().filter_map(|s| interpolate(*s, &shares, &values)).collect()
}

/// Share of all occurrences up to and including each value.
fn cumulative_shares(counts: &[u64]) -> Vec<f64> {
    // Counts from a file may exceed a u64 together.
    let total: u128 = counts.iter().map(|n| u128::from(*n)).sum();
    let running = counts.iter().scan(0, |sum: &mut u128, n| {
        *sum += u128::from(*n);
        Some(*sum as f64)
    });
    running.map(|sum| sum / total.max(1) as f64).collect()
}

/// The piecewise linear function through rising `xs` and their `ys` at `x`, as `numpy.interp` computes it;
/// `None` without points.
pub(super) fn interpolate(x: f64, xs: &[f64], ys: &[f64]) -> Option<f64> {
    let after = xs.partition_point(|at| *at <= x);
    let Some(before) = after.checked_sub(1) else {
        return ys.first().copied();
    };
    let (x0, y0) = (*xs.get(before)?, *ys.get(before)?);
    match (xs.get(after), ys.get(after)) {
        // At a point itself its value, to the bit.
        (Some(x1), Some(y1)) if x > x0 => Some((y1 - y0) / (x1 - x0) * (x - x0) + y0),
        _ => Some(y0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_interpolated_and_ends_held() {
        // By hand: the target's shares are 1/4, 1/2, 3/4 and 1, the source's 1/2 (10) and 1 (20).
        let found = match_cdf(&[1, 1, 1, 1], &[(10.0, 2), (15.0, 0), (20.0, 2)]);
        assert_eq!(found, [10.0, 10.0, 15.0, 20.0]);
        assert!(match_cdf(&[1, 2], &[]).is_empty());
        assert_eq!(
            match_cdf(&[u64::MAX, u64::MAX], &[(1.0, u64::MAX), (2.0, u64::MAX)]),
            [1.0, 2.0]
        );
    }
}
