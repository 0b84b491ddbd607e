//! Properties that hold for any pair of masks, for all shapes and spacings.

#![allow(clippy::unwrap_used)] // helpers of tests, outside `#[test]`

#[path = "common/case.rs"]
mod case;

use case::Case;
use desam_metrics::metric::{CaseMetric, VoxelGrid};
use proptest::prelude::*;

const ALL: [CaseMetric; 9] = [
    CaseMetric::Hausdorff,
    CaseMetric::Hausdorff95,
    CaseMetric::AverageDistance,
    CaseMetric::AverageSymmetricDistance,
    CaseMetric::SurfaceDice { tolerance_mm: 1.0 },
    CaseMetric::SurfaceDice { tolerance_mm: 3.0 },
    CaseMetric::RobustHausdorff95,
    CaseMetric::VolumeError,
    CaseMetric::RelativeVolumeError,
];

impl Case {
    /// The values of [`ALL`].
    fn all(&self) -> Vec<f64> {
        self.scores(&ALL).iter().map(|s| s.counted().unwrap()).collect()
    }

    /// Both masks through `pick`, which says which voxel of this case lies at `[z, y, x]` of the
    /// other grid, if any.
    fn onto(&self, grid: VoxelGrid, pick: impl Fn([usize; 3]) -> Option<[usize; 3]>) -> Self {
        let [depth, height, width] = grid.shape;
        let [_, rows, columns] = self.grid.shape;
        let voxels = || {
            (0..depth * height * width).map(|i| {
                let at = [i / (height * width), i / width % height, i % width];
                pick(at).map(|[z, y, x]| (z * rows + y) * columns + x)
            })
        };
        let take =
            |mask: &[u8]| voxels().map(|from| from.map_or(0, |i| mask[i])).collect::<Vec<_>>();
        Self { prediction: take(&self.prediction), truth: take(&self.truth), grid }
    }
}

fn close(found: &[f64], expected: &[f64]) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), expected.len());
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        prop_assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-3), "{}: {} and {}", ALL[i], a, b);
    }
    Ok(())
}

/// Two masks of up to 6 × 7 × 8 voxels, neither of them empty: from specks to nearly full.
fn cases() -> impl Strategy<Value = Case> {
    let shape = [1usize..6, 1usize..7, 1usize..8];
    let spacing = [0.2..4.0f64, 0.2..4.0f64, 0.2..4.0f64];
    (shape, spacing, 1u8..10, 1u8..10).prop_flat_map(|(shape, spacing_mm, p, t)| {
        let n = shape.iter().product::<usize>();
        let mask = move |share: u8| {
            let voxels =
                proptest::collection::vec((0u8..10).prop_map(move |v| u8::from(v < share)), n);
            (voxels, 0..n).prop_map(|(mut voxels, one)| {
                voxels[one] = 1;
                voxels
            })
        };
        (mask(p), mask(t)).prop_map(move |(prediction, truth)| Case {
            prediction,
            truth,
            grid: VoxelGrid { shape, spacing_mm },
        })
    })
}

