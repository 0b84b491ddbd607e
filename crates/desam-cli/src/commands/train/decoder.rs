//! Which decoder `desam train` trains, and with which loss.

use crate::commands::values::{MAX_WEIGHT, enum_values, non_negative};
use clap::Args;
use desam::decoder::{SqueezePlacement, Variant};
use desam::metrics::loss::IouTarget;
use desam::train::TrainConfig;

/// Flags of the decoder and its loss.
#[derive(Debug, Args)]
pub(super) struct DecoderFlags {
    /// Which decoder to train; they are told apart below
    #[arg(long, value_name = "VARIANT", default_value = "desam", value_parser = enum_values::<Variant>())]
    variant: Variant,

    /// Where PIMM's squeeze-excitation looks: behind the norm, as in the official program, where it
    /// is a factor of one half whatever its weights; or before it, where it acts
    #[arg(long, value_name = "PLACE", default_value = "official",
        value_parser = enum_values::<SqueezePlacement>())]
    squeeze: SqueezePlacement,

    /// Compare PIMM's coarser heads with the truth too: each weighs half of the next finer one, all
    /// together 1; targets are the nearest pixels
    #[arg(long)]
    deep_supervision: bool,

    /// What the predicted IoU learns: whether the point lies in the mask (1 or 0), or the IoU that
    /// the mask drawn at that moment has; whole box mode teaches it only the latter, and only if
    /// asked [default: membership in points mode]
    #[arg(long, value_name = "TARGET",
        value_parser = enum_values::<IouTarget>())]
    iou_target: Option<IouTarget>,

    /// Weight of the soft Dice loss [default: 1]
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true,
        value_parser = non_negative(MAX_WEIGHT))]
    dice_weight: Option<f64>,

    /// Weight of the cross-entropy [default: 1 with preset paper, 0 with official]
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true,
        value_parser = non_negative(MAX_WEIGHT))]
    bce_weight: Option<f64>,

    /// Weight of the IoU's error [default: 10 with preset paper, 1 with official]
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true,
        value_parser = non_negative(MAX_WEIGHT))]
    iou_weight: Option<f64>,
}

impl DecoderFlags {
    /// `config` with what was asked for.
    pub(super) fn apply(&self, config: TrainConfig) -> anyhow::Result<TrainConfig> {
        let mut config = self.choose(config);
        let loss = &mut config.loss;
        loss.dice = self.dice_weight.unwrap_or(loss.dice);
        loss.bce = self.bce_weight.unwrap_or(loss.bce);
        let Some(iou) = &mut loss.iou else {
            self.without_iou(&config)?;
            return Ok(config);
        };
        iou.weight = self.iou_weight.unwrap_or(iou.weight);
        Ok(config)
    }

    /// The decoder and what its IoU learns.
    fn choose(&self, config: TrainConfig) -> TrainConfig {
        let mut config = config.with_variant(self.variant);
        config.squeeze = self.squeeze;
        config.deep_supervision = self.deep_supervision;
        match self.iou_target {
            Some(target) => config.with_iou_target(target),
            None => config,
        }
    }

    /// Refuses flags of a term that the loss does not have.
    fn without_iou(&self, config: &TrainConfig) -> anyhow::Result<()> {
        let target = self.iou_target.map(|_| "--iou-target");
        match target.or(self.iou_weight.map(|_| "--iou-weight")) {
            None => Ok(()),
            Some(flag) => anyhow::bail!(
                "{flag}: variant {} in {} mode has no IoU term in its loss; leave it out",
                config.variant,
                config.mode
            ),
        }
    }
}
