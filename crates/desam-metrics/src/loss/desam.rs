//! DeSAM's loss over masks and predicted IoU, with deep supervision.

use super::bce::bce_of;
use super::dice::dice_of;
use super::logits::{StableLogits, check_masks, widen};
use super::{
    IouLoss, IouLossKind, IouTarget, LossConfig, MaskSlices, coarser_target, l1, mask_iou, mse,
    supervision_weights,
};
use crate::Error;
use candle_core::{DType, Result, Tensor};
use desam_core::{Loss, LossTarget, LossTerm, LossValue, MaskPrediction};

/// The weighted sum of a [`LossConfig`]'s terms, in the order `dice`, `bce`, then `mse` or `l1`.
///
/// With deep supervision (the prediction has coarser heads), the mask terms are distributed over all
/// heads by [`supervision_weights`], each head compared with its [`coarser_target`]: `dice` and `bce` are then the
/// mask's alone, `dice_coarser` and `bce_coarser` the others' weighted means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DesamLoss {
    config: LossConfig,
}

impl DesamLoss {
    /// `config` has been validated.
    pub(super) fn from_valid(config: LossConfig) -> Self {
        Self { config }
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &LossConfig {
        &self.config
    }

    /// Dice and cross-entropy of one head; `None` for a term of weight 0.
    fn head(&self, logits: &Tensor, target: &Tensor) -> Result<[Option<Tensor>; 2]> {
        check_masks(logits, target)?;
        let (logits, target) = (StableLogits::new(logits)?, widen(target)?);
        let LossConfig { dice, bce, dice_smoothing, dice_reduction, .. } = self.config;
        let dice = (dice > 0.0).then(|| dice_of(&logits, &target, dice_reduction, dice_smoothing));
        let bce = (bce > 0.0).then(|| bce_of(&logits, &target));
        Ok([dice.transpose()?, bce.transpose()?])
    }

    fn mask_terms(&self, prediction: &MaskPrediction, target: &Tensor) -> Result<Vec<LossTerm>> {
        let weights = [self.config.dice, self.config.bce];
        if weights.iter().all(|w| *w <= 0.0) {
            return Ok(Vec::new());
        }
        let shares = supervision_weights(prediction.coarser.len());
        let term = |name, weight, value: Option<Tensor>| {
            value.map(|value| LossTerm { name, weight, value })
        };
        let names = ["dice", "bce"].into_iter().zip(weights);
        let mask = self.head(&prediction.logits, target)?;
        let mut terms: Vec<LossTerm> = names
            .zip(mask)
            .filter_map(|((name, weight), value)| term(name, weight * shares[0], value))
            .collect();
        if prediction.coarser.is_empty() {
            return Ok(terms);
        }
        let left = 1.0 - shares[0];
        let mut means: [Option<Tensor>; 2] = [None, None];
        for (logits, share) in prediction.coarser.iter().zip(&shares[1..]) {
            let head = self.head(logits, &coarser_target(target, logits.dim(2)?)?)?;
            for (mean, value) in means.iter_mut().zip(head) {
                let Some(value) = value else { continue };
                let part = (value * (share / left))?;
                *mean = Some(match mean.take() {
                    Some(sum) => (sum + part)?,
                    None => part,
                });
            }
        }
        let names = ["dice_coarser", "bce_coarser"].into_iter().zip(weights);
        let coarser = names.zip(means);
        terms
            .extend(coarser.filter_map(|((name, weight), value)| term(name, weight * left, value)));
        Ok(terms)
    }

    /// The mask terms of the slices with foreground; none where there are none.
    fn labelled_mask_terms(
        &self,
        prediction: &MaskPrediction,
        target: &Tensor,
    ) -> Result<Vec<LossTerm>> {
        let areas =
            widen(target)?.flatten_from(1)?.sum(1)?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        let labelled: Vec<usize> =
            (0..).zip(&areas).filter(|(_, a)| **a > 0.0).map(|(n, _)| n).collect();
        if labelled.is_empty() {
            return Ok(Vec::new());
        }
        if labelled.len() == areas.len() {
            return self.mask_terms(prediction, target);
        }
        // Not by index_select, which refuses a decoder's strided output.
        let select = |tensor: &Tensor| {
            let rows = labelled.iter().map(|&n| tensor.narrow(0, n, 1));
            Tensor::cat(&rows.collect::<Result<Vec<_>>>()?, 0)
        };
        let coarser = prediction.coarser.iter().map(select).collect::<Result<Vec<_>>>()?;
        let of_labelled = MaskPrediction {
            logits: select(&prediction.logits)?,
            iou: select(&prediction.iou)?,
            coarser,
        };
        self.mask_terms(&of_labelled, &select(target)?)
    }

    fn iou_term(
        &self,
        prediction: &MaskPrediction,
        target: &LossTarget,
    ) -> Result<Option<LossTerm>> {
        let Some(IouLoss { kind, weight, target: from }) =
            self.config.iou.filter(|part| part.weight > 0.0)
        else {
            return Ok(None);
        };
        let name = kind.name();
        let target = match (from, &target.iou) {
            (IouTarget::Mask, _) => mask_iou(&prediction.logits, &target.mask)?,
            (IouTarget::Membership, Some(iou)) => iou.clone(),
            (IouTarget::Membership, None) => {
                return Err(candle_core::Error::wrap(Error::MissingIouTarget { term: name }));
            }
        };
        let value = match kind {
            IouLossKind::Mse => mse(&prediction.iou, &target)?,
            IouLossKind::L1 => l1(&prediction.iou, &target)?,
        };
        Ok(Some(LossTerm { name, weight, value }))
    }
}

impl Loss for DesamLoss {
    fn forward(&self, prediction: &MaskPrediction, target: &LossTarget) -> Result<LossValue> {
        let mut terms = match self.config.mask_slices {
            MaskSlices::All => self.mask_terms(prediction, &target.mask)?,
            MaskSlices::Labelled => self.labelled_mask_terms(prediction, &target.mask)?,
        };
        terms.extend(self.iou_term(prediction, target)?);
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
            // No slice has foreground, and there is no IoU term.
            None => Ok(LossValue { total: prediction.logits.affine(0.0, 0.0)?.sum_all()?, terms }),
        }
    }
}
