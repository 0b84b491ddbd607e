//! The native protocol: slices with ground truth alone, on the volume's own grid.

use super::scoring::{SIDE, Toys, bright, config, embedded, score, toys, write_case};
use crate::evaluate::run::{Scorer, SlicePredictions};
use crate::evaluate::{Evaluation, Protocol, TrainedOn};
use candle_core::Device;
use desam::predict::{SliceEvidence, SlicePrediction};
use desam_core::{ClassTable, ImageFeatures, Quiet};
use desam_data::cache::SlicePolicy;

/// Scores masks whose confidence is 0.25 for the 16 pixels that are bright at the rim of slice 0, which has no
/// ground truth, and 0.75 for the squares of 36 pixels on slices 1 and 2.
fn rated(toys: &Toys, protocol: Protocol) -> Evaluation {
    let predict = |features: &ImageFeatures| -> crate::Result<SlicePredictions> {
        let mask = bright(features)?;
        let mut prediction = SlicePrediction::of_mask(mask);
        prediction.confidence = Some(if prediction.mask.area() == SIDE { 0.25 } else { 0.75 });
        Ok(vec![(prediction, SliceEvidence::none())])
    };
    let scorer = Scorer {
        cache: &toys.cache,
        device: &Device::Cpu,
        config: &config(protocol),
        classes: &ClassTable::default(),
        predict: &predict,
        statistics: None,
        computed: None,
    };
    let source = TrainedOn { sites: "A".into(), validation: &["Case2".to_owned()] };
    scorer.run(source, &Quiet).unwrap()
}

#[test]
fn confidence_is_about_the_slices_that_are_scored() {
    let toys = toys(SlicePolicy::All);
    let confidence = |protocol| rated(&toys, protocol).cases[1].confidence.unwrap();
    assert_eq!(confidence(Protocol::Native), 0.75);
    assert_eq!(confidence(Protocol::Paper), 0.75);
    // By hand: (16 · 0.25 + 72 · 0.75) / 88.
    assert!((confidence(Protocol::Full) - 58.0 / 88.0).abs() < 1e-12);
    // Nothing was found on the slices with ground truth of B/Case3.
    assert_eq!(rated(&toys, Protocol::Native).cases[3].confidence, None);
}

#[test]
fn a_case_without_ground_truth_is_not_scored() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    write_case(&data.join("A"), "Case2", 6, 6, 100.0);
    write_case(&data.join("B"), "Case1", 6, 6, 100.0);
    write_case(&data.join("B"), "Case2", 6, 0, 100.0);
    let cache = embedded(&data, &dir.path().join("cache"), SlicePolicy::All);
    let toys = Toys { dir, cache };
    let found = score(&toys, &config(Protocol::Native)).unwrap();
    assert_eq!((found.cases.len(), found.overall_dice), (2, Some(1.0)));
    let table = found.table();
    assert!(table.contains("not scored: B/Case2: no slice of it has ground truth\n"), "{table}");
    // Whole volumes are scored: there is nothing to find, and something was found.
    let full = score(&toys, &config(Protocol::Full)).unwrap();
    assert!(full.unscored.is_empty() && full.cases[2].dice == 0.0);
}
