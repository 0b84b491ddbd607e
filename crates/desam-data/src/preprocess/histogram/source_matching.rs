//! Source matching of SRCSM (arXiv 2512.01510): whole volumes mapped to the values of the training
//! volumes at the same share, by a step function.

use crate::{Error, Result};
use std::collections::BTreeMap;

/// Value of the largest intensity of a scaled MR volume.
const MR_MAX: f64 = 2048.0;

/// Scales an MR volume so that its largest value becomes 2048, rounded to whole numbers.
///
/// # Errors
/// [`Error::SourceMatching`] when a value is not finite, or none is above 0.
pub fn scale_mr(volume: &[f32]) -> Result<Vec<i32>> {
    expect_finite(volume)?;
    let max = volume.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if max <= 0.0 {
        let reason = "an MR volume has no value above 0, so it cannot be scaled";
        return Err(Error::SourceMatching(reason.into()));
    }
    let scaled = |value: &f32| f64::from(*value) * MR_MAX / f64::from(max);
    Ok(volume.iter().map(|value| scaled(value).round_ties_even() as i32).collect())
}

/// Clips a CT volume to -1023 to 1024 HU, rounded to whole numbers.
///
/// # Errors
/// [`Error::SourceMatching`] when a value is not finite.
pub fn clip_ct(volume: &[f32]) -> Result<Vec<i32>> {
    expect_finite(volume)?;
    let clipped = |value: &f32| value.clamp(-1023.0, 1024.0).round_ties_even() as i32;
    Ok(volume.iter().map(clipped).collect())
}

fn expect_finite(volume: &[f32]) -> Result<()> {
    match volume.iter().find(|value| !value.is_finite()) {
        Some(value) => {
            let reason = format!("a volume holds {value}; expected finite values");
            Err(Error::SourceMatching(reason))
        }
        None => Ok(()),
    }
}

/// The distribution of the values of training volumes that were scaled by [`scale_mr`] or [`clip_ct`].
///
/// ```
/// use desam_data::preprocess::SourceDistribution;
///
/// # fn main() -> Result<(), desam_data::Error> {
/// // Of 10, 20 and 30, each volume's extremes left out; 30 is counted with 20.
/// let source = SourceDistribution::of([&[0, 10, 20, 30, 99][..]])?;
/// assert_eq!(source.values(), [10, 20]);
/// // 1 has a share of one third as 10 has; 2, and all above it, have a share of 1.
/// assert_eq!(source.matched(&[-5, 1, 2, 3, 7])?, [0, 10, 20, 20, 20]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SourceDistribution {
    values: Vec<i32>,
    shares: Vec<f64>,
    range: [i32; 2],
}

impl SourceDistribution {
    /// The distribution of all `volumes` together.
    ///
    /// # Errors
    /// [`Error::SourceMatching`] when there is no volume, or one has fewer than two different values
    /// between its smallest and its largest.
    pub fn of<'a>(volumes: impl IntoIterator<Item = &'a [i32]>) -> Result<Self> {
        let mut sum: Option<Counts> = None;
        for volume in volumes {
            let found = Counts::of(volume)?;
            match &mut sum {
                Some(sum) => sum.add(found),
                None => sum = Some(found),
            }
        }
        let Some(Counts { range, counts }) = sum else {
            let reason = "no training volume; expected at least one";
            return Err(Error::SourceMatching(reason.into()));
        };
        let shares = cumulative_shares(counts.values().copied());
        Ok(Self { values: counts.into_keys().collect(), shares, range })
    }

    /// The values that occur between the extremes, rising.
    pub fn values(&self) -> &[i32] {
        &self.values
    }

    /// Share of all occurrences up to and including each of [`values`](Self::values).
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// The smallest and the largest value of all volumes.
    pub fn range(&self) -> [i32; 2] {
        self.range
    }

    /// A volume matched to the training volumes: each value becomes the largest of theirs whose share is at
    /// most its own, without interpolation. Its smallest value becomes the smallest of all; values
    /// without a share, such as its largest, are mapped as the nearest one that has one.
    ///
    /// # Errors
    /// [`Error::SourceMatching`] when the volume has fewer than two different values between its smallest
    /// and its largest.
    pub fn matched(&self, volume: &[i32]) -> Result<Vec<i32>> {
        let Counts { range: [min, _], counts } = Counts::of(volume)?;
        let shares = cumulative_shares(counts.values().copied());
        let [source_min, _] = self.range;
        let mut table: BTreeMap<i32, i32> = BTreeMap::from([(min, source_min)]);
        for (value, share) in counts.into_keys().zip(shares) {
            let below = self.shares.partition_point(|of| *of <= share);
            let found = below.checked_sub(1).and_then(|at| self.values.get(at));
            table.insert(value, found.copied().unwrap_or(source_min));
        }
        Ok(volume.iter().map(|value| nearest(&table, *value)).collect())
    }
}

