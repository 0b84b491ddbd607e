//! Empty masks, means over cases, names, and what is refused.

#![allow(clippy::unwrap_used)] // helpers of tests, outside `#[test]`

use desam_metrics::Error;
use desam_metrics::metric::{
    BothEmpty, CaseMeasures, CaseMetric, Empty, EmptyPolicy, MaskPair, OneEmpty, Overlap, Score,
    Summary, VoxelGrid,
};

/// 2 × 3 × 6 voxels of 5 × 2 × 1 mm: the diagonal is √(10² + 6² + 6²) mm, a voxel 0.01 ml.
const GRID: VoxelGrid = VoxelGrid { shape: [2, 3, 6], spacing_mm: [5.0, 2.0, 1.0] };

fn metrics() -> Vec<CaseMetric> {
    let names = "dice jaccard precision recall surface_dice_1mm hd_mm hd95_mm asd_mm assd_mm \
                 robust_hd95_mm volume_error_ml relative_volume_error";
    names.split_whitespace().map(|name| name.parse().unwrap()).collect()
}

fn scores(prediction: &[u8], truth: &[u8], policy: EmptyPolicy) -> Vec<Score> {
    let pair = MaskPair::new(prediction, truth, GRID).unwrap();
    CaseMeasures::new(pair, policy).unwrap().scores(&metrics())
}

fn counted(scores: &[Score]) -> Vec<Option<f64>> {
    scores.iter().map(Score::counted).collect()
}

/// Nothing, and three voxels.
fn masks() -> (Vec<u8>, Vec<u8>) {
    let mut something = vec![0; 36];
    something[7..10].fill(2);
    (vec![0; 36], something)
}

#[test]
fn one_empty_mask_has_the_worst_score_and_is_reported() {
    let (none, some) = masks();
    let diagonal = 172f64.sqrt();
    for (one, distance, share) in [
        (OneEmpty::Diagonal, Some(diagonal), None),
        (OneEmpty::Infinite, Some(f64::INFINITY), Some(f64::INFINITY)),
        (OneEmpty::LeftOut, None, None),
    ] {
        for both in [BothEmpty::Perfect, BothEmpty::Zero, BothEmpty::Undefined] {
            let policy = EmptyPolicy { both, one };
            // Missed: 0 of four overlaps and of the surface, far away, 3 voxels too few.
            let missed = scores(&none, &some, policy);
            let mut expected = vec![Some(0.0); 5];
            expected.extend([distance; 5]);
            expected.extend([Some(-0.03), Some(-1.0)]);
            assert_eq!(counted(&missed), expected, "{policy:?}");
            assert!(missed.iter().all(|s| s.empty() == Some(Empty::Prediction)));
            // Invented: 3 voxels too many, no share of nothing.
            let invented = scores(&some, &none, policy);
            expected.truncate(10);
            expected.extend([Some(0.03), share]);
            assert_eq!(counted(&invented), expected, "{policy:?}");
            assert!(invented.iter().all(|s| s.empty() == Some(Empty::Truth)));
        }
    }
}

#[test]
fn two_empty_masks_score_by_the_policy() {
    let (none, _) = masks();
    for (both, share, distance) in [
        (BothEmpty::Perfect, Some(1.0), Some(0.0)),
        (BothEmpty::Zero, Some(0.0), None),
        (BothEmpty::Undefined, None, None),
    ] {
        for one in [OneEmpty::Diagonal, OneEmpty::Infinite, OneEmpty::LeftOut] {
            let found = scores(&none, &none, EmptyPolicy { both, one });
            let mut expected = vec![share; 5];
            expected.extend([distance; 5]);
            expected.extend([Some(0.0), distance]);
            assert_eq!(counted(&found), expected, "{both:?} {one:?}");
            assert!(found.iter().all(|s| s.empty() == Some(Empty::Both)));
        }
    }
}

#[test]
fn non_empty_masks_score_the_same_under_any_policy() {
    let (_, some) = masks();
    let policy = EmptyPolicy { both: BothEmpty::Undefined, one: OneEmpty::LeftOut };
    let found = scores(&some, &some, policy);
    assert_eq!(found, scores(&some, &some, EmptyPolicy::default()));
    assert!(found.iter().all(|s| s.empty().is_none() && matches!(s, Score::Value(_))));
}

