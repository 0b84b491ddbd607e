//! Scoring a toy data set with a function in place of a model.

use crate::Error;
use crate::evaluate::run::check_origin;
use crate::evaluate::{
    BorderCut, EvaluateConfig, Evaluation, GroundTruthKind, Protocol, Role, TrainedOn,
    evaluate_with,
};
use candle_core::{Device, Tensor};
use desam::model::ModelInput;
use desam::{Mode, ModelRecord, PromptingConfig};
use desam_core::{
    Affine, BinaryMask, EncoderSpec, Grid, ImageEncoder, ImageFeatures, LabelVolume, Progress,
    Quiet, Volume,
};
use desam_data::cache::{EncoderRecord, FeatureCache, FeatureDtype, SlicePolicy};
use desam_data::embed::{EmbedOptions, embed};
use desam_data::layout::discover;
use desam_data::preprocess::{LabelRule, PreprocessConfig};
use desam_metrics::metric::OneEmpty;
use desam_volume::nifti::{write_labels, write_volume};
use std::path::Path;
use std::sync::Mutex;

/// Side of the toy encoder's input, grid and masks.
pub(super) const SIDE: usize = 16;

/// Its embedding is its input, so that a toy model can threshold it.
struct Toy(EncoderSpec);

impl Toy {
    fn new() -> Self {
        Self(EncoderSpec {
            input_side: SIDE,
            patch: 1,
            tap_channels: vec![1],
            embedding_channels: 1,
        })
    }
}

impl ImageEncoder for Toy {
    fn spec(&self) -> &EncoderSpec {
        &self.0
    }

    fn encode(&self, pixels: &Tensor) -> candle_core::Result<ImageFeatures> {
        let red = pixels.narrow(1, 0, 1)?;
        Ok(ImageFeatures { taps: vec![red.clone()], embedding: red })
    }
}

/// A case of 4 slices of 16², 2 × 2 × 5 mm: a bright square of `side` pixels at (5, 5) in slices 1
/// and 2, of which the label has the first `labelled` columns; brightness 0 hides the square.
pub(super) fn write_case(dir: &Path, name: &str, side: usize, labelled: usize, brightness: f32) {
    let grid = Grid { dims: [SIDE, SIDE, 4], affine: Affine::from_spacing([2.0, 2.0, 5.0]) };
    let (mut image, mut label) = (Vec::new(), Vec::new());
    for n in 0..grid.len() {
        let (x, y, z) = (n % SIDE, n / SIDE % SIDE, n / (SIDE * SIDE));
        let slice = z == 1 || z == 2;
        let inside = slice && (5..5 + side).contains(&x) && (5..5 + side).contains(&y);
        // One bright pixel at the rim of a slice without ground truth keeps the window apart.
        let rim = z == 0 && x == 0;
        image.push(if inside {
            brightness
        } else if rim {
            100.0
        } else {
            1.0
        });
        label.push(u8::from(inside && x < 5 + labelled));
    }
    std::fs::create_dir_all(dir).unwrap();
    write_volume(&dir.join(format!("{name}.nii.gz")), &Volume::new(grid, image).unwrap()).unwrap();
    let labels = LabelVolume::new(grid, label).unwrap();
    write_labels(&dir.join(format!("{name}_segmentation.nii.gz")), &labels).unwrap();
}

pub(super) fn embedded(data: &Path, out: &Path, slices: SlicePolicy) -> FeatureCache {
    let toy = Toy::new();
    let options =
        EmbedOptions::new(out, data, discover(data).unwrap(), EncoderRecord::new("toy", "00"))
            .with_preprocess(PreprocessConfig {
                labels: LabelRule::Nearest,
                ..PreprocessConfig::official()
            })
            .with_dtype(FeatureDtype::F32)
            .with_slices(slices);
    embed(&options, &toy, &Device::Cpu, &Quiet).unwrap();
    FeatureCache::open(out).unwrap()
}

