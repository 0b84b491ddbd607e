//! Overlap metrics against medpy's numbers, arithmetic and their own algebra.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests, outside `#[test]`

mod common;

use candle_core::DType;
use common::{number, reference};
use desam_metrics::metric::{BothEmpty, Confusion, Overlap, OverlapMetric};
use proptest::prelude::*;

const ALL: [Overlap; 4] = [Overlap::Dice, Overlap::Jaccard, Overlap::Precision, Overlap::Recall];

#[test]
fn the_reference_values() {
    let Some((tensors, cases)) = reference("metrics") else {
        return;
    };
    for case in &cases {
        let id = case["case"].as_u64().unwrap();
        let voxels = |name: &str| -> Vec<u8> {
            let tensor = &tensors[&format!("case{id}.{name}")];
            assert_eq!(tensor.dtype(), DType::U8);
            tensor.flatten_all().unwrap().to_vec1().unwrap()
        };
        let (prediction, truth) = (voxels("pred"), voxels("truth"));
        let slices = tensors[&format!("case{id}.pred")].dim(0).unwrap();
        for measure in ALL {
            let mut metric = OverlapMetric::new(measure, BothEmpty::default());
            // Slice by slice: the value must be that of the volume.
            let pixels = prediction.len() / slices;
            for (p, t) in prediction.chunks(pixels).zip(truth.chunks(pixels)) {
                metric.update(p, t).unwrap();
            }
            let (found, name) = (metric.compute().unwrap(), measure.name());
            let expected = number(case, name);
            assert!((found - expected).abs() < 1e-6, "case {id} {name}: {found}, not {expected}");
        }
    }
}

#[test]
fn hand_counted() {
    // Arithmetic: tp 2 (positions 0 and 1), fp 1 (2), fn 3 (3 to 5), tn 1 (6).
    let prediction = [1, 255, 7, 0, 0, 0, 0];
    let truth = [1, 1, 0, 2, 1, 1, 0];
    let counts = Confusion::count(&prediction, &truth).unwrap();
    assert_eq!(counts, Confusion { tp: 2, fp: 1, fn_: 3, tn: 1 });
    for (measure, expected) in ALL.into_iter().zip([4.0 / 8.0, 2.0 / 6.0, 2.0 / 3.0, 2.0 / 5.0]) {
        assert_eq!(measure.of(&counts, BothEmpty::Undefined), Some(expected), "{measure:?}");
    }
}

#[test]
fn a_missed_case_scores_zero_under_every_policy() {
    for policy in [BothEmpty::Perfect, BothEmpty::Zero, BothEmpty::Undefined] {
        for measure in ALL {
            for (prediction, truth) in [([0, 0, 0], [0, 1, 1]), ([1, 0, 0], [0, 0, 0])] {
                let mut metric = OverlapMetric::new(measure, policy);
                metric.update(&prediction, &truth).unwrap();
                assert_eq!(metric.compute(), Some(0.0), "{measure:?} {policy:?}");
            }
        }
    }
}

#[test]
fn two_empty_masks_score_by_the_policy() {
    for measure in ALL {
        for (policy, expected) in [
            (BothEmpty::Perfect, Some(1.0)),
            (BothEmpty::Zero, Some(0.0)),
            (BothEmpty::Undefined, None),
        ] {
            let mut metric = OverlapMetric::new(measure, policy);
            metric.update(&[0; 5], &[0; 5]).unwrap();
            assert_eq!(metric.compute(), expected, "{measure:?} {policy:?}");
            metric.update(&[1], &[1]).unwrap();
            assert_eq!(metric.compute(), Some(1.0), "{measure:?} {policy:?}");
            metric.reset();
            assert_eq!(metric.compute(), None, "nothing was counted");
        }
    }
}

#[test]
fn lengths_that_differ_are_refused_and_change_nothing() {
    let mut metric = OverlapMetric::dice();
    metric.update(&[1, 0], &[1, 0]).unwrap();
    let message = metric.update(&[1], &[1, 0]).unwrap_err().to_string();
    assert!(message.contains("expected 2, found 1"), "{message}");
    assert_eq!(metric.compute(), Some(1.0));
}

fn pair() -> impl Strategy<Value = Vec<(u8, u8)>> {
    proptest::collection::vec((0u8..3, 0u8..3), 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn measures_agree_with_one_another(pair in pair(), cut in 0usize..300) {
        let (prediction, truth): (Vec<u8>, Vec<u8>) = pair.into_iter().unzip();
        let counts = Confusion::count(&prediction, &truth).unwrap();
        prop_assert_eq!(counts.total(), truth.len() as u64);

        // Pieces add up.
        let cut = cut.min(truth.len());
        let pieces: Confusion = [
            Confusion::count(&prediction[..cut], &truth[..cut]).unwrap(),
            Confusion::count(&prediction[cut..], &truth[cut..]).unwrap(),
        ].into_iter().sum();
        prop_assert_eq!(pieces, counts);

        let of = |measure: Overlap| measure.of(&counts, BothEmpty::Perfect).unwrap();
        let (dice, jaccard) = (of(Overlap::Dice), of(Overlap::Jaccard));
        prop_assert!((dice - 2.0 * jaccard / (1.0 + jaccard)).abs() < 1e-12);
        // Dice is symmetric; precision and recall change places.
        let mirrored = Confusion::count(&truth, &prediction).unwrap();
        prop_assert_eq!(Overlap::Dice.of(&mirrored, BothEmpty::Perfect).unwrap(), dice);
        prop_assert_eq!(
            Overlap::Recall.of(&mirrored, BothEmpty::Perfect).unwrap(), of(Overlap::Precision)
        );
        prop_assert!(ALL.into_iter().all(|m| (0.0..=1.0).contains(&of(m))));
        prop_assert_eq!(dice == 1.0, counts.fp + counts.fn_ == 0);
    }
}