#[test]
fn a_missed_case_stays_in_the_mean_or_is_counted() {
    let empty = |which, counted_as| Score::Empty { which, counted_as };
    let missed = empty(Empty::Prediction, Some(100.0));
    let found = [Score::Value(1.0), missed, Score::Value(4.0)];
    // By hand: (1 + 100 + 4) / 3.
    let summary = Summary::of(&found);
    assert_eq!((summary.mean, summary.median), (Some(35.0), Some(4.0)));
    assert_eq!((summary.cases, summary.left_out, summary.predictions_empty), (3, 0, 1));
    let left_out = empty(Empty::Prediction, None);
    let summary = Summary::of(&[left_out, Score::Value(1.0), Score::Value(4.0)]);
    assert_eq!((summary.mean, summary.median), (Some(2.5), Some(2.5)));
    assert_eq!((summary.cases, summary.left_out, summary.predictions_empty), (2, 1, 1));
    let far = empty(Empty::Truth, Some(f64::INFINITY));
    let summary = Summary::of(&[far, Score::Value(1.0), far, empty(Empty::Both, Some(0.0))]);
    assert_eq!(summary.mean, Some(f64::INFINITY));
    assert_eq!(summary.median, Some(f64::INFINITY));
    assert_eq!((summary.truths_empty, summary.both_empty, summary.cases), (2, 1, 4));
    let summary = Summary::of(&[far, far, Score::Value(2.0)]);
    assert_eq!(summary.median, Some(f64::INFINITY));
    let summary = Summary::of(&[left_out, left_out]);
    assert_eq!((summary.mean, summary.median, summary.cases), (None, None, 0));
    assert_eq!((summary.left_out, summary.predictions_empty), (2, 2));
    assert_eq!(Summary::of(&[]), Summary::default());
}

#[test]
fn a_mean_has_the_same_bits_in_any_order() {
    let values: Vec<Score> = (0..50).map(|i| Score::Value(0.1 * f64::from(i).sin())).collect();
    let mut reversed = values.clone();
    reversed.reverse();
    assert_eq!(Summary::of(&values), Summary::of(&reversed));
}

#[test]
fn names_are_displayed_and_parsed() {
    for metric in metrics() {
        assert_eq!(metric.to_string().parse::<CaseMetric>().unwrap(), metric);
        let json = serde_json::to_string(&metric).unwrap();
        assert_eq!(json, format!("\"{metric}\""));
        assert_eq!(serde_json::from_str::<CaseMetric>(&json).unwrap(), metric);
    }
    // Every overlap has the name it has elsewhere.
    for overlap in [Overlap::Dice, Overlap::Jaccard, Overlap::Precision, Overlap::Recall] {
        assert_eq!(CaseMetric::Overlap(overlap).to_string(), overlap.name());
    }
    let half = CaseMetric::SurfaceDice { tolerance_mm: 0.5 };
    assert_eq!("surface_dice_0.5mm".parse::<CaseMetric>().unwrap(), half);
    for name in ["", "hd", "HD_mm", "surface_dice_mm", "surface_dice_-1mm", "surface_dice_infmm"] {
        let message = name.parse::<CaseMetric>().unwrap_err().to_string();
        assert!(message.contains("robust_hd95_mm") && message.contains("surface_dice_3mm"));
        assert!(serde_json::from_str::<CaseMetric>(&format!("\"{name}\"")).is_err());
    }
    assert!(CaseMetric::Overlap(Overlap::Dice).higher_is_better() && half.higher_is_better());
    assert!(!CaseMetric::Hausdorff.higher_is_better());
}