/// Distances of two sets of voxels, every pair of them, as medpy defines them.
fn by_every_pair(case: &Case) -> [f64; 4] {
    let [depth, height, width] = case.grid.shape;
    let surface = |mask: &[u8]| {
        let at = |z: usize, y: usize, x: usize| {
            // Beyond the volume (a wrapped −1 included) all is background.
            let inside = z < depth && y < height && x < width;
            inside && mask[(z * height + y) * width + x] > 0
        };
        let mut points = Vec::new();
        for (z, y, x) in (0..depth * height * width)
            .map(|i| (i / (height * width), i / width % height, i % width))
        {
            let neighbours = [
                (z.wrapping_sub(1), y, x),
                (z + 1, y, x),
                (z, y.wrapping_sub(1), x),
                (z, y + 1, x),
                (z, y, x.wrapping_sub(1)),
                (z, y, x + 1),
            ];
            if at(z, y, x) && neighbours.iter().any(|&(z, y, x)| !at(z, y, x)) {
                let s = case.grid.spacing_mm;
                points.push([z as f64 * s[0], y as f64 * s[1], x as f64 * s[2]]);
            }
        }
        points
    };
    let (p, t) = (surface(&case.prediction), surface(&case.truth));
    let between = |a: &[f64; 3], b: &[f64; 3]| {
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    };
    let from = |a: &[[f64; 3]], b: &[[f64; 3]]| -> Vec<f64> {
        a.iter().map(|a| b.iter().map(|b| between(a, b)).fold(f64::INFINITY, f64::min)).collect()
    };
    let (there, back) = (from(&p, &t), from(&t, &p));
    let mean = |d: &[f64]| d.iter().sum::<f64>() / d.len() as f64;
    let mut all = [there.clone(), back.clone()].concat();
    all.sort_by(f64::total_cmp);
    let rank = 0.95 * (all.len() - 1) as f64;
    let (low, high) = (all[rank.floor() as usize], all[rank.ceil() as usize]);
    let hd95 = low + (high - low) * rank.fract();
    [all[all.len() - 1], hd95, mean(&there), mean(&all)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn voxel_distances_are_those_of_every_pair(case in cases()) {
        close(&case.all()[..4], &by_every_pair(&case))?;
    }

    #[test]
    fn a_mask_is_no_distance_from_itself(case in cases()) {
        let same = Case { prediction: case.truth.clone(), ..case };
        prop_assert_eq!(same.all(), [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
        prop_assert_eq!(same.value(CaseMetric::SurfaceDice { tolerance_mm: 0.0 }), 1.0);
    }

    #[test]
    fn prediction_and_truth_may_change_places(case in cases()) {
        let swapped = Case {
            prediction: case.truth.clone(), truth: case.prediction.clone(), grid: case.grid,
        };
        for (metric, (a, b)) in ALL.iter().zip(case.all().iter().zip(swapped.all())) {
            match metric {
                // One way alone, and shares of one of the two.
                CaseMetric::AverageDistance | CaseMetric::RelativeVolumeError => {}
                CaseMetric::VolumeError => prop_assert_eq!(*a, -b),
                _ => prop_assert!((a - b).abs() < 1e-12, "{}: {} and {}", metric, a, b),
            }
        }
        // One of the two means is at least the mean of all distances, the other at most.
        let ways = [&case, &swapped].map(|c| c.value(CaseMetric::AverageDistance));
        let both = case.value(CaseMetric::AverageSymmetricDistance);
        let [low, high] = [ways[0].min(ways[1]), ways[0].max(ways[1])];
        prop_assert!((low - 1e-12..=high + 1e-12).contains(&both));
    }

    #[test]
    fn more_background_around_changes_nothing(case in cases(), rim in [[0usize..4, 0usize..4], [0usize..4, 0usize..4], [0usize..4, 0usize..4]]) {
        // Translation and cropping at once: some background before, some after.
        let shape = [0, 1, 2].map(|a| case.grid.shape[a] + rim[a][0] + rim[a][1]);
        let moved = case.onto(VoxelGrid { shape, ..case.grid }, |at| {
            let from = [0, 1, 2].map(|a| at[a].wrapping_sub(rim[a][0]));
            (0..3).all(|a| from[a] < case.grid.shape[a]).then_some(from)
        });
        prop_assert_eq!(moved.all(), case.all());
    }

    #[test]
    fn axes_may_change_places_and_directions(
        case in cases(),
        order in Just([0usize, 1, 2]).prop_shuffle(),
        flip in [any::<bool>(), any::<bool>(), any::<bool>()],
    ) {
        let shape = order.map(|a| case.grid.shape[a]);
        let spacing_mm = order.map(|a| case.grid.spacing_mm[a]);
        let swapped = case.onto(VoxelGrid { shape, spacing_mm }, |at| {
            let mut from = [0; 3];
            for (at, axis) in at.into_iter().zip(order) {
                from[axis] = if flip[axis] { case.grid.shape[axis] - 1 - at } else { at };
            }
            Some(from)
        });
        close(&swapped.all(), &case.all())?;
    }

    #[test]
    fn a_larger_spacing_makes_distances_larger_alike(case in cases(), factor in 0.1..8.0f64) {
        let spacing_mm = case.grid.spacing_mm.map(|s| s * factor);
        let scaled = Case { grid: VoxelGrid { spacing_mm, ..case.grid }, ..case.clone() };
        let metrics = [ALL[0], ALL[1], ALL[2], ALL[3], CaseMetric::RobustHausdorff95];
        for metric in metrics {
            let (found, expected) = (scaled.value(metric), factor * case.value(metric));
            prop_assert!((found - expected).abs() <= 1e-9 * expected, "{}", metric);
        }
        // Away from a distance at which an element lies exactly.
        let dice = |c: &Case, tolerance_mm| c.value(CaseMetric::SurfaceDice { tolerance_mm });
        let (a, b) = (dice(&case, 1.7), dice(&scaled, 1.7 * factor));
        prop_assert!((a - b).abs() < 1e-9, "{} and {}", a, b);
        let volume = factor.powi(3) * case.value(CaseMetric::VolumeError);
        prop_assert!((scaled.value(CaseMetric::VolumeError) - volume).abs() <= 1e-9 * volume.abs());
    }

    #[test]
    fn metrics_keep_their_order(case in cases(), small in 0.0..3.0f64, more in 0.0..3.0f64) {
        let all = case.all();
        let [hd, hd95, asd, assd] = [all[0], all[1], all[2], all[3]];
        // A mean of equals may be off by its last digits.
        let most = hd * (1.0 + 1e-12);
        prop_assert!(hd95 <= most && asd <= most && assd <= most);
        let dice = |tolerance_mm| case.value(CaseMetric::SurfaceDice { tolerance_mm });
        prop_assert!(dice(small) <= dice(small + more));
        prop_assert!((0.0..=1.0).contains(&dice(small)));
        prop_assert_eq!(dice(case.grid.diagonal_mm()), 1.0);
        // Fed alone or together, in any order: the same bits.
        let backwards: Vec<CaseMetric> = ALL.iter().rev().copied().collect();
        let mut scores = case.scores(&backwards);
        scores.reverse();
        prop_assert_eq!(scores, case.scores(&ALL));
    }
}
