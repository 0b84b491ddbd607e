//! The decoder to train and its loss.

use crate::commands::values::{MAX_WEIGHT, enum_values, non_negative};
use crate::usage::usage;
use clap::Args;
use desam::decoder::{SqueezePlacement, Variant};
use desam::metrics::loss::{DiceReduction, IouTarget, MaskSlices};
use desam::types::ClassTable;
use desam_study::train::TrainConfig;

/// Flags of the decoder's architecture and its loss.
#[derive(Debug, Args)]
#[command(next_help_heading = "Decoder and loss")]
pub(super) struct DecoderFlags {
    /// Decoder to train: DeSAM, an ablation of the paper, SAM's own mask decoder, or that of the
    /// adapters; see --help [default: desam; class-decoder with --adapter]
    #[arg(long, value_name = "VARIANT", value_parser = enum_values::<Variant>())]
    variant: Option<Variant>,

    /// Classes to tell apart, as NAME=LABEL with commas between them, such as pz=1,tz=2; several labels of a
    /// class with a plus (gland=1+2). Labels in no class are background [default: all labels are one
    /// foreground]
    #[arg(long, value_name = "CLASSES")]
    classes: Option<ClassTable>,

    /// Placement of PIMM's squeeze-and-excitation. official: after the instance norm, as in the
    /// official program, where it reduces to a constant factor of 0.5. before-norm: before the norm,
    /// where it is effective
    #[arg(long, value_name = "PLACEMENT", default_value = "official",
        value_parser = enum_values::<SqueezePlacement>())]
    squeeze: SqueezePlacement,

    /// Deep supervision: add losses on PIMM's coarser outputs. Each weighs half of the next finer
    /// one, and the weights sum to 1; targets are downsampled by nearest neighbour
    #[arg(long)]
    deep_supervision: bool,

    /// Target of the predicted IoU. membership: 1 if the point is inside the mask, else 0. mask: the
    /// IoU of the mask decoded in that step. In box mode only mask is possible, and by default there
    /// is no IoU loss [default: membership in points mode]
    #[arg(long, value_name = "TARGET",
        value_parser = enum_values::<IouTarget>())]
    iou_target: Option<IouTarget>,

    /// Weight of the soft Dice loss, 0 to 1000000 [default: 1]
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true,
        value_parser = non_negative(MAX_WEIGHT))]
    dice_weight: Option<f64>,

    /// Masks that the sums of the Dice loss run over. mask: each, then their mean, as in the official
    /// program. batch: all of a class in a step together, in which empty slices count [default: mask; batch
    /// with several classes]
    #[arg(long, value_name = "WHICH", value_parser = enum_values::<DiceReduction>())]
    dice_reduction: Option<DiceReduction>,

    /// Slices that Dice and cross-entropy are computed on, with --slices all. labelled: those with
    /// ground truth, so that the predicted IoU alone learns which slices are empty. all: the mask
    /// decoder learns it, too [default: labelled with preset volume and an IoU head, else all]
    #[arg(long, value_name = "WHICH", value_parser = enum_values::<MaskSlices>())]
    mask_slices: Option<MaskSlices>,

    /// Weight of the binary cross-entropy, 0 to 1000000 [default: 1 with preset paper, 0 with
    /// official]
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true,
        value_parser = non_negative(MAX_WEIGHT))]
    bce_weight: Option<f64>,

    /// Weight of the IoU loss, 0 to 1000000 [default: 10 with preset paper, 1 with official]
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true,
        value_parser = non_negative(MAX_WEIGHT))]
    iou_weight: Option<f64>,
}

impl DecoderFlags {
    /// Sets the variant, or else the `default` one.
    pub(super) fn with_variant(&self, config: TrainConfig, default: Variant) -> TrainConfig {
        config.with_variant(self.variant.unwrap_or(default))
    }

    /// Applies the other flags to `config`.
    pub(super) fn apply(&self, config: TrainConfig) -> anyhow::Result<TrainConfig> {
        let mut config = self.set_decoder(config);
        let loss = &mut config.loss;
        loss.dice_reduction = self.dice_reduction.unwrap_or(loss.dice_reduction);
        loss.mask_slices = self.mask_slices.unwrap_or(loss.mask_slices);
        loss.dice = self.dice_weight.unwrap_or(loss.dice);
        loss.bce = self.bce_weight.unwrap_or(loss.bce);
        let Some(iou) = &mut loss.iou else {
            self.reject_iou_flags(&config)?;
            return Ok(config);
        };
        iou.weight = self.iou_weight.unwrap_or(iou.weight);
        Ok(config)
    }

    /// Sets the decoder's options and the IoU target.
    fn set_decoder(&self, mut config: TrainConfig) -> TrainConfig {
        if let Some(classes) = &self.classes {
            config = config.with_classes(classes.clone());
        }
        config.squeeze = self.squeeze;
        config.deep_supervision = self.deep_supervision;
        match self.iou_target {
            Some(target) => config.with_iou_target(target),
            None => config,
        }
    }

    /// Rejects flags of the IoU loss, for a configuration without one.
    fn reject_iou_flags(&self, config: &TrainConfig) -> anyhow::Result<()> {
        let target = self.iou_target.map(|_| "--iou-target");
        match target.or(self.iou_weight.map(|_| "--iou-weight")) {
            None => Ok(()),
            Some(flag) => Err(usage(format!(
                "{flag}: variant {} in {} mode has no IoU term in its loss; remove the flag",
                config.variant, config.mode
            ))),
        }
    }
}
