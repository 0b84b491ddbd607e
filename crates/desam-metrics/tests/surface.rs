//! Distances between surfaces against medpy's and surface-distance's numbers, and by hand.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests, outside `#[test]`

#[path = "common/case.rs"]
mod case;
mod common;

use case::Case;
use common::{number, reference};
use desam_metrics::metric::{CaseMetric, Score, VoxelGrid};

const DISTANCES: [CaseMetric; 4] = [
    CaseMetric::Hausdorff,
    CaseMetric::Hausdorff95,
    CaseMetric::AverageDistance,
    CaseMetric::AverageSymmetricDistance,
];

#[test]
fn the_reference_values() {
    let Some((tensors, cases)) = reference("metrics") else {
        return;
    };
    let names = [
        "dice",
        "jaccard",
        "precision",
        "recall",
        "hd_mm",
        "hd95_mm",
        "asd_mm",
        "assd_mm",
        "surface_dice_1mm",
        "surface_dice_3mm",
        "robust_hd95_mm",
    ];
    for case in &cases {
        let id = case["case"].as_u64().unwrap();
        let mask = |name: &str| {
            let tensor = &tensors[&format!("case{id}.{name}")];
            (tensor.dims3().unwrap(), tensor.flatten_all().unwrap().to_vec1::<u8>().unwrap())
        };
        let ((z, y, x), prediction) = mask("pred");
        let (_, truth) = mask("truth");
        let spacing = case["spacing_zyx_mm"].as_array().unwrap();
        let spacing_mm = [0, 1, 2].map(|axis| spacing[axis].as_f64().unwrap());
        let case_ = Case { prediction, truth, grid: VoxelGrid { shape: [z, y, x], spacing_mm } };
        let metrics = names.map(|name| name.parse::<CaseMetric>().unwrap());
        for (name, score) in names.iter().zip(case_.scores(&metrics)) {
            let (Score::Value(found), expected) = (score, number(case, name)) else {
                panic!("case {id}: {name} has no value")
            };
            let off = (found - expected).abs() / if expected == 0.0 { 1.0 } else { expected };
            assert!(off < 1e-6, "case {id} {name}: {found}, not {expected}");
        }
    }
}

#[test]
fn two_voxels_by_hand() {
    // One voxel each, (2, 3, 6) voxels apart at 3 × 2 × 1 mm: √(6² + 6² + 6²) for voxels and, the
    // octahedra around them being of one shape, for the elements. Its area: eight triangles, each
    // half the cross product of two sides, √(yx² + zx² + zy²)/8 = √(2² + 3² + 6²)/8 = 7/8.
    let grid = VoxelGrid { shape: [3, 4, 7], spacing_mm: [3.0, 2.0, 1.0] };
    let (mut prediction, mut truth) = (vec![0; 84], vec![0; 84]);
    (prediction[0], truth[83]) = (1, 1);
    let case = Case { prediction, truth, grid };
    let far = 108f64.sqrt();
    // Elements that face one another are a voxel nearer along each axis.
    let near = (3f64.powi(2) + 4f64.powi(2) + 5f64.powi(2)).sqrt();
    for metric in &DISTANCES {
        assert!((case.value(*metric) - far).abs() < 1e-12, "{metric}");
    }
    let dice = |tolerance_mm| case.value(CaseMetric::SurfaceDice { tolerance_mm });
    assert_eq!((dice(near - 1e-9), dice(near + 1e-9)), (0.0, 1.0 / 8.0));
    assert_eq!((dice(far - 1e-9), dice(far + 1e-9)), (7.0 / 8.0, 1.0));
    assert!((case.value(CaseMetric::RobustHausdorff95) - far).abs() < 1e-12);
    assert_eq!(case.value(CaseMetric::VolumeError), 0.0);
}

#[test]
fn volumes_by_hand() {
    // 3 voxels for 2, of 6 mm³: 0.006 ml too much, half of the truth. The other way a third less.
    let grid = VoxelGrid { shape: [1, 1, 4], spacing_mm: [3.0, 2.0, 1.0] };
    let case = Case { prediction: vec![1, 1, 1, 0], truth: vec![0, 9, 1, 0], grid };
    assert!((case.value(CaseMetric::VolumeError) - 0.006).abs() < 1e-15);
    assert_eq!(case.value(CaseMetric::RelativeVolumeError), 0.5);
    let swapped = Case { prediction: case.truth.clone(), truth: case.prediction.clone(), grid };
    assert!((swapped.value(CaseMetric::VolumeError) + 0.006).abs() < 1e-15);
    assert_eq!(swapped.value(CaseMetric::RelativeVolumeError), -1.0 / 3.0);
}

#[test]
fn a_far_island_costs_the_largest_distance_and_little_else() {
    // A line of 40 voxels and the same with one voxel 50 mm off: by hand, HD 50, the mean of the
    // 41 distances from the prediction 50/41, of all 81 50/81, HD95 0.
    let grid = VoxelGrid { shape: [1, 6, 40], spacing_mm: [1.0, 10.0, 1.0] };
    let mut truth = vec![0; 240];
    truth[..40].fill(1);
    let mut prediction = truth.clone();
    prediction[200] = 1;
    let case = Case { prediction, truth, grid };
    assert_eq!(case.value(CaseMetric::Hausdorff), 50.0);
    assert_eq!(case.value(CaseMetric::Hausdorff95), 0.0);
    assert!((case.value(CaseMetric::AverageDistance) - 50.0 / 41.0).abs() < 1e-12);
    assert!((case.value(CaseMetric::AverageSymmetricDistance) - 50.0 / 81.0).abs() < 1e-12);
}