/// The table's entry for the value nearest to `value`; of two, the larger one.
fn nearest(table: &BTreeMap<i32, i32>, value: i32) -> i32 {
    let (below, above) = (table.range(..=value).next_back(), table.range(value..).next());
    match (below, above) {
        (Some((low, of_low)), Some((high, of_high))) => {
            if value.abs_diff(*low) < value.abs_diff(*high) { *of_low } else { *of_high }
        }
        (Some((_, found)), None) | (None, Some((_, found))) => *found,
        (None, None) => value,
    }
}

/// Occurrences of the values between a volume's extremes.
struct Counts {
    range: [i32; 2],
    counts: BTreeMap<i32, u64>,
}

impl Counts {
    /// The program passes the values that occur as the edges of bins, the last of which is closed: the
    /// largest value has no bin, and is counted with the one before it.
    fn of(volume: &[i32]) -> Result<Self> {
        let mut counts: BTreeMap<i32, u64> = BTreeMap::new();
        volume.iter().for_each(|value| *counts.entry(*value).or_insert(0) += 1);
        let (min, max) = (counts.pop_first(), counts.pop_last());
        let largest = counts.pop_last();
        if let (Some((min, _)), Some((max, _)), Some((_, more)), Some(mut last)) =
            (min, max, largest, counts.last_entry())
        {
            *last.get_mut() += more;
            return Ok(Self { range: [min, max], counts });
        }
        let reason = "a volume has fewer than two different values between its smallest and its \
                      largest: it has no distribution to match";
        Err(Error::SourceMatching(reason.into()))
    }

    fn add(&mut self, other: Self) {
        let ([low, high], [other_low, other_high]) = (self.range, other.range);
        self.range = [low.min(other_low), high.max(other_high)];
        for (value, count) in other.counts {
            *self.counts.entry(value).or_insert(0) += count;
        }
    }
}

/// Share of all occurrences up to and including each value.
fn cumulative_shares(counts: impl Iterator<Item = u64> + Clone) -> Vec<f64> {
    let total: u64 = counts.clone().sum();
    let running = counts.scan(0_u64, |sum, count| {
        *sum += count;
        Some(*sum as f64)
    });
    running.map(|sum| sum / total.max(1) as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_scaled_and_clipped_to_whole_numbers() {
        // By hand: 3 is 2048, so 1 is 682.67 and 2 is 1365.33.
        assert_eq!(scale_mr(&[0.0, 1.0, 2.0, 3.0, -1.0]).unwrap(), [0, 683, 1365, 2048, -683]);
        assert_eq!(clip_ct(&[-2000.0, -1.5, 0.4, 3000.0]).unwrap(), [-1023, -2, 0, 1024]);
        for bad in [&[0.0, -1.0][..], &[1.0, f32::NAN], &[]] {
            assert!(scale_mr(bad).is_err(), "{bad:?}");
        }
        assert!(clip_ct(&[f32::INFINITY]).is_err());
    }

    #[test]
    fn distributions_of_several_volumes_are_added() {
        let volumes = [&[0, 1, 1, 2, 3, 9][..], &[-4, 2, 2, 5, 6, 7, 8]];
        let source = SourceDistribution::of(volumes).unwrap();
        // By hand: 1 twice, 2 and 3 together twice; 2 twice, 5 once, 6 and 7 together twice.
        assert_eq!(source.values(), [1, 2, 5, 6]);
        assert_eq!(source.shares(), [2.0 / 9.0, 6.0 / 9.0, 7.0 / 9.0, 1.0]);
        assert_eq!(source.range(), [-4, 9]);
    }

    #[test]
    fn values_without_a_share_are_mapped_as_the_nearest() {
        let source = SourceDistribution::of([&[0, 10, 20, 30, 99][..]]).unwrap();
        let table = BTreeMap::from([(0, 1), (4, 2)]);
        // Halfway the larger one is taken.
        assert_eq!([1, 2, 3, 9, -3].map(|value| nearest(&table, value)), [1, 2, 2, 2, 1]);
        // Shares below all of the source's become its smallest value: 1 has a share of 1/7.
        let found = source.matched(&[0, 1, 2, 2, 2, 2, 2, 3, 8]).unwrap();
        assert_eq!(found, [0, 0, 20, 20, 20, 20, 20, 20, 20]);
    }

    #[test]
    fn volumes_without_a_distribution_are_refused() {
        for volume in [&[][..], &[1], &[1, 2, 3], &[5; 8]] {
            let error = SourceDistribution::of([volume]).unwrap_err().to_string();
            assert!(error.contains("fewer than two"), "{volume:?}: {error}");
        }
        assert!(SourceDistribution::of([]).is_err());
        let source = SourceDistribution::of([&[0, 10, 20, 30, 99][..]]).unwrap();
        assert!(source.matched(&[1, 2]).is_err());
    }
}
