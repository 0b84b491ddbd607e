//! One step: forwards, backwards, and the parameters' change.

use super::batch::{Batch, Prompted};
use super::clip::{gradient_norm, scale_to};
use super::trainer::Trainer;
use crate::{Error, Result};
use candle_core::{DType, Device};
use desam_core::{LossValue, MaskDecoder, MaskPrediction, Precision, PromptEncoder};
use desam_nn::gradients::backward;

impl Trainer<'_> {
    /// Slices put together for a step.
    pub(super) fn batch(&self, items: &[Prompted]) -> Result<Batch> {
        Batch::new(items, self.config.precision.dtype(), &self.device)
    }

    /// Prediction, in f32, and loss of a batch.
    pub(super) fn forward(&self, batch: &Batch) -> Result<(MaskPrediction, LossValue)> {
        let (prompt, dtype) = (&self.model.prompt, self.config.precision.dtype());
        let embedding = prompt.encode(&batch.prompts)?.to_dtype(dtype)?;
        let (decoder, position) = (&self.model.decoder.module, prompt.dense_pe().to_dtype(dtype)?);
        let drawn = decoder.decode(&batch.features, &position, &embedding)?;
        let coarser = drawn.coarser.iter().map(|t| t.to_dtype(DType::F32));
        let prediction = MaskPrediction {
            logits: drawn.logits.to_dtype(DType::F32)?,
            iou: drawn.iou.to_dtype(DType::F32)?,
            coarser: coarser.collect::<candle_core::Result<_>>()?,
        };
        let value = self.loss.forward(&prediction, &batch.target)?;
        Ok((prediction, value))
    }

    /// One step of Adam, and the gradient's length where it is limited; a loss that is no number
    /// changes nothing.
    pub(super) fn step(&mut self, batch: &Batch, rate: f64) -> Result<(LossValue, Option<f64>)> {
        let (_, value) = self.forward(batch)?;
        let vars = &self.model.decoder.vars;
        let grads = backward(&value.total)?;
        // Only now: a GPU is behind, and asking for a number waits for it.
        if !value.total.to_scalar::<f32>()?.is_finite() {
            return Ok((value, None));
        }
        let limited = |limit| Ok::<_, Error>((limit, gradient_norm(vars, &grads)?));
        let limited = self.config.clip_norm.map(limited).transpose()?;
        let scale = limited.map_or(1.0, |(limit, norm)| scale_to(limit, norm));
        self.adam.step_scaled(vars, &grads, (rate, scale))?;
        if let Some(average) = &mut self.average {
            average.update(vars, self.adam.steps())?;
        }
        Ok((value, limited.map(|(_, norm)| norm)))
    }
}

/// Refuses a precision that only kernels compute in where there are none.
pub(super) fn computable(precision: Precision, device: &Device) -> Result<()> {
    if precision.is_f32() || desam_nn::gpu::has_kernels(device) {
        return Ok(());
    }
    precision.check_on(device)?;
    Err(Error::Invalid(format!("training: precision {precision} is for CUDA's GPUs; leave it out")))
}