/// The toy model: thresholds at the middle. SAM's normalisation maps 123.675 to 0.
pub(super) fn bright(features: &ImageFeatures) -> crate::Result<BinaryMask> {
    let pixels = features.embedding.gt(0.0)?.flatten_all()?.to_vec1::<u8>()?;
    Ok(BinaryMask::new(SIDE, SIDE, pixels)?)
}

pub(super) fn config(protocol: Protocol) -> EvaluateConfig {
    EvaluateConfig::new(protocol, PromptingConfig::new(Mode::Points, 9, SIDE))
}

pub(super) struct Toys {
    pub(super) dir: tempfile::TempDir,
    pub(super) cache: FeatureCache,
}

/// Site A is the source: Case1 trains, Case2 validates. Site B has one good case, one whose label
/// is half of what is bright, and one that shows nothing.
pub(super) fn toys(slices: SlicePolicy) -> Toys {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    write_case(&data.join("A"), "Case1", 6, 6, 100.0);
    write_case(&data.join("A"), "Case2", 6, 6, 100.0);
    write_case(&data.join("B"), "Case1", 6, 6, 100.0);
    write_case(&data.join("B"), "Case2", 6, 3, 100.0);
    write_case(&data.join("B"), "Case3", 6, 6, 1.0);
    let cache = embedded(&data, &dir.path().join("cache"), slices);
    Toys { dir, cache }
}

pub(super) fn score(toys: &Toys, config: &EvaluateConfig) -> crate::Result<Evaluation> {
    scored(toys, config, &Quiet)
}

fn scored(
    toys: &Toys,
    config: &EvaluateConfig,
    progress: &dyn Progress,
) -> crate::Result<Evaluation> {
    let source = TrainedOn { sites: "A".into(), validation: &["Case2".to_owned()] };
    evaluate_with(&toys.cache, source, config, &bright, progress)
}

fn dices(evaluation: &Evaluation) -> Vec<(&str, &str, Role, f64)> {
    let cases = evaluation.cases.iter();
    cases.map(|c| (c.site.as_str(), c.case.as_str(), c.role, c.dice)).collect()
}

#[test]
fn the_paper_protocol_scores_labelled_slices_at_the_masks_side() {
    let toys = toys(SlicePolicy::Labelled);
    // A border of 3 pixels at side 16 (50 · 16 / 256 = 3.1) leaves the squares whole. By hand:
    // B/Case2 finds 2 · 36 where 2 · 18 are true, 2 · 36 / (36 + 72) = 2/3.
    let found = score(&toys, &config(Protocol::Paper)).unwrap();
    assert_eq!((found.border_px, found.mask_side), (3, SIDE));
    let expected = [
        ("A", "Case2", Role::SourceValidation, 1.0),
        ("B", "Case1", Role::Target, 1.0),
        ("B", "Case2", Role::Target, 2.0 / 3.0),
        ("B", "Case3", Role::Target, 0.0),
    ];
    assert_eq!(dices(&found), expected);
    let half = &found.cases[2];
    assert_eq!((half.slices, half.truth_voxels, half.predicted_voxels), (2, 36, 72));
    assert_eq!((half.truth_ml, half.predicted_ml), (None, None));
    let b = &found.sites[1];
    assert_eq!((b.cases, b.empty_predictions, b.min_dice), (3, 1, 0.0));
    assert!((b.mean_dice - 5.0 / 9.0).abs() < 1e-12 && (b.median_dice - 2.0 / 3.0).abs() < 1e-12);
    assert_eq!(found.overall_dice, Some(b.mean_dice));
    assert_eq!(found.source_sites().map(|s| s.mean_dice).collect::<Vec<_>>(), [1.0]);
    // Again: the same, bit for bit.
    assert_eq!(score(&toys, &config(Protocol::Paper)).unwrap(), found);
}

