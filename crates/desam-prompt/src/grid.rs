//! Regular grid of point prompts, for grid points mode.

use crate::error::check_side;
use crate::{Error, Result};
use desam_core::Point;

/// Limit on points along a side: 65 536 prompts an image. A larger number is more likely a typing error.
/// SAM's default is 32, the paper's 9.
pub const MAX_GRID_SIDE: usize = 256;

/// `n × n` foreground points at the centres of as many equal cells, `((i + 0.5) / n) · side` along
/// each axis, in pixels of an encoder input of that side; `x` runs fastest (the order of SAM's
/// automatic mask generator, which the selection rule's ties depend on).
///
/// # Errors
/// When `n` is 0 or above [`MAX_GRID_SIDE`], or `side` is not a finite number above 0.
pub fn grid_points(n: usize, side: f32) -> Result<Vec<Point>> {
    if n == 0 || n > MAX_GRID_SIDE {
        return Err(Error::GridSide { found: n, largest: MAX_GRID_SIDE });
    }
    check_side(side)?;
    // In f64, like the official program, and rounded to the encoder's f32 once.
    let centre = |i: usize| ((i as f64 + 0.5) / n as f64 * f64::from(side)) as f32;
    Ok((0..n).flat_map(|y| (0..n).map(move |x| Point::foreground(centre(x), centre(y)))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use desam_core::PointLabel;
    use proptest::prelude::*;

    #[test]
    fn two_by_two_by_hand() {
        // Arithmetic: centres of the two halves of a 1024-pixel side.
        let points: Vec<_> = grid_points(2, 1024.0).unwrap().iter().map(|p| (p.x, p.y)).collect();
        assert_eq!(points, [(256.0, 256.0), (768.0, 256.0), (256.0, 768.0), (768.0, 768.0)]);
    }

    #[test]
    fn empty_and_huge_grids_are_refused() {
        for n in [0, MAX_GRID_SIDE + 1, usize::MAX] {
            let error = grid_points(n, 1024.0).unwrap_err();
            assert_eq!(error, Error::GridSide { found: n, largest: MAX_GRID_SIDE });
        }
        for side in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(grid_points(9, side).is_err());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn distinct_inside_and_symmetric(n in 1usize..=48, side in 16u16..2048) {
            let side = f32::from(side);
            let points = grid_points(n, side).unwrap();
            prop_assert_eq!(points.len(), n * n);
            for (i, p) in points.iter().enumerate() {
                prop_assert!(p.x > 0.0 && p.x < side && p.y > 0.0 && p.y < side);
                prop_assert_eq!(p.label, PointLabel::Foreground);
                // Symmetric under a rotation by 180°, to the rounding of f32.
                let q = points[points.len() - 1 - i];
                prop_assert!((p.x + q.x - side).abs() <= side * 1e-6);
                prop_assert!((p.y + q.y - side).abs() <= side * 1e-6);
                // And under transposition.
                let r = points[(i % n) * n + i / n];
                prop_assert_eq!((p.x, p.y), (r.y, r.x));
            }
            let row = &points[..n];
            prop_assert!(row.windows(2).all(|w| w[0].x < w[1].x && w[0].y == w[1].y));
        }
    }
}
