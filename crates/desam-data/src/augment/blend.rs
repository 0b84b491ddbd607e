//! Smooth random maps that blend two changed images: IPA, interventional pseudo-correlation
//! augmentation (CSDG, Ouyang et al., IEEE TMI 2022).

use crate::noise::gaussian_pair;
use rand::Rng;

/// Control points along each side of the field, besides the two beyond the borders: one every 48
/// pixels of a 192 pixel image, as in the official program.
const CELLS: usize = 4;

/// A smooth map from 0 to 1 over a square of `side` pixels: a quadratic B-spline field through normal
/// control points, stretched to its range.
pub(super) fn blending_map(side: usize, rng: &mut impl Rng) -> Vec<f32> {
    let points = CELLS + 2;
    let normal = (0..(points * points).div_ceil(2)).flat_map(|_| gaussian_pair(rng));
    let control: Vec<f64> = normal.take(points * points).collect();
    let weights: Vec<(usize, [f64; 3])> = (0..side).map(|n| spline_weights(n, side)).collect();
    let mut map = Vec::with_capacity(side * side);
    for (row, across_rows) in &weights {
        for (column, across_columns) in &weights {
            let line = |n: usize| {
                let points = control[(row + n) * points + column..].iter();
                points.zip(across_columns).map(|(p, w)| p * w).sum::<f64>()
            };
            map.push((0..3).map(|n| across_rows[n] * line(n)).sum::<f64>());
        }
    }
    let (low, high) =
        map.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (v.min(l), v.max(h)));
    let range = (high - low).max(f64::MIN_POSITIVE);
    map.into_iter().map(|v| ((v - low) / range) as f32).collect()
}

/// The first of three control points around pixel `n`, and their quadratic B-spline weights.
fn spline_weights(n: usize, side: usize) -> (usize, [f64; 3]) {
    let place = (n as f64 + 0.5) / side.max(1) as f64 * CELLS as f64;
    let cell = (place.floor() as usize).min(CELLS - 1);
    let t = place - cell as f64;
    (cell, [0.5 * (1.0 - t).powi(2), 0.5 + t * (1.0 - t), 0.5 * t * t])
}

/// `map` of `first`, and the rest of `second`; the channels share the map.
pub(super) fn blended(first: &[f32], second: &[f32], map: &[f32]) -> Vec<f32> {
    let pairs = first.iter().zip(second).zip(map.iter().cycle());
    pairs.map(|((a, b), share)| share * a + (1.0 - share) * b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn a_map_is_smooth_and_fills_its_range() {
        for seed in 0..10 {
            let map = blending_map(64, &mut ChaCha8Rng::seed_from_u64(seed));
            assert_eq!(map.len(), 64 * 64);
            let ends = map.iter().fold((1.0_f32, 0.0_f32), |(l, h), &v| (v.min(l), v.max(h)));
            assert_eq!(ends, (0.0, 1.0));
            // A cell has 16 pixels; within one pixel the field moves by a small part of its range.
            let steps = map.chunks(64).flat_map(|row| row.windows(2));
            assert!(steps.map(|pair| (pair[0] - pair[1]).abs()).fold(0.0, f32::max) < 0.15);
        }
    }

    #[test]
    fn spline_weights_sum_to_one() {
        for side in [1, 2, 7, 64] {
            for n in 0..side {
                let (first, weights) = spline_weights(n, side);
                assert!(first + 2 < CELLS + 2);
                assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                assert!(weights.iter().all(|w| *w >= 0.0));
            }
        }
    }

    #[test]
    fn blending_takes_each_pixel_by_its_share() {
        // By hand; two channels share the map.
        let out = blended(&[1.0, 1.0, 5.0, 5.0], &[0.0, 0.0, 1.0, 1.0], &[0.25, 1.0]);
        assert_eq!(out, [0.25, 1.0, 2.0, 5.0]);
    }
}
