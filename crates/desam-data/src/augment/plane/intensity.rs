//! Intensity transforms: contrast, gamma, standardisation.

use super::Plane;

/// Keeps a constant slice's gamma finite (batchgenerators' `epsilon`).
const EPS: f64 = 1e-7;

impl Plane {
    /// Mean of the values.
    pub fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len().max(1) as f64
    }

    /// Population standard deviation of the values.
    pub fn deviation(&self) -> f64 {
        let mean = self.mean();
        let squares = self.values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        (squares / self.values.len().max(1) as f64).sqrt()
    }

    /// Smallest and largest value.
    pub(super) fn range(&self) -> [f64; 2] {
        let start = [f64::INFINITY, f64::NEG_INFINITY];
        self.values.iter().fold(start, |[low, high], v| [low.min(*v), high.max(*v)])
    }

    /// Every value changed by `change`.
    #[must_use]
    pub fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        self.with_values(self.values.iter().map(|v| change(*v)).collect())
    }

    /// Contrast: distances from the mean multiplied by `factor`, clipped to the old range.
    #[must_use]
    pub fn contrast(&self, factor: f64) -> Self {
        let (mean, [low, high]) = (self.mean(), self.range());
        self.map(|v| ((v - mean) * factor + mean).max(low).min(high))
    }

    /// Gamma correction over the slice's range, its mean and standard deviation restored.
    #[must_use]
    pub fn gamma(&self, gamma: f64) -> Self {
        let (mean, deviation, [low, high]) = (self.mean(), self.deviation(), self.range());
        let range = high - low + EPS;
        let changed = self.map(|v| ((v - low) / range).powf(gamma) * range + low);
        let middle = changed.mean();
        let factor = deviation / (changed.deviation() + 1e-8);
        changed.map(|v| (v - middle) * factor + mean)
    }

    /// Z-score: mean 0 and standard deviation 1 over all pixels. A constant slice becomes 0.
    #[must_use]
    pub fn z_score(&self) -> Self {
        let (mean, deviation) = (self.mean(), self.deviation());
        self.map(|v| if deviation > 0.0 { (v - mean) / deviation } else { 0.0 })
    }
}
