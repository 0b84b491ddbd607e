//! Which terms a loss has, and how much each weighs.

use super::DesamLoss;
use crate::{Error, Result};

/// Error measure of the predicted IoU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IouLossKind {
    /// Mean square error.
    Mse,
    /// Mean absolute error.
    L1,
}

impl IouLossKind {
    /// The name of its term in a [`LossValue`](desam_core::LossValue).
    pub fn name(self) -> &'static str {
        match self {
            Self::Mse => "mse",
            Self::L1 => "l1",
        }
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
}

/// A weighted sum of a Dice term, a cross-entropy term and an IoU term. A term of weight 0 is
/// left out: it is neither computed nor reported.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossConfig {
    /// Weight of the soft Dice loss, at least 0.
    pub dice: f64,
    /// Weight of the binary cross-entropy on logits, at least 0.
    pub bce: f64,
    /// The IoU term; `None` where the mode does not train it.
    pub iou: Option<IouLoss>,
    /// Added to both sides of the Dice fraction, above 0.
    #[serde(default = "default_smoothing")]
    pub dice_smoothing: f64,
}

/// MONAI's `smooth_nr` and `smooth_dr`, which the official program leaves at their defaults.
const SMOOTHING: f64 = 1e-5;

fn default_smoothing() -> f64 {
    SMOOTHING
}

impl LossConfig {
    /// Grid points mode as the paper has it (Eq. 1): Dice + cross-entropy + 10 × square error.
    pub fn paper_points() -> Self {
        let iou = Some(IouLoss { kind: IouLossKind::Mse, weight: 10.0 });
        Self { iou, ..Self::paper_box() }
    }

    /// Whole box mode as the paper has it (Eq. 2): Dice + cross-entropy.
    pub fn paper_box() -> Self {
        Self { dice: 1.0, bce: 1.0, iou: None, dice_smoothing: SMOOTHING }
    }

    /// Grid points mode as the official program runs it: Dice + absolute error. Its cross-entropy
    /// is a softmax over one channel, always zero with the MONAI it pins, hence left out.
    pub fn official_points() -> Self {
        let iou = Some(IouLoss { kind: IouLossKind::L1, weight: 1.0 });
        Self { iou, ..Self::official_box() }
    }

    /// Whole box mode as the official program runs it: Dice alone, for the same reason.
    pub fn official_box() -> Self {
        Self { bce: 0.0, ..Self::paper_box() }
    }

    /// Whether it can train something.
    ///
    /// # Errors
    /// When a weight is negative or no number, all weights are 0, or the smoothing is not above 0.
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

    /// The loss itself.
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
        }
    }

    #[test]
    fn unknown_fields_and_useless_weights_are_refused() {
        let unknown = r#"{"dice": 1.0, "bce": 1.0, "iou": null, "focal": 1.0}"#;
        assert!(serde_json::from_str::<LossConfig>(unknown).is_err());
        let good = LossConfig::paper_points();
        let iou = |weight| Some(IouLoss { kind: IouLossKind::L1, weight });
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
