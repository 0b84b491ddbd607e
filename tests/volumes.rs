//! Training for whole volumes: empty slices, several source sites, the presence threshold, and scores on
//! the volumes' own grids.

use crate::support::{phantoms, toy_vit};
use desam::data::cache::{FeatureCache, SlicePolicy};
use desam::data::preprocess::{Interpolation, LabelRule, PreprocessConfig};
use desam::decoder::Variant;
use desam::embed::{EmbedRequest, embed};
use desam::model::{EncoderChoice, Model, ModelRecord, SourceSites};
use desam::predict::PredictOptions;
use desam::volume::nifti::read_volume;
use desam::{Compute, Mode, PromptingConfig, Quiet, Segmenter};
use desam_study::evaluate::{EvaluateConfig, EvaluateRequest, Evaluation, Protocol, evaluate};
use desam_study::train::{
    Preset, RunDir, RunOptions, TrainConfig, TrainRequest, TrainSlices, train, train_with,
};
use std::path::Path;

/// A cache of two sites of two phantoms each, features of all slices or of the labelled ones.
fn cache(data: &Path, out: &Path, slices: SlicePolicy) {
    let mut request =
        EmbedRequest::new(data, out, EncoderChoice::Random { config: toy_vit(), seed: 2 });
    request.slices = slices;
    request.preprocess =
        PreprocessConfig { labels: LabelRule::Nearest, ..PreprocessConfig::official() };
    embed(&request, &Quiet).unwrap();
}

/// A short training for volumes.
fn config(source: impl Into<SourceSites>, mode: Mode) -> TrainConfig {
    let mut config = TrainConfig::preset(Preset::Volume, source, mode);
    (config.epochs, config.batch, config.learning_rate) = (2, 4, 1e-3);
    config
}

fn scores(cache: &Path, run: &Path, config: impl FnOnce(&Model) -> EvaluateConfig) -> Evaluation {
    let cache = FeatureCache::open(cache).unwrap();
    let model = Model::open(run, &Compute::cpu()).unwrap();
    let dir = RunDir::open(run).unwrap();
    let (source, held_out) = (dir.config().unwrap().train.source, dir.manifest().unwrap());
    let config = config(&model);
    let request = EvaluateRequest::new(&cache, &model, source, &config)
        .with_validation(&held_out.validation_cases);
    evaluate(&request, &Quiet).unwrap()
}

#[test]
fn a_model_for_volumes_has_a_threshold_that_prediction_and_scores_use() {
    let folder = tempfile::tempdir().unwrap();
    let (data, stored) = (phantoms(folder.path(), 2), folder.path().join("cache"));
    cache(&data, &stored, SlicePolicy::All);
    for mode in Mode::ALL {
        let run = folder.path().join(mode.name());
        let config = config("A", mode);
        assert_eq!(config.slices, TrainSlices::All);
        let summary = train(&TrainRequest::new(&stored, &run, &config), &Quiet).unwrap();
        let presence = summary.presence.unwrap();
        assert!(presence.dice >= presence.dice_without - 1e-3, "{presence:?}");
        let record = ModelRecord::of_file(&summary.model).unwrap().unwrap();
        assert_eq!(record.training.as_ref().unwrap().presence, Some(presence));
        // Both ends of the threshold: a mask on no slice, and one on each that has any.
        let with = |threshold: f32| {
            scores(&stored, &run, |model| {
                let prompts = model.record().prompting(3).with_presence_threshold(threshold);
                EvaluateConfig::new(Protocol::Full, prompts)
            })
        };
        assert!(with(1e3).cases.iter().all(|c| c.predicted_voxels == 0));
        let drawn =
            |scores: &Evaluation| -> u64 { scores.cases.iter().map(|c| c.predicted_voxels).sum() };
        assert!(drawn(&with(-1e3)) > 0);
        let own = scores(&stored, &run, |model| {
            EvaluateConfig::new(Protocol::Full, model.record().prompting(3))
        });
        assert!(drawn(&own) <= drawn(&with(-1e3)));
        let segmenter = Segmenter::open(&run).unwrap();
        let used = match mode {
            Mode::Points => segmenter.prompting().selection.iou_threshold,
            Mode::Box => segmenter.prompting().presence_threshold.unwrap(),
        };
        assert_eq!(used, presence.threshold);
    }
}