#[test]
fn the_border_clears_the_prediction_alone() {
    let toys = toys(SlicePolicy::Labelled);
    // By hand: a border of 6 cuts row and column 5 off squares of 6 × 6 at (5, 5), and what lies
    // beyond 9, so 4 × 4 of 6 × 6 are left: 2 · 16 / (16 + 36) = 8/13.
    let config = EvaluateConfig { border_px: Some(6), ..config(Protocol::Paper) };
    let found = score(&toys, &config).unwrap();
    assert_eq!(found.cases[1].dice, 8.0 / 13.0);
    assert_eq!((found.cases[1].truth_voxels, found.cases[1].predicted_voxels), (72, 32));
    // What it cuts off the truth: 20 of 36 pixels on two slices; of B/Case2, whose label is three
    // columns wide, 10 of 18. Site B has 72 + 36 + 72 true pixels.
    assert_eq!(found.cases[1].border, Some(BorderCut::new(72, 40)));
    assert_eq!(found.cases[2].border, Some(BorderCut::new(36, 20)));
    assert_eq!(found.sites[1].border, Some(BorderCut::new(180, 100)));
    assert_eq!(found.border, Some(BorderCut::new(252, 140)));
    let log = Log::default();
    scored(&toys, &config, &log).unwrap();
    let lines = log.0.into_inner().unwrap();
    let warning =
        lines.iter().find(|l| l.starts_with("say warning: the border of 6 of 16")).unwrap();
    assert!(warning.contains("55.6 % of the truth (A 55.6 %, B 55.6 %)"), "{warning}");
    // Without a border, and with one that cuts nothing, there is nothing to warn of.
    for (border_px, cut) in [(0, None), (3, Some(BorderCut::new(252, 0)))] {
        let config = EvaluateConfig { border_px: Some(border_px), ..config.clone() };
        let log = Log::default();
        assert_eq!(scored(&toys, &config, &log).unwrap().border, cut);
        assert!(!log.0.into_inner().unwrap().iter().any(|l| l.contains("warning")));
    }
}

#[test]
fn scores_name_the_truth_that_they_are_against() {
    let toys = toys(SlicePolicy::All);
    let truth = |protocol| score(&toys, &config(protocol)).unwrap().truth;
    assert_eq!(truth(Protocol::Paper), Some(GroundTruthKind::NearestMasks));
    assert_eq!(truth(Protocol::Full), Some(GroundTruthKind::LabelFiles));
    assert_eq!(
        GroundTruthKind::of(Protocol::Paper, LabelRule::Eroded),
        GroundTruthKind::ErodedMasks
    );
    // A border under the full protocol is counted on the masks as well.
    let bordered = EvaluateConfig { border_px: Some(6), ..config(Protocol::Full) };
    assert_eq!(score(&toys, &bordered).unwrap().border, Some(BorderCut::new(252, 140)));
}

#[test]
fn the_full_protocol_scores_the_whole_volume() {
    let toys = toys(SlicePolicy::All);
    // By hand: besides the squares, the toy model finds the bright column of slice 0, 16 voxels:
    // 2 · 72 / (72 + 88) = 0.9. A voxel is 2 · 2 · 5 mm³ = 0.02 ml.
    let found = score(&toys, &config(Protocol::Full)).unwrap();
    let good = &found.cases[1];
    assert_eq!((good.dice, good.slices), (0.9, 4));
    assert_eq!((good.truth_voxels, good.predicted_voxels), (72, 88));
    assert!((good.truth_ml.unwrap() - 1.44).abs() < 1e-12);
    assert!((good.predicted_ml.unwrap() - 1.76).abs() < 1e-12);
    // The case that shows nothing: the column alone is found, which is none of the truth.
    assert_eq!((found.cases[3].dice, found.cases[3].predicted_voxels), (0.0, 16));
    assert_eq!(found.border_px, 0);
    // The same cache under the paper protocol leaves that slice out.
    assert_eq!(score(&toys, &config(Protocol::Paper)).unwrap().cases[1].dice, 1.0);
}

