//! Correction for multiple comparisons.

/// p-values adjusted for multiple comparisons by Holm's step-down method, in their order: comparing them
/// with a level controls the family-wise error rate at that level.
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
