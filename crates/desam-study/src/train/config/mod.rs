//! Training settings.

mod adapter;
mod augment;
mod presets;
mod schedule;
mod slices;

pub use augment::Augment;
pub use presets::Preset;
pub use schedule::Extension;
pub use slices::TrainSlices;

use super::AdamConfig;
use crate::{Error, Result};
use desam::Mode;
use desam::adapted::AdapterChoice;
use desam::model::{DecoderChoice, SourceSites};
use desam_core::{ClassTable, Precision, PromptSampler};
use desam_data::split::SplitRule;
use desam_decoder::{SqueezePlacement, Variant};
use desam_metrics::loss::{IouLoss, IouTarget, LossConfig, MaskSlices};
use desam_prompt::{BoxSampler, PointSampler};
use schedule::check_extensions;
use serde::{Deserialize, Serialize};

/// Mask tokens of SAM's decoder.
const SAM_MASK_TOKENS: usize = 4;

/// Criterion by which the best epoch is selected (there is no early stopping).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BestBy {
    /// Highest mean Dice over the validation cases.
    Dice,
    /// Lowest mean Dice loss over the validation slices.
    DiceLoss,
    /// The last epoch, whatever its validation, as in the program of DAPSAM.
    Last,
}

/// Training settings: together with the features they determine the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TrainConfig {
    /// Source of the settings.
    pub preset: Preset,
    /// The source site, or sites, which the decoder is trained on.
    pub source: SourceSites,
    /// Prompting mode: grid points or whole box.
    pub mode: Mode,
    /// The decoder: DeSAM, one of the paper's ablations, or SAM's own.
    #[serde(default)]
    pub variant: Variant,
    /// Placement of PIMM's squeeze-and-excitation.
    #[serde(default)]
    pub squeeze: SqueezePlacement,
    /// The adapter in the image encoder, whose encoder then runs in every step; none in the presets, whose
    /// encoder is frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<AdapterChoice>,
    /// Deep supervision: a loss on PIMM's coarser heads too (supported by the official module, not
    /// used by the official program).
    #[serde(default)]
    pub deep_supervision: bool,
    /// The classes to tell apart, and the labels they are made of; one foreground in both presets.
    #[serde(default, skip_serializing_if = "ClassTable::is_foreground")]
    pub classes: ClassTable,
    /// Epochs: passes over the training slices.
    pub epochs: usize,
    /// Batch size: slices per step.
    pub batch: usize,
    /// Learning rate of the first epoch.
    pub learning_rate: f64,
    /// Power of the polynomial learning-rate decay `(1 - epoch / epochs)^power`, applied each epoch.
    pub decay_power: f64,
    /// Steps of a linear warm-up, after which the learning rate decays by step; 0: none, and decay by
    /// epoch.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub warmup_steps: u32,
    /// Epochs after which the decay ends, where that is not the last epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay_epochs: Option<usize>,
    /// Adam's hyperparameters.
    pub adam: AdamConfig,
    /// Gradient clipping: the largest norm of the gradient, all parameters together. `None`, as in the
    /// official program: no clipping.
    #[serde(default)]
    pub clip_norm: Option<f64>,
    /// Decay of an exponential moving average of the parameters, 0 to below 1; validation and the
    /// best model then use the average. `None`, as in the official program: the last step's
    /// parameters.
    #[serde(default)]
    pub ema: Option<f64>,
    /// The loss: Eq. 1 or Eq. 2 of the paper, or the official program's.
    pub loss: LossConfig,
    /// Sampler of training points in grid points mode.
    pub points: PointSampler,
    /// Which slices are trained on: those with ground truth, as in the paper, or all.
    #[serde(default, skip_serializing_if = "TrainSlices::is_labelled")]
    pub slices: TrainSlices,
    /// Share of empty slices in an epoch, above 0 and below 1, where all slices are trained on: a new
    /// random selection in each epoch. `None`: each slice once an epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_share: Option<f64>,
    /// Train/validation split: the share of each source site's cases held out (paper: a tenth).
    pub validation_fraction: f64,
    /// Rule that picks the held-out cases.
    pub split: SplitRule,
    /// Criterion of the best model.
    pub best_by: BestBy,
    /// Seed of the initial weights, the order of slices, and the training and validation prompts.
    pub seed: u64,
    /// Data augmentation of training slices; none in both presets.
    #[serde(default, skip_serializing_if = "Augment::is_none")]
    pub augment: Augment,
    /// Weight of the consistency between two views of each slice in a batch, which then holds twice as
    /// many predictions; `None`: one view, no such term. Needs changes of style that move no mask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<f64>,
    /// Whether the image encoder runs in every step instead of its features being read from the cache.
    /// Augmentation of images needs it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
    /// Compute precision of a step; f32 in both presets. bf16 is what PyTorch calls autocast: features,
    /// prompts and activations are bf16, matrix products accumulate in f32; parameters, their
    /// gradients, Adam's moments, the moving average, the loss and its targets stay f32.
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
    /// Extensions of the run to more epochs, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extended: Vec<Extension>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
fn is_zero(steps: &u32) -> bool {
    *steps == 0
}