fn measuring(protocol: Protocol, one_empty: OneEmpty) -> EvaluateConfig {
    let metrics = "recall precision hd_mm surface_dice_2mm volume_error_ml relative_volume_error";
    let metrics = metrics.split(' ').map(|name| name.parse().unwrap()).collect();
    EvaluateConfig { metrics, one_empty, ..config(protocol) }
}

fn values(evaluation: &Evaluation, case: usize) -> Vec<(String, Option<f64>)> {
    let metrics = evaluation.cases[case].metrics.iter();
    metrics.map(|(metric, value)| (metric.to_string(), value.0)).collect()
}

#[test]
fn the_paper_protocol_measures_in_millimetres() {
    let toys = toys(SlicePolicy::Labelled);
    let found = score(&toys, &measuring(Protocol::Paper, OneEmpty::Diagonal)).unwrap();
    // Slices of 16² voxels of 2 mm on 16² pixels, 5 mm apart, all four of the volume. By hand:
    // B/Case2 has 6 columns where 3 are true, so the furthest surface pixel lies 6 mm off, 36
    // pixels of 0.02 ml are too many, twice the volume is found.
    let grid = found.cases[2].grid.unwrap();
    assert_eq!((grid.shape, grid.spacing_mm), ([4, SIDE, SIDE], [5.0, 2.0, 2.0]));
    let half = values(&found, 2);
    let expected = [("dice", 2.0 / 3.0), ("recall", 1.0), ("precision", 0.5), ("hd_mm", 6.0)];
    for ((name, value), expected) in half.iter().zip(expected) {
        assert_eq!((name.as_str(), value.unwrap()), expected);
    }
    assert!(half[4].1.is_some_and(|v| v > 0.0 && v < 1.0), "{half:?}");
    assert!((half[5].1.unwrap() - 0.72).abs() < 1e-12 && half[6].1 == Some(1.0), "{half:?}");
    // B/Case3 was missed: the diagonal of 20 × 32 × 32 mm, 1.44 ml too few, and nothing else.
    let missed = values(&found, 3);
    let diagonal = (20.0_f64.powi(2) + 2.0 * 32.0_f64.powi(2)).sqrt();
    for (n, expected) in [(0, 0.0), (1, 0.0), (2, 0.0), (3, diagonal), (4, 0.0), (5, -1.44)] {
        assert!((missed[n].1.unwrap() - expected).abs() < 1e-12, "{missed:?}");
    }
    let hd = "hd_mm".parse().unwrap();
    let b = found.sites[1].metrics.get(hd).unwrap();
    assert!((b.mean.unwrap() - (0.0 + 6.0 + diagonal) / 3.0).abs() < 1e-12);
    assert_eq!((b.median, b.worst, b.missed, b.left_out), (Some(6.0), Some(diagonal), 1, 0));
    // Where the policy leaves it out, that is counted.
    let without = score(&toys, &measuring(Protocol::Paper, OneEmpty::LeftOut)).unwrap();
    let b = without.sites[1].metrics.get(hd).unwrap();
    assert_eq!((b.mean, b.cases, b.missed, b.left_out), (Some(3.0), 2, 1, 1));
    assert_eq!(without.overall_dice, found.overall_dice);
}

#[test]
fn the_full_protocol_measures_on_the_labels_grid() {
    let toys = toys(SlicePolicy::All);
    let found = score(&toys, &measuring(Protocol::Full, OneEmpty::Diagonal)).unwrap();
    let good = &found.cases[1];
    assert_eq!(good.grid.unwrap().spacing_mm, [5.0, 2.0, 2.0]);
    // By hand: the bright column of slice 0 at x = 0 is found next to the square at (5, 5) in
    // slices 1 and 2; its far end (0, 15) is 5 mm below, 10 mm to the side and 10 mm in front of the
    // square's nearest corner (5, 10). 16 voxels too many of 72.
    let hd = good.metrics.get("hd_mm".parse().unwrap()).unwrap().0.unwrap();
    assert!((hd - 15.0).abs() < 1e-12, "{hd}");
    let relative = good.metrics.get("relative_volume_error".parse().unwrap()).unwrap().0;
    assert_eq!(relative, Some(16.0 / 72.0));
}

