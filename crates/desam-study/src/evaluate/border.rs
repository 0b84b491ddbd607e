//! The border rule: predictions are zeroed near the image border before they are scored.

use desam_core::{BinaryMask, Result};
use serde::{Deserialize, Serialize};

/// Share of the ground truth within the border above which evaluation warns.
pub(super) const MAX_BORDER_CUT: f64 = desam_data::verify::MAX_BORDER_CUT;

/// Ground truth within the border, where predictions are zeroed: it counts as missed whatever the model
/// predicts there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BorderCut {
    /// Foreground of the truth, in pixels of the `M × M` masks.
    pub truth_pixels: u64,
    /// The part of it within the border.
    pub cut_pixels: u64,
    /// That part's share, 0 to 1.
    pub share: f64,
}

impl BorderCut {
    pub(super) fn new(truth_pixels: u64, cut_pixels: u64) -> Self {
        let share = match truth_pixels {
            0 => 0.0,
            all => cut_pixels as f64 / all as f64,
        };
        Self { truth_pixels, cut_pixels, share }
    }

    /// Counts the foreground of masks within a border of `px`.
    pub(super) fn of<'a>(truth: impl IntoIterator<Item = &'a BinaryMask>, px: usize) -> Self {
        let (mut all, mut cut) = (0, 0);
        for mask in truth {
            all += mask.area() as u64;
            cut += mask.border_area(px) as u64;
        }
        Self::new(all, cut)
    }

    /// The sum over cases; `None` where a case has no count, as in older files.
    pub(super) fn sum(cases: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        let mut cases = cases.into_iter();
        let first = cases.next()??;
        let add = |a: Self, b: Option<Self>| {
            let b = b?;
            Some(Self::new(a.truth_pixels + b.truth_pixels, a.cut_pixels + b.cut_pixels))
        };
        cases.try_fold(first, add)
    }
}

/// Zeroes the outermost `px` rows and columns of a mask on each side.
///
/// The official program does this to predictions alone: prostates lie in the middle of the image, so
/// false positives near the border cost nothing. Ground truth in the border still counts as missed.
pub(crate) fn zero_border(mask: BinaryMask, px: usize) -> Result<BinaryMask> {
    let (height, width) = (mask.height(), mask.width());
    if px == 0 || width == 0 {
        return Ok(mask);
    }
    let mut data = mask.into_data();
    for (r, row) in data.chunks_mut(width).enumerate() {
        let inside = r >= px && r + px < height;
        for (c, value) in row.iter_mut().enumerate() {
            if !(inside && c >= px && c + px < width) {
                *value = 0;
            }
        }
    }
    BinaryMask::new(height, width, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_and_columns_in_the_border_are_zeroed() {
        // By hand: of 5 × 6 ones, a border of 2 leaves row 2 and columns 2 and 3.
        let mask = BinaryMask::new(5, 6, vec![1; 30]).unwrap();
        let left = zero_border(mask.clone(), 2).unwrap();
        assert_eq!(left.area(), 2);
        assert!(left.get(2, 2) && left.get(2, 3));
        assert_eq!(zero_border(mask.clone(), 0).unwrap(), mask);
        assert!(zero_border(mask.clone(), 3).unwrap().is_empty());
        assert!(zero_border(mask, usize::MAX / 2).unwrap().is_empty());
    }

    #[test]
    fn ground_truth_within_the_border_is_counted() {
        // By hand: of 6 × 6 ones a border of 1 cuts 36 - 16, of 6 × 6 in the middle of 8 × 8 none.
        let full = BinaryMask::new(6, 6, vec![1; 36]).unwrap();
        let cut = BorderCut::of([&full, &BinaryMask::empty(6, 6)], 1);
        assert_eq!((cut.truth_pixels, cut.cut_pixels), (36, 20));
        assert!((cut.share - 20.0 / 36.0).abs() < 1e-12);
        assert_eq!(BorderCut::of([], 5).share, 0.0);
        let both = BorderCut::sum([Some(cut), Some(BorderCut::new(4, 0))]).unwrap();
        assert_eq!((both.truth_pixels, both.cut_pixels, both.share), (40, 20, 0.5));
        assert_eq!(BorderCut::sum([Some(cut), None]), None);
        assert_eq!(BorderCut::sum([]), None);
    }

    #[test]
    fn a_border_of_fifty_leaves_the_middle_of_256() {
        // The official program's figures: rows and columns 50 to 205 of 256 are kept.
        let mask = BinaryMask::new(256, 256, vec![1; 256 * 256]).unwrap();
        let left = zero_border(mask, 50).unwrap();
        assert_eq!(left.area(), 156 * 156);
        assert!(left.get(50, 205) && !left.get(49, 205) && !left.get(50, 206));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn only_the_border_changes(h in 1_usize..20, w in 1_usize..20, px in 0_usize..12, seed: u64) {
            let data = (0..h * w).map(|i| (seed >> (i % 64) & 1) as u8).collect();
            let mask = BinaryMask::new(h, w, data).unwrap();
            let left = zero_border(mask.clone(), px).unwrap();
            for r in 0..h {
                for c in 0..w {
                    let rim = r < px || c < px || r + px >= h || c + px >= w;
                    prop_assert_eq!(left.get(r, c), mask.get(r, c) && !rim);
                }
            }
        }
    }
}
