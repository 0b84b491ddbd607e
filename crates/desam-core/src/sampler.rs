//! The prompt sampler trait.

use crate::{BinaryMask, Prompt, Result};
use rand::RngCore;

/// A training prompt, with the IoU that PRIM should predict for it.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledPrompt {
    /// The prompt, in pixels of the encoder's input.
    pub prompt: Prompt,
    /// Target of the IoU head, where the mode trains it.
    pub iou_target: Option<f32>,
}

/// Sampler of training prompts from a ground-truth mask.
pub trait PromptSampler: Send + Sync {
    /// Samples one prompt for `mask`, a slice's ground truth on any grid, in pixels of an encoder input
    /// of side `input_side`.
    ///
    /// # Errors
    /// When the mask has no pixels at all.
    fn sample(
        &self,
        mask: &BinaryMask,
        input_side: usize,
        rng: &mut dyn RngCore,
    ) -> Result<SampledPrompt>;
}
