//! Percentile clipping of a slice's positive values, as DAPSAM preprocesses.

use super::intensity::percentile;
use crate::{Error, Result};

/// Clips the values above 0 to two percentiles of them, in place; other values stay, so that background
/// is not lifted. DAPSAM clips each slice to 0.2 and 99.8.
///
/// # Errors
/// When no value is above 0.
///
/// # Examples
/// ```
/// use desam_data::preprocess::clip_positive;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut slice = [-5.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
/// // The quartiles of 1 to 5 are 2 and 4.
/// clip_positive(&mut slice, [25.0, 75.0])?;
/// assert_eq!(slice, [-5.0, 0.0, 2.0, 2.0, 3.0, 4.0, 4.0]);
/// # Ok(())
/// # }
/// ```
pub fn clip_positive(values: &mut [f32], percentiles: [f64; 2]) -> Result<()> {
    let mut positive: Vec<f32> = values.iter().copied().filter(|v| *v > 0.0).collect();
    if positive.is_empty() {
        return Err(Error::NothingPositive { count: values.len() });
    }
    let [low, high] = percentiles.map(|p| percentile(&mut positive, p) as f32);
    for value in values.iter_mut().filter(|v| **v > 0.0) {
        *value = value.max(low).min(high);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_without_positive_values_is_refused() {
        for mut slice in [vec![], vec![0.0, -1.0, f32::NAN]] {
            let error = clip_positive(&mut slice, [0.2, 99.8]).unwrap_err();
            assert!(matches!(error, Error::NothingPositive { count } if count == slice.len()));
        }
    }
}
