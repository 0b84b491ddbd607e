//! Intensity window by percentile clipping: scanner intensities to 0..255.

use crate::{Error, Result};
use desam_core::Volume;
use desam_volume::fallible;

/// The intensities of a volume that become 0 and 255.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntensityWindow {
    /// Becomes 0, as does everything below.
    pub low: f64,
    /// Becomes 255, as does everything above.
    pub high: f64,
}

impl IntensityWindow {
    /// The window between two percentiles of all voxels.
    pub(super) fn of(volume: &Volume, percentiles: [f64; 2]) -> Result<Self> {
        expect_finite(volume)?;
        let mut values = fallible::copied(volume.data())?;
        let [low, high] = percentiles.map(|p| percentile(&mut values, p));
        Ok(Self { low, high })
    }

    /// The window of colour, whose levels stay as they are.
    pub(super) fn of_color(volume: &Volume) -> Result<Self> {
        expect_finite(volume)?;
        Ok(Self { low: 0.0, high: 255.0 })
    }

    /// `value` scaled by the window to 0..255; 0 everywhere in a window without width.
    pub(super) fn scale(&self, value: f32) -> f64 {
        if self.high <= self.low {
            return 0.0;
        }
        // In the official program's order of operations: the decimals are cut off afterwards.
        let clipped = f64::from(value).clamp(self.low, self.high);
        (clipped - self.low) / (self.high - self.low) * 255.0
    }
}

fn expect_finite(volume: &Volume) -> Result<()> {
    let bad = || volume.data().iter().enumerate().filter(|(_, v)| !v.is_finite());
    let Some((index, &value)) = bad().next() else {
        return Ok(());
    };
    let [width, height, _] = volume.grid().dims;
    let first = [index % width, index / width % height, index / (width * height)];
    Err(Error::NotFinite { count: bad().count(), of: volume.data().len(), first, value })
}

/// The `p`-th percentile as NumPy's default defines it: linear between the two nearest ranks.
/// Reorders `values`, which must be finite; 0 where there are none.
pub(super) fn percentile(values: &mut [f32], p: f64) -> f64 {
    let Some(last) = values.len().checked_sub(1) else {
        return 0.0;
    };
    let rank = (p / 100.0 * last as f64).clamp(0.0, last as f64);
    let (below, t) = (rank.floor() as usize, rank.fract());
    let (_, &mut a, above) = values.select_nth_unstable_by(below, f32::total_cmp);
    let a = f64::from(a);
    let b = above.iter().copied().min_by(f32::total_cmp).map_or(a, f64::from);
    // NumPy comes from the nearer end, so that the ends are exact.
    if t < 0.5 { a + (b - a) * t } else { b - (b - a) * (1.0 - t) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_numpys() {
        // numpy.percentile([7, 1, 3, 10, 4], [0, 0.5, 30, 50, 99.5, 100]), NumPy 2.4.
        let expected = [1.0, 1.04, 3.2, 4.0, 9.94, 10.0];
        for (p, e) in [0.0, 0.5, 30.0, 50.0, 99.5, 100.0].into_iter().zip(expected) {
            let found = percentile(&mut [7.0, 1.0, 3.0, 10.0, 4.0], p);
            assert!((found - e).abs() < 1e-12, "{p}: {found}");
        }
        assert_eq!(percentile(&mut [5.0], 99.5), 5.0);
        assert_eq!(percentile(&mut [], 50.0), 0.0);
    }

    #[test]
    fn a_flat_window_is_black() {
        let window = IntensityWindow { low: 3.0, high: 3.0 };
        assert_eq!([2.0, 3.0, 4.0].map(|v| window.scale(v)), [0.0; 3]);
    }
}
