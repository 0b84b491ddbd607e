//! Several comparisons at once.

/// p-values corrected for their number by Holm's step-down method, in their order: compared with a
/// level, they keep the chance of any false finding among all of them below it.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    let value = |n: usize| p_values.get(n).copied().unwrap_or(1.0);
    order.sort_by(|&a, &b| value(a).total_cmp(&value(b)));
    let mut corrected = vec![1.0; p_values.len()];
    let mut highest: f64 = 0.0;
    for (rank, n) in order.into_iter().enumerate() {
        highest = highest.max(((p_values.len() - rank) as f64 * value(n)).min(1.0));
        if let Some(cell) = corrected.get_mut(n) {
            *cell = highest;
        }
    }
    corrected
}
