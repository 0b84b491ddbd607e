//! Scoring the cases of a cache with a model.

use super::case_pair::{CasePair, RestoredCase, stack_grid, unit_grid};
use super::case_plan::{PlannedCase, plan_cases};
use super::class_scores::mean_over_classes;
use super::computed_features::ComputedFeatures;
use super::{
    BorderCut, ByMetric, CaseScore, ClassScore, EvaluateConfig, Evaluation, GroundTruthKind,
    MetricValue, Protocol, UnscoredCase, border, in_pixels,
};
use crate::{Error, Result};
use candle_core::Device;
use desam::model::{SourceSites, SourceStatistics, VolumeMeasurements};
use desam::predict::{
    ClassPrediction, SliceEvidence, SlicePrediction, by_area, keep_present_slices,
};
use desam::{Mode, Model, ModelRecord};
use desam_core::pipeline::prefetch;
use desam_core::{BinaryMask, ClassTable, ImageFeatures, Precision, Progress};
use desam_data::cache::{CacheCase, FeatureCache, SliceRef};
use desam_data::preprocess::PreprocessConfig;
use desam_metrics::metric::{CaseMeasures, CaseMetric, MaskPair, VoxelGrid};

/// Slices whose features are prefetched on a GPU.
const GPU_PREFETCH: usize = 2;

/// Reason of a case that a protocol on labelled slices finds none in.
const NO_GROUND_TRUTH: &str = "no slice of it has ground truth";

/// Input of [`evaluate`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EvaluateRequest<'a> {
    /// The feature cache, of all sites.
    pub cache: &'a FeatureCache,
    /// The trained model.
    pub model: &'a Model,
    /// The source sites, which the model was trained on. They need not be in the cache.
    pub source: SourceSites,
    /// The source sites' cases that training held out
    /// ([`case_name`](SourceSites::case_name)); of those sites only they are scored.
    pub validation: &'a [String],
    /// The protocol, the prompting and the sites.
    pub config: &'a EvaluateConfig,
}

impl<'a> EvaluateRequest<'a> {
    /// An evaluation of `model`, trained on `source`, without held-out cases.
    pub fn new(
        cache: &'a FeatureCache,
        model: &'a Model,
        source: impl Into<SourceSites>,
        config: &'a EvaluateConfig,
    ) -> Self {
        Self { cache, model, source: source.into(), validation: &[], config }
    }

    /// Sets [`validation`](Self::validation).
    #[must_use]
    pub fn with_validation(self, validation: &'a [String]) -> Self {
        Self { validation, ..self }
    }
}

/// The source sites of an evaluation.
#[derive(Debug, Clone)]
pub struct TrainedOn<'a> {
    /// Their names. They need not be in the cache.
    pub sites: SourceSites,
    /// Their cases that training held out; of these sites only they are scored.
    pub validation: &'a [String],
}

/// Evaluates a model on the sites of a cache.
///
/// Slices are predicted one after the other, with one slice's features in memory, so the result is the
/// same on any machine with the same arithmetic. A GPU sums in another order than a CPU, and bf16 rounds
/// differently; the scores record the precision.
///
/// # Errors
/// When the cache was made by another encoder or preprocessing than the model's, lacks a slice
/// that the protocol scores (the full protocol needs all slices), or cannot be read; when a
/// site or a validation case is unknown; when the border leaves no pixel; under the full protocol,
/// when a volume or label file is missing, has changed since it was embedded, or the two lie on
/// different grids; under the paper protocol, when a metric in millimetres is requested and a volume
/// is missing or has changed.
pub fn evaluate(request: &EvaluateRequest<'_>, progress: &dyn Progress) -> Result<Evaluation> {
    check_origin(request.cache, request.model.record())?;
    let predictor = request.model.predictor();
    let automatic = &request.config.automatic;
    if let Some(warning) = request.model.prompting_warning(automatic) {
        progress.warn(&warning);
    }
    let predict = |features: &ImageFeatures| -> Result<SlicePredictions> {
        Ok(predictor.predict_classes(features, automatic)?)
    };
    let scorer = Scorer {
        cache: request.cache,
        device: request.model.device(),
        config: request.config,
        classes: &request.model.record().classes,
        predict: &predict,
        statistics: request.model.record().source_statistics.as_ref(),
        computed: ComputedFeatures::needed(request.model, request.config.match_source)?,
    };
    let source = TrainedOn { sites: request.source.clone(), validation: request.validation };
    let evaluation = scorer.run(source, progress)?;
    Ok(Evaluation { precision: request.model.precision(), ..evaluation })
}

