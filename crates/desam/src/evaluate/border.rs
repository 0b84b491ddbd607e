//! The border rule.

use desam_core::{BinaryMask, Result};

/// `mask` without what lies in its outermost `px` rows and columns on each side.
///
/// The official program does this to predictions alone: prostates lie in the middle of the image,
/// and what is found at its rim costs nothing there. Ground truth at the rim still counts as
/// missed.
pub(crate) fn cleared(mask: BinaryMask, px: usize) -> Result<BinaryMask> {
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
    fn rows_and_columns_at_the_rim_are_cleared() {
        // By hand: of 5 × 6 ones, a border of 2 leaves row 2 and columns 2 and 3.
        let mask = BinaryMask::new(5, 6, vec![1; 30]).unwrap();
        let left = cleared(mask.clone(), 2).unwrap();
        assert_eq!(left.area(), 2);
        assert!(left.get(2, 2) && left.get(2, 3));
        assert_eq!(cleared(mask.clone(), 0).unwrap(), mask);
        assert!(cleared(mask.clone(), 3).unwrap().is_empty());
        assert!(cleared(mask, usize::MAX / 2).unwrap().is_empty());
    }

    #[test]
    fn a_border_of_fifty_leaves_the_middle_of_256() {
        // The official program's figures: rows and columns 50 to 205 of 256 are kept.
        let mask = BinaryMask::new(256, 256, vec![1; 256 * 256]).unwrap();
        let left = cleared(mask, 50).unwrap();
        assert_eq!(left.area(), 156 * 156);
        assert!(left.get(50, 205) && !left.get(49, 205) && !left.get(50, 206));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn only_the_rim_changes(h in 1_usize..20, w in 1_usize..20, px in 0_usize..12, seed: u64) {
            let data = (0..h * w).map(|i| (seed >> (i % 64) & 1) as u8).collect();
            let mask = BinaryMask::new(h, w, data).unwrap();
            let left = cleared(mask.clone(), px).unwrap();
            for r in 0..h {
                for c in 0..w {
                    let rim = r < px || c < px || r + px >= h || c + px >= w;
                    prop_assert_eq!(left.get(r, c), mask.get(r, c) && !rim);
                }
            }
        }
    }
}
