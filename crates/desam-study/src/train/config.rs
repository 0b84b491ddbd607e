//! How a decoder is trained, and its two presets.

use super::{AdamConfig, Augment, Extension, extension};
use crate::{Error, Result};
use desam::Mode;
use desam_core::{Precision, PromptSampler};
use desam_data::split::SplitRule;
use desam_decoder::{SqueezePlacement, Variant};
use desam_metrics::loss::{IouLoss, IouTarget, LossConfig};
use desam_prompt::{BoxSampler, PointSampler};
use serde::{Deserialize, Serialize};

/// Whose figures are followed; they are never mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// The paper's: MSE on IoU with weight 10, cross-entropy, best Dice in validation.
    Paper,
    /// The official program's: L1 on IoU with weight 1, a cross-entropy that is zero with the
    /// library it pins, lowest Dice loss in validation.
    Official,
}

impl std::fmt::Display for Preset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Paper => "paper",
            Self::Official => "official",
        })
    }
}

impl std::str::FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "paper" => Ok(Self::Paper),
            "official" => Ok(Self::Official),
            other => Err(format!("preset {other:?}: expected paper or official")),
        }
    }
}

/// What makes one epoch's model better than another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BestBy {
    /// Highest mean Dice over the validation cases.
    Dice,
    /// Lowest mean Dice loss over the validation slices.
    DiceLoss,
}

/// Everything that decides a training run beside the features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Whose figures these are.
    pub preset: Preset,
    /// The site trained on.
    pub source: String,
    /// Grid points or whole box.
    pub mode: Mode,
    /// Which decoder is trained: DeSAM, one of the paper's ablations, or SAM's own.
    #[serde(default)]
    pub variant: Variant,
    /// Where PIMM's squeeze-excitation looks.
    #[serde(default)]
    pub squeeze: SqueezePlacement,
    /// Whether PIMM's coarser heads are compared with the truth too (the official module can; the
    /// official program does not).
    #[serde(default)]
    pub deep_supervision: bool,
    /// Passes over the training slices.
    pub epochs: usize,
    /// Slices a step.
    pub batch: usize,
    /// Learning rate of the first epoch.
    pub learning_rate: f64,
    /// Power of the decay `(1 - epoch / epochs)^power`, applied each epoch.
    pub decay_power: f64,
    /// Adam's constants.
    pub adam: AdamConfig,
    /// Longest gradient, all parameters together (Euclidean length); longer ones are shortened to
    /// it. `None`, as the official program has it: as long as it is.
    #[serde(default)]
    pub clip_norm: Option<f64>,
    /// Decay of a running mean of the parameters, 0 to below 1: validation and the best model then
    /// take the mean. `None`, as the official program has it: the last step's parameters.
    #[serde(default)]
    pub ema: Option<f64>,
    /// The loss: Eq. 1 or Eq. 2 of the paper, or the official program's.
    pub loss: LossConfig,
    /// Points drawn in grid points mode.
    pub points: PointSampler,
    /// Share of the source site's cases held out (paper: a tenth).
    pub validation_fraction: f64,
    /// Which cases are held out.
    pub split: SplitRule,
    /// What makes a model the best.
    pub best_by: BestBy,
    /// Seed of initial weights, order of slices, training prompts and validation prompts.
    pub seed: u64,
    /// How training slices are changed at random; nothing in both presets.
    #[serde(default, skip_serializing_if = "Augment::is_none")]
    pub augment: Augment,
    /// Whether the image encoder runs for every slice anew instead of its features being read from
    /// the cache, which changes of images need.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
    /// What a step computes in; f32 in both presets. With bf16 it is what PyTorch calls autocast:
    /// features, prompts and activations are bf16, products add up in f32; parameters, their
    /// gradients, Adam's moments, the running mean, the loss and its targets stay f32.
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
    /// How the run was made longer since it began, oldest first; empty where it was not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extended: Vec<Extension>,
}

impl TrainConfig {
    /// The preset's figures for a site and a mode, seed 0.
    pub fn preset(preset: Preset, source: impl Into<String>, mode: Mode) -> Self {
        let paper = preset == Preset::Paper;
        let loss = match (preset, mode) {
            (Preset::Paper, Mode::Points) => LossConfig::paper_points(),
            (Preset::Paper, Mode::Box) => LossConfig::paper_box(),
            (Preset::Official, Mode::Points) => LossConfig::official_points(),
            (Preset::Official, Mode::Box) => LossConfig::official_box(),
        };
        Self {
            preset,
            source: source.into(),
            mode,
            variant: Variant::Desam,
            squeeze: SqueezePlacement::Official,
            deep_supervision: false,
            epochs: 50,
            batch: 8,
            learning_rate: 1e-4,
            decay_power: 0.9,
            adam: AdamConfig::default(),
            clip_norm: None,
            ema: None,
            loss,
            points: if paper { PointSampler::paper() } else { PointSampler::official() },
            validation_fraction: 0.1,
            split: SplitRule::Seeded { seed: 0 },
            best_by: if paper { BestBy::Dice } else { BestBy::DiceLoss },
            seed: 0,
            augment: Augment::None,
            live: false,
            precision: Precision::F32,
            extended: Vec::new(),
        }
    }

    /// The same with every random choice drawn from `seed`.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        if let SplitRule::Seeded { seed: split } = &mut self.split {
            *split = seed;
        }
        self
    }

    /// Checks that it can be run.
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
        let membership = |iou: IouLoss| iou.target == IouTarget::Membership;
        if self.mode == Mode::Box && self.loss.iou.is_some_and(membership) {
            let reason = "whole box mode does not supervise the IoU (Eq. 2): no point says whether \
                          it lies in the mask; the IoU target can be mask";
            return refuse(reason.into());
        }
        self.validate_variant().or_else(refuse)?;
        self.augment.validate(self.live)?;
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
        extension::check(&self.extended, self.epochs).or_else(refuse)?;
        Ok(self.loss.validate()?)
    }

    /// Learning rate of `epoch`, counted from 0: polynomial decay, stepped each epoch.
    pub fn learning_rate_at(&self, epoch: usize) -> f64 {
        let epochs = extension::epochs_for(epoch, &self.extended).unwrap_or(self.epochs);
        let left = 1.0 - epoch as f64 / epochs as f64;
        self.learning_rate * left.max(0.0).powf(self.decay_power)
    }

    /// What draws the training prompts.
    pub(crate) fn sampler(&self) -> Box<dyn PromptSampler> {
        match self.mode {
            Mode::Points => Box::new(self.points),
            Mode::Box => Box::new(BoxSampler {}),
        }
    }
}

#[cfg(test)]
mod tests;
