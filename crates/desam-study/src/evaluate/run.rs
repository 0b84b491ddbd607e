//! From a cache and a model to scores.

use super::pair::{CasePair, pixels, stack_grid};
use super::plan::{Planned, plan};
use super::{
    BorderCut, ByMetric, CaseScore, EvaluateConfig, Evaluation, Measured, Protocol, Truth,
    UnscoredCase, border,
};
use crate::{Error, Result};
use candle_core::Device;
use desam::{Mode, Model, ModelRecord};
use desam_core::pipeline::prefetch;
use desam_core::text::DisplayPath as _;
use desam_core::{BinaryMask, ImageFeatures, Precision, Progress};
use desam_data::cache::{CacheCase, FeatureCache, SliceRef};
use desam_data::preprocess::PreprocessConfig;
use desam_metrics::metric::{CaseMeasures, CaseMetric, VoxelGrid};

/// Slices whose features are read beyond the one that a GPU is at.
const AHEAD: usize = 2;

/// What to score, with what.
#[derive(Debug, Clone, Copy)]
pub struct EvaluateRequest<'a> {
    /// The features, of all sites.
    pub cache: &'a FeatureCache,
    /// The trained model.
    pub model: &'a Model,
    /// The site it was trained on. It need not be in the cache.
    pub source: &'a str,
    /// The source site's cases that training held out; of that site they alone are scored.
    pub validation: &'a [String],
    /// The protocol, the prompts and the sites.
    pub config: &'a EvaluateConfig,
}

/// Scores a model on the sites of a cache. Slices are predicted one after the other, with one
/// slice's features in memory, so the result is the same on any machine with the same arithmetic. A GPU
/// sums in another order than a CPU, and bf16 rounds otherwise: the scores say the latter.
///
/// # Errors
/// When the cache was made by another encoder or preprocessing than the model's, lacks a slice
/// that the protocol scores (the full protocol needs `--slices all`), or cannot be read; when a
/// site or a validation case is unknown; when the border leaves nothing; under the full protocol,
/// when a volume or label file is missing, has changed since it was embedded, or the two lie on
/// different grids; under the paper protocol, when a metric in millimetres is asked for and a volume
/// is missing or has changed.
pub fn evaluate(request: &EvaluateRequest<'_>, progress: &dyn Progress) -> Result<Evaluation> {
    check_origin(request.cache, request.model.record())?;
    let predictor = request.model.predictor();
    let automatic = &request.config.automatic;
    if let Some(warning) = request.model.prompting_warning(automatic) {
        progress.warn(&warning);
    }
    let draw = |features: &ImageFeatures| Ok(predictor.predict(features, automatic)?.mask);
    let scoring = Scoring {
        cache: request.cache,
        device: request.model.device(),
        config: request.config,
        draw: &draw,
    };
    let evaluation = scoring.run(request.source, request.validation, progress)?;
    Ok(Evaluation { precision: request.model.precision(), ..evaluation })
}

/// Features of another encoder have the right shapes and mean nothing to this decoder.
pub(crate) fn check_origin(cache: &FeatureCache, record: &ModelRecord) -> Result<()> {
    let recipe = &cache.header().recipe;
    // How labels come down to the masks is a matter of the truth, not of what the model sees.
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
    Err(Error::Invalid(format!(
        "the cache {} (encoder {}) was made with {differs} than the model's (encoder {}); embed \
         the data with the model's encoder and preprocessing",
        cache.dir().display_escaped(),
        recipe.encoder.name,
        record.encoder
    )))
}

/// From features to a mask.
pub(super) type Draw<'a> = dyn Fn(&ImageFeatures) -> Result<BinaryMask> + 'a;

/// Everything but the model itself, which is no more than a function here.
pub(super) struct Scoring<'a> {
    pub(super) cache: &'a FeatureCache,
    pub(super) device: &'a Device,
    pub(super) config: &'a EvaluateConfig,
    pub(super) draw: &'a Draw<'a>,
}

/// A case whose slices to predict are known.
struct Work<'a> {
    planned: Planned,
    case: &'a CacheCase,
    slices: Vec<SliceRef>,
    /// Of the masks' stack, under the paper protocol.
    grid: VoxelGrid,
}