#[test]
fn short_names_are_parsed() {
    for (typed, name) in [
        ("dice", "dice"),
        ("HD", "hd_mm"),
        ("hd95", "hd95_mm"),
        ("hd95_mm", "hd95_mm"),
        ("robust-hd95", "robust_hd95_mm"),
        ("volume-error", "volume_error_ml"),
        ("relative-volume-error", "relative_volume_error"),
        ("surface-dice@1", "surface_dice_1mm"),
        (" surface-dice@0.5mm", "surface_dice_0.5mm"),
        ("surface_dice_2mm", "surface_dice_2mm"),
    ] {
        assert_eq!(CaseMetric::from_typed(typed).unwrap().to_string(), name, "{typed}");
    }
    for wrong in ["", "_mm", "hd96", "surface-dice", "surface-dice@", "surface-dice@-1", "dice_mm"]
    {
        assert!(CaseMetric::from_typed(wrong).is_err(), "{wrong}");
    }
    let all = CaseMetric::all();
    assert_eq!(all.len(), 14);
    assert!(all.iter().all(|m| CaseMetric::from_typed(&m.to_string()).unwrap() == *m));
}

#[test]
fn the_worse_value_is_lower_or_of_larger_magnitude() {
    let [hd, volume] = ["hd_mm", "volume_error_ml"].map(|n| n.parse::<CaseMetric>().unwrap());
    assert_eq!(CaseMetric::DICE.worse(0.2, 0.9), 0.2);
    assert_eq!(hd.worse(2.0, 9.0), 9.0);
    assert_eq!((volume.worse(2.0, -9.0), volume.worse(-9.0, 2.0)), (-9.0, -9.0));
}

#[test]
fn scores_and_policies_survive_json() {
    let policy = EmptyPolicy { both: BothEmpty::Zero, one: OneEmpty::LeftOut };
    let json = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<EmptyPolicy>(&json).unwrap(), policy);
    let scores =
        [Score::Value(1.5), Score::Empty { which: Empty::Prediction, counted_as: Some(9.0) }];
    let json = serde_json::to_string(&scores).unwrap();
    assert_eq!(serde_json::from_str::<[Score; 2]>(&json).unwrap(), scores);
    let summary = Summary::of(&scores);
    let json = serde_json::to_string(&summary).unwrap();
    assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
}

#[test]
fn invalid_pairs_of_masks_are_refused() {
    let (mask, short) = ([1; 36], [1; 35]);
    let refused = |p: &[u8], t: &[u8], grid: VoxelGrid| MaskPair::new(p, t, grid).unwrap_err();
    let message = refused(&short, &mask, GRID).to_string();
    assert!(message.contains("prediction: 35 voxels") && message.contains("[2, 3, 6]"));
    let message = refused(&mask, &short, GRID).to_string();
    assert!(message.contains("truth: 35 voxels"), "{message}");
    // No voxels at all, and more than there are numbers.
    let grid = |shape| VoxelGrid { shape, ..GRID };
    assert!(matches!(refused(&[], &[], grid([0, 3, 6])), Error::Voxels { .. }));
    let huge = refused(&mask, &mask, grid([usize::MAX, 2, 36]));
    assert!(matches!(huge, Error::Voxels { .. }), "{huge}");
    for spacing in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-300, 1e300] {
        let grid = VoxelGrid { spacing_mm: [1.0, spacing, 1.0], ..GRID };
        assert!(matches!(refused(&mask, &mask, grid), Error::Spacing { .. }), "{spacing}");
    }
}

#[test]
fn the_smallest_volumes_have_surfaces() {
    for shape in [[1, 1, 1], [1, 1, 5], [5, 1, 1], [1, 5, 1]] {
        let grid = VoxelGrid { shape, ..GRID };
        let mask = vec![1; shape.iter().product()];
        let pair = MaskPair::new(&mask, &mask, grid).unwrap();
        let case = CaseMeasures::new(pair, EmptyPolicy::default()).unwrap();
        let found: Vec<f64> = case.scores(&metrics()).iter().filter_map(Score::counted).collect();
        let expected = [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(found, expected, "{shape:?}");
    }
}

#[test]
fn a_volumes_grid_is_converted_with_reversed_axes() {
    let affine = desam_core::Affine::from_spacing([0.5, 0.6, 3.0]);
    let grid = desam_core::Grid { dims: [10, 20, 30], affine };
    let found = VoxelGrid::from(&grid);
    assert_eq!(found, VoxelGrid { shape: [30, 20, 10], spacing_mm: [3.0, 0.6, 0.5] });
    assert!((found.voxel_ml() - 0.9e-3).abs() < 1e-15);
}
