//! One training step: forward, backward, gradient clipping, optimizer step, moving average.

use super::batch::{Batch, PromptedSlice};
use super::optim::{clip_scale, gradient_norm};
use super::trainer::Trainer;
use crate::{Error, Result};
use candle_core::{DType, Device};
use desam_core::{LossTerm, LossValue, MaskPrediction, Precision};
use desam_metrics::loss::view_consistency;
use desam_nn::gradients::backward;

impl Trainer<'_> {
    /// Collates slices for a step.
    pub(super) fn batch(&self, items: &[PromptedSlice]) -> Result<Batch> {
        Batch::new(items, self.config.precision.dtype(), &self.device)
    }

    /// Forward pass: the prediction, widened to f32, and the loss of a batch.
    pub(super) fn forward(&self, batch: &Batch) -> Result<(MaskPrediction, LossValue)> {
        let (prompt, dtype) = (self.model.prompt_encoder, self.config.precision.dtype());
        let embedding = prompt.encode(&batch.prompts)?.to_dtype(dtype)?;
        let (decoder, position) = (self.model.decoder, prompt.dense_pe().to_dtype(dtype)?);
        let decoded = decoder.decode(&batch.features, &position, &embedding)?;
        let coarser = decoded.coarser.iter().map(|t| t.to_dtype(DType::F32));
        let prediction = MaskPrediction {
            logits: decoded.logits.to_dtype(DType::F32)?,
            iou: decoded.iou.to_dtype(DType::F32)?,
            coarser: coarser.collect::<candle_core::Result<_>>()?,
        };
        let value = self.loss.forward(&prediction, &batch.target)?;
        Ok((prediction, value))
    }

    /// One optimizer step at `learning_rate`. Returns the loss and, with gradient clipping, the norm
    /// of the gradient before it was clipped. A non-finite loss leaves the parameters unchanged.
    pub(super) fn step(
        &mut self,
        batch: &Batch,
        learning_rate: f64,
    ) -> Result<(LossValue, Option<f64>)> {
        let (prediction, mut value) = self.forward(batch)?;
        if let Some(weight) = self.config.consistency {
            let views = self.config.views_per_slice();
            let term = view_consistency(&prediction.logits, views)?;
            value.total = (value.total + (&term * weight)?)?;
            value.terms.push(LossTerm { name: "consistency", weight, value: term });
        }
        let vars = self.model.vars;
        let grads = backward(&value.total)?;
        // Read only now: a GPU runs asynchronously, and reading a scalar waits for it.
        if !value.total.to_scalar::<f32>()?.is_finite() {
            return Ok((value, None));
        }
        let clipping = |limit| Ok::<_, Error>((limit, gradient_norm(vars, &grads)?));
        let clipping = self.config.clip_norm.map(clipping).transpose()?;
        let scale = clipping.map_or(1.0, |(limit, norm)| clip_scale(limit, norm));
        self.adam.step_scaled(vars, &grads, learning_rate, scale)?;
        if let Some(average) = &mut self.average {
            average.update(vars, self.adam.steps())?;
        }
        Ok((value, clipping.map(|(_, norm)| norm)))
    }
}

/// Refuses a precision that only GPU kernels compute in where there are none.
pub(super) fn check_precision(precision: Precision, device: &Device) -> Result<()> {
    if precision.is_f32() || desam_nn::gpu::has_kernels(device) {
        return Ok(());
    }
    precision.check_on(device)?;
    Err(Error::Invalid(format!("training: precision {precision} needs a CUDA GPU")))
}
