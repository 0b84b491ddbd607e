//! Presets of training settings: the paper's, the official program's, and one for whole volumes.

use super::{Augment, BestBy, TrainConfig, TrainSlices};
use crate::train::AdamConfig;
use desam::Mode;
use desam::model::SourceSites;
use desam_core::{ClassTable, Precision};
use desam_data::split::SplitRule;
use desam_decoder::{SqueezePlacement, Variant};
use desam_metrics::loss::{DiceReduction, IouLoss, IouTarget, LossConfig, MaskSlices};
use desam_prompt::PointSampler;

desam_core::named! {
    /// Source of the training settings. The two differ and are never mixed.
    pub enum Preset: "preset" {
        /// The paper's: MSE on IoU with weight 10, cross-entropy, best Dice in validation.
        Paper = "paper",
        /// The official program's: L1 on IoU with weight 1, a cross-entropy that is zero with the
        /// library it pins, lowest Dice loss in validation.
        Official = "official",
        /// For masks of whole volumes: the paper's settings, with training on empty slices, too.
        Volume = "volume",
    }
}

impl TrainConfig {
    /// The preset's settings for a site and a mode, seed 0.
    pub fn preset(preset: Preset, source: impl Into<SourceSites>, mode: Mode) -> Self {
        let paper = preset != Preset::Official;
        let loss = match (preset, mode) {
            (Preset::Paper | Preset::Volume, Mode::Points) => LossConfig::paper_points(),
            (Preset::Paper | Preset::Volume, Mode::Box) => LossConfig::paper_box(),
            (Preset::Official, Mode::Points) => LossConfig::official_points(),
            (Preset::Official, Mode::Box) => LossConfig::official_box(),
        };
        let config = Self {
            preset,
            source: source.into(),
            mode,
            variant: Variant::Desam,
            squeeze: SqueezePlacement::Official,
            adapter: None,
            deep_supervision: false,
            classes: ClassTable::default(),
            epochs: 50,
            batch: 8,
            learning_rate: 1e-4,
            decay_power: 0.9,
            warmup_steps: 0,
            decay_epochs: None,
            adam: AdamConfig::default(),
            clip_norm: None,
            consistency: None,
            ema: None,
            loss,
            points: if paper { PointSampler::paper() } else { PointSampler::official() },
            slices: TrainSlices::Labelled,
            empty_share: None,
            validation_fraction: 0.1,
            split: SplitRule::Seeded { seed: 0 },
            best_by: if paper { BestBy::Dice } else { BestBy::DiceLoss },
            seed: 0,
            augment: Augment::None,
            live: false,
            precision: Precision::F32,
            extended: Vec::new(),
        };
        match preset {
            Preset::Volume => config.for_volumes(),
            Preset::Paper | Preset::Official => config,
        }
    }

    /// The paper's settings, changed for batches with empty slices in them.
    fn for_volumes(self) -> Self {
        let mut config = self.with_slices(TrainSlices::All);
        config.loss.mask_slices = MaskSlices::Labelled;
        config
    }

    /// Sets the slices to train on. On all slices the predicted IoU is trained in whole box mode, too,
    /// where the paper trains none: 0 says that a slice is empty.
    #[must_use]
    pub fn with_slices(mut self, slices: TrainSlices) -> Self {
        self.slices = slices;
        if slices == TrainSlices::Labelled {
            self.loss.mask_slices = MaskSlices::All;
        }
        let presence = self.mode == Mode::Box && slices == TrainSlices::All;
        if presence && self.variant.predicts_iou() && self.loss.iou.is_none() {
            self.loss.iou = Some(self.preset_iou());
        }
        self
    }

    /// The preset's IoU loss. For whole boxes preset `volume` weighs it like the other terms: it
    /// says whether a slice is empty and ranks nothing, and with the paper's weight of 10 the mask suffers.
    fn preset_iou(&self) -> IouLoss {
        match (self.preset, self.mode) {
            (Preset::Volume, Mode::Box) => IouLoss { weight: 1.0, ..IouLoss::paper() },
            (Preset::Paper | Preset::Volume, _) => IouLoss::paper(),
            (Preset::Official, _) => IouLoss::official(),
        }
    }

    /// Sets the seed of every random choice, the train/validation split included.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        if let SplitRule::Seeded { seed: split } = &mut self.split {
            *split = seed;
        }
        self
    }

    /// Sets the decoder variant. One without an IoU head has no IoU to supervise, so the loss loses its
    /// IoU term.
    #[must_use]
    pub fn with_variant(mut self, variant: Variant) -> Self {
        self.variant = variant;
        if !variant.predicts_iou() {
            self.loss.iou = None;
            if self.loss.mask_slices == MaskSlices::Labelled {
                // The masks themselves must learn which slices are empty.
                self.loss.mask_slices = MaskSlices::All;
                self.loss.dice_reduction = DiceReduction::Batch;
            }
        }
        self
    }

    /// Sets the classes to tell apart. A slice may hold some of several classes and not others: their Dice is
    /// that of a whole batch then.
    #[must_use]
    pub fn with_classes(mut self, classes: ClassTable) -> Self {
        if classes.is_several() {
            self.loss.dice_reduction = DiceReduction::Batch;
        }
        self.classes = classes;
        self
    }

    /// Sets the target of the predicted IoU. The mask's true IoU is available in whole box mode too,
    /// which otherwise supervises none (Eq. 2); the loss term is then the preset's.
    #[must_use]
    pub fn with_iou_target(mut self, target: IouTarget) -> Self {
        let preset = self.preset_iou();
        if self.loss.iou.is_some() || target == IouTarget::Mask {
            self.loss.iou = Some(IouLoss { target, ..self.loss.iou.unwrap_or(preset) });
        }
        self
    }
}