/// Evaluates any function from features to `M × M` masks, such as another decoder, as [`evaluate`] does a
/// model. Features are f32 on the CPU.
///
/// # Errors
/// As [`evaluate`], and those of `predict`; [`Error::MatchingNeedsModel`] for matched intensities.
pub fn evaluate_with(
    cache: &FeatureCache,
    source: TrainedOn<'_>,
    config: &EvaluateConfig,
    predict: &PredictMask<'_>,
    progress: &dyn Progress,
) -> Result<Evaluation> {
    if config.match_source {
        return Err(Error::MatchingNeedsModel);
    }
    let predict = |features: &ImageFeatures| Ok(vec![without_logits(predict(features)?)]);
    let (device, classes) = (&Device::Cpu, &ClassTable::default());
    Scorer { cache, device, config, classes, predict: &predict, statistics: None, computed: None }
        .run(source, progress)
}

/// Checks that a cache was made with the model's encoder and preprocessing. Features of another encoder
/// have the right shapes but are meaningless to this decoder.
pub(crate) fn check_origin(cache: &FeatureCache, record: &ModelRecord) -> Result<()> {
    let recipe = &cache.header().recipe;
    // The label rule affects the ground truth, not what the model sees.
    let seen = PreprocessConfig { labels: record.preprocess.labels, ..recipe.preprocess.clone() };
    let differs = if recipe.encoder.weights_blake3 != record.encoder_blake3 {
        "another encoder's weights"
    } else if recipe.spec != record.spec {
        "another encoder spec"
    } else if seen != record.preprocess {
        "another preprocessing"
    } else {
        return Ok(());
    };
    Err(Error::CacheOfAnotherModel {
        cache: cache.dir().to_owned(),
        encoder: recipe.encoder.name.clone(),
        model_encoder: record.encoder.clone(),
        differs,
    })
}

/// A function from the features of a slice to its mask.
pub type PredictMask<'a> = dyn Fn(&ImageFeatures) -> Result<BinaryMask> + 'a;

/// The predictions of a slice, one a class.
pub(super) type SlicePredictions = Vec<ClassPrediction>;

/// The confidence of a case: that of its slices and classes, weighted by area. Only slices that are scored
/// count: `scored` says which are, or that all are.
fn confidence(slices: &[SlicePredictions], scored: Option<&[bool]>) -> Option<f64> {
    let counts = |n: usize| scored.is_none_or(|scored| scored.get(n).is_some_and(|is| *is));
    let slices = slices.iter().enumerate().filter(|(n, _)| counts(*n));
    by_area(slices.flat_map(|(_, classes)| classes).map(|(slice, _)| slice), |slice| {
        slice.confidence
    })
}

/// A mask whose logits are not known.
fn without_logits(mask: BinaryMask) -> ClassPrediction {
    (SlicePrediction::of_mask(mask), SliceEvidence::none())
}

/// An evaluation in progress; the model is a function.
pub(super) struct Scorer<'a> {
    pub(super) cache: &'a FeatureCache,
    pub(super) device: &'a Device,
    pub(super) config: &'a EvaluateConfig,
    /// The classes that the model tells apart.
    pub(super) classes: &'a ClassTable,
    pub(super) predict: &'a dyn Fn(&ImageFeatures) -> Result<SlicePredictions>,
    /// Statistics of the training cases, where the model knows them.
    pub(super) statistics: Option<&'a SourceStatistics>,
    /// What computes the features, where they are not the cache's.
    pub(super) computed: Option<ComputedFeatures<'a>>,
}

