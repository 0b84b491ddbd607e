//! Distances between two surfaces, and the metrics over them.

/// Relative rounding tolerance of summed areas.
const ROUNDING: f64 = 1e-12;

/// Directed distances: from the points of one surface to the other surface.
#[derive(Debug, Clone)]
pub(super) struct Sheet {
    /// Distances in mm, ascending.
    distances: Vec<f64>,
    /// Cumulative area up to each distance, inclusive, in the unit of the weights.
    area: Vec<f64>,
}

impl Sheet {
    /// From distances with the area of each.
    pub(super) fn new(points: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut points: Vec<(f64, f64)> = points.collect();
        points.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let area = points.iter().scan(0.0, |sum, (_, area)| {
            *sum += area;
            Some(*sum)
        });
        Self { area: area.collect(), distances: points.iter().map(|p| p.0).collect() }
    }

    fn largest(&self) -> f64 {
        self.distances.last().copied().unwrap_or(0.0)
    }

    /// Mean over the points, not weighted by area.
    fn mean(&self) -> f64 {
        self.distances.iter().sum::<f64>() / self.distances.len() as f64
    }

    fn total_area(&self) -> f64 {
        self.area.last().copied().unwrap_or(0.0)
    }

    /// The area that lies within `tolerance` mm.
    fn area_within(&self, tolerance: f64) -> f64 {
        let count = self.distances.partition_point(|d| *d <= tolerance);
        count.checked_sub(1).map_or(0.0, |last| self.area[last])
    }

    /// The distance within which the fraction `share` of the area lies, with a tolerance for rounding:
    /// the result must not depend on the order of the axes, which changes the rounding.
    fn robust(&self, share: f64) -> f64 {
        let enough = (share - ROUNDING) * self.total_area();
        let first = self.area.partition_point(|area| *area < enough);
        self.distances.get(first).copied().unwrap_or_else(|| self.largest())
    }
}

/// Distances between two surfaces in both directions, neither of them empty.
#[derive(Debug, Clone)]
pub(in crate::metric) struct Distances {
    /// From the prediction to the truth.
    pub(super) prediction: Sheet,
    /// From the truth to the prediction.
    pub(super) truth: Sheet,
}

impl Distances {
    /// Hausdorff distance: the largest of all distances, in mm.
    pub(in crate::metric) fn hausdorff(&self) -> f64 {
        self.prediction.largest().max(self.truth.largest())
    }

    /// Percentile of the pooled distances, in mm, with linear interpolation between ranks as in NumPy.
    pub(in crate::metric) fn percentile(&self, share: f64) -> f64 {
        let mut all = self.prediction.distances.clone();
        all.extend(&self.truth.distances);
        let rank = share * all.len().saturating_sub(1) as f64;
        let below = rank.floor();
        if below as usize >= all.len() {
            return 0.0;
        }
        let (_, low, above) = all.select_nth_unstable_by(below as usize, f64::total_cmp);
        let high = above.iter().copied().fold(f64::INFINITY, f64::min);
        let part = rank - below;
        if part > 0.0 { *low + (high - *low) * part } else { *low }
    }

    /// Mean distance from the prediction's surface to the truth's, in mm.
    pub(in crate::metric) fn average(&self) -> f64 {
        self.prediction.mean()
    }

    /// Mean of the pooled distances of both directions, in mm.
    pub(in crate::metric) fn average_both_ways(&self) -> f64 {
        let [there, back] = [&self.prediction.distances, &self.truth.distances];
        let sum = |distances: &[f64]| distances.iter().sum::<f64>();
        (sum(there) + sum(back)) / (there.len() + back.len()) as f64
    }

    /// Surface Dice: the fraction of both surfaces' area within `tolerance` mm of the other surface.
    pub(in crate::metric) fn surface_dice(&self, tolerance: f64) -> f64 {
        let within = self.prediction.area_within(tolerance) + self.truth.area_within(tolerance);
        within / (self.prediction.total_area() + self.truth.total_area())
    }

    /// Robust Hausdorff distance: the larger of the distances within which the fraction `share` of each
    /// surface's area lies, in mm.
    pub(in crate::metric) fn robust_hausdorff(&self, share: f64) -> f64 {
        self.prediction.robust(share).max(self.truth.robust(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(prediction: &[(f64, f64)], truth: &[(f64, f64)]) -> Distances {
        let sheet = |points: &[(f64, f64)]| Sheet::new(points.iter().copied());
        Distances { prediction: sheet(prediction), truth: sheet(truth) }
    }

    #[test]
    fn by_hand() {
        let d = both(&[(4.0, 1.0), (0.0, 2.0), (2.0, 1.0)], &[(1.0, 3.0), (3.0, 1.0)]);
        assert_eq!(d.hausdorff(), 4.0);
        assert_eq!((d.average(), d.average_both_ways()), (2.0, 10.0 / 5.0));
        // Each distance counts once: the mean of the two means would be 1.
        let d = both(&[(0.0, 1.0), (0.0, 1.0), (0.0, 1.0)], &[(2.0, 1.0)]);
        assert_eq!(d.average_both_ways(), 0.5);
        let d = both(&[(4.0, 1.0), (0.0, 2.0), (2.0, 1.0)], &[(1.0, 3.0), (3.0, 1.0)]);
        // 0 1 2 3 4: half way is the third; at 0.9 the rank is 3.6.
        assert_eq!(d.percentile(0.5), 2.0);
        assert!((d.percentile(0.9) - 3.6).abs() < 1e-12);
        assert_eq!((d.percentile(0.0), d.percentile(1.0)), (0.0, 4.0));
        // Of 4 and 4: 2 and nothing within half a millimetre; 2 and 3 within one, itself included.
        assert_eq!((d.surface_dice(0.5), d.surface_dice(1.0)), (2.0 / 8.0, 5.0 / 8.0));
        assert_eq!(d.surface_dice(4.0), 1.0);
        // Half of one surface lies within 0, of the other within 1.
        assert_eq!((d.robust_hausdorff(0.5), d.robust_hausdorff(0.95)), (1.0, 4.0));
        // Nineteen of twenty are 95 %, although 1.9 of 2.0 in tenths need not be in binary.
        let tenths: Vec<(f64, f64)> = (0..20).map(|i| (f64::from(i), 0.1)).collect();
        assert_eq!(both(&tenths, &tenths).robust_hausdorff(0.95), 18.0);
    }
}
