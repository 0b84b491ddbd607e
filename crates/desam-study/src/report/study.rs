//! Report of runs on disk.

use super::RunReport;
use super::case_renderer::{CaseRenderer, GalleryConfig};
use super::page::{ReportInput, render_page};
use super::run_group::{difference_notice, group_by_settings};
use crate::evaluate::{ComputedFeatures, Evaluation, Protocol, check_origin, zero_border};
use crate::sweep::Plan;
use crate::train::{RunConfig, RunDir, RunManifest};
use crate::{Error, Result};
use candle_core::Device;
use desam::files::write_text;
use desam::{Compute, Model, ModelRecord, PromptingConfig};
use desam_core::text::{name_text, one_line, path_for_people};
use desam_core::{BinaryMask, ImageFeatures, Precision, Progress};
use desam_data::cache::FeatureCache;
use desam_metrics::statistics::BootstrapConfig;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A run to report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSource {
    /// Its name on the page where there are several.
    pub name: String,
    /// Its directory.
    pub run: PathBuf,
    /// Its scores, a file of [`Evaluation::write_json`].
    pub evaluation: PathBuf,
    /// The feature cache; `None`: the one that the scores name, or else the run's manifest.
    pub cache: Option<PathBuf>,
}

impl RunSource {
    /// A run with its scores under a protocol, named after its directory.
    pub fn of(run: &Path, protocol: Protocol) -> Self {
        let name = one_line(&name_text(run.file_name().unwrap_or(run.as_os_str())));
        let evaluation = run.join(format!("evaluation_{protocol}.json"));
        Self { name, run: run.to_owned(), evaluation, cache: None }
    }

    /// A file of scores in a run's directory, such as `evaluation_paper_border0.json`, named after both.
    pub fn of_scores(evaluation: &Path) -> Self {
        let run = match evaluation.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = run.file_name().unwrap_or(run.as_os_str());
        let file = evaluation.file_stem().unwrap_or_default();
        let name = one_line(&format!("{} {}", name_text(folder), name_text(file)));
        Self { name, run: run.to_owned(), evaluation: evaluation.to_owned(), cache: None }
    }

    /// The finished lines of a plan with their scores, and the names of the others.
    ///
    /// # Errors
    /// When scores cannot be read, or belong to other settings than their line's.
    pub fn of_plan(plan: &Plan) -> Result<(Vec<Self>, Vec<String>)> {
        let (mut done, mut missing) = (Vec::new(), Vec::new());
        for line in plan.lines() {
            match plan.scores(line)? {
                Some(_) => done.push(Self {
                    name: line.id.clone(),
                    run: plan.folder(&line.training),
                    evaluation: plan.scores_path(line),
                    cache: Some(line.cache.clone()),
                }),
                None => missing.push(line.id.clone()),
            }
        }
        Ok((done, missing))
    }
}

/// Input of [`report`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReportRequest<'a> {
    /// The runs, in the order of the page.
    pub runs: &'a [RunSource],
    /// Heading; `None`: the source sites.
    pub title: Option<&'a str>,
    /// Limits of the case gallery. With no cases, neither features nor the model are needed.
    pub gallery: GalleryConfig,
    /// Bootstrap of intervals for scores that have none yet.
    pub bootstrap: BootstrapConfig,
    /// The device for predictions.
    pub device: Device,
}

impl<'a> ReportRequest<'a> {
    /// A report of `runs` with default limits and bootstrap, on the CPU.
    pub fn new(runs: &'a [RunSource]) -> Self {
        let (gallery, bootstrap) = (GalleryConfig::default(), BootstrapConfig::default());
        Self { runs, title: None, gallery, bootstrap, device: Device::Cpu }
    }

    /// Sets [`title`](Self::title).
    #[must_use]
    pub fn with_title(self, title: Option<&'a str>) -> Self {
        Self { title, ..self }
    }

    /// Sets [`gallery`](Self::gallery).
    #[must_use]
    pub fn with_gallery(self, gallery: GalleryConfig) -> Self {
        Self { gallery, ..self }
    }

    /// Sets [`bootstrap`](Self::bootstrap).
    #[must_use]
    pub fn with_bootstrap(self, bootstrap: BootstrapConfig) -> Self {
        Self { bootstrap, ..self }
    }

    /// Sets [`device`](Self::device).
    #[must_use]
    pub fn with_device(self, device: Device) -> Self {
        Self { device, ..self }
    }
}

/// Result of [`report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ReportSummary {
    /// Path of the page.
    #[serde(serialize_with = "desam_core::serde_path::serialize")]
    pub page: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Number of runs.
    pub runs: usize,
    /// Number of source-to-target tables: one per group of runs with the same scoring settings.
    pub tables: usize,
    /// Cases that are shown slice by slice.
    pub cases_shown: usize,
    /// Cases that were left out for size, as `RUN: SITE/CASE`.
    pub left_out: Vec<String>,
}

/// Writes a page on evaluated runs: a heat map of their scores from source to target sites, and for each
/// run its configuration, curves and cases. The worst and the best cases are predicted again, slice by
/// slice, from the features that the run was scored with.
///
/// # Errors
/// When there is no run, a run or its scores cannot be read, the features are missing or were made with
/// another encoder or preprocessing than the model's, or the page cannot be written.
pub fn report(
    request: &ReportRequest<'_>,
    out: &Path,
    progress: &dyn Progress,
) -> Result<ReportSummary> {
    if request.runs.is_empty() {
        return Err(Error::Invalid("there is no run to report".into()));
    }
    let mut bytes = request.gallery.max_bytes;
    let mut left_out = Vec::new();
    let mut runs = Vec::with_capacity(request.runs.len());
    for source in request.runs {
        let (run, lost) = read_run(request, source, &mut bytes, progress)?;
        left_out.extend(lost.iter().map(|case| format!("{}: {case}", source.name)));
        runs.push(run);
    }
    let title = request.title.map_or_else(|| heading(&runs), str::to_owned);
    let page = render_page(&ReportInput { title: &title, note: "", runs: &runs });
    write_text(out, &page)?;
    let groups = group_by_settings(&runs);
    if let Some(why) = difference_notice(&groups) {
        progress.warn(&why);
    }
    Ok(ReportSummary {
        page: out.to_owned(),
        bytes: page.len() as u64,
        runs: runs.len(),
        tables: groups.len(),
        cases_shown: runs.iter().map(|r| r.views.len()).sum(),
        left_out,
    })
}

