//! Which decoder a configuration trains, and what its IoU learns.

use super::{Preset, TrainConfig};
use desam::model::DecoderChoice;
use desam_decoder::{SqueezePlacement, Variant};
use desam_metrics::loss::{IouLoss, IouTarget};

impl TrainConfig {
    /// The same for another decoder. One without an IoU head has no IoU to supervise: its loss has
    /// no such term.
    #[must_use]
    pub fn with_variant(mut self, variant: Variant) -> Self {
        self.variant = variant;
        if !variant.predicts_iou() {
            self.loss.iou = None;
        }
        self
    }

    /// The same with the IoU compared with another target. The mask's true IoU can be had in whole
    /// box mode too, which otherwise supervises none (Eq. 2): the term is then the preset's.
    #[must_use]
    pub fn with_iou_target(mut self, target: IouTarget) -> Self {
        let preset = match self.preset {
            Preset::Paper => IouLoss::paper(),
            Preset::Official => IouLoss::official(),
        };
        if self.loss.iou.is_some() || target == IouTarget::Mask {
            self.loss.iou = Some(IouLoss { target, ..self.loss.iou.unwrap_or(preset) });
        }
        self
    }

    /// The decoder that this trains.
    pub fn decoder(&self) -> DecoderChoice {
        DecoderChoice {
            variant: self.variant,
            squeeze: self.squeeze,
            deep_supervision: self.deep_supervision,
        }
    }

    /// Whether the variant has what is asked of it.
    pub(super) fn validate_variant(&self) -> Result<(), String> {
        let variant = self.variant;
        if !variant.predicts_iou() && self.loss.iou.is_some() {
            return Err(format!("variant {variant} has no IoU head, so its loss has no IoU term"));
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