#[test]
fn a_run_that_was_killed_before_its_calibration_is_calibrated_when_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let (data, stored) = (phantoms(folder.path(), 2), folder.path().join("cache"));
    cache(&data, &stored, SlicePolicy::All);
    let (run, config) = (folder.path().join("run"), config("A", Mode::Box));
    let request = TrainRequest::new(&stored, &run, &config);
    let summary = train(&request, &Quiet).unwrap();
    let finished = std::fs::read(&summary.model).unwrap();
    // As the file is between the last epoch and the calibration.
    let mut record = ModelRecord::of_file(&summary.model).unwrap().unwrap();
    record.training.as_mut().unwrap().presence = None;
    record.replace_in_file(&summary.model).unwrap();
    assert_ne!(std::fs::read(&summary.model).unwrap(), finished);
    let mut options = RunOptions::default().with_resume(true);
    let resumed = train_with(&request, &mut options, &Quiet).unwrap();
    assert_eq!(resumed.presence, summary.presence);
    assert_eq!(std::fs::read(&summary.model).unwrap(), finished);
}

#[test]
fn several_sources_are_split_each_on_its_own_and_none_is_a_target() {
    let folder = tempfile::tempdir().unwrap();
    let (data, stored) = (phantoms(folder.path(), 2), folder.path().join("cache"));
    cache(&data, &stored, SlicePolicy::All);
    let run = folder.path().join("run");
    let both = SourceSites::new(vec!["A".into(), "B".into()]).unwrap();
    let config = config(both.clone(), Mode::Box);
    train(&TrainRequest::new(&stored, &run, &config), &Quiet).unwrap();
    let manifest = RunDir::open(&run).unwrap().manifest().unwrap();
    // One of two cases of each site is held out; names carry the site, since both begin at Case00.
    let sites = |cases: &[String]| -> Vec<String> {
        cases.iter().map(|c| c.split('/').next().unwrap().to_owned()).collect()
    };
    assert_eq!(sites(&manifest.train_cases), ["A", "B"]);
    assert_eq!(sites(&manifest.validation_cases), ["A", "B"]);
    let scores = scores(&stored, &run, |model| {
        EvaluateConfig::new(Protocol::Native, model.record().prompting(3))
    });
    assert_eq!((scores.source.clone(), scores.source_sites().count()), (both, 2));
    assert!(scores.targets().next().is_none() && scores.cases.len() == 2);
    // Only slices with ground truth are compared.
    assert!(scores.cases.iter().all(|c| c.empty_slices.is_none() && c.grid.is_some()));
}

#[test]
fn training_on_empty_slices_needs_their_features() {
    let folder = tempfile::tempdir().unwrap();
    let (data, stored) = (phantoms(folder.path(), 2), folder.path().join("cache"));
    cache(&data, &stored, SlicePolicy::Labelled);
    let (run, config) = (folder.path().join("run"), config("A", Mode::Box));
    let error = train(&TrainRequest::new(&stored, &run, &config), &Quiet).unwrap_err();
    assert!(matches!(error, desam_study::Error::EmptySlicesMissing { .. }), "{error}");
}

#[test]
fn masks_are_interpolated_unless_preprocessing_is_the_official_one() {
    let folder = tempfile::tempdir().unwrap();
    let (data, stored) = (phantoms(folder.path(), 2), folder.path().join("cache"));
    cache(&data, &stored, SlicePolicy::All);
    let run = folder.path().join("run");
    let config = config("A", Mode::Box);
    train(&TrainRequest::new(&stored, &run, &config), &Quiet).unwrap();
    let volume = desam::data::layout::discover(&data).unwrap().remove(0).image;
    let volume = read_volume(&volume).unwrap();
    let mask = |how: Option<Interpolation>| {
        let segmenter = Segmenter::builder(&run)
            .prompting(PromptingConfig::new(Mode::Box, 9, 32))
            .options(PredictOptions::default().with_mask_interpolation(how))
            .build()
            .unwrap();
        segmenter.segment(&volume, &Quiet).unwrap().mask
    };
    let (own, linear) = (mask(None), mask(Some(Interpolation::Linear)));
    let nearest = mask(Some(Interpolation::Nearest));
    assert_eq!(own.data(), linear.data());
    assert_ne!(own.data(), nearest.data());
    // The outline moves by less than a mask pixel; the volume stays within a tenth.
    let voxels =
        |mask: &desam::types::LabelVolume| mask.data().iter().filter(|v| **v > 0).count() as f64;
    assert!((voxels(&own) / voxels(&nearest) - 1.0).abs() < 0.1);
}

#[test]
fn a_decoder_that_predicts_no_iou_learns_empty_masks_and_has_no_threshold() {
    let folder = tempfile::tempdir().unwrap();
    let (data, stored) = (phantoms(folder.path(), 2), folder.path().join("cache"));
    cache(&data, &stored, SlicePolicy::All);
    let (run, config) = (folder.path().join("run"), config("A", Mode::Box));
    let config = config.with_variant(Variant::PimmOnly);
    let summary = train(&TrainRequest::new(&stored, &run, &config), &Quiet).unwrap();
    assert_eq!(summary.presence, None);
    assert_eq!(Segmenter::open(&run).unwrap().prompting().presence_threshold, None);
}
