//! Demonstration: the whole experiment on phantoms, without a download. Data, features, training, scores,
//! segmentation of a new volume, report.

mod pictures;

use crate::evaluate::{EvaluateConfig, EvaluateRequest, Evaluation, Protocol, evaluate};
use crate::report::{PHANTOM_NOTE, ReportInput, RunReport, write_page};
use crate::train::{
    Augment, Preset, RunDir, RunManifest, TrainConfig, TrainRequest, TrainSummary, train,
};
use crate::{Error, Result};
use candle_core::Device;
use desam::embed::{EmbedRequest, EmbedSummary, embed};
use desam::model::EncoderChoice;
use desam::predict::VolumeSummary;
use desam::{Compute, Mode, Segmenter};
use desam_core::Progress;
use desam_data::augment::StyleAugment;
use desam_data::cache::{FeatureCache, SlicePolicy, StyleViews};
use desam_data::phantom::{PhantomConfig, SiteStyle, phantom_case, write_phantoms};
use desam_data::preprocess::{LabelRule, PreprocessConfig};
use desam_data::split::{SplitRule, split_cases};
use desam_encoder::VitConfig;
use desam_metrics::loss::{DiceReduction, IouLossKind, LossConfig};
use desam_metrics::statistics::BootstrapConfig;
use desam_volume::atomic::write_atomic;
use desam_volume::nifti::write_volume;
use pictures::DemoPictures;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Settings of the demonstration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoConfig {
    /// Number of phantoms at each of the six sites.
    pub cases_per_site: usize,
    /// The source site.
    pub source: String,
    /// Prompting mode.
    pub mode: Mode,
    /// Epochs.
    pub epochs: usize,
    /// Learning rate of the first epoch.
    pub learning_rate: f64,
    /// Share of the source site's cases held out for validation.
    pub validation_fraction: f64,
    /// Style views of each slice of the source site.
    pub views: usize,
    /// Points along each side of the grid.
    pub grid: usize,
    /// Seed of phantoms and training.
    pub seed: u64,
}

impl Default for DemoConfig {
    fn default() -> Self {
        Self {
            cases_per_site: 6,
            source: "A".into(),
            mode: Mode::Box,
            epochs: 40,
            // The paper's 1e-4 is for SAM's weights and 50 epochs. For a randomly initialised PIMM and
            // a few minutes, a tenfold rate gets further.
            learning_rate: 1e-3,
            validation_fraction: 0.1,
            views: 4,
            grid: 9,
            seed: 0,
        }
    }
}

/// Outputs of a demonstration in its directory.
const OUTPUTS: [&str; 8] = [
    "run",
    "data",
    "cache",
    "new",
    "index.html",
    "slices.png",
    "evaluation.json",
    "evaluation.csv",
];

/// Result of the demonstration.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DemoSummary {
    /// The report page.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub page: PathBuf,
    /// One picture: a slice of every site, prediction in orange, ground truth in blue.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub picture: PathBuf,
    /// Summary of the embedding.
    pub embedding: EmbedSummary,
    /// Summary of the training.
    pub training: TrainSummary,
    /// Scores of the source site's held-out cases and of the other five sites.
    pub evaluation: Evaluation,
    /// Summary of the segmented new volume.
    pub segmented: VolumeSummary,
}

/// Writes six sites of phantoms to `out/data`, embeds them with the built-in `tiny` encoder (trained
/// on generated scenes, never on a phantom) to `out/cache`, trains on one site to `out/run`, scores it
/// on the others to `out/evaluation.{json,csv}`, segments a new volume in `out/new`, and leaves
/// `out/index.html`.
///
/// # Errors
/// When `out` holds an earlier demonstration or another process writes to it, or a step fails.
pub fn demo(out: &Path, config: &DemoConfig, progress: &dyn Progress) -> Result<DemoSummary> {
    demo_on(out, config, &Device::Cpu, progress)
}

