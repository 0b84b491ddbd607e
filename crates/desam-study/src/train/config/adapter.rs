//! Settings of training with adapters in the image encoder.

use super::{BestBy, Preset, TrainConfig};
use desam::Mode;
use desam::adapted::AdapterChoice;
use desam_decoder::Variant;
use desam_metrics::loss::{DiceReduction, LossConfig};

impl TrainConfig {
    /// Puts an adapter into the image encoder, which then runs in every step.
    ///
    /// Optimizer and schedule are those of DAPSAM's program: AdamW with weight decay 0.1, 250 steps of warm-up
    /// to a rate of 5e-4, then polynomial decay by step. With preset `official` also its 160 epochs of a
    /// decay over 200, of which the last is kept; an epoch is each slice once, where that program repeats
    /// slices up to 250 steps. The loss of [`Variant::ClassDecoder`] is that program's, 0.2 of the
    /// cross-entropy and 0.8 of the Dice of the whole batch; of other variants it is unchanged.
    #[must_use]
    pub fn with_adapter(mut self, adapter: AdapterChoice) -> Self {
        self.adapter = Some(adapter);
        self.live = true;
        self.learning_rate = 5e-4;
        self.adam.weight_decay = 0.1;
        self.warmup_steps = 250;
        if self.preset == Preset::Official {
            (self.epochs, self.decay_epochs) = (160, Some(200));
            self.best_by = BestBy::Last;
        }
        if self.variant == Variant::ClassDecoder {
            self.loss = LossConfig {
                dice: 0.8,
                bce: 0.2,
                dice_smoothing: 1.0,
                dice_reduction: DiceReduction::Batch,
                ..self.loss
            };
        }
        self
    }

    /// Checks that the settings fit an adapter, or that none is needed.
    pub(super) fn validate_adapter(&self) -> Result<(), String> {
        let prompt_free = self.variant.needs_adapter();
        let Some(adapter) = &self.adapter else {
            let missing = format!("variant {} needs an adapter", self.variant);
            return if prompt_free { Err(missing) } else { Ok(()) };
        };
        if prompt_free && self.mode == Mode::Points {
            return Err(format!(
                "variant {} takes no prompt: its mode is box, whose box no part of it reads",
                self.variant
            ));
        }
        if !self.live {
            return Err("with an adapter the image encoder runs in every step".into());
        }
        if self.deep_supervision {
            return Err("deep supervision is not supported with an adapter".into());
        }
        if !self.precision.is_f32() {
            let precision = self.precision;
            return Err(format!("an adapter is trained in f32, found precision {precision}"));
        }
        if !(1..=1024).contains(&adapter.rank) {
            return Err(format!("rank must be 1 to 1024, found {}", adapter.rank));
        }
        match adapter.input_side {
            Some(side) if !(1..=desam_core::EncoderSpec::LARGEST_SIDE).contains(&side) => {
                Err(format!("input_side must be 1 to 16384, found {side}"))
            }
            _ => Ok(()),
        }
    }
}