#[test]
fn millimetres_need_the_volume_and_shares_do_not() {
    let toys = toys(SlicePolicy::Labelled);
    std::fs::remove_file(toys.dir.path().join("data/B/Case1.nii.gz")).unwrap();
    let asked = measuring(Protocol::Paper, OneEmpty::Diagonal);
    let message = score(&toys, &asked).unwrap_err().to_string();
    assert!(message.contains("Case1.nii.gz"), "{message}");
    let metrics = ["recall", "relative_volume_error"].map(|n| n.parse().unwrap()).to_vec();
    let found = score(&toys, &EvaluateConfig { metrics, ..asked }).unwrap();
    assert_eq!(found.cases[0].grid, None);
    assert_eq!(values(&found, 2)[1].1, Some(1.0));
}

#[test]
fn the_full_protocol_needs_every_slice() {
    let toys = toys(SlicePolicy::Labelled);
    let error = score(&toys, &config(Protocol::Full)).unwrap_err();
    // Two labelled slices of four.
    let Error::SlicesMissing { case, needed, stored, .. } = &error else { panic!("{error}") };
    assert_eq!((case.as_deref(), *needed, *stored), (Some("A/Case2"), 4, 2));
    assert!(error.to_string().contains("A/Case2"), "{error}");
}

#[test]
fn files_that_changed_or_went_are_named() {
    let toys = toys(SlicePolicy::All);
    let label = toys.dir.path().join("data/B/Case2_segmentation.nii.gz");
    let image = toys.dir.path().join("data/B/Case1.nii.gz");
    std::fs::copy(toys.dir.path().join("data/B/Case1_segmentation.nii.gz"), &label).unwrap();
    let message = score(&toys, &config(Protocol::Full)).unwrap_err().to_string();
    assert!(message.contains("Case2_segmentation") && message.contains("changed"), "{message}");
    std::fs::remove_file(image).unwrap();
    let message = score(&toys, &config(Protocol::Full)).unwrap_err().to_string();
    assert!(message.contains("Case1.nii.gz"), "{message}");
    // The paper protocol needs the cache alone.
    score(&toys, &config(Protocol::Paper)).unwrap();
}

