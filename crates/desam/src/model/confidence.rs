//! Calibration of a model's confidence: from the mean probability of a mask to its expected Dice.

use serde::{Deserialize, Serialize};

/// Most knots that are kept.
const MOST_KNOTS: usize = 32;

/// Expected Dice of a slice's mask, by the mean foreground probability of its pixels: a monotone function,
/// fitted on held-out cases (isotonic regression). How sure a network is of a mask says how good the mask
/// is, but not on Dice's scale; the calibration brings it there.
///
/// It knows the training site's held-out cases, and their style views where there are any: at other
/// sites it is an estimate.
///
/// ```
/// use desam::model::ConfidenceCalibration;
///
/// let slices: Vec<(f32, f64)> = (0..20).map(|n| (n as f32 / 20.0, n as f64 / 25.0)).collect();
/// let calibration = ConfidenceCalibration::fit(&slices).unwrap();
/// assert!(calibration.expected_dice(0.9) > calibration.expected_dice(0.5));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfidenceCalibration {
    /// Mean probability and expected Dice, both rising, at most 32.
    knots: Vec<[f32; 2]>,
}

impl ConfidenceCalibration {
    /// Fewest slices that a calibration is made of.
    pub const LEAST_SLICES: usize = 10;

    /// Fits mean probabilities of masks and their Dice; `None` of fewer than
    /// [`LEAST_SLICES`](Self::LEAST_SLICES).
    pub fn fit(slices: &[(f32, f64)]) -> Option<Self> {
        let mut sorted: Vec<(f32, f64)> =
            slices.iter().copied().filter(|(p, dice)| p.is_finite() && dice.is_finite()).collect();
        if sorted.len() < Self::LEAST_SLICES {
            return None;
        }
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Pool adjacent violators: blocks whose means rise.
        let mut blocks: Vec<Block> = Vec::new();
        for (probability, dice) in sorted {
            let mut block = Block { count: 1.0, probability: f64::from(probability), dice };
            while let Some(last) = blocks.pop_if(|last| last.mean_dice() >= block.mean_dice()) {
                block = block.joined(last);
            }
            blocks.push(block);
        }
        while blocks.len() > MOST_KNOTS {
            // Neighbours that differ least say least.
            let closest = (1..blocks.len()).min_by(|a, b| {
                let rise = |n: usize| blocks[n].mean_dice() - blocks[n - 1].mean_dice();
                rise(*a).total_cmp(&rise(*b))
            })?;
            let block = blocks.remove(closest);
            blocks[closest - 1] = block.joined(blocks[closest - 1]);
        }
        let knots = blocks.iter().map(|b| [b.mean_probability() as f32, b.mean_dice() as f32]);
        Some(Self { knots: knots.collect() })
    }

    /// Checks what was read from a file: 1 to 32 knots from 0 to 1, neither probability nor Dice falling.
    ///
    /// # Errors
    /// With what is wrong, in words.
    pub(super) fn validate(&self) -> Result<(), String> {
        let (found, what) = (self.knots.len(), "the calibration of its confidence");
        if !(1..=MOST_KNOTS).contains(&found) {
            return Err(format!("{what} has {found} knots; expected 1 to {MOST_KNOTS}"));
        }
        // NaN is in no range.
        let outside = |knot: &&[f32; 2]| knot.iter().any(|v| !(0.0..=1.0).contains(v));
        if let Some(knot) = self.knots.iter().find(outside) {
            return Err(format!("{what} has the knot {knot:?}; expected numbers from 0 to 1"));
        }
        let falls = |pair: &(&[f32; 2], &[f32; 2])| pair.1[0] < pair.0[0] || pair.1[1] < pair.0[1];
        match self.knots.iter().zip(self.knots.iter().skip(1)).find(falls) {
            Some((a, b)) => Err(format!(
                "{what} has the knot {b:?} after {a:?}; expected numbers that do not fall"
            )),
            None => Ok(()),
        }
    }

    /// Expected Dice of a mask with this mean probability, 0 to 1: linear between knots, constant beyond
    /// them.
    pub fn expected_dice(&self, mean_probability: f32) -> f32 {
        let above = self.knots.partition_point(|[p, _]| *p <= mean_probability);
        let at = |n: usize| self.knots.get(n);
        match (above.checked_sub(1).and_then(at), at(above)) {
            (Some([p0, d0]), Some([p1, d1])) => {
                let t = if p1 > p0 { (mean_probability - p0) / (p1 - p0) } else { 0.0 };
                d0 + (d1 - d0) * t
            }
            (Some([_, dice]), None) | (None, Some([_, dice])) => *dice,
            (None, None) => 0.0,
        }
    }
}

/// Slices with one expected Dice: sums.
#[derive(Debug, Clone, Copy)]
struct Block {
    count: f64,
    probability: f64,
    dice: f64,
}

impl Block {
    fn mean_dice(&self) -> f64 {
        self.dice / self.count
    }

    fn mean_probability(&self) -> f64 {
        self.probability / self.count
    }

    fn joined(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            probability: self.probability + other.probability,
            dice: self.dice + other.dice,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn violators_are_pooled() {
        // By hand: Dice 0.5 and 0.3 at 0.2 and 0.4 become 0.4 at 0.3; the rest rises.
        let mut slices = vec![(0.2, 0.5), (0.4, 0.3), (0.6, 0.6), (0.8, 0.8)];
        slices.extend((0..6).map(|_| (0.9, 0.9)));
        let found = ConfidenceCalibration::fit(&slices).unwrap();
        let close = |p: f32, dice: f32| (found.expected_dice(p) - dice).abs() < 1e-6;
        assert!(close(0.3, 0.4) && close(0.6, 0.6) && close(0.9, 0.9));
        // Halfway between knots, and beyond them.
        assert!(close(0.7, 0.7) && close(0.0, 0.4) && close(1.0, 0.9));
        assert_eq!(ConfidenceCalibration::fit(&slices[..9]), None);
        assert_eq!(ConfidenceCalibration::fit(&[(f32::NAN, 0.5); 20]), None);
    }

    #[test]
    fn equal_probabilities_are_a_valid_calibration() {
        for p in [0.1, 1.0 / 3.0, 1.0] {
            let slices: Vec<(f32, f64)> = (0..37).map(|n| (p, f64::from(n % 5) / 4.0)).collect();
            ConfidenceCalibration::fit(&slices).unwrap().validate().unwrap();
        }
    }

    #[test]
    fn it_rises_within_the_range_of_dice() {
        for seed in 0..40 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let slices: Vec<(f32, f64)> =
                (0..10 + 7 * seed).map(|_| (rng.random(), rng.random())).collect();
            let found = ConfidenceCalibration::fit(&slices).unwrap();
            assert!(found.knots.len() <= MOST_KNOTS);
            found.validate().unwrap();
            let values: Vec<f32> = (0..=50).map(|n| found.expected_dice(n as f32 / 50.0)).collect();
            assert!(values.windows(2).all(|w| w[0] <= w[1] + 1e-6), "{seed}: {values:?}");
            assert!(values.iter().all(|v| (0.0..=1.0).contains(v)));
            let text = serde_json::to_string(&found).unwrap();
            assert_eq!(serde_json::from_str::<ConfidenceCalibration>(&text).unwrap(), found);
        }
    }
}