/// A case to score, with its slices.
struct CaseJob<'a> {
    planned: PlannedCase,
    case: &'a CacheCase,
    slices: Vec<SliceRef>,
    /// Grid of the stacked masks, under the paper protocol.
    grid: VoxelGrid,
}

impl Scorer<'_> {
    pub(super) fn run(&self, source: TrainedOn<'_>, progress: &dyn Progress) -> Result<Evaluation> {
        let recipe = &self.cache.header().recipe;
        let mask_side = recipe.spec.mask_side();
        let border_px = self.config.border_for(mask_side)?;
        let (mut jobs, mut unscored) = (Vec::new(), Vec::new());
        for planned in plan_cases(self.cache, self.config, &source.sites, source.validation)? {
            match self.job(planned)? {
                Ok(job) => jobs.push(job),
                Err(why) => unscored.push(why),
            }
        }
        if self.needs_spacing() {
            let warning = in_pixels::warning(jobs.iter().map(|job| job.case));
            warning.iter().for_each(|warning| progress.warn(warning));
        }
        let slices: usize = jobs.iter().map(|job| job.slices.len()).sum();
        progress.begin("evaluating", slices as u64);
        let mut cases = Vec::with_capacity(jobs.len());
        for job in &jobs {
            let case = self.score(job, border_px, progress);
            if case.as_ref().is_err_and(Error::is_cancelled) {
                let (what, kept) =
                    ("cases scored", "scores are written for a whole evaluation only");
                let (done, total) = (cases.len(), jobs.len());
                return Err(Error::Desam(desam::Error::Cancelled { what, done, total, kept }));
            }
            match case? {
                Some(score) => cases.push(score),
                None => {
                    let role = job.planned.role;
                    unscored.push(UnscoredCase::of(job.case, role, NO_GROUND_TRUTH));
                }
            }
        }
        let automatic = &self.config.automatic;
        let points = automatic.mode == Mode::Points;
        let evaluation = Evaluation {
            source: source.sites,
            mode: automatic.mode,
            grid: points.then_some(automatic.grid),
            selection: automatic.selection,
            protocol: self.config.protocol,
            truth: Some(GroundTruthKind::of(self.config.protocol, recipe.preprocess.labels)),
            border_px,
            border: None,
            mask_side,
            cases,
            unscored,
            sites: Vec::new(),
            overall_dice: None,
            overall_cases_dice: None,
            metrics: self.config.all_metrics(),
            empty_policy: self.config.empty_policy(),
            overall: ByMetric::default(),
            overall_classes: Vec::new(),
            classes: self.classes.clone(),
            bootstrap: None,
            cache: None,
            presence_threshold: automatic.presence_threshold,
            presence_rule: automatic.presence_rule,
            mask_interpolation: self.config.interpolation(&recipe.preprocess),
            match_source: self.config.match_source,
            precision: Precision::F32,
        }
        .summarised();
        progress.finish(&evaluation.headline());
        let warnings = evaluation.border_warning().into_iter().chain(evaluation.range_warning());
        warnings.for_each(|warning| progress.warn(&warning));
        Ok(evaluation)
    }

    /// The slices of a case that the protocol scores, or why the case cannot be scored.
    fn job(&self, planned: PlannedCase) -> Result<Result<CaseJob<'_>, UnscoredCase>> {
        let len = self.cache.cases().len();
        let index = planned.case;
        let case =
            self.cache.cases().get(index).ok_or(desam_data::Error::CaseIndex { index, len })?;
        let unscored = |reason: &str| Ok(Err(UnscoredCase::of(case, planned.role, reason)));
        if case.label.is_none() {
            return unscored("it has no ground truth");
        }
        let stored = match self.computed {
            Some(_) => self.cache.processed_slices(planned.case)?,
            None => self.cache.case_slices(planned.case).to_vec(),
        };
        let (slices, needed): (Vec<SliceRef>, usize) = match self.config.protocol {
            Protocol::Paper => {
                let all = self.cache.class_slices(planned.case, self.classes)?;
                let labelled = |z: usize| all.get(z).is_some_and(|slice| slice.labelled);
                let needed = all.iter().filter(|slice| slice.labelled).count();
                (stored.into_iter().filter(|slice| labelled(slice.z)).collect(), needed)
            }
            Protocol::Full | Protocol::Native => (stored, case.slices),
        };
        if slices.len() != needed {
            return Err(Error::SlicesMissing {
                protocol: self.config.protocol,
                cache: self.cache.dir().to_owned(),
                case: Some(format!("{}/{}", case.site, case.id)),
                needed,
                stored: slices.len(),
            });
        }
        if needed == 0 {
            return unscored(NO_GROUND_TRUTH);
        }
        let grid = match self.config.protocol {
            Protocol::Paper if self.needs_spacing() => {
                stack_grid(self.cache, index, case, &self.config.read)?
            }
            _ => unit_grid(self.cache, case),
        };
        Ok(Ok(CaseJob { planned, case, slices, grid }))
    }

    fn needs_spacing(&self) -> bool {
        self.config.metrics.iter().any(CaseMetric::needs_spacing)
    }

    /// The score of a case; `None` under the native protocol where its label file holds none of the
    /// classes, so that no slice is left to score.
    fn score(
        &self,
        job: &CaseJob<'_>,
        border_px: usize,
        progress: &dyn Progress,
    ) -> Result<Option<CaseScore>> {
        let case = job.case;
        let note = format!("{}/{}", case.site, case.id);
        let mut masks = Vec::with_capacity(job.slices.len());
        // A GPU must not wait for the disk, and widens the stored type itself.
        let on_cpu = self.device.is_cpu();
        let computed = match &self.computed {
            Some(computed) => Some((computed, computed.table(self.cache, job.planned.case)?)),
            None => None,
        };
        // Encoder and decoder would only compete for the device.
        let ahead = if on_cpu || computed.is_some() { 0 } else { GPU_PREFETCH };
        let read = |index: usize| -> Result<ImageFeatures> {
            let slice = &job.slices[index];
            if let Some((computed, table)) = &computed {
                return computed.encode(self.cache, slice, table.as_ref());
            }
            Ok(if on_cpu {
                self.cache.features(slice, self.device)?
            } else {
                self.cache.stored_features(slice, &Device::Cpu)?
            })
        };
        prefetch(job.slices.len(), ahead, read, |features| {
            progress.check_cancelled()?;
            masks.push(self.predict(&features, border_px)?);
            progress.advance(1, &note);
            Ok(())
        })?;
        let own_grid = self.config.protocol.on_volume_grid();
        // Of the slices with ground truth alone, none is to be recognised as empty.
        if own_grid {
            keep_present_slices(&mut masks, &self.config.automatic);
        }
        let pair = match self.config.protocol {
            Protocol::Paper => {
                CasePair::stacked(self.cache, &job.slices, &masks, self.classes, job.grid)?
            }
            Protocol::Full | Protocol::Native => {
                let (index, classes) = (job.planned.case, self.classes);
                let case = RestoredCase { index, case, masks: &masks, classes };
                case.pair(self.cache, self.config, progress)?
            }
        };
        let measures = CaseMeasures::new(pair.masks()?, self.config.empty_policy())?;
        if self.config.protocol == Protocol::Native && measures.counts().present() == 0 {
            return Ok(None);
        }
        let classes = self.class_scores(&pair)?;
        let measured = |metric: CaseMetric| {
            MetricValue(match classes.as_slice() {
                [] => measures.score(metric).counted(),
                classes => mean_over_classes(classes, metric),
            })
        };
        let counts = measures.counts();
        let (truth_voxels, predicted_voxels) = (counts.present(), counts.predicted());
        Ok(Some(CaseScore {
            site: case.site.clone(),
            case: case.id.clone(),
            role: job.planned.role,
            dice: measured(CaseMetric::DICE).0.unwrap_or(0.0),
            slices: job.slices.len(),
            truth_voxels,
            predicted_voxels,
            truth_ml: pair.voxel_ml.map(|v| v * truth_voxels as f64),
            predicted_ml: pair.voxel_ml.map(|v| v * predicted_voxels as f64),
            border: self.border_cut(job, border_px)?,
            empty_slices: pair.empty_slices(self.classes.len()),
            metrics: self.config.all_metrics().into_iter().map(|m| (m, measured(m))).collect(),
            grid: (own_grid || self.needs_spacing()).then_some(pair.grid),
            warnings: self.range_warnings(&pair, predicted_voxels),
            confidence: confidence(&masks, pair.scored.as_deref()),
            classes,
        }))
    }

    /// The scores of each class, where there are several.
    fn class_scores(&self, pair: &CasePair) -> Result<Vec<ClassScore>> {
        if !self.classes.is_several() {
            return Ok(Vec::new());
        }
        let of_class = |(class, name): (u8, &str)| {
            let [prediction, truth] = pair.of_class(class);
            let masks = MaskPair::new(&prediction, &truth, pair.grid)?;
            let measures = CaseMeasures::new(masks, self.config.empty_policy())?;
            let measured = |metric: CaseMetric| MetricValue(measures.score(metric).counted());
            let counts = measures.counts();
            let (truth_voxels, predicted_voxels) = (counts.present(), counts.predicted());
            Ok(ClassScore {
                class: name.to_owned(),
                dice: measured(CaseMetric::DICE).0.unwrap_or(0.0),
                truth_voxels,
                predicted_voxels,
                truth_ml: pair.voxel_ml.map(|v| v * truth_voxels as f64),
                predicted_ml: pair.voxel_ml.map(|v| v * predicted_voxels as f64),
                metrics: self.config.all_metrics().into_iter().map(|m| (m, measured(m))).collect(),
            })
        };
        (1..).zip(self.classes.names()).map(of_class).collect()
    }

    /// What of a case lies beyond the range of the training cases.
    fn range_warnings(&self, pair: &CasePair, predicted_voxels: u64) -> Vec<String> {
        let (Some(statistics), Some(spacing_mm), Some(voxel_ml)) =
            (self.statistics, pair.spacing_mm, pair.voxel_ml)
        else {
            return Vec::new();
        };
        let structure_ml = voxel_ml * predicted_voxels as f64;
        statistics.warnings(&VolumeMeasurements { structure_ml, spacing_mm })
    }

    /// Ground truth of a case within the border, in its `M × M` masks.
    fn border_cut(&self, job: &CaseJob<'_>, border_px: usize) -> Result<Option<BorderCut>> {
        if border_px == 0 {
            return Ok(None);
        }
        let labelled = job.slices.iter().filter(|slice| slice.labelled);
        let foreground = |slice| Ok(self.cache.class_mask(slice, self.classes)?.foreground());
        let truth = labelled.map(foreground).collect::<Result<Vec<_>>>()?;
        Ok(Some(BorderCut::of(&truth, border_px)))
    }

    /// The predictions of a slice, cleared within the border.
    fn predict(&self, features: &ImageFeatures, border_px: usize) -> Result<SlicePredictions> {
        let mut predicted = (self.predict)(features)?;
        let side = self.cache.header().recipe.spec.mask_side();
        for (prediction, _) in &mut predicted {
            let found = (prediction.mask.height(), prediction.mask.width());
            if found != (side, side) {
                return Err(desam_core::Error::shape("predicted mask", (side, side), found).into());
            }
            prediction.mask = border::zero_border(prediction.mask.clone(), border_px)?;
        }
        Ok(predicted)
    }
}