#[test]
fn sites_and_validation_cases_are_checked() {
    let toys = toys(SlicePolicy::Labelled);
    let paper = config(Protocol::Paper);
    let with = |sites: &[&str], validation: &[&str]| {
        let sites = Some(sites.iter().map(|&s| s.to_owned()).collect());
        let config = EvaluateConfig { sites, ..paper.clone() };
        let cases: Vec<String> = validation.iter().map(|&v| v.to_owned()).collect();
        let source = TrainedOn { sites: "A".into(), validation: &cases };
        evaluate_with(&toys.cache, source, &config, &bright, &Quiet)
    };
    let only_b = with(&["B"], &["gone"]).unwrap();
    assert!(only_b.source_sites().next().is_none() && only_b.cases.len() == 3);
    let only_a = with(&["A"], &["Case2"]).unwrap();
    assert_eq!((only_a.overall_dice, only_a.overall_cases_dice), (None, None));
    assert!(only_a.headline().contains("100.00"), "{}", only_a.headline());
    for (sites, validation, word) in [
        (&["Z"][..], &["Case2"][..], "\"Z\""),
        (&["A", "B"], &["Case9"], "Case9"),
        (&["A"], &[], "nothing to score"),
    ] {
        let message = with(sites, validation).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn intensities_are_not_matched_for_a_function() {
    let toys = toys(SlicePolicy::Labelled);
    let config = EvaluateConfig { match_source: true, ..config(Protocol::Paper) };
    let refused = scored(&toys, &config, &Quiet);
    assert!(matches!(refused, Err(Error::MatchingNeedsModel)), "{refused:?}");
}

#[test]
fn a_mask_of_another_side_is_refused() {
    let toys = toys(SlicePolicy::Labelled);
    let config = config(Protocol::Paper);
    let narrow = |_: &ImageFeatures| Ok(BinaryMask::empty(SIDE, SIDE - 1));
    let source = TrainedOn { sites: "A".into(), validation: &[] };
    let refused = evaluate_with(&toys.cache, source, &config, &narrow, &Quiet);
    assert!(matches!(refused, Err(Error::Desam(desam::Error::Core(_)))), "{refused:?}");
}

#[test]
fn a_case_with_an_empty_label_is_listed_and_in_no_mean() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    write_case(&data.join("A"), "Case2", 6, 6, 100.0);
    write_case(&data.join("B"), "Case1", 6, 6, 100.0);
    write_case(&data.join("B"), "Case2", 6, 0, 100.0);
    let cache = embedded(&data, &dir.path().join("cache"), SlicePolicy::Labelled);
    let found = score(&Toys { dir, cache }, &config(Protocol::Paper)).unwrap();
    assert_eq!(found.unscored.len(), 1);
    assert_eq!((found.unscored[0].site.as_str(), found.unscored[0].case.as_str()), ("B", "Case2"));
    assert_eq!(found.overall_dice, Some(1.0));
    assert!(found.table().contains("not scored: B/Case2: no slice of it has ground truth\n"));
}

#[test]
fn features_of_another_origin_are_refused() {
    let toys = toys(SlicePolicy::Labelled);
    let recipe = toys.cache.header().recipe.clone();
    let input = ModelInput { spec: recipe.spec, preprocess: recipe.preprocess };
    let own = ModelRecord::untrained("toy".into(), "00".into(), input);
    check_origin(&toys.cache, &own).unwrap();
    let mut others = vec![own; 4];
    others[0].encoder_blake3 = "01".into();
    others[1].spec.tap_channels.push(1);
    others[2].preprocess.keep_zeros = false;
    for (other, word) in others.iter().zip(["weights", "spec", "preprocessing"]) {
        let message = check_origin(&toys.cache, other).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
    // Another way of bringing labels down changes nothing that the model sees.
    others[3].preprocess.labels = LabelRule::Eroded;
    check_origin(&toys.cache, &others[3]).unwrap();
}

/// Records warnings and messages.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Progress for Log {
    fn begin(&self, task: &str, steps: u64) {
        self.0.lock().unwrap().push(format!("begin {task} {steps}"));
    }
    fn advance(&self, steps: u64, note: &str) {
        self.0.lock().unwrap().push(format!("advance {steps} {note}"));
    }
    fn finish(&self, summary: &str) {
        self.0.lock().unwrap().push(format!("finish {summary}"));
    }
    fn say(&self, message: &str) {
        self.0.lock().unwrap().push(format!("say {message}"));
    }
}

#[test]
fn progress_is_told_slice_by_slice() {
    let toys = toys(SlicePolicy::Labelled);
    let config = config(Protocol::Paper);
    let log = Log::default();
    let source = TrainedOn { sites: "A".into(), validation: &["Case2".to_owned()] };
    evaluate_with(&toys.cache, source, &config, &bright, &log).unwrap();
    let lines = log.0.into_inner().unwrap();
    // Four cases of two labelled slices.
    assert_eq!(lines[0], "begin evaluating 8");
    assert_eq!(lines[1], "advance 1 A/Case2");
    assert_eq!(lines.iter().filter(|l| l.starts_with("advance 1")).count(), 8);
    assert_eq!(
        lines[9],
        "finish A to Rest: Dice 55.56 % (mean of 1 site), 55.56 % (mean of 3 cases)"
    );
}