/// Runs the demonstration on a device.
///
/// # Errors
/// As [`demo`].
pub fn demo_on(
    out: &Path,
    config: &DemoConfig,
    device: &Device,
    progress: &dyn Progress,
) -> Result<DemoSummary> {
    let at = |name: &str| out.join(name);
    let _lock = desam_data::lock::folder(out, progress)?;
    if OUTPUTS.iter().any(|name| at(name).exists()) {
        return Err(Error::DemoExists { dir: out.to_owned() });
    }
    // Fails on too few cases before the work starts.
    split_cases(config.cases_per_site, config.validation_fraction, SplitRule::Last)?;
    let phantoms = PhantomConfig {
        cases_per_site: config.cases_per_site,
        seed: config.seed,
        ..PhantomConfig::default()
    };
    write_phantoms(&at("data"), &phantoms, progress)?;

    let (data, cache_dir) = (at("data"), at("cache"));
    let request = EmbedRequest::new(&data, &cache_dir, EncoderChoice::Builtin);
    let compute = Compute::new(device.clone());
    let views = StyleViews::new(StyleAugment::default(), config.views)?;
    let views = views.with_sites(Some(vec![config.source.clone()]));
    let mut request = request
        .with_preprocess(preprocessing())
        .with_compute(compute.clone())
        .with_views(Some(views));
    request.slices = SlicePolicy::All;
    let embedding = embed(&request, progress)?;

    // What a user needs for whole volumes of other sites.
    let preset = TrainConfig::preset(Preset::Volume, config.source.as_str(), config.mode);
    let training = TrainConfig {
        epochs: config.epochs,
        learning_rate: config.learning_rate,
        validation_fraction: config.validation_fraction,
        augment: Augment::Views,
        ..preset.with_seed(config.seed)
    };
    let run_dir = at("run");
    let (cache, run) = (cache_dir.as_path(), run_dir.as_path());
    let on = device.clone();
    let request = TrainRequest::new(cache, run, &training).with_device(on);
    let trained = train(&request, progress)?;

    let segmenter = Segmenter::builder(run).compute(compute).build()?;
    let automatic = segmenter.model().record().prompting(config.grid);
    let segmenter = segmenter.with_prompting(automatic.clone())?;
    let model = segmenter.model();
    let cache = FeatureCache::open(cache)?;
    let scoring = EvaluateConfig::new(Protocol::Full, automatic.clone());
    let manifest = RunDir::open(run)?.manifest()?;
    let request = EvaluateRequest::new(&cache, model, config.source.as_str(), &scoring)
        .with_validation(&manifest.validation_cases);
    let evaluation = evaluate(&request, progress)?;
    evaluation.write_json(&at("evaluation.json"))?;
    evaluation.write_csv(&at("evaluation.csv"))?;

    let segmented = segment_new(out, config, &segmenter, progress)?;
    let pictures = DemoPictures::render(&cache, model, &automatic, &evaluation)?;
    let picture = at("slices.png");
    write_atomic(&picture, |file| file.write_all(&pictures.montage))?;
    let page = at("index.html");
    let run = RunReport {
        history: trained.history.clone(),
        pictures: pictures.pictures,
        facts: facts(config, &training, &manifest, &embedding)?,
        ..RunReport::of("phantoms", evaluation.clone().with_intervals(&BootstrapConfig::default())?)
    };
    let runs = [run];
    write_page(
        &page,
        &ReportInput { title: "DeSAM on phantoms", note: PHANTOM_NOTE, runs: &runs },
    )?;
    Ok(DemoSummary { page, picture, embedding, training: trained, evaluation, segmented })
}

/// Preprocessing of phantoms: whole slices, labels by nearest neighbour so that they keep their volume. A
/// phantom is a slab of about 90 mm, which would fill a quarter of the paper's frame of 180 mm.
fn preprocessing() -> PreprocessConfig {
    PreprocessConfig { labels: LabelRule::Nearest, ..PreprocessConfig::official() }
}

/// Generates a phantom that is not in the data set, and segments its file.
fn segment_new(
    out: &Path,
    config: &DemoConfig,
    segmenter: &Segmenter,
    progress: &dyn Progress,
) -> Result<VolumeSummary> {
    let styles = SiteStyle::six_sites();
    let style = styles.iter().find(|s| s.name == config.source).or(styles.first());
    let Some(style) = style else {
        return Err(Error::Invalid("there is no phantom site to draw from".into()));
    };
    let folder = out.join("new");
    desam::files::create_dir(&folder)?;
    let input = folder.join("volume.nii.gz");
    // Any seed that no case of the data set has; those are hashes.
    write_volume(&input, &phantom_case(style, config.seed.wrapping_add(1))?.image)?;
    Ok(segmenter.segment_file(&input, folder.join("mask.nii.gz"), progress)?)
}

/// A loss in one line, such as `Dice + BCE + 10 · MSE on IoU`.
fn loss(loss: &LossConfig) -> String {
    let dice = match loss.dice_reduction {
        DiceReduction::Mask => "Dice",
        DiceReduction::Batch => "Dice of the batch",
    };
    let iou = loss.iou.map_or_else(String::new, |iou| match iou.kind {
        IouLossKind::Mse => format!(" + {} · MSE on IoU", iou.weight),
        IouLossKind::L1 => format!(" + {} · L1 on IoU", iou.weight),
    });
    format!("{dice} + BCE{iou}")
}

/// Facts on how the demonstration was made.
fn facts(
    config: &DemoConfig,
    training: &TrainConfig,
    manifest: &RunManifest,
    embedding: &EmbedSummary,
) -> Result<Vec<(String, String)>> {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let vit = VitConfig::tiny();
    let (side, numbers) = (vit.input_side, vit.parameter_count()? as f64 / 1e6);
    let held_out = manifest.validation_cases.join(", ");
    Ok(vec![
        fact(
            "Encoder",
            format!(
                "tiny ({side} px, {numbers:.1} M numbers), trained on generated scenes, frozen"
            ),
        ),
        fact(
            "Decoder",
            format!("{:.2} M numbers that learn", manifest.trainable_numbers as f64 / 1e6),
        ),
        fact("Phantoms", format!("{} at each of six sites", config.cases_per_site)),
        fact("Slices embedded", embedding.slices.to_string()),
        fact("Trained on", format!("{}: {}", config.source, manifest.train_cases.join(", "))),
        fact("Held out", format!("{}: {held_out}", config.source)),
        fact(
            "Mode",
            match config.mode {
                Mode::Points => format!("points, {0}×{0} grid at prediction", config.grid),
                Mode::Box => "one box as large as the image".to_owned(),
            },
        ),
        fact("Style views", format!("{} of each slice trained on", config.views)),
        fact("Loss", loss(&training.loss)),
        fact("Epochs", config.epochs.to_string()),
        fact("Batch", training.batch.to_string()),
        fact("Learning rate", format!("{}, polynomial decay", config.learning_rate)),
        fact("Seed", config.seed.to_string()),
    ])
}