impl Scoring<'_> {
    pub(super) fn run(
        &self,
        source: &str,
        validation: &[String],
        progress: &dyn Progress,
    ) -> Result<Evaluation> {
        let recipe = &self.cache.header().recipe;
        let mask_side = recipe.spec.mask_side();
        let border_px = self.config.border_for(mask_side)?;
        let (mut work, mut unscored) = (Vec::new(), Vec::new());
        for planned in plan(self.cache, self.config, source, validation)? {
            match self.work(planned)? {
                Ok(ready) => work.push(ready),
                Err(why) => unscored.push(why),
            }
        }
        let slices: usize = work.iter().map(|w| w.slices.len()).sum();
        progress.begin("evaluating", slices as u64);
        let mut cases = Vec::with_capacity(work.len());
        for ready in &work {
            let case = self.score(ready, border_px, progress);
            if case.as_ref().is_err_and(Error::is_cancelled) {
                let (what, kept) =
                    ("cases scored", "scores are written for a whole evaluation only");
                let (done, total) = (cases.len(), work.len());
                return Err(Error::Desam(desam::Error::Cancelled { what, done, total, kept }));
            }
            cases.push(case?);
        }
        let automatic = &self.config.automatic;
        let points = automatic.mode == Mode::Points;
        let evaluation = Evaluation {
            source: source.to_owned(),
            mode: automatic.mode,
            grid: points.then_some(automatic.grid),
            selection: automatic.selection,
            protocol: self.config.protocol,
            truth: Some(Truth::of(self.config.protocol, recipe.preprocess.labels)),
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
            bootstrap: None,
            cache: None,
            precision: Precision::F32,
        }
        .summarised();
        progress.finish(&evaluation.headline());
        if let Some(warning) = evaluation.border_warning() {
            progress.warn(&warning);
        }
        Ok(evaluation)
    }

    /// The slices of a case that the protocol scores, or why there is nothing to score.
    fn work(&self, planned: Planned) -> Result<Result<Work<'_>, UnscoredCase>> {
        let len = self.cache.cases().len();
        let index = planned.case;
        let case =
            self.cache.cases().get(index).ok_or(desam_data::Error::CaseIndex { index, len })?;
        let unscored = |reason: &str| {
            Ok(Err(UnscoredCase {
                site: case.site.clone(),
                case: case.id.clone(),
                role: planned.role,
                reason: reason.to_owned(),
            }))
        };
        if case.label.is_none() {
            return unscored("it has no ground truth");
        }
        let stored = self.cache.case_slices(planned.case);
        let (slices, needed): (Vec<SliceRef>, usize) = match self.config.protocol {
            Protocol::Paper => {
                (stored.iter().filter(|s| s.labelled).copied().collect(), case.labelled.len())
            }
            Protocol::Full => (stored.to_vec(), case.slices),
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
            return unscored("no slice of it has ground truth");
        }
        let grid = match self.config.protocol {
            Protocol::Paper if self.needs_spacing() => stack_grid(self.cache, index, case)?,
            _ => pixels(self.cache, case),
        };
        Ok(Ok(Work { planned, case, slices, grid }))
    }

    fn needs_spacing(&self) -> bool {
        self.config.metrics.iter().any(CaseMetric::needs_spacing)
    }

    fn score(
        &self,
        work: &Work<'_>,
        border_px: usize,
        progress: &dyn Progress,
    ) -> Result<CaseScore> {
        let case = work.case;
        let note = format!("{}/{}", case.site, case.id);
        let mut masks = Vec::with_capacity(work.slices.len());
        // A GPU is not to wait for the disk, and widens what is stored itself.
        let on_cpu = self.device.is_cpu();
        let ahead = if on_cpu { 0 } else { AHEAD };
        let read = |index: usize| -> Result<ImageFeatures> {
            let slice = &work.slices[index];
            Ok(if on_cpu {
                self.cache.features(slice, self.device)?
            } else {
                self.cache.stored_features(slice, &Device::Cpu)?
            })
        };
        prefetch(work.slices.len(), ahead, read, |features| {
            progress.check_cancelled()?;
            masks.push(border::cleared(self.predict(&features)?, border_px)?);
            progress.advance(1, &note);
            Ok(())
        })?;
        let full = self.config.protocol == Protocol::Full;
        let pair = match self.config.protocol {
            Protocol::Paper => CasePair::stacked(self.cache, (&work.slices, &masks), work.grid)?,
            Protocol::Full => {
                CasePair::restored(self.cache, work.planned.case, case, &masks, progress)?
            }
        };
        let measures = CaseMeasures::new(pair.masks()?, self.config.empty_policy())?;
        let measured = |metric: CaseMetric| Measured(measures.score(metric).counted());
        let counts = measures.counts();
        let (truth_voxels, predicted_voxels) = (counts.present(), counts.predicted());
        Ok(CaseScore {
            site: case.site.clone(),
            case: case.id.clone(),
            role: work.planned.role,
            dice: measured(CaseMetric::DICE).0.unwrap_or(0.0),
            slices: work.slices.len(),
            truth_voxels,
            predicted_voxels,
            truth_ml: pair.voxel_ml.map(|v| v * truth_voxels as f64),
            predicted_ml: pair.voxel_ml.map(|v| v * predicted_voxels as f64),
            border: self.border_cut(work, border_px)?,
            metrics: self.config.all_metrics().into_iter().map(|m| (m, measured(m))).collect(),
            grid: (full || self.needs_spacing()).then_some(pair.grid),
        })
    }

    /// What the border cuts off the truth of a case, in its `M × M` masks.
    fn border_cut(&self, work: &Work<'_>, border_px: usize) -> Result<Option<BorderCut>> {
        if border_px == 0 {
            return Ok(None);
        }
        let labelled = work.slices.iter().filter(|slice| slice.labelled);
        let truth =
            labelled.map(|slice| Ok(self.cache.mask(slice)?)).collect::<Result<Vec<_>>>()?;
        Ok(Some(BorderCut::of(&truth, border_px)))
    }

    fn predict(&self, features: &ImageFeatures) -> Result<BinaryMask> {
        let mask = (self.draw)(features)?;
        let side = self.cache.header().recipe.spec.mask_side();
        if (mask.height(), mask.width()) != (side, side) {
            let found = (mask.height(), mask.width());
            return Err(desam_core::Error::shape("predicted mask", (side, side), found).into());
        }
        Ok(mask)
    }
}
