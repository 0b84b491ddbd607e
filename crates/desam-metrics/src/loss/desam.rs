//! DeSAM's loss on masks and predicted IoU.

use super::bce::bce_of;
use super::dice::dice_of;
use super::logits::{StableLogits, check_masks, widen};
use super::{IouLossKind, LossConfig, l1, mse};
use crate::Error;
use candle_core::{Result, Tensor};
use desam_core::{Loss, LossTarget, LossTerm, LossValue, MaskPrediction};

/// The weighted sum that a [`LossConfig`] describes. Terms come in the order `dice`, `bce`, then
/// `mse` or `l1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DesamLoss {
    config: LossConfig,
}

impl DesamLoss {
    /// `config` has been validated.
    pub(super) fn from_valid(config: LossConfig) -> Self {
        Self { config }
    }

    /// What it was built from.
    pub fn config(&self) -> &LossConfig {
        &self.config
    }

    fn mask_terms(&self, logits: &Tensor, target: &Tensor) -> Result<Vec<LossTerm>> {
        let LossConfig { dice, bce, dice_smoothing, .. } = self.config;
        let mut terms = Vec::new();
        if dice <= 0.0 && bce <= 0.0 {
            return Ok(terms);
        }
        check_masks(logits, target)?;
        let (logits, target) = (StableLogits::new(logits)?, widen(target)?);
        if dice > 0.0 {
            let value = dice_of(&logits, &target, dice_smoothing)?;
            terms.push(LossTerm { name: "dice", weight: dice, value });
        }
        if bce > 0.0 {
            terms.push(LossTerm { name: "bce", weight: bce, value: bce_of(&logits, &target)? });
        }
        Ok(terms)
    }

    fn iou_term(&self, iou: &Tensor, target: Option<&Tensor>) -> Result<Option<LossTerm>> {
        let Some(part) = self.config.iou.filter(|part| part.weight > 0.0) else {
            return Ok(None);
        };
        let name = part.kind.name();
        let Some(target) = target else {
            return Err(candle_core::Error::wrap(Error::MissingIouTarget { term: name }));
        };
        let value = match part.kind {
            IouLossKind::Mse => mse(iou, target)?,
            IouLossKind::L1 => l1(iou, target)?,
        };
        Ok(Some(LossTerm { name, weight: part.weight, value }))
    }
}

impl Loss for DesamLoss {
    fn forward(&self, prediction: &MaskPrediction, target: &LossTarget) -> Result<LossValue> {
        let mut terms = self.mask_terms(&prediction.logits, &target.mask)?;
        terms.extend(self.iou_term(&prediction.iou, target.iou.as_ref())?);
        let mut total: Option<Tensor> = None;
        for term in &terms {
            let weighted = (&term.value * term.weight)?;
            total = Some(match total {
                Some(sum) => (sum + weighted)?,
                None => weighted,
            });
        }
        match total {
            Some(total) => Ok(LossValue { total, terms }),
            // `validate` wants a weight above 0, so there is a term; said rather than assumed.
            None => candle_core::bail!("the loss has no terms: set a weight above 0"),
        }
    }
}
