//! Loss configuration: terms, weights and presets.

use super::DesamLoss;
use crate::{Error, Result};
use desam_core::named;

named! {
    /// Error measure of the predicted IoU. The name is also that of its term in a
    /// [`LossValue`](desam_core::LossValue).
    pub enum IouLossKind: "IoU loss" {
        /// Mean squared error.
        Mse = "mse",
        /// Mean absolute error.
        L1 = "l1",
    }
}

named! {
    /// Target of the predicted IoU.
    #[derive(Default)]
    pub enum IouTarget: "IoU target" {
        /// The prompt sampler's: 1 where the point lies in the mask, else 0. The official program
        /// trains with it; the paper does not say.
        #[default]
        Membership = "membership",
        /// The IoU that the predicted mask (logits above 0) has with the truth at that moment,
        /// detached from the graph, as SAM trains its IoU head.
        Mask = "mask",
    }
}

named! {
    /// Masks that the sums of the soft Dice loss run over.
    #[derive(Default)]
    pub enum DiceReduction: "Dice reduction" {
        /// Each mask, then the mean of their losses (MONAI's, and so the official program's).
        #[default]
        Mask = "mask",
        /// All masks of a class in the batch together (nnU-Net's batch Dice): for batches with empty masks,
        /// whose own loss is 1 or 0 and hardly changes.
        Batch = "batch",
    }
}

impl DiceReduction {
    /// Whether it is that of the paper and the official program.
    fn is_mask(&self) -> bool {
        *self == Self::Mask
    }
}

named! {
    /// Slices that the mask terms are computed on.
    #[derive(Default)]
    pub enum MaskSlices: "mask slices" {
        /// All slices of the batch.
        #[default]
        All = "all",
        /// Those with foreground. Where there are others, the IoU term alone learns that they are empty,
        /// and the mask decoder does not become cautious on images unlike the training images.
        Labelled = "labelled",
    }
}

impl MaskSlices {
    /// Whether it is that of the paper and the official program.
    fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// The term that trains the IoU head.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IouLoss {
    /// Error measure.
    pub kind: IouLossKind,
    /// Weight in the total, at least 0.
    pub weight: f64,
    /// Its target.
    #[serde(default)]
    pub target: IouTarget,
}

impl IouLoss {
    /// Mean squared error with weight 10 (paper, Eq. 1).
    pub fn paper() -> Self {
        Self { kind: IouLossKind::Mse, weight: 10.0, target: IouTarget::Membership }
    }

    /// Mean absolute error with weight 1 (the official program).
    pub fn official() -> Self {
        Self { kind: IouLossKind::L1, weight: 1.0, target: IouTarget::Membership }
    }
}

/// Weighted sum of a soft Dice term, a binary cross-entropy term and an IoU term. Terms of weight 0 are
/// neither computed nor reported.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossConfig {
    /// Weight of the soft Dice loss, at least 0.
    pub dice: f64,
    /// Weight of the binary cross-entropy on logits, at least 0.
    pub bce: f64,
    /// The IoU term; `None` where the mode does not train it.
    pub iou: Option<IouLoss>,
    /// Smoothing: added to numerator and denominator of Dice, above 0.
    #[serde(default = "default_smoothing")]
    pub dice_smoothing: f64,
    /// Masks that the sums of Dice run over.
    #[serde(default, skip_serializing_if = "DiceReduction::is_mask")]
    pub dice_reduction: DiceReduction,
    /// Slices that Dice and cross-entropy are computed on.
    #[serde(default, skip_serializing_if = "MaskSlices::is_all")]
    pub mask_slices: MaskSlices,
}

/// MONAI's `smooth_nr` and `smooth_dr`, which the official program leaves at their defaults.
const SMOOTHING: f64 = 1e-5;

fn default_smoothing() -> f64 {
    SMOOTHING
}

impl LossConfig {
    /// The paper's loss for grid points mode (Eq. 1): Dice + cross-entropy + 10 × squared error.
    pub fn paper_points() -> Self {
        Self { iou: Some(IouLoss::paper()), ..Self::paper_box() }
    }