impl TrainConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// Naming the setting that does not fit.
    pub fn validate(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::Invalid(format!("training: {what}")));
        if self.epochs == 0 || self.epochs > 100_000 {
            return refuse(format!("epochs must be 1 to 100000, found {}", self.epochs));
        }
        if self.batch == 0 || self.batch > 4096 {
            return refuse(format!("batch must be 1 to 4096, found {}", self.batch));
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return refuse(format!("lr must be above 0, found {}", self.learning_rate));
        }
        if !(self.decay_power >= 0.0 && self.decay_power.is_finite()) {
            return refuse(format!("decay_power must be at least 0, found {}", self.decay_power));
        }
        if self.decay_epochs.is_some_and(|epochs| epochs < self.epochs) {
            return refuse(format!("decay_epochs must be at least epochs, {}", self.epochs));
        }
        let membership = |iou: IouLoss| iou.target == IouTarget::Membership;
        let all_labelled = self.slices == TrainSlices::Labelled;
        if self.mode == Mode::Box && all_labelled && self.loss.iou.is_some_and(membership) {
            let reason = "whole box mode does not supervise the IoU (Eq. 2) on labelled slices: the \
                          box contains the structure in each; the IoU target can be mask";
            return refuse(reason.into());
        }
        self.validate_slices().or_else(refuse)?;
        self.validate_variant().or_else(refuse)?;
        self.validate_adapter().or_else(refuse)?;
        self.augment.validate(self.live)?;
        self.validate_consistency().or_else(refuse)?;
        let decay = self.adam.weight_decay;
        if !(decay >= 0.0 && self.learning_rate * decay < 1.0) {
            let text = format!("weight_decay must be at least 0, and lr times it below 1: {decay}");
            return refuse(text);
        }
        if let Some(norm) = self.clip_norm.filter(|n| !(*n > 0.0 && n.is_finite())) {
            return refuse(format!("clip_norm must be above 0, found {norm}"));
        }
        if let Some(decay) = self.ema.filter(|d| !(0.0..1.0).contains(d)) {
            return refuse(format!("ema must be at least 0 and below 1, found {decay}"));
        }
        check_extensions(&self.extended, self.epochs).or_else(refuse)?;
        Ok(self.loss.validate()?)
    }

    /// Checks the choice of slices.
    fn validate_slices(&self) -> Result<(), String> {
        let labelled = self.loss.mask_slices == MaskSlices::Labelled;
        if labelled && self.slices == TrainSlices::All && self.loss.iou.is_none() {
            return Err(
                "without an IoU term nothing learns which slices are empty, unless the mask \
                        terms are computed on all slices"
                    .into(),
            );
        }
        if labelled && self.slices == TrainSlices::Labelled {
            return Err("mask terms on labelled slices alone need training on all slices".into());
        }
        match self.empty_share {
            None => Ok(()),
            Some(_) if self.slices == TrainSlices::Labelled => {
                Err("a share of empty slices needs training on all slices".into())
            }
            Some(share) if share > 0.0 && share < 1.0 => Ok(()),
            Some(share) => Err(format!("empty_share must be above 0 and below 1, found {share}")),
        }
    }

    /// Checks the consistency between views.
    fn validate_consistency(&self) -> Result<(), String> {
        let Some(weight) = self.consistency else { return Ok(()) };
        if !(weight > 0.0 && weight.is_finite()) {
            return Err(format!("consistency must be above 0, found {weight}"));
        }
        match &self.augment {
            Augment::Views => Ok(()),
            Augment::Style(style) if !style.moves() => Ok(()),
            other => Err(format!(
                "consistency compares views of a slice that differ in style alone, found augmentation \
                 {other}"
            )),
        }
    }

    /// The sampler of training prompts.
    pub(crate) fn sampler(&self) -> Box<dyn PromptSampler> {
        match self.mode {
            Mode::Points => Box::new(self.points),
            Mode::Box => Box::new(BoxSampler {}),
        }
    }

    /// Views of each slice in a batch.
    pub(super) fn views_per_slice(&self) -> usize {
        if self.consistency.is_some() { 2 } else { 1 }
    }

    /// Whether the predicted IoU of a whole box says that the slice holds the structure: where it is
    /// trained on slices that do not.
    pub(super) fn predicts_presence(&self) -> bool {
        self.slices == TrainSlices::All && self.mode == Mode::Box && self.loss.iou.is_some()
    }

    /// Whether a presence threshold is chosen on the held-out cases: where the predicted IoU is trained on
    /// all slices. A decoder that predicts no IoU has nothing to threshold: it learned to leave slices
    /// empty.
    pub(super) fn calibrates_presence(&self) -> bool {
        self.slices == TrainSlices::All && self.loss.iou.is_some()
    }

    /// The decoder to train.
    pub fn decoder(&self) -> DecoderChoice {
        DecoderChoice {
            variant: self.variant,
            squeeze: self.squeeze,
            deep_supervision: self.deep_supervision,
            classes: self.classes.clone(),
        }
    }

    /// Checks that the variant has the parts that the settings refer to.
    fn validate_variant(&self) -> Result<(), String> {
        let variant = self.variant;
        if !variant.predicts_iou() && self.loss.iou.is_some() {
            return Err(format!("variant {variant} has no IoU head, so its loss has no IoU term"));
        }
        if variant == Variant::SamDecoder && self.classes.len() > SAM_MASK_TOKENS {
            let classes = self.classes.len();
            return Err(format!(
                "variant {variant} has a mask for each of SAM's {SAM_MASK_TOKENS} mask tokens, found \
                 {classes} classes"
            ));
        }
        let pimm = [
            ("deep supervision", self.deep_supervision),
            ("a placement of squeeze-excitation", self.squeeze != SqueezePlacement::Official),
        ];
        match pimm.into_iter().find(|(_, asked)| *asked && !variant.has_pimm()) {
            Some((what, _)) => Err(format!("variant {variant} has no PIMM, hence no {what}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