fn heading(runs: &[RunReport]) -> String {
    match runs {
        [run] => format!("DeSAM: {}", run.evaluation.rest()),
        runs => format!("DeSAM: {} runs", runs.len()),
    }
}

/// Reads a run for the page; also returns the cases that were left out.
fn read_run(
    request: &ReportRequest<'_>,
    source: &RunSource,
    bytes: &mut usize,
    progress: &dyn Progress,
) -> Result<(RunReport, Vec<String>)> {
    let run = RunDir::open(&source.run)?;
    let (config, manifest) = (run.config()?, run.manifest()?);
    if !source.evaluation.is_file() {
        return Err(Error::NotEvaluated { scores: source.evaluation.clone() });
    }
    let mut evaluation = Evaluation::read_json(&source.evaluation)?;
    if evaluation.bootstrap.is_none() {
        evaluation = evaluation.with_intervals(&request.bootstrap)?;
    }
    let facts = facts(&run, &config, &manifest, &evaluation);
    let record = ModelRecord::of_file(&run.model_path())?;
    let preprocessing = record.map(|record| record.preprocess.summary());
    let (mut views, mut left_out, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    if request.gallery.cases_each > 0 && request.gallery.slices > 0 {
        let named = source.cache.as_ref().or(evaluation.cache.as_ref());
        let cache = FeatureCache::open(named.unwrap_or(&manifest.cache))?;
        // Predicted in the precision of the scores, where this device can.
        let scored = evaluation.precision;
        let precision = if request.device.is_cpu() { Precision::F32 } else { scored };
        let compute = Compute::new(request.device.clone()).with_precision(precision)?;
        let model = Model::open(run.dir(), &compute)?;
        check_origin(&cache, model.record())?;
        let automatic = automatic(&evaluation);
        automatic.validate()?;
        let predictor = model.predictor();
        let predict = |features: &ImageFeatures| {
            let mut classes = predictor.predict_classes(features, &automatic)?;
            for (prediction, _) in &mut classes {
                let mask = std::mem::replace(&mut prediction.mask, BinaryMask::empty(0, 0));
                prediction.mask = zero_border(mask, evaluation.border_px)?;
            }
            Ok(classes)
        };
        let renderer = CaseRenderer {
            cache: &cache,
            device: model.device(),
            computed: ComputedFeatures::needed(&model, evaluation.match_source)?,
            evaluation: &evaluation,
            automatic: &automatic,
            predict: &predict,
        };
        let rendered = renderer.render(&request.gallery, bytes, progress)?;
        (views, left_out) = (rendered.views, rendered.left_out);
    }
    if !left_out.is_empty() {
        notes.push(format!("Not shown, to keep the page small: {}.", left_out.join(", ")));
    }
    let configuration = serde_json::to_string_pretty(&config)
        .map_err(Error::json(&run.dir().join("config.json")))?;
    let report = RunReport {
        history: run.history()?,
        views,
        facts,
        configuration,
        notes,
        preprocessing,
        ..RunReport::of(source.name.as_str(), evaluation)
    };
    Ok((report, left_out))
}

/// The prompting of the evaluation.
fn automatic(evaluation: &Evaluation) -> PromptingConfig {
    PromptingConfig {
        mode: evaluation.mode,
        grid: evaluation.grid.unwrap_or(desam::PAPER_GRID),
        selection: evaluation.selection,
        presence_threshold: evaluation.presence_threshold,
        presence_rule: evaluation.presence_rule,
    }
}

/// Facts on how a run was made.
fn facts(
    run: &RunDir,
    config: &RunConfig,
    manifest: &RunManifest,
    evaluation: &Evaluation,
) -> Vec<(String, String)> {
    let train = &config.train;
    let cases = |cases: &[String]| format!("{}: {}", train.source, cases.join(", "));
    let best = manifest.best_epoch.map_or("none".to_owned(), |e| e.to_string());
    let numbers = manifest.trainable_numbers as f64 / 1e6;
    let facts = [
        ("Run", path_for_people(run.dir())),
        ("Trained on", cases(&manifest.train_cases)),
        ("Held out", cases(&manifest.validation_cases)),
        ("Mode and preset", format!("{}, {}", train.mode, train.preset)),
        ("Scored", evaluation.setting()),
        ("Epochs", format!("{} of {}, best {best}", manifest.epochs_done, train.epochs)),
        (
            "Batch, learning rate, seed",
            format!("{}, {}, {}", train.batch, train.learning_rate, train.seed),
        ),
        ("Decoder", format!("{numbers:.2} M numbers that learn")),
        (
            "Frozen weights",
            format!(
                "{} (BLAKE3 {})",
                path_for_people(&manifest.weights.path),
                manifest.weights.blake3
            ),
        ),
        ("Features", format!("{} (key {})", path_for_people(&manifest.cache), manifest.cache_key)),
        ("desam", format!("{}, {}", manifest.desam_version, manifest.device)),
    ];
    facts.map(|(name, value)| (name.to_owned(), value)).to_vec()
}