    /// The paper's loss for whole box mode (Eq. 2): Dice + cross-entropy.
    pub fn paper_box() -> Self {
        Self {
            dice: 1.0,
            bce: 1.0,
            iou: None,
            dice_smoothing: SMOOTHING,
            dice_reduction: DiceReduction::Mask,
            mask_slices: MaskSlices::All,
        }
    }

    /// The official program's loss for grid points mode: Dice + absolute error. Its cross-entropy is a
    /// softmax over one channel, always zero with the MONAI version it pins, hence omitted.
    pub fn official_points() -> Self {
        Self { iou: Some(IouLoss::official()), ..Self::official_box() }
    }

    /// The official program's loss for whole box mode: Dice alone, for the same reason.
    pub fn official_box() -> Self {
        Self { bce: 0.0, ..Self::paper_box() }
    }

    /// Checks that a loss can be built.
    ///
    /// # Errors
    /// When a weight is negative or NaN, all weights are 0, or the smoothing is not above 0.
    pub fn validate(&self) -> Result<()> {
        let iou = self.iou.map_or(0.0, |i| i.weight);
        for (field, found) in [("dice", self.dice), ("bce", self.bce), ("iou.weight", iou)] {
            if !found.is_finite() || found < 0.0 {
                return Err(Error::Config {
                    field,
                    expected: "a finite number, at least 0",
                    found,
                });
            }
        }
        if self.dice + self.bce + iou <= 0.0 {
            return Err(Error::Config {
                field: "dice + bce + iou.weight",
                expected: "a sum above 0, or nothing is trained",
                found: 0.0,
            });
        }
        if !self.dice_smoothing.is_finite() || self.dice_smoothing <= 0.0 {
            return Err(Error::Config {
                field: "dice_smoothing",
                expected: "a finite number above 0, or an empty mask divides by zero",
                found: self.dice_smoothing,
            });
        }
        Ok(())
    }

    /// Builds the loss.
    ///
    /// # Errors
    /// As [`LossConfig::validate`].
    pub fn build(&self) -> Result<DesamLoss> {
        self.validate()?;
        Ok(DesamLoss::from_valid(*self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_survive_json() {
        for config in [
            LossConfig::paper_points(),
            LossConfig::paper_box(),
            LossConfig::official_points(),
            LossConfig::official_box(),
        ] {
            config.validate().unwrap();
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<LossConfig>(&text).unwrap(), config);
            // Configurations from before there was a choice mean the official target.
            let before = text.replace(",\"target\":\"membership\"", "");
            assert_eq!(before != text, config.iou.is_some());
            assert_eq!(serde_json::from_str::<LossConfig>(&before).unwrap(), config);
        }
        for target in [IouTarget::Membership, IouTarget::Mask] {
            assert_eq!(target.to_string().parse(), Ok(target));
            assert_eq!(serde_json::to_string(&target).unwrap(), format!("\"{target}\""));
        }
        assert!("iou".parse::<IouTarget>().is_err());
    }

    #[test]
    fn unknown_fields_and_useless_weights_are_refused() {
        let unknown = r#"{"dice": 1.0, "bce": 1.0, "iou": null, "focal": 1.0}"#;
        assert!(serde_json::from_str::<LossConfig>(unknown).is_err());
        let good = LossConfig::paper_points();
        let iou = |weight| Some(IouLoss { weight, ..IouLoss::official() });
        for bad in [
            LossConfig { dice: -1.0, ..good },
            LossConfig { bce: f64::NAN, ..good },
            LossConfig { iou: iou(f64::INFINITY), ..good },
            LossConfig { dice: 0.0, bce: 0.0, iou: None, ..good },
            LossConfig { dice: 0.0, bce: 0.0, iou: iou(0.0), ..good },
            LossConfig { dice_smoothing: 0.0, ..good },
        ] {
            assert!(bad.build().is_err(), "{bad:?}");
        }
    }
}
