//! Agreement of grid points: how much the masks of other points are like the selected one.

use desam_core::{BinaryMask, Result};

/// Mean Dice of the masks of `others`, points by index, with the selected mask; `None` without others.
pub(super) fn agreement(
    selected: &BinaryMask,
    others: &[usize],
    decode: &mut dyn FnMut(usize) -> Result<Vec<f32>>,
) -> Result<Option<f32>> {
    let mut sum = 0.0;
    for &point in others {
        sum += dice(selected.data(), &decode(point)?);
    }
    Ok((!others.is_empty()).then(|| (sum / others.len() as f64) as f32))
}

/// Dice of a mask with the pixels whose logits are above 0; 1 where both are empty.
fn dice(mask: &[u8], logits: &[f32]) -> f64 {
    let area = mask.iter().filter(|pixel| **pixel > 0).count();
    let other = logits.iter().filter(|logit| **logit > 0.0).count();
    let pairs = mask.iter().zip(logits);
    let both = pairs.filter(|(pixel, logit)| **pixel > 0 && **logit > 0.0).count();
    if area + other == 0 { 1.0 } else { 2.0 * both as f64 / (area + other) as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_is_the_mean_dice_of_other_points() {
        let mask = BinaryMask::new(1, 4, vec![1, 1, 0, 0]).unwrap();
        let mut decode = |point: usize| {
            Ok(match point {
                3 => vec![2.0, 0.5, -1.0, -1.0],
                _ => vec![-1.0, 1.0, 1.0, 0.0],
            })
        };
        // By hand: Dice 1 and 2 · 1 / (2 + 2).
        assert_eq!(agreement(&mask, &[3, 7], &mut decode).unwrap(), Some(0.75));
        assert_eq!(agreement(&mask, &[], &mut decode).unwrap(), None);
        assert_eq!(dice(&[0, 0], &[-1.0, 0.0]), 1.0);
    }
}
