//! The table that histogram matching maps levels by.

use super::cdf::{interpolate, match_cdf};
use super::{IntensityHistogram, LEVELS};
use crate::preprocess::SliceImage;

/// A monotone table from the levels of one volume to those of the training volumes; 0 stays 0, and equal
/// histograms change nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchingTable {
    levels: [u8; LEVELS],
}

impl MatchingTable {
    /// The table from the levels of `target` to those of `source`.
    ///
    /// Levels that occur follow [`match_cdf`], rounded; those between them, which no pixel of the target
    /// has, follow linearly. Where either is empty, every level stays as it is.
    pub fn new(target: &IntensityHistogram, source: &IntensityHistogram) -> Self {
        let occurring: Vec<(usize, u64)> = pairs(target).filter(|(_, n)| *n > 0).collect();
        let counts: Vec<u64> = occurring.iter().map(|(_, count)| *count).collect();
        let source: Vec<(f64, u64)> = pairs(source).map(|(v, n)| (v as f64, n)).collect();
        let matched = match_cdf(&counts, &source);
        let (mut from, mut to) = (vec![0.0], vec![0.0]);
        for ((level, _), value) in occurring.iter().zip(matched) {
            from.push(*level as f64);
            to.push(value);
        }
        let last = (LEVELS - 1) as f64;
        if from.last() != Some(&last) {
            from.push(last);
            to.push(last);
        }
        let levels = std::array::from_fn(|level| {
            let level = level as f64;
            interpolate(level, &from, &to).unwrap_or(level).round() as u8
        });
        Self { levels }
    }

    /// The new level of each level from 0 to 255.
    pub fn levels(&self) -> &[u8; LEVELS] {
        &self.levels
    }

    /// Maps all pixels of a slice.
    pub fn apply(&self, image: &mut SliceImage) {
        for pixel in &mut image.data {
            *pixel = self.levels.get(usize::from(*pixel)).copied().unwrap_or(*pixel);
        }
    }
}

/// Each level with its count.
fn pairs(histogram: &IntensityHistogram) -> impl Iterator<Item = (usize, u64)> {
    histogram.counts().iter().copied().enumerate()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn histogram(counts: &[(usize, u64)]) -> IntensityHistogram {
        let mut all = vec![0; LEVELS];
        counts.iter().for_each(|&(level, count)| all[level] = count);
        all.try_into().unwrap()
    }

    fn levels(target: &IntensityHistogram, source: &IntensityHistogram) -> [u8; LEVELS] {
        *MatchingTable::new(target, source).levels()
    }

    #[test]
    fn levels_take_the_sources_at_their_share() {
        // By hand: shares 1/4, 1/2, 3/4, 1 of levels 2, 4, 100, 200; the source's are 1/2 (10), 1 (21).
        let target = histogram(&[(2, 1), (4, 1), (100, 1), (200, 1)]);
        let table = levels(&target, &histogram(&[(10, 2), (21, 2)]));
        // 3/4 is halfway from 10 to 21: 15.5, rounded to 16.
        assert_eq!([0, 2, 4, 100, 200].map(|v: usize| table[v]), [0, 10, 10, 16, 21]);
        // Levels that do not occur: 1 is halfway from 0 to 2; 52 from 4 to 100, 12.75; 255 stays.
        assert_eq!([1, 52, 255].map(|v: usize| table[v]), [5, 13, 255]);
        let mut image = SliceImage { side: 2, data: vec![0, 2, 100, 200] };
        MatchingTable { levels: table }.apply(&mut image);
        assert_eq!(image.data, [0, 10, 16, 21]);
    }

    #[test]
    fn nothing_changes_where_there_is_nothing_to_match() {
        let identity: [u8; LEVELS] = std::array::from_fn(|v| v as u8);
        let (empty, some) = (IntensityHistogram::default(), histogram(&[(9, 3)]));
        assert_eq!(levels(&empty, &some), identity);
        assert_eq!(levels(&some, &empty), identity);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn tables_are_monotone_keep_zero_and_match_equals_to_themselves(
            target in any_histogram(), source in any_histogram(),
        ) {
            let table = levels(&target, &source);
            prop_assert_eq!(table[0], 0);
            prop_assert!(table.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", table);
            // Other numbers of pixels, the same shares.
            let doubled: Vec<u64> = source.counts().iter().map(|n| n.saturating_mul(2)).collect();
            let table = levels(&doubled.try_into().unwrap(), &source);
            prop_assert!(table.iter().enumerate().all(|(v, to)| v == usize::from(*to)));
        }
    }

    /// Histograms with gaps, and counts of very different sizes.
    fn any_histogram() -> impl Strategy<Value = IntensityHistogram> {
        let count = prop_oneof![4 => Just(0_u64), 4 => 1_u64..100, 1 => 1_u64..1 << 40];
        prop::collection::vec(count, LEVELS).prop_map(|mut counts| {
            counts[0] = 0;
            counts.try_into().unwrap()
        })
    }
}
